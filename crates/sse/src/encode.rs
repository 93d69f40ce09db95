//! Encoder of events of our own, in either framing.

use bytes::{BufMut, Bytes, BytesMut};
use tollgate_wire::OwnEvent;

use crate::Framing;

/// Writes events of our own into one body.
///
/// Server-sent events are written with `\n` only, one space after the colon and one data line;
/// elements of an array are told apart by `,` and need [`Encoder::close`] at the end.
///
/// ```
/// use tollgate_sse::{Encoder, Framing};
///
/// let mut out = bytes::BytesMut::new();
/// let mut array = Encoder::new(Framing::JsonArray);
/// array.event(None, b"{}", &mut out);
/// array.event(None, b"{}", &mut out);
/// array.close(&mut out);
/// assert_eq!(out, "[{},\n{}]");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    framing: Framing,
    begun: bool,
}

impl Encoder {
    /// Returns an encoder at the start of a body.
    pub fn new(framing: Framing) -> Self {
        Self { framing, begun: false }
    }

    /// Returns an encoder that goes on in a body which already holds events.
    pub fn resumed(framing: Framing) -> Self {
        Self { framing, begun: true }
    }

    /// Writes one event. `data` is a JSON text (or `[DONE]`); line breaks in it are written as
    /// several data lines. An array has no place for names.
    pub fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut BytesMut) {
        match self.framing {
            Framing::Sse => sse(name, data, out),
            Framing::JsonArray => {
                out.put_slice(if self.begun { b",\n" } else { b"[" });
                out.put_slice(data);
            }
        }
        self.begun = true;
    }

    /// Ends the body: closes the array, also an empty one. Server-sent events need no end.
    pub fn close(&mut self, out: &mut BytesMut) {
        if self.framing == Framing::JsonArray {
            out.put_slice(if self.begun { b"]" } else { b"[]" });
        }
    }
}

/// Returns one event of our own as a piece of a `text/event-stream` body.
pub fn encode_event(event: &OwnEvent) -> Bytes {
    let mut out = BytesMut::with_capacity(event.data.len() + 48);
    sse(event.name, &event.data, &mut out);
    out.freeze()
}

fn sse(name: Option<&str>, data: &[u8], out: &mut BytesMut) {
    out.reserve(name.map_or(0, |name| name.len() + 8) + data.len() + 8);
    if let Some(name) = name {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_slice(b"\n");
    }
    for line in data.split(|byte| *byte == b'\n') {
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_slice(b"\n");
    }
    out.put_slice(b"\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decoder;

    #[test]
    fn writes_one_name_line_and_one_data_line() {
        let event = OwnEvent { name: Some("error"), data: Bytes::from_static(b"{}") };
        assert_eq!(encode_event(&event), "event: error\ndata: {}\n\n");
        assert_eq!(encode_event(&OwnEvent { name: None, ..event }), "data: {}\n\n");
    }

    #[test]
    fn what_it_writes_decodes_to_the_same_event() {
        let mut out = BytesMut::new();
        Encoder::new(Framing::Sse).event(Some("x"), b"{\n}", &mut out);
        let mut decoder = Decoder::new(Framing::Sse);
        decoder.push(out.freeze());
        let event = decoder.next().unwrap().unwrap();
        assert_eq!((event.name(), event.data()), (Some("x"), &b"{\n}"[..]));
    }

    #[test]
    fn an_array_is_valid_with_no_one_and_many_elements() {
        for (count, expected) in [(0, "[]"), (1, "[{}]"), (3, "[{},\n{},\n{}]")] {
            let mut out = BytesMut::new();
            let mut encoder = Encoder::new(Framing::JsonArray);
            (0..count).for_each(|_| encoder.event(None, b"{}", &mut out));
            encoder.close(&mut out);
            assert_eq!(out, expected);
        }
    }
}
