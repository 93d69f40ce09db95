//! What a stream amounts to, as a client of each protocol must read it.

use serde_json::{Value, json};
use tollgate_core::{Protocol, Quality, Usage};
use tollgate_translate::{
    codec,
    model::{Answer, Finish, Part},
    stream::{Event as Told, Fold, Sink},
};
use tollgate_wire::usage::{Profile, Reader};

use crate::case::Event;

/// The answer a stream amounts to.
#[derive(Debug)]
pub(crate) struct Expected(Answer);

impl Expected {
    /// Folds the events of a whole stream; `None` where they cannot be read.
    pub(crate) fn of(upstream: Protocol, events: &[Event]) -> Option<Self> {
        let mut decoder = codec(upstream).decode_stream("call");
        let (mut fold, mut reader) =
            (Fold::new(upstream), Reader::new(Profile::of(upstream, "upstream")));
        for (name, data) in events {
            reader.event(tollgate_wire::Event { name: name.as_deref(), data });
            decoder.event(name.as_deref(), data, &mut fold).ok()?;
            if decoder.is_over() {
                break;
            }
        }
        decoder.finish(&mut fold).ok()?;
        let usage = reader.so_far(true);
        if usage.quality != Quality::Absent {
            fold.event(Told::Usage(usage)).ok()?;
        }
        fold.event(Told::End).ok()?;
        fold.into_answer().map(Self)
    }

    /// What a client of a protocol reads; `None`: an error, for nothing of it is usable.
    pub(crate) fn told(&self, upstream: Protocol, client: Protocol) -> Option<Value> {
        let first = self.0.candidates.first();
        let mut said = Said::default();
        first.into_iter().flat_map(|candidate| &candidate.parts).for_each(|part| said.add(part));
        let finish = first.map_or(&Finish::ContentFilter, |candidate| &candidate.finish);
        if *finish == Finish::MalformedToolCall && said.is_empty() && client != Protocol::Gemini {
            return None;
        }
        let word = match first {
            Some(candidate) if is_word(client) && client == upstream => &candidate.native_finish,
            _ => word(finish, upstream, client, !said.refusal.is_empty()),
        };
        let usage = self.0.usage.as_deref().map(counts);
        let usage = match client {
            // Its usage cannot be left out.
            Protocol::AnthropicMessages => usage.or_else(|| Some(counts(&Usage::default()))),
            _ => usage,
        };
        if matches!(client, Protocol::AnthropicMessages | Protocol::Gemini) {
            // They have no other place for it.
            said.text.push_str(&std::mem::take(&mut said.refusal));
        }
        Some(json!({
            "text": said.text,
            "refusal": said.refusal,
            "thoughts": said.thoughts,
            "calls": said.calls,
            "finish": word,
            "usage": usage,
        }))
    }
}

/// Whether a protocol has one word for how an answer ended.
fn is_word(protocol: Protocol) -> bool {
    protocol != Protocol::OpenAiResponses
}

/// What a candidate says.
#[derive(Debug, Default)]
struct Said {
    text: String,
    refusal: String,
    thoughts: String,
    calls: Vec<Value>,
}

impl Said {
    fn add(&mut self, part: &Part) {
        match part {
            Part::Text(part) => self.text.push_str(&part.text),
            Part::Refusal(part) => self.refusal.push_str(part),
            Part::Reasoning(part) => self.thoughts.push_str(&part.text.concat()),
            Part::ToolCall(call) => {
                let space = call.namespace.as_ref().map(|space| format!("{space}__"));
                let name = format!("{}{}", space.unwrap_or_default(), call.name);
                self.calls.push(json!({"name": name, "arguments": call.args.as_str()}));
            }
            _ => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.refusal.is_empty() && self.calls.is_empty()
    }
}

/// A client protocol's word for an ending; of Responses its status and why it is incomplete.
fn word(finish: &Finish, upstream: Protocol, client: Protocol, refuses: bool) -> &'static str {
    match client {
        Protocol::OpenAiResponses => responses(finish, refuses),
        // They have no other word for it.
        Protocol::AnthropicMessages if refuses => "refusal",
        Protocol::Gemini if refuses => "SAFETY",
        Protocol::AnthropicMessages => anthropic(finish),
        Protocol::Gemini => gemini(finish),
        _ => chat(finish, upstream),
    }
}

fn chat(finish: &Finish, upstream: Protocol) -> &'static str {
    match finish {
        Finish::Length | Finish::ContextWindow => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Refusal if upstream == Protocol::OpenAiResponses => "stop",
        Finish::ContentFilter | Finish::Recitation | Finish::Refusal => "content_filter",
        _ => "stop",
    }
}

fn responses(finish: &Finish, refuses: bool) -> &'static str {
    match finish {
        Finish::Length | Finish::ContextWindow => "incomplete: max_output_tokens",
        Finish::Refusal if refuses => "completed",
        Finish::ContentFilter | Finish::Recitation | Finish::Refusal => {
            "incomplete: content_filter"
        }
        _ => "completed",
    }
}

fn anthropic(finish: &Finish) -> &'static str {
    match finish {
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ContextWindow => "model_context_window_exceeded",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter | Finish::Recitation | Finish::Refusal => "refusal",
        Finish::PauseTurn => "pause_turn",
        _ => "end_turn",
    }
}

fn gemini(finish: &Finish) -> &'static str {
    match finish {
        Finish::Length | Finish::ContextWindow => "MAX_TOKENS",
        Finish::ContentFilter | Finish::Refusal => "SAFETY",
        Finish::Recitation => "RECITATION",
        Finish::MalformedToolCall => "MALFORMED_FUNCTION_CALL",
        Finish::Other(_) => "OTHER",
        _ => "STOP",
    }
}

/// Inclusive counts: input holds what was cached, output what was thought.
fn counts(usage: &Usage) -> Value {
    json!({
        "input": usage.prompt_total() + usage.tool_in.unwrap_or(0),
        "output": usage.output_total(),
        "cached": usage.read.total(),
        "reasoning": usage.reasoning.unwrap_or(0),
    })
}
