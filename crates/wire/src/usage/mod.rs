//! What an answer used, read from the very bytes that are forwarded.
//!
//! A [`Reader`] sees each event of a stream, or a whole JSON answer, and makes one
//! [`Usage`] of it: all counts disjoint, nothing summed that repeats, nothing
//! invented that was not told. How a host counts is its [`Profile`], chosen by the route.
//!
//! ```
//! use tollgate_wire::{
//!     Event,
//!     tollgate_core::{Protocol, Quality},
//!     usage::{Profile, Reader},
//! };
//!
//! let mut reader = Reader::new(Profile::of(Protocol::AnthropicMessages, "anthropic"));
//! for data in [
//!     r#"{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":90,"output_tokens":1}}}"#,
//!     r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}"#,
//!     r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":12}}"#,
//! ] {
//!     reader.event(Event { name: None, data: data.as_bytes() });
//! }
//! let usage = reader.finish(true);
//! assert_eq!((usage.prompt_total(), usage.output_total()), (93, 12));
//! assert_eq!(usage.quality, Quality::Exact);
//! ```
//!
//! # Streams that break off
//!
//! What was told until then is [`Quality::Partial`]. [`Forwarded`] counts what went by, and
//! estimates from it what the host will charge.
//!
//! # Asking
//!
//! Chat streams tell their usage only when asked. [`ask`] asks where the client did not, and then
//! the chunk it brings must be taken out again: [`is_extra_usage_chunk`].

mod ask;
mod chat;
mod cohere;
mod converse;
mod cost;
mod draft;
mod family;
mod fields;
mod forwarded;
mod generate;
mod media;
mod messages;
mod passing;
mod profile;
mod realtime;
mod responses;
mod told;

use bytes::Bytes;
use tollgate_core::{Frames, InTokens, OutTokens, Quality, Usage};

pub use self::{
    ask::{Asked, ask, is_extra_usage_chunk},
    cost::with_cost,
    forwarded::{Forwarded, Sent},
    profile::Profile,
};
use self::{draft::Draft, passing::Passing, told::Told};
use crate::{
    Event,
    json::{self, Array, Object},
};

/// Reads the usage of one answer. Memory is bounded, whatever the host sends.
#[derive(Clone, Debug)]
pub struct Reader {
    profile: Profile,
    told: Told,
    passing: Option<Box<Passing>>,
    /// The first frame of a JSON answer was all of it.
    is_whole: bool,
    /// A JSON answer has a member `error` that says something.
    tells_error: bool,
}

impl Reader {
    /// Returns a reader for the answer of a host with this profile.
    pub fn new(profile: Profile) -> Self {
        Self { profile, told: Told::default(), passing: None, is_whole: false, tells_error: false }
    }

    /// Reads the next event of a stream, or the next element of Gemini's array.
    ///
    /// One that tells nothing costs a search for a word or two, and no memory. Returns whether this
    /// one was worth more. The model that serves is read off the first event that names it.
    pub fn event(&mut self, event: Event<'_>) -> bool {
        let family = self.profile.family();
        let may_tell = family.may_tell(event.data);
        match may_tell {
            true => self.object(event.data),
            false => family.served(event.data, &mut self.told),
        }
        may_tell
    }

    /// Reads a whole JSON answer. Of one that is cut off, what stands before the cut.
    ///
    /// An array is Gemini's stream in one piece: its elements are events.
    pub fn answer(&mut self, text: &[u8]) {
        if text.trim_ascii_start().starts_with(b"[") {
            Array::new(text).map_while(Result::ok).for_each(|element| self.object(element));
        } else {
            self.object(text);
        }
    }

    /// Reads the next frame of a JSON answer as it passes. Only the frames of a member that tells
    /// something are held, and only until it is whole.
    ///
    /// Of an answer that is cut off, what stands before the cut is read. An array tells nothing
    /// here: its elements are events.
    pub fn part(&mut self, part: &Bytes) {
        if self.is_whole || (self.passing.is_none() && self.whole(part)) {
            return;
        }
        let new = || Box::new(Passing::new(self.profile.wants()));
        let passing = self.passing.get_or_insert_with(new);
        self.tells_error |= passing.part(part, self.profile.family(), &mut self.told);
    }

    /// Whether the first frame was a whole JSON object, balanced, that tells no error.
    pub fn is_sound(&self) -> bool {
        self.is_whole && !self.tells_error
    }

    /// Whether a JSON answer, read in parts, has a member `error` that says something.
    pub fn tells_error(&self) -> bool {
        self.tells_error
    }

    /// Reads a whole JSON answer that came in frames, which are not joined.
    ///
    /// An array is Gemini's stream in one piece, and is.
    pub fn answer_frames(&mut self, frames: &Frames) {
        let first = frames.as_slice().iter().flatten().find(|byte| !byte.is_ascii_whitespace());
        if first == Some(&b'[') {
            return self.answer(&frames.joined());
        }
        frames.as_slice().iter().for_each(|frame| self.part(frame));
    }

    /// Returns what was told so far. Boxed: it is large, and goes through many hands.
    ///
    /// `complete` says that nothing more will be told: the answer ended as it should. A stream that
    /// only ever told its beginning (Anthropic's `message_start`) is [`Quality::Partial`] even so, and
    /// so is a report that leaves the prompt out.
    pub fn so_far(&self, complete: bool) -> Box<Usage> {
        let draft = self.profile.family().draft(&self.profile, &self.told);
        self.usage(draft.unwrap_or_default(), complete)
    }

    /// Whether what was told is the last word of the host: [`Forwarded::complete`] fills in what it
    /// leaves out. `complete` says that the answer ended as it should.
    pub fn is_final(&self, complete: bool) -> bool {
        !self.told.provisional && (complete || self.told.ended)
    }

    /// Returns what was told. `complete` says that the answer ended as it should.
    pub fn finish(self, complete: bool) -> Usage {
        *self.so_far(complete)
    }

    /// Reads a frame that is an answer of its own. Of any other nothing is read.
    fn whole(&mut self, frame: &[u8]) -> bool {
        if frame.trim_ascii_end().last() != Some(&b'}') {
            return false;
        }
        let family = self.profile.family();
        let mut object = Object::new(frame);
        let mut members = Vec::with_capacity(8);
        let mut tells_error = false;
        while let Some(member) = object.member() {
            match member {
                Ok(member) if family.wants(&member.0) => members.push(member),
                Ok((key, value)) => tells_error |= is_error(&key, value),
                Err(_) => return false,
            }
        }
        self.is_whole = object.rest().trim_ascii().is_empty();
        if self.is_whole {
            self.tells_error = tells_error;
            members.iter().for_each(|(key, value)| family.member(key, value, &mut self.told));
        }
        self.is_whole
    }

    fn object(&mut self, text: &[u8]) {
        self.profile.family().members(text, &mut self.told);
    }

    fn usage(&self, draft: Draft, complete: bool) -> Box<Usage> {
        let told = &self.told;
        let doubted = draft.doubt.is_doubted() || told.last.oversized || told.beside.oversized;
        let mut usage = draft.usage;
        usage.quality = match () {
            () if says_nothing(&usage) && !doubted => Quality::Absent,
            () if !self.is_final(complete) => Quality::Partial,
            () if doubted => Quality::Inconsistent,
            () if lacks_prompt(&usage) => Quality::Partial,
            () => Quality::Exact,
        };
        let (own, seen) = (&mut usage.served, &told.served);
        own.model = own.model.take().or_else(|| seen.model.clone());
        own.tier = own.tier.take().or_else(|| seen.tier.clone());
        own.completed_at = seen.completed_at;
        usage.raw = told.raw();
        usage
    }
}

/// Whether a top-level member of an answer is an error. Responses' answers say so of each that is
/// none.
fn is_error(key: &[u8], value: &[u8]) -> bool {
    key == b"error" && !json::is_blank(value)
}

/// Whether tokens are told that came of a prompt, and of the prompt nothing is.
fn lacks_prompt(usage: &Usage) -> bool {
    let told = usage.output != OutTokens::default()
        || usage.read != InTokens::default()
        || !usage.write.is_empty()
        || usage.reasoning.is_some();
    told && usage.prompt == InTokens::default()
}

/// Whether there is nothing in it that could be charged.
fn says_nothing(usage: &Usage) -> bool {
    usage.prompt == InTokens::default()
        && usage.read == InTokens::default()
        && usage.write.is_empty()
        && usage.output == OutTokens::default()
        && usage.tool_in.or(usage.reasoning).or(usage.citation).is_none()
        && usage.tools.is_empty()
        && usage.units.is_empty()
        && usage.extra.is_empty()
        && usage.reported.cost.is_none()
}

#[cfg(test)]
mod tests {
    use tollgate_core::Protocol;

    use super::*;

    #[test]
    fn what_follows_a_whole_answer_is_not_read() {
        let part = |reader: &mut Reader, text: &'static str| reader.part(&Bytes::from(text));
        let mut reader = Reader::new(Profile::of(Protocol::OpenAiChat, "openai"));
        part(&mut reader, "{\"usage\":{\"prompt_tokens\":1}}\n");
        part(&mut reader, "{\"usage\":{\"prompt_tokens\":2}}");
        assert_eq!(reader.finish(true).prompt_total(), 1);
    }

    #[test]
    fn a_frame_that_only_ends_like_an_answer_is_a_part() {
        let text = r#"{"a":{"b":{}},"usage":{"prompt_tokens":1}}"#;
        for cut in 0..=text.len() {
            let mut reader = Reader::new(Profile::of(Protocol::OpenAiChat, "openai"));
            reader.part(&Bytes::from(&text[..cut]));
            reader.part(&Bytes::from(&text[cut..]));
            assert_eq!(reader.finish(true).prompt_total(), 1, "{cut}");
        }
    }

    /// There is one per open stream.
    #[test]
    fn a_reader_is_small_while_nothing_is_told() {
        assert!(size_of::<Reader>() <= 768, "{}", size_of::<Reader>());
    }
}
