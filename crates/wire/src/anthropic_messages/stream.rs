use std::borrow::Cow;

use super::error;
use crate::{
    Automaton, Event, Fault, OwnEvent, Seen,
    json::{self, Object},
};

/// The automaton of a Messages stream: complete with `message_stop`.
#[derive(Debug, Default)]
pub(super) struct MessagesStream {
    committed: bool,
    ended: bool,
}

impl MessagesStream {
    fn judge(&mut self, kind: &str, data: &[u8]) -> Seen {
        match kind {
            "error" => Seen::Error(Box::new(error::in_stream(data))),
            // Cut short it would pass for the end.
            "message_stop" if !json::is_valid(data) => Seen::Malformed,
            "message_stop" => {
                self.ended = true;
                Seen::Content
            }
            "ping" => Seen::Lifecycle,
            _ if self.committed || is_content(kind, data) => Seen::Content,
            _ => Seen::Lifecycle,
        }
    }
}

/// The event's name, or its data's `type` where the name says nothing.
fn kind<'a>(event: Event<'a>) -> Cow<'a, str> {
    match event.name {
        Some(name) if !name.is_empty() && name != "message" => Cow::Borrowed(name),
        _ => json::member(event.data, "type").and_then(json::string).unwrap_or_default(),
    }
}

fn is_content(kind: &str, data: &[u8]) -> bool {
    match kind {
        "content_block_start" => json::member(data, "content_block").is_some_and(starts_content),
        "content_block_delta" => json::member(data, "delta").is_some_and(says_something),
        "message_delta" => json::member(data, "delta")
            .and_then(|delta| json::member(delta, "stop_reason"))
            .is_some_and(|reason| !json::is_blank(reason)),
        _ => false,
    }
}

/// Text and thinking start empty; a call or a result says something by being there.
fn starts_content(block: &[u8]) -> bool {
    match json::member(block, "type").and_then(json::string).as_deref() {
        Some("text" | "thinking") => says_something(block),
        kind => kind.is_some(),
    }
}

fn says_something(part: &[u8]) -> bool {
    Object::new(part)
        .map_while(Result::ok)
        .any(|(key, value)| key != "type" && !json::is_blank(value))
}

impl Automaton for MessagesStream {
    fn event(&mut self, event: Event<'_>) -> Seen {
        let data = event.data.trim_ascii();
        let whole = || data.starts_with(b"{") && json::is_valid(data);
        if !self.committed && !whole() {
            return Seen::Malformed;
        }
        let kind = kind(Event { data, ..event });
        let seen = self.judge(&kind, data);
        self.committed |= seen == Seen::Content;
        seen
    }

    fn is_complete(&self, _: bool) -> bool {
        self.ended
    }

    fn error_event(&self, fault: &Fault, id: &str) -> OwnEvent {
        OwnEvent { name: Some("error"), data: error::envelope(fault, id) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_core::Class;

    use super::*;

    fn feed(stream: &mut MessagesStream, data: &str) -> Seen {
        stream.event(Event { name: None, data: data.as_bytes() })
    }

    const DELTA: &str =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#;

    #[test]
    fn what_only_opens_or_says_nothing_is_no_content() {
        for data in [
            r#"{"type":"message_start","message":{"content":[],"stop_reason":null}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":""}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{}}"#,
            r#"{"type":"something_new","x":1}"#,
        ] {
            assert_eq!(feed(&mut MessagesStream::default(), data), Seen::Lifecycle, "{data}");
        }
    }

    #[test]
    fn fault_15_a_stop_cut_short_is_none() {
        let mut stream = MessagesStream::default();
        feed(&mut stream, DELTA);
        let stop = |data: &'static [u8]| Event { name: Some("message_stop"), data };
        assert_eq!(stream.event(stop(br#"{"type":"message_st"#)), Seen::Malformed);
        assert!(!stream.is_complete(true));
        stream.event(stop(br#"{"type":"message_stop"}"#));
        assert!(stream.is_complete(false));
    }

    #[test]
    fn deltas_calls_results_and_a_stop_are_content() {
        for data in [
            DELTA,
            r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"x"}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"x"}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"citations_delta","citation":{"a":1}}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"text","text":"x"}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"tool_use","name":"f","input":{}}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"x"}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"web_search_tool_result"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
        ] {
            assert_eq!(feed(&mut MessagesStream::default(), data), Seen::Content, "{data}");
        }
    }

    #[test]
    fn only_message_stop_completes() {
        let mut stream = MessagesStream::default();
        feed(&mut stream, DELTA);
        feed(&mut stream, r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#);
        assert!(!stream.is_complete(true));
        assert_eq!(feed(&mut stream, r#"{"type":"message_stop"}"#), Seen::Content);
        assert!(stream.is_complete(true) && stream.is_complete(false));
    }

    #[test]
    fn a_text_that_names_an_event_is_a_text() {
        let mut stream = MessagesStream::default();
        let text = r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"\"type\":\"message_stop\""}}"#;
        feed(&mut stream, DELTA);
        assert_eq!(feed(&mut stream, text), Seen::Content);
        assert!(!stream.is_complete(true));
    }

    #[test]
    fn an_error_is_classified_by_its_type() {
        let data =
            br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        for name in [Some("error"), None] {
            let Seen::Error(fault) = MessagesStream::default().event(Event { name, data }) else {
                panic!("no error")
            };
            assert_eq!((fault.class, fault.status), (Class::Overloaded, Some(529)));
        }
    }

    #[test]
    fn garbage_is_seen_only_before_content() {
        let mut stream = MessagesStream::default();
        assert_eq!(feed(&mut stream, "<html>"), Seen::Malformed);
        assert_eq!(feed(&mut stream, "[DONE]"), Seen::Malformed);
        feed(&mut stream, DELTA);
        assert_eq!(feed(&mut stream, "{\"type\":\"content_block_delta\""), Seen::Content);
    }

    #[test]
    fn a_broken_stream_ends_in_an_error_event() {
        let event =
            MessagesStream::default().error_event(&Fault::new(Class::Timeout, "idle"), "req_1");
        let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(event.name, Some("error"));
        assert_eq!(data["error"]["type"], "timeout_error");
        assert_eq!(data["request_id"], "req_1");
    }

    proptest! {
        #[test]
        fn never_panics(events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6)) {
            let mut committed = MessagesStream::default();
            feed(&mut committed, DELTA);
            for data in &events {
                committed.event(Event { name: None, data });
                committed.event(Event { name: Some("error"), data });
                MessagesStream::default().event(Event { name: None, data });
            }
            prop_assert!(!committed.is_complete(true));
        }
    }
}
