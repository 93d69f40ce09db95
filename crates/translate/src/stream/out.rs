use bytes::BytesMut;
use tollgate_sse::{Encoder, Framing};

use crate::{
    json::{Json, write_string},
    warning::{Code, Report},
};

/// How many bytes one answer may hold back, unless the caller says otherwise.
pub(crate) const LIMIT: usize = 16 << 20;

/// Where an encoder writes: the frames of the client's body and what could not be carried.
#[derive(Debug)]
pub struct Out<'a> {
    pub(super) frames: &'a mut Frames,
    pub(super) bytes: &'a mut BytesMut,
    pub(super) report: &'a mut Report,
}

/// The client's framing.
#[derive(Debug)]
pub(crate) struct Frames {
    encoder: Encoder,
    /// The event being written.
    text: Vec<u8>,
}

impl Frames {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { encoder: Encoder::new(framing), text: Vec::new() }
    }

    pub(crate) fn close(&mut self, bytes: &mut BytesMut) {
        self.encoder.close(bytes);
    }
}

impl Out<'_> {
    /// Writes one event.
    pub(crate) fn frame(&mut self, name: Option<&str>, write: impl FnOnce(&mut Vec<u8>)) {
        let Frames { encoder, text } = self.frames;
        text.clear();
        write(text);
        encoder.event(name, text, self.bytes);
    }

    /// Where what could not be carried is reported.
    pub(crate) fn report(&mut self) -> &mut Report {
        self.report
    }

    /// Reports what could not be carried.
    pub(crate) fn warn(&mut self, code: Code, path: &str) {
        self.report.path(code, path);
    }
}

/// JSON written piece by piece.
pub(crate) trait Pen {
    /// Puts what is JSON already.
    fn raw(&mut self, text: &str) -> &mut Self;
    /// Puts a string.
    fn string(&mut self, text: &str) -> &mut Self;
    /// Puts a whole number.
    fn number(&mut self, number: u64) -> &mut Self;
    /// Puts a value.
    fn json<'a>(&mut self, value: impl Into<Json<'a>>) -> &mut Self;
}

impl Pen for Vec<u8> {
    fn raw(&mut self, text: &str) -> &mut Self {
        self.extend_from_slice(text.as_bytes());
        self
    }

    fn string(&mut self, text: &str) -> &mut Self {
        write_string(text, self);
        self
    }

    fn number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.extend_from_slice(&digits[at..]);
        self
    }

    fn json<'a>(&mut self, value: impl Into<Json<'a>>) -> &mut Self {
        value.into().write(self);
        self
    }
}
