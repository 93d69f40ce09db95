use super::error;
use crate::{
    Automaton, Event, Fault, OwnEvent, Seen,
    answers::Answers,
    json::{self, Array, Object},
    words::Word,
};

static WORDS: [Word; 5] = [
    Word::new("\"finishReason\""),
    Word::new("\"finish_reason\""),
    Word::new("\"error\""),
    Word::new("\"promptFeedback\""),
    Word::new("\"prompt_feedback\""),
];

/// The automaton of a Gemini stream, which has no terminal event: complete when every candidate
/// seen has finished, or the prompt was blocked.
#[derive(Debug)]
pub(super) struct GenerateStream {
    several: bool,
    committed: bool,
    failed: bool,
    blocked: bool,
    candidates: Answers,
}

impl GenerateStream {
    pub(super) fn new(candidates: u32) -> Self {
        Self {
            several: candidates > 1,
            committed: false,
            failed: false,
            blocked: false,
            candidates: Answers::default(),
        }
    }

    /// Reads a partial response member by member.
    fn response(&mut self, data: &[u8]) -> Seen {
        let mut content = false;
        for (key, value) in Object::new(data).map_while(Result::ok) {
            match key.as_ref() {
                "error" if !json::is_blank(value) => {
                    self.failed = true;
                    return Seen::Error(Box::new(error::in_stream(data)));
                }
                "candidates" => {
                    for candidate in Array::new(value).map_while(Result::ok) {
                        content |= self.candidate(candidate);
                    }
                }
                "promptFeedback" | "prompt_feedback" => content |= self.feedback(value),
                _ => {}
            }
        }
        self.committed |= content;
        if content { Seen::Content } else { Seen::Lifecycle }
    }

    fn feedback(&mut self, feedback: &[u8]) -> bool {
        let blocked = ["blockReason", "block_reason"]
            .iter()
            .filter_map(|key| json::member(feedback, key))
            .any(names_a_reason);
        self.blocked |= blocked;
        blocked
    }

    /// Reads a candidate; whether it holds content.
    fn candidate(&mut self, candidate: &[u8]) -> bool {
        let (mut index, mut content, mut finished) = (0, false, false);
        for (key, value) in Object::new(candidate).map_while(Result::ok) {
            match key.as_ref() {
                "index" => index = json::integer(value).unwrap_or(0),
                "content" => content = json::member(value, "parts").is_some_and(says_something),
                "finishReason" | "finish_reason" => finished |= names_a_reason(value),
                _ => {}
            }
        }
        self.candidates.note(index, finished);
        content || finished
    }
}

/// Whether an enum, written as a word or a number, has a value.
fn names_a_reason(value: &[u8]) -> bool {
    !json::is_blank(value)
        && value != b"0"
        && !json::string(value).is_some_and(|name| name.ends_with("_UNSPECIFIED"))
}

fn says_something(parts: &[u8]) -> bool {
    Array::new(parts).map_while(Result::ok).any(|part| {
        Object::new(part).map_while(Result::ok).any(|(_, value)| {
            matches!(value.first(), Some(b'"' | b'{' | b'[')) && !json::is_blank(value)
        })
    })
}

/// The object itself, or the only element of an array around it.
fn unwrapped(data: &[u8]) -> &[u8] {
    match data.first() {
        Some(b'[') => Array::new(data).next().and_then(Result::ok).unwrap_or(data),
        _ => data,
    }
}

impl Automaton for GenerateStream {
    fn event(&mut self, event: Event<'_>) -> Seen {
        let data = event.data.trim_ascii();
        let ends = || WORDS.iter().any(|word| word.says_something(data));
        if self.committed && !self.several && !ends() {
            return Seen::Content;
        }
        // Cut short, a finish would pass for the end.
        if !json::is_valid(data) {
            return Seen::Malformed;
        }
        let data = unwrapped(data);
        if !data.starts_with(b"{") {
            return Seen::Malformed;
        }
        match self.response(data) {
            Seen::Lifecycle if self.committed => Seen::Content,
            seen => seen,
        }
    }

    fn is_complete(&self, clean: bool) -> bool {
        clean && !self.failed && (self.candidates.all_finished() || self.blocked)
    }

    fn error_event(&self, fault: &Fault, _: &str) -> OwnEvent {
        OwnEvent { name: None, data: error::envelope(fault) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_core::Class;

    use super::*;

    fn feed(stream: &mut GenerateStream, data: &str) -> Seen {
        stream.event(Event { name: None, data: data.as_bytes() })
    }

    const TEXT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"x"}],"role":"model"}}]}"#;

    fn part(part: &str) -> String {
        format!(r#"{{"candidates":[{{"content":{{"parts":[{part}]}},"index":0}}]}}"#)
    }

    #[test]
    fn fault_15_a_finish_cut_short_is_none() {
        let mut stream = GenerateStream::new(1);
        feed(&mut stream, TEXT);
        let finish = r#"{"candidates":[{"finishReason":"STOP"}]}"#;
        for end in [finish.len() - 1, finish.len() - 3] {
            assert_eq!(feed(&mut stream, &finish[..end]), Seen::Malformed);
            assert!(!stream.is_complete(true));
        }
        feed(&mut stream, finish);
        assert!(stream.is_complete(true));
    }

    #[test]
    fn what_says_nothing_is_no_content() {
        for data in [
            &part(r#"{"text":""}"#),
            &part(r#"{"text":"","thought":true}"#),
            r#"{"candidates":[{"content":{"role":"model"}}]}"#,
            r#"{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}"#,
            r#"{"candidates":[{"finishReason":0}]}"#,
            r#"{"usageMetadata":{"promptTokenCount":1}}"#,
            r#"{"promptFeedback":{"safetyRatings":[{}]}}"#,
            "{}",
        ] {
            let mut stream = GenerateStream::new(1);
            assert_eq!(feed(&mut stream, data), Seen::Lifecycle, "{data}");
            assert!(!stream.is_complete(true));
        }
    }

    #[test]
    fn parts_finishes_and_blocks_are_content() {
        for data in [
            TEXT,
            &part(r#"{"text":"x","thought":true}"#),
            &part(r#"{"text":"","thoughtSignature":"s"}"#),
            &part(r#"{"functionCall":{"name":"f"}}"#),
            &part(r#"{"inlineData":{"data":"x"}}"#),
            r#"{"candidates":[{"finishReason":"MAX_TOKENS"}]}"#,
            r#"{"candidates":[{"finish_reason":1}]}"#,
            r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
        ] {
            assert_eq!(feed(&mut GenerateStream::new(1), data), Seen::Content, "{data}");
        }
    }

    #[test]
    fn is_complete_when_finished_and_the_body_ended_well() {
        let mut stream = GenerateStream::new(1);
        feed(&mut stream, TEXT);
        feed(&mut stream, &part(r#"{"text":"\"finishReason\":\"STOP\" and finishReason"}"#));
        assert!(!stream.is_complete(true));
        feed(&mut stream, r#"{"candidates":[{"finishReason":"STOP"}]}"#);
        assert!(stream.is_complete(true) && !stream.is_complete(false));
        feed(&mut stream, r#"{"usageMetadata":{}}"#);
        assert!(stream.is_complete(true));
    }

    #[test]
    fn a_blocked_prompt_is_an_answer() {
        let mut stream = GenerateStream::new(1);
        feed(&mut stream, r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#);
        assert!(stream.is_complete(true));
    }

    #[test]
    fn every_candidate_seen_must_finish() {
        let mut stream = GenerateStream::new(2);
        feed(&mut stream, TEXT);
        feed(&mut stream, r#"{"candidates":[{"index":1,"content":{"parts":[{"text":"y"}]}}]}"#);
        feed(&mut stream, r#"{"candidates":[{"finishReason":"STOP"}]}"#);
        assert!(!stream.is_complete(true));
        feed(&mut stream, r#"{"candidates":[{"index":1,"finishReason":"STOP"}]}"#);
        assert!(stream.is_complete(true));
    }

    #[test]
    fn an_error_is_classified_also_in_an_array() {
        let error = r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#;
        for data in [error.to_owned(), format!("[{error}]")] {
            for committed in [false, true] {
                let mut stream = GenerateStream::new(1);
                if committed {
                    feed(&mut stream, TEXT);
                }
                let Seen::Error(fault) = feed(&mut stream, &data) else { panic!("{data}") };
                assert_eq!((fault.class, fault.status), (Class::Overloaded, Some(503)));
                assert!(!stream.is_complete(true));
            }
        }
    }

    #[test]
    fn garbage_is_seen_only_before_content() {
        let mut stream = GenerateStream::new(1);
        for garbage in ["", "x", "{", "[]", "1", "[DONE]"] {
            assert_eq!(feed(&mut stream, garbage), Seen::Malformed, "{garbage}");
        }
        feed(&mut stream, TEXT);
        assert_eq!(feed(&mut stream, r#"{"candidates":[{"content":"#), Seen::Content);
    }

    #[test]
    fn a_broken_stream_ends_in_an_error_object() {
        let event = GenerateStream::new(1).error_event(&Fault::new(Class::Timeout, "idle"), "r");
        assert_eq!(event.name, None);
        assert!(event.data.starts_with(b"{\"error\":"));
        let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(data["error"]["status"], "DEADLINE_EXCEEDED");
    }

    proptest! {
        #[test]
        fn never_panics(events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6)) {
            let mut committed = GenerateStream::new(1);
            feed(&mut committed, TEXT);
            for data in &events {
                committed.event(Event { name: None, data });
                GenerateStream::new(2).event(Event { name: None, data });
            }
            prop_assert!(!committed.is_complete(false));
        }
    }
}
