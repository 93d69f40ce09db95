use crate::{
    Automaton, Event, Fault, OwnEvent, Seen,
    answers::Answers,
    json::{self, Array, Object},
    openai,
    words::Word,
};

static FINISH: Word = Word::new("\"finish_reason\"");
static ERROR: Word = Word::new("\"error\"");

/// The automaton of a Chat stream: complete when every choice seen has finished.
///
/// A server that was asked for more than one choice may answer with fewer; with one asked for,
/// only the chunks that can end the stream are read after the first content.
#[derive(Debug)]
pub(super) struct ChatStream {
    several: bool,
    committed: bool,
    failed: bool,
    choices: Answers,
}

impl ChatStream {
    pub(super) fn new(candidates: u32) -> Self {
        Self {
            several: candidates > 1,
            committed: false,
            failed: false,
            choices: Answers::default(),
        }
    }

    /// Reads a chunk member by member.
    fn chunk(&mut self, data: &[u8]) -> Seen {
        let mut content = false;
        for (key, value) in Object::new(data).map_while(Result::ok) {
            match key.as_ref() {
                "error" if !json::is_blank(value) => return self.fail(value),
                "choices" => {
                    for choice in Array::new(value).map_while(Result::ok) {
                        content |= self.choice(choice);
                    }
                }
                _ => {}
            }
        }
        self.committed |= content;
        if content { Seen::Content } else { Seen::Lifecycle }
    }

    fn fail(&mut self, error: &[u8]) -> Seen {
        self.failed = true;
        Seen::Error(Box::new(openai::in_stream(error)))
    }

    /// Reads a choice; whether it holds content.
    fn choice(&mut self, choice: &[u8]) -> bool {
        let (mut index, mut content, mut finished) = (0, false, false);
        for (key, value) in Object::new(choice).map_while(Result::ok) {
            match key.as_ref() {
                "index" => index = json::integer(value).unwrap_or(0),
                "delta" | "message" => content |= says_something(value),
                "finish_reason" => finished = !json::is_blank(value),
                _ => {}
            }
        }
        self.choices.note(index, finished);
        content || finished
    }
}

/// Members of a delta that label what others say.
const LABELS: [&str; 2] = ["role", "channel"];

/// Whether a delta holds more than labels.
fn says_something(delta: &[u8]) -> bool {
    Object::new(delta).map_while(Result::ok).any(|(key, value)| {
        !LABELS.contains(&key.as_ref())
            && matches!(value.first(), Some(b'"' | b'{' | b'['))
            && !json::is_blank(value)
    })
}

impl Automaton for ChatStream {
    fn event(&mut self, event: Event<'_>) -> Seen {
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            let whole = self.choices.all_finished();
            return if whole { Seen::Lifecycle } else { Seen::Unfinished };
        }
        let ends = || FINISH.says_something(data) || ERROR.says_something(data);
        if self.committed && !self.several && !ends() {
            return Seen::Content;
        }
        // Cut short, a finish would pass for the end.
        if !data.starts_with(b"{") || !json::is_valid(data) {
            return Seen::Malformed;
        }
        match self.chunk(data) {
            Seen::Lifecycle if self.committed => Seen::Content,
            seen => seen,
        }
    }

    fn is_complete(&self, clean: bool) -> bool {
        clean && !self.failed && self.choices.all_finished()
    }

    fn error_event(&self, fault: &Fault, _: &str) -> OwnEvent {
        OwnEvent { name: None, data: openai::envelope(fault, "messages") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_core::Class;

    use super::*;

    fn feed(stream: &mut ChatStream, data: &str) -> Seen {
        stream.event(Event { name: None, data: data.as_bytes() })
    }

    fn delta(index: u64, delta: &str) -> String {
        format!(r#"{{"choices":[{{"index":{index},"delta":{delta},"finish_reason":null}}]}}"#)
    }

    fn finish(index: u64) -> String {
        format!(r#"{{"choices":[{{"index":{index},"delta":{{}},"finish_reason":"stop"}}]}}"#)
    }

    #[test]
    fn fault_15_a_finish_cut_short_is_none() {
        let mut stream = ChatStream::new(1);
        feed(&mut stream, &delta(0, r#"{"content":"x"}"#));
        let finish = finish(0);
        for end in [finish.len() - 1, finish.len() - 3] {
            assert_eq!(feed(&mut stream, &finish[..end]), Seen::Malformed);
            assert!(!stream.is_complete(true));
        }
        feed(&mut stream, &finish);
        assert!(stream.is_complete(true));
    }

    #[test]
    fn a_role_and_empty_deltas_are_no_content() {
        let mut stream = ChatStream::new(1);
        for chunk in [
            &delta(0, r#"{"role":"assistant","content":"","refusal":null,"tool_calls":[]}"#),
            &delta(0, "{}"),
            r#"{"choices":[],"prompt_filter_results":[{}]}"#,
            r#"{"choices":[],"usage":{"total_tokens":1}}"#,
            r#"{"error":null,"choices":[{"delta":{"role":"assistant"},"finish_reason":""}]}"#,
        ] {
            assert_eq!(feed(&mut stream, chunk), Seen::Lifecycle, "{chunk}");
        }
        assert!(!stream.is_complete(true));
    }

    #[test]
    fn anything_the_model_says_is_content() {
        for member in [
            r#""content":"x""#,
            r#""refusal":"x""#,
            r#""reasoning_content":" ""#,
            r#""reasoning":"x""#,
            r#""reasoning_details":[{"type":"x"}]"#,
            r#""tool_calls":[{"index":0}]"#,
            r#""function_call":{"name":"f"}"#,
            r#""audio":{"id":"a"}"#,
        ] {
            let chunk = delta(0, &format!(r#"{{"role":"assistant",{member}}}"#));
            assert_eq!(feed(&mut ChatStream::new(1), &chunk), Seen::Content, "{chunk}");
        }
    }

    #[test]
    fn is_complete_when_finished_and_the_body_ended_well() {
        let mut stream = ChatStream::new(1);
        feed(&mut stream, &delta(0, r#"{"content":"the word \"finish_reason\":\"stop\""}"#));
        feed(&mut stream, &delta(0, r#"{"content":"finish_reason"}"#));
        assert!(!stream.is_complete(true));
        assert_eq!(feed(&mut stream, &finish(0)), Seen::Content);
        assert!(stream.is_complete(true) && !stream.is_complete(false));
        feed(&mut stream, r#"{"choices":[],"usage":{}}"#);
        assert_eq!(feed(&mut stream, "[DONE]"), Seen::Lifecycle);
        assert!(stream.is_complete(true));
    }

    #[test]
    fn done_alone_finishes_nothing() {
        let mut stream = ChatStream::new(1);
        assert_eq!(feed(&mut stream, "[DONE]"), Seen::Unfinished);
        assert!(!stream.is_complete(true));
        feed(&mut stream, &delta(0, r#"{"content":"x"}"#));
        feed(&mut stream, "[DONE]");
        assert!(!stream.is_complete(true));
    }

    #[test]
    fn every_choice_seen_must_finish() {
        let mut stream = ChatStream::new(2);
        feed(&mut stream, &delta(0, r#"{"content":"a"}"#));
        feed(&mut stream, &delta(1, r#"{"content":"b"}"#));
        feed(&mut stream, &finish(0));
        assert!(!stream.is_complete(true));
        feed(&mut stream, &finish(1));
        assert!(stream.is_complete(true));
    }

    #[test]
    fn an_error_is_classified_before_and_after_content() {
        let error =
            r#"{"error":{"code":429,"message":"slow down"},"choices":[{"finish_reason":"error"}]}"#;
        for first in [None, Some(delta(0, r#"{"content":"x"}"#))] {
            let mut stream = ChatStream::new(1);
            first.iter().for_each(|chunk| drop(feed(&mut stream, chunk)));
            let Seen::Error(fault) = feed(&mut stream, error) else { panic!("no error") };
            assert_eq!((fault.class, fault.status), (Class::RateLimit, Some(429)));
            assert!(!stream.is_complete(true));
        }
    }

    #[test]
    fn garbage_is_seen_only_before_content() {
        let mut stream = ChatStream::new(1);
        for garbage in ["", "<html>", "{", "[1]", "{\"choices\":[}"] {
            assert_eq!(feed(&mut stream, garbage), Seen::Malformed, "{garbage}");
        }
        feed(&mut stream, &delta(0, r#"{"content":"x"}"#));
        assert_eq!(feed(&mut stream, "{\"choices\":[{\"delta\":"), Seen::Content);
    }

    #[test]
    fn a_broken_stream_ends_in_the_error_envelope() {
        let event = ChatStream::new(1).error_event(&Fault::new(Class::Timeout, "idle"), "req");
        let body: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!((event.name, &body["error"]["code"]), (None, &"timeout".into()));
        assert_eq!(body["error"].as_object().unwrap().len(), 4);
    }

    proptest! {
        #[test]
        fn never_panics(events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6)) {
            let mut stream = ChatStream::new(1);
            feed(&mut stream, &delta(0, r#"{"content":"x"}"#));
            for data in &events {
                stream.event(Event { name: None, data });
                ChatStream::new(2).event(Event { name: None, data });
            }
            prop_assert!(!stream.is_complete(false));
        }
    }
}
