//! An answer while it comes, both ways.
use tollgate_wire::Fault;

use crate::{
    codec::Asked,
    stream::{DecodeStream, EncodeStream, Event, Flow, Out, Sink, broken},
};

#[derive(Debug)]
pub(crate) struct ResponsesReader;
impl Default for ResponsesReader {
    fn default() -> Self {
        Self
    }
}

impl DecodeStream for ResponsesReader {
    fn event(&mut self, _: Option<&str>, _: &[u8], _: &mut dyn Sink) -> Flow {
        Err(broken("streams of this protocol are not read yet"))
    }
    fn finish(&mut self, _: &mut dyn Sink) -> Flow {
        Ok(())
    }
}
#[derive(Debug)]
pub(crate) struct ResponsesWriter(String);
impl ResponsesWriter {
    pub(crate) fn new(asked: &Asked) -> Self {
        Self(asked.id.clone())
    }
}
impl EncodeStream for ResponsesWriter {
    fn event(&mut self, _: Event<'_>, _: &mut Out<'_>) -> Flow {
        Err(broken("streams of this protocol are not written yet"))
    }
    fn fail(&mut self, fault: &Fault, out: &mut Out<'_>) {
        crate::stream::failed(tollgate_core::Protocol::OpenAiResponses, fault, &self.0, out)
    }
}
