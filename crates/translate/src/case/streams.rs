//! Streams as cases describe them.

use bytes::{Bytes, BytesMut};
use tollgate_core::{Protocol, StreamError};
use tollgate_sse::{Decoder, Framing, Tail};
use tollgate_wire::{Fault, usage::is_extra_usage_chunk};

use super::{BadCase, Case, Outcome, told, verbatim};
use crate::{
    codec::{Asked, codec},
    json::{Json, Node, Object},
    restore::Restore,
    stream::{StreamCollector, StreamTranslator, Terms},
    warning::Report,
};

/// Shows the whole events of a body that came in these chunks.
///
/// Errors: it does not end with an event's end, or is no such body.
fn events(
    chunks: &[Bytes],
    framing: Framing,
    mut show: impl FnMut(Option<&str>, &[u8]),
) -> Result<(), StreamError> {
    let mut decoder = Decoder::new(framing);
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Some(event) = decoder.next().map_err(|_| StreamError::truncated())? {
            if !event.is_keep_alive() {
                show(event.name(), event.data());
            }
        }
    }
    match decoder.finish() {
        Tail::Clean => Ok(()),
        Tail::Event(event) => {
            show(event.name(), event.data());
            Ok(())
        }
        Tail::Truncated => Err(StreamError::truncated()),
    }
}

fn unhex(text: &str) -> Option<Bytes> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

fn framing(chunks: &[Bytes]) -> Framing {
    let first = chunks.iter().flatten().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') { Framing::JsonArray } else { Framing::Sse }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Case<'_> {
    fn chunks(&self) -> Result<Vec<Bytes>, BadCase> {
        if let Some(sse) = self.input.get("sse").and_then(Node::string) {
            return Ok(vec![Bytes::from(sse)]);
        }
        let chunks = self.input.get("chunks_hex").into_iter().flat_map(Node::elements);
        let chunks = chunks.map(|node| unhex(&node.string()?)).collect::<Option<Vec<_>>>();
        chunks.ok_or_else(|| BadCase("`chunks_hex` is not hexadecimal".to_owned()))
    }

    /// The frames of server-sent events, keep-alives aside.
    pub(super) fn sse_parse(&self) -> Result<Outcome, BadCase> {
        let mut frames: Vec<Json<'static>> = Vec::new();
        let ended = events(&self.chunks()?, Framing::Sse, |name, data| {
            let name = name.map_or(Json::Null, |name| name.to_owned().into());
            frames.push(Object::new().with("event", name).with("data", text(data)).into());
        });
        Ok(Object::new().with("frames", frames).with("truncated", ended.is_err()))
    }

    /// What passes of a stream in its own protocol.
    pub(super) fn passthrough_stream(&self) -> Result<Outcome, BadCase> {
        let hides = self.from == Protocol::OpenAiChat
            && self.client_said("include_usage").and_then(Node::bool) != Some(true);
        let mut decoder = Decoder::new(Framing::Sse);
        let mut passed = Vec::new();
        for chunk in self.chunks()? {
            decoder.push(chunk);
            while let Ok(Some(event)) = decoder.next() {
                if !(hides && is_extra_usage_chunk(event.data())) {
                    event.raw().for_each(|piece| passed.extend_from_slice(&piece));
                }
            }
        }
        if let Tail::Event(event) = decoder.finish() {
            event.raw().for_each(|piece| passed.extend_from_slice(&piece));
        }
        Ok(Object::new().with("raw", true).with("sse", text(&passed)))
    }

    pub(super) fn stream(&self) -> Result<Outcome, BadCase> {
        let (asked, restore) = (self.asked(), Restore::default());
        let model = self.context("model").unwrap_or_default();
        let terms = Terms {
            from: self.to,
            to: self.from,
            model: &model,
            asked: &asked,
            restore: &restore,
            profile: None,
        };
        let array = self.client_said("json_array").and_then(Node::bool) == Some(true);
        let chunks = self.chunks()?;
        let mut stream = StreamTranslator::new(&terms);
        if array {
            stream = stream.framing(Framing::JsonArray);
        }
        let mut bytes = BytesMut::new();
        let ended =
            events(&chunks, framing(&chunks), |name, data| stream.event(name, data, &mut bytes));
        match ended {
            Ok(()) => stream.end(&mut bytes),
            Err(error) => stream.fail(&Fault::from(&error), &mut bytes),
        }
        if let Some(fault) = stream.fault().filter(|_| !stream.is_committed()) {
            return Ok(self.fault(fault.clone()).with("http", self.answered(fault.clone())));
        }
        let shown = shown(&bytes.freeze(), array);
        let shown = shown.with("warnings", told(stream.warnings()));
        Ok(match self.folded(&chunks, &terms) {
            Ok(body) => shown.with("fold", verbatim(&body)),
            Err(_) => shown,
        })
    }

    /// The stream as the plain answer it amounts to.
    fn folded(&self, chunks: &[Bytes], terms: &Terms<'_>) -> Result<Vec<u8>, Fault> {
        let mut stream = StreamCollector::new(terms);
        // An error of the stream is told again at its end.
        events(chunks, framing(chunks), |name, data| drop(stream.event(name, data)))
            .map_err(|error| Fault::from(&error))?;
        let answer = stream.end()?;
        let asked: &Asked = terms.asked;
        codec(self.to).encode_answer(&answer, asked, &mut Report::new(codec(self.from)))
    }
}

/// The events of a client's body, and what stands behind them.
fn shown(body: &Bytes, array: bool) -> Outcome {
    let mut shown: Vec<Json<'static>> = Vec::new();
    let mut done = false;
    let framing = if array { Framing::JsonArray } else { Framing::Sse };
    let ended = events(std::slice::from_ref(body), framing, |name, data| {
        if data == b"[DONE]" {
            done = true;
            return;
        }
        shown.push(match name {
            Some(name) => {
                Object::new().with("event", name.to_owned()).with("data", verbatim(data)).into()
            }
            None => verbatim(data),
        });
    });
    let terminator = if done { Json::from("[DONE]") } else { Json::Null };
    Object::new()
        .with("events", shown)
        .with("terminator", terminator)
        .with("sse", text(body))
        .with("whole", ended.is_ok())
}
