use tollgate_core::{InTokens, OutTokens, Protocol, Quality, Usage};

use crate::{
    Event,
    json::{self, Array, Object, leading},
    words::Word,
};

static DELTA: Word = Word::new("\"delta\"");
static MESSAGE: Word = Word::new("\"message\"");
static PARTS: Word = Word::new("\"parts\"");

/// How an estimate is made, for the record.
const METHOD: &str = "forwarded text: bytes / 3.5, CJK by character";
const UNSEEN: &str =
    "forwarded text: bytes / 3.5, CJK by character; reasoning: as much as is usual unseen";

/// What is known of the request whose answer broke off or told nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Bytes of the prompt: of the body, without media. Default: 0.
    pub input_bytes: u64,
    /// The output limit that was sent; nothing above it is charged. Default: none.
    pub output_limit: Option<u64>,
    /// How many alternative answers were asked for; 0 is taken for 1.
    pub candidates: u32,
    /// What this model usually thinks unseen, in tokens; counts where no reasoning went by.
    /// Default: 0.
    pub hidden_reasoning: u64,
}

impl Sent {
    /// The prompt by its size, in tokens.
    fn input(&self) -> u64 {
        Amount { narrow: self.input_bytes, wide: 0 }.tokens()
    }
}

/// Counts what is forwarded, for answers that end before they tell their usage.
///
/// Text, calls of tools and visible reasoning are counted, not what stands around them. Nothing is
/// kept but the counts.
///
/// ```
/// use tollgate_wire::{
///     Event,
///     tollgate_core::{Protocol, Quality, Usage},
///     usage::{Forwarded, Sent},
/// };
///
/// let mut forwarded = Forwarded::new(Protocol::OpenAiChat);
/// let data = br#"{"choices":[{"index":0,"delta":{"content":"fourteen bytes"}}]}"#;
/// forwarded.event(Event { name: None, data });
/// let usage = forwarded.estimate(Usage::default(), &Sent { input_bytes: 35, ..Sent::default() });
/// assert_eq!((usage.prompt_total(), usage.output_total()), (10, 4));
/// assert_eq!(usage.quality, Quality::Estimated);
/// ```
#[derive(Clone, Debug)]
pub struct Forwarded {
    protocol: Protocol,
    text: Amount,
    reasoning: Amount,
}

/// An amount of writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    /// Bytes of scripts that take several to a token.
    narrow: u64,
    /// Characters that take about a token each.
    wide: u64,
}

impl Amount {
    /// 3.5 bytes to a token, rounded up.
    fn tokens(self) -> u64 {
        self.narrow.saturating_mul(2).div_ceil(7).saturating_add(self.wide)
    }

    /// Adds a JSON string literal, as if its escapes were undone.
    fn string(&mut self, literal: &[u8]) {
        let Some(inner) = literal.strip_prefix(b"\"") else { return };
        let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
        let mut rest = inner;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            self.plain(&rest[..at]);
            rest = self.escape(&rest[at + 1..]);
        }
        self.plain(rest);
    }

    /// Adds what follows a backslash; returns what follows that.
    fn escape<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let code = rest.strip_prefix(b"u").and_then(|hex| hex.get(..4));
        let code = code.and_then(|hex| u32::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        match code {
            // The second half of a character that was counted.
            Some(0xDC00..=0xDFFF) => {}
            Some(0x3000..) => self.wide += 1,
            Some(0x800..) => self.narrow += 3,
            Some(0x80..) => self.narrow += 2,
            _ => self.narrow += 1,
        }
        rest.get(if code.is_some() { 5 } else { 1 }..).unwrap_or_default()
    }

    /// Adds UTF-8. From U+3000 on a character is taken for a token: CJK, Hangul, emoji.
    fn plain(&mut self, text: &[u8]) {
        let three = text.iter().filter(|byte| (0xE3..0xF0).contains(*byte)).count() as u64;
        let four = text.iter().filter(|byte| **byte >= 0xF0).count() as u64;
        self.wide += three + four;
        self.narrow += (text.len() as u64).saturating_sub(3 * three + 4 * four);
    }
}

impl Forwarded {
    /// Returns a counter for an answer in `protocol`.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, text: Amount::default(), reasoning: Amount::default() }
    }

    /// Counts an event of a stream.
    pub fn event(&mut self, event: Event<'_>) {
        let data = event.data;
        match self.protocol {
            Protocol::Gemini => self.parts(data),
            Protocol::AnthropicMessages => DELTA.values(data).for_each(|delta| self.block(delta)),
            Protocol::OpenAiResponses => self.responses_event(data),
            _ => DELTA.values(data).for_each(|delta| self.chat(delta)),
        }
    }

    /// Counts a JSON answer. One that is cut off counts with every byte.
    pub fn answer(&mut self, text: &[u8]) {
        if !json::is_valid(text) {
            return self.text.plain(text);
        }
        match self.protocol {
            Protocol::Gemini => self.parts(text),
            Protocol::AnthropicMessages => {
                let blocks = json::member(text, "content").unwrap_or_default();
                Array::new(blocks).map_while(Result::ok).for_each(|block| self.block(block));
            }
            Protocol::OpenAiResponses => {
                let items = json::member(text, "output").unwrap_or_default();
                Array::new(items).map_while(Result::ok).for_each(|item| self.item(item));
            }
            _ => MESSAGE.values(text).for_each(|message| self.chat(message)),
        }
    }

    /// Counts this much of an answer that is too large to be kept, with every byte.
    pub fn length(&mut self, bytes: usize) {
        self.text.narrow = self.text.narrow.saturating_add(bytes as u64);
    }

    /// Estimates the usage of an answer of which `told` is known ([`Reader::finish`] with
    /// `complete: false`).
    ///
    /// What was told stays: an input that is known is exact, an output that was reported is the
    /// least there was. A whole report is returned as it is.
    ///
    /// [`Reader::finish`]: super::Reader::finish
    pub fn estimate(&self, told: Usage, sent: &Sent) -> Usage {
        if !matches!(told.quality, Quality::Absent | Quality::Partial | Quality::Estimated) {
            return told;
        }
        let mut usage = told;
        if !tells_input(&usage) {
            usage.prompt.text = Some(sent.input());
        }
        let (visible, reasoning) = self.output(sent);
        usage.method = Some(METHOD.to_owned());
        if visible.saturating_add(reasoning) > usage.output_total() {
            if reasoning > 0 && self.reasoning == Amount::default() {
                usage.method = Some(UNSEEN.to_owned());
            }
            usage.output = OutTokens { text: Some(visible), ..OutTokens::default() };
            usage.reasoning = Some(reasoning).filter(|reasoning| *reasoning > 0);
            usage.citation = None;
        }
        usage.quality = Quality::Estimated;
        usage
    }

    /// Fills in what the host's last word ([`Reader::is_final`]) leaves out, or tells in numbers that
    /// are none: the prompt, the output.
    ///
    /// What was told stays, and so does [`Quality::Inconsistent`]. A whole report is returned as it
    /// is, and one without output of an answer that said nothing.
    ///
    /// [`Reader::is_final`]: super::Reader::is_final
    pub fn complete(&self, told: Usage, sent: &Sent) -> Usage {
        let mut usage = told;
        let lacks_prompt = usage.prompt == InTokens::default();
        if lacks_prompt {
            usage.prompt.text = Some(sent.input().saturating_sub(usage.prompt_total()));
        }
        let method = match usage.output == OutTokens::default() {
            true => self.fill_output(&mut usage, sent),
            false => None,
        };
        let method = method.or(Some(METHOD).filter(|_| lacks_prompt));
        if method.is_some() && usage.quality != Quality::Inconsistent {
            usage.quality = Quality::Estimated;
        }
        usage.method = method.map(str::to_owned).or(usage.method);
        usage
    }

    /// Adds an estimate of the output; returns how it was made, if there was any output.
    fn fill_output(&self, usage: &mut Usage, sent: &Sent) -> Option<&'static str> {
        let (visible, estimated) = self.output(sent);
        let input = usage.prompt_total().saturating_add(usage.tool_in.unwrap_or(0));
        let total = usage.reported.total_tokens;
        // The total leaves no place for what nobody saw.
        let is_all = visible == 0 && total.is_some_and(|total| total <= input);
        let reasoning = usage.reasoning.unwrap_or(if is_all { 0 } else { estimated });
        if visible.saturating_add(reasoning) == 0 {
            return None;
        }
        let unseen = usage.reasoning.is_none() && self.reasoning == Amount::default();
        usage.output.text = Some(visible);
        usage.reasoning = Some(reasoning).filter(|reasoning| *reasoning > 0);
        Some(if unseen && reasoning > 0 { UNSEEN } else { METHOD })
    }

    /// Visible tokens and reasoning, within what was allowed.
    fn output(&self, sent: &Sent) -> (u64, u64) {
        let limit = sent.output_limit.unwrap_or(u64::MAX);
        let limit = limit.saturating_mul(sent.candidates.max(1).into());
        let visible = self.text.tokens().min(limit);
        let seen = self.reasoning.tokens();
        let reasoning = if seen == 0 { sent.hidden_reasoning } else { seen };
        (visible, reasoning.min(limit - visible))
    }

    fn responses_event(&mut self, data: &[u8]) {
        let Some(delta) = DELTA.values(data).next().and_then(leading) else { return };
        let kind = json::member(data, "type").unwrap_or_default();
        let is = |word: &str| memchr::memmem::find(kind, word.as_bytes()).is_some();
        match () {
            // Sound, not writing; its transcript comes in events of its own.
            () if is("audio.delta") => {}
            () if is("reasoning") => self.reasoning.string(delta),
            () => self.text.string(delta),
        }
    }

    /// Counts a delta or message of Chat.
    fn chat(&mut self, delta: &[u8]) {
        let mut reasoned = false;
        for (key, value) in Object::new(delta).map_while(Result::ok) {
            match key.as_ref() {
                "content" if value.starts_with(b"[") => self.blocks(value),
                "content" | "refusal" => self.text.string(value),
                // Some hosts send the same under both names.
                "reasoning_content" | "reasoning" if !reasoned && value.starts_with(b"\"") => {
                    reasoned = true;
                    self.reasoning.string(value);
                }
                "function_call" => self.function(value),
                "tool_calls" => Array::new(value).map_while(Result::ok).for_each(|call| {
                    self.function(json::member(call, "function").unwrap_or_default());
                }),
                "audio" => {
                    self.text.string(json::member(value, "transcript").unwrap_or_default());
                }
                _ => {}
            }
        }
    }

    fn function(&mut self, call: &[u8]) {
        for (key, value) in Object::new(call).map_while(Result::ok) {
            if matches!(key.as_ref(), "name" | "arguments") {
                self.text.string(value);
            }
        }
    }

    fn blocks(&mut self, blocks: &[u8]) {
        Array::new(blocks).map_while(Result::ok).for_each(|block| self.block(block));
    }

    /// Counts a block of content, or a delta of one.
    fn block(&mut self, block: &[u8]) {
        for (key, value) in Object::new(block).map_while(Result::ok) {
            match key.as_ref() {
                "text" | "partial_json" | "refusal" => self.text.string(value),
                "thinking" if value.starts_with(b"[") => self.thoughts(value),
                "thinking" => self.reasoning.string(value),
                // A tool's input in a whole answer.
                "input" => self.text.plain(value),
                _ => {}
            }
        }
    }

    /// Counts a list of texts that are reasoning.
    fn thoughts(&mut self, list: &[u8]) {
        for part in Array::new(list).map_while(Result::ok) {
            self.reasoning.string(json::member(part, "text").unwrap_or_default());
        }
    }

    /// Counts an item of a whole response.
    fn item(&mut self, item: &[u8]) {
        let reasons = json::member(item, "type") == Some(b"\"reasoning\"");
        for (key, value) in Object::new(item).map_while(Result::ok) {
            match key.as_ref() {
                "content" | "summary" if reasons => self.thoughts(value),
                "content" => self.blocks(value),
                "arguments" | "input" | "code" => self.text.string(value),
                _ => {}
            }
        }
    }

    fn parts(&mut self, data: &[u8]) {
        for parts in PARTS.values(data) {
            Array::new(parts).map_while(Result::ok).for_each(|part| self.part(part));
        }
    }

    fn part(&mut self, part: &[u8]) {
        let thought = json::member(part, "thought") == Some(b"true");
        for (key, value) in Object::new(part).map_while(Result::ok) {
            match key.as_ref() {
                "text" if thought => self.reasoning.string(value),
                "text" => self.text.string(value),
                "functionCall" | "function_call" | "executableCode" => self.text.plain(value),
                _ => {}
            }
        }
    }
}

/// Whether the input is known: a stream's first event tells it at some hosts.
fn tells_input(usage: &Usage) -> bool {
    usage.prompt != InTokens::default()
        || usage.read != InTokens::default()
        || !usage.write.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(protocol: Protocol, data: &str) -> (u64, u64) {
        let mut forwarded = Forwarded::new(protocol);
        forwarded.event(Event { name: None, data: data.as_bytes() });
        let amount = |a: Amount| a.narrow + a.wide;
        (amount(forwarded.text), amount(forwarded.reasoning))
    }

    /// Events, and how much text and reasoning is in them.
    const EVENTS: [(Protocol, &str, (u64, u64)); 12] = [
        (
            Protocol::OpenAiChat,
            r#"{"choices":[{"delta":{"role":"assistant","content":"12345"}}]}"#,
            (5, 0),
        ),
        (
            Protocol::OpenAiChat,
            r#"{"choices":[{"delta":{"reasoning":"123","reasoning_content":"123","content":null}}]}"#,
            (0, 3),
        ),
        (
            Protocol::OpenAiChat,
            r#"{"choices":[{"delta":{"tool_calls":[{"id":"x","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
            (8, 0),
        ),
        (
            Protocol::OpenAiChat,
            r#"{"choices":[{"delta":{"content":"1"}},{"delta":{"content":"2"}}]}"#,
            (2, 0),
        ),
        (
            Protocol::OpenAiResponses,
            r#"{"type":"response.output_text.delta","delta":"12345","obfuscation":"x"}"#,
            (5, 0),
        ),
        (
            Protocol::OpenAiResponses,
            r#"{"type":"response.reasoning_summary_text.delta","delta":"123"}"#,
            (0, 3),
        ),
        (
            Protocol::OpenAiResponses,
            r#"{"type":"response.output_audio.delta","delta":"AAAA"}"#,
            (0, 0),
        ),
        (
            Protocol::AnthropicMessages,
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"12345"}}"#,
            (5, 0),
        ),
        (
            Protocol::AnthropicMessages,
            r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"123"}}"#,
            (0, 3),
        ),
        (
            Protocol::AnthropicMessages,
            r#"{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"EqQB"}}"#,
            (0, 0),
        ),
        (
            Protocol::Gemini,
            r#"{"candidates":[{"content":{"parts":[{"text":"123","thought":true},{"text":"12345"}]}}]}"#,
            (5, 3),
        ),
        (
            Protocol::Gemini,
            r#"{"candidates":[{"content":{"parts":[{"inlineData":{"data":"AAAA"}}]}}]}"#,
            (0, 0),
        ),
    ];

    #[test]
    fn text_calls_and_reasoning_are_counted_in_every_protocol() {
        for (protocol, data, expected) in EVENTS {
            assert_eq!(counted(protocol, data), expected, "{data}");
        }
    }

    #[test]
    fn whole_answers_count_like_their_streams_and_cut_ones_with_every_byte() {
        for (protocol, text, tokens) in [
            (Protocol::OpenAiChat, r#"{"choices":[{"message":{"content":"1234567"}}]}"#, 2),
            (
                Protocol::OpenAiResponses,
                r#"{"output":[{"type":"reasoning","summary":[{"text":"1234567"}]},{"type":"message","content":[{"text":"1234567"}]},{"type":"function_call","arguments":"1234567"}]}"#,
                6,
            ),
            (
                Protocol::AnthropicMessages,
                r#"{"content":[{"type":"tool_use","input":{"a":12}},{"type":"text","text":"123456"}]}"#,
                4,
            ),
            (Protocol::Gemini, r#"{"candidates":[{"content":{"parts":[{"text":"1234567"}]}}]}"#, 2),
            (Protocol::OpenAiChat, r#"{"choices":[{"message":{"conten"#, 9),
        ] {
            let mut forwarded = Forwarded::new(protocol);
            forwarded.answer(text.as_bytes());
            let usage = forwarded.estimate(Usage::default(), &Sent::default());
            assert_eq!(usage.output_total(), tokens, "{text}");
        }
    }

    #[test]
    fn wide_characters_take_a_token_each_however_escaped() {
        for literal in ["\"日本語\"", r#""\u65e5\u672c\u8a9e""#] {
            let mut amount = Amount::default();
            amount.string(literal.as_bytes());
            assert_eq!(amount.tokens(), 3, "{literal}");
        }
        let mut amount = Amount::default();
        amount.string(r#""é\u00e9\u2019\n\"\ud83d\ude00""#.as_bytes());
        assert_eq!(amount, Amount { narrow: 9, wide: 1 });
    }

    #[test]
    fn the_limit_caps_and_hidden_reasoning_fills_up_to_it() {
        let forwarded = Forwarded {
            text: Amount { narrow: 350, wide: 0 },
            ..Forwarded::new(Protocol::OpenAiChat)
        };
        let estimate = |limit, hidden| {
            let sent = Sent { output_limit: limit, hidden_reasoning: hidden, ..Sent::default() };
            forwarded.estimate(Usage::default(), &sent)
        };
        assert_eq!(estimate(None, 0).output_total(), 100);
        assert_eq!(estimate(None, 50).reasoning, Some(50));
        assert_eq!(estimate(Some(120), 50).output_total(), 120);
        assert_eq!(estimate(Some(30), 50).output_total(), 30);
    }

    #[test]
    fn what_a_last_report_leaves_out_is_filled_in() {
        let forwarded = Forwarded {
            text: Amount { narrow: 35, wide: 0 },
            ..Forwarded::new(Protocol::OpenAiChat)
        };
        let sent = Sent { input_bytes: 70, hidden_reasoning: 9, ..Sent::default() };
        let counted = |usage: Usage| {
            let usage = forwarded.complete(usage, &sent);
            (usage.prompt_total(), usage.output_total(), usage.quality)
        };
        let mut told = Usage::default();
        told.quality = Quality::Partial;
        told.output.text = Some(5);
        assert_eq!(counted(told.clone()), (20, 5, Quality::Estimated));
        told.read.text = Some(8);
        assert_eq!(counted(told.clone()), (20, 5, Quality::Estimated), "cached is part of it");
        told.quality = Quality::Inconsistent;
        assert_eq!(counted(told.clone()), (20, 5, Quality::Inconsistent));
        told.output.text = None;
        told.prompt.text = Some(1);
        assert_eq!(counted(told.clone()), (9, 19, Quality::Inconsistent));
        told.output.text = Some(0);
        told.quality = Quality::Exact;
        assert_eq!(counted(told), (9, 0, Quality::Exact), "nothing is a fact");
    }

    #[test]
    fn a_total_that_is_the_prompt_leaves_no_unseen_output() {
        let silent = Forwarded::new(Protocol::OpenAiChat);
        let sent = Sent { hidden_reasoning: 9, ..Sent::default() };
        let mut told = Usage::default();
        told.quality = Quality::Exact;
        told.prompt.text = Some(10);
        told.reported.total_tokens = Some(10);
        assert_eq!(silent.complete(told.clone(), &sent), told);
        told.reported.total_tokens = None;
        assert_eq!(silent.complete(told, &sent).output_total(), 9);
    }

    #[test]
    fn what_was_told_is_not_estimated_again() {
        let forwarded = Forwarded {
            text: Amount { narrow: 7, wide: 0 },
            ..Forwarded::new(Protocol::OpenAiChat)
        };
        let mut told = Usage::default();
        told.quality = Quality::Partial;
        told.prompt.text = Some(9);
        told.output.text = Some(40);
        let usage = forwarded.estimate(told.clone(), &Sent { input_bytes: 700, ..Sent::default() });
        assert_eq!((usage.prompt_total(), usage.output_total()), (9, 40));
        assert_eq!(usage.quality, Quality::Estimated);
        told.quality = Quality::Exact;
        assert_eq!(forwarded.estimate(told.clone(), &Sent::default()), told);
    }
}
