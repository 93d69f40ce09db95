use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use tollgate_core::{Call, Frames, StreamError};
use tollgate_wire::{Automaton, Seen, dialect};

use super::passed::Ahead;
use crate::{Decoder, Framing, Tail, map::undecodable};

/// Frames in the order they came, and where in the stream the first of them starts.
#[derive(Debug, Default)]
pub(crate) struct Held {
    frames: VecDeque<Bytes>,
    start: u64,
    len: usize,
}

impl Held {
    pub(crate) fn push(&mut self, frame: Bytes) {
        if !frame.is_empty() {
            self.len += frame.len();
            self.frames.push_back(frame);
        }
    }

    /// Returns the next frame, or the part of it that lies before `position` of the stream.
    pub(crate) fn take_to(&mut self, position: u64) -> Option<Bytes> {
        let allowed = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let front = self.frames.front_mut().filter(|_| allowed > 0)?;
        let taken = match front.len() <= allowed {
            true => self.frames.pop_front()?,
            false => front.split_to(allowed),
        };
        self.start += taken.len() as u64;
        self.len -= taken.len();
        Some(taken)
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.take_to(u64::MAX)
    }

    /// Whether [`Held::take_to`] would return something.
    pub(crate) fn has_before(&self, position: u64) -> bool {
        !self.frames.is_empty() && position > self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frame, if there is one and no more.
    pub(super) fn only(&self) -> Option<&Bytes> {
        self.frames.front().filter(|_| self.frames.len() == 1)
    }

    /// The first byte that is no white space.
    pub(super) fn first(&self) -> Option<u8> {
        let mut bytes = self.frames.iter().flatten();
        bytes.find(|byte| !byte.is_ascii_whitespace()).copied()
    }

    /// Returns everything as one piece; copies where there are several frames.
    pub(crate) fn joined(&self) -> Bytes {
        Frames::new(self.frames.iter().cloned().collect()).joined()
    }

    pub(crate) fn into_vec(self) -> Vec<Bytes> {
        self.frames.into()
    }

    fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.frames.iter()
    }
}

/// A stream being read: what came, what of it are whole events, what they mean.
pub(crate) struct Stream {
    pub(crate) decoder: Decoder,
    pub(crate) automaton: Box<dyn Automaton>,
    pub(crate) held: Held,
    /// `None` unless the reader is ahead of what came.
    ahead: Option<Ahead>,
}

impl Stream {
    pub(crate) fn new(framing: Framing, call: &Call, event_limit: usize) -> Self {
        Self {
            decoder: Decoder::new(framing).limit(event_limit),
            automaton: dialect(call.protocol).automaton(call),
            held: Held::default(),
            ahead: None,
        }
    }

    /// Gives away what is held, to come again as frames of a body, and keeps what was read of it.
    pub(super) fn part(&mut self, call: &Call, limit: usize) -> Held {
        let held = std::mem::take(&mut self.held);
        let frames = held.frames().cloned().collect();
        self.ahead = Some(Ahead { frames, call: call.clone(), limit });
        held
    }

    /// Whether more was read than came: until it has come nothing may be told of it.
    pub(crate) fn is_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.ahead.is_some() {
            return self.expect(chunk);
        }
        self.decoder.push(chunk.clone());
        self.held.push(chunk);
    }

    /// Takes in a chunk that was read before, or finds that it is not the same.
    fn expect(&mut self, chunk: Bytes) {
        let Some(ahead) = &mut self.ahead else { return };
        let same = ahead.frames.pop_front().is_some_and(|frame| frame == chunk);
        let met = ahead.frames.is_empty();
        self.held.push(chunk);
        match same {
            true if met => self.ahead = None,
            true => {}
            false => self.read_anew(),
        }
    }

    /// Forgets what was read ahead and reads what came instead.
    pub(crate) fn read_anew(&mut self) {
        let Some(Ahead { call, limit, .. }) = self.ahead.take() else { return };
        let fresh = Self::new(self.decoder.framing(), &call, limit);
        (self.decoder, self.automaton) = (fresh.decoder, fresh.automaton);
        self.decoder.push(self.held.joined());
    }

    /// Reads the next event of what was pushed; `None` if there is none.
    pub(crate) fn step(&mut self) -> Result<Option<Seen>, StreamError> {
        let Some(event) = self.decoder.next().map_err(undecodable)? else { return Ok(None) };
        Ok(Some(match event.data() {
            [] => Seen::Lifecycle,
            _ => self.automaton.event(event.event()),
        }))
    }

    /// Reads what is left at the end of the body, and says whether nothing was cut off.
    pub(crate) fn finish(&mut self) -> (Seen, bool) {
        match self.decoder.finish() {
            Tail::Clean => (Seen::Lifecycle, true),
            Tail::Event(event) => (self.automaton.event(event.event()), true),
            Tail::Truncated => (Seen::Lifecycle, false),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("automaton", &self.automaton)
            .field("position", &self.decoder.position())
            .field("held", &self.held.len())
            .finish()
    }
}
