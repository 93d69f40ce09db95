//! Recorded streams in the words of each other protocol.
//!
//! What comes out must be what the client's protocol allows, say the same, and end as the upstream
//! did: cut off anywhere it is an error and never an end. The recordings stand in
//! `$TOLLGATE_SHARED/fixtures/recorded`; without them every test is listed as ignored, and with
//! `CI=true` their absence is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it is a test")]

mod grammar;
mod tree;

use bytes::{Bytes, BytesMut};
use libtest_mimic::{Arguments, Failed, Trial};
use tollgate_core::{Call, Caps, Class, Operation, Protocol};
use tollgate_sse::{Decoder, Framing, Tail};
use tollgate_testkit::{Recording, recordings, shared_trial};
use tollgate_translate::{
    Exchange, Incoming, Onto, StreamTranslator, Translator, codec,
    model::{Answer, Finish, Part},
    stream::{Event, Fold, Sink},
};
use tollgate_wire::{Automaton, Fault, Seen, dialect};

const FOLDERS: [(&str, Protocol); 5] = [
    ("openai-chat", Protocol::OpenAiChat),
    ("other-openai-compatible", Protocol::OpenAiChat),
    ("openai-responses", Protocol::OpenAiResponses),
    ("anthropic-messages", Protocol::AnthropicMessages),
    ("gemini", Protocol::Gemini),
];

fn main() {
    let mut trials = Vec::new();
    for (folder, from) in FOLDERS {
        for to in Protocol::ALL.into_iter().filter(|to| *to != from) {
            let name = format!("streams of {folder} say the same in {to}");
            trials.push(trial(folder, &name, move |stream| stream.says_the_same(to)));
            let name = format!("streams of {folder} that break off are errors in {to}");
            trials.push(trial(folder, &name, move |stream| stream.breaks_honestly(to)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(
    folder: &'static str,
    name: &str,
    test: impl Fn(&Recorded) -> Result<(), String> + Send + 'static,
) -> Trial {
    shared_trial("fixtures/recorded", name, move |_| each(folder, test))
}

fn each(folder: &str, test: impl Fn(&Recorded) -> Result<(), String>) -> Result<(), Failed> {
    let from = FOLDERS.iter().find(|(each, _)| *each == folder).unwrap().1;
    let all = recordings(folder).map_err(|absent| absent.to_string())?;
    let streams = all.iter().filter(|each| each.stream && each.response.status().is_success());
    let mut wrong = Vec::new();
    let mut tried = 0;
    for recording in streams {
        let Some(recorded) = Recorded::of(recording, from) else { continue };
        tried += 1;
        wrong.extend(test(&recorded).err().map(|why| format!("{}: {why}", recorded.id)));
    }
    if tried < 20 {
        return Err(format!("only {tried} streams").into());
    }
    match wrong.as_slice() {
        [] => Ok(()),
        wrong => {
            let shown = wrong.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
            Err(format!("{} of {tried} wrong:\n{shown}", wrong.len()).into())
        }
    }
}

/// The events of one recorded stream.
struct Recorded {
    id: String,
    from: Protocol,
    events: Vec<(Option<String>, Vec<u8>)>,
}

fn events(body: Bytes, framing: Framing) -> Option<Vec<(Option<String>, Vec<u8>)>> {
    let mut decoder = Decoder::new(framing);
    let mut events = Vec::new();
    decoder.push(body);
    while let Some(event) = decoder.next().ok()? {
        if !event.is_keep_alive() {
            events.push((event.name().map(str::to_owned), event.data().to_vec()));
        }
    }
    match decoder.finish() {
        Tail::Clean => Some(events),
        Tail::Event(event) => {
            let last = (event.name().map(str::to_owned), event.data().to_vec());
            events.push(last);
            Some(events)
        }
        Tail::Truncated => None,
    }
}

fn automaton(protocol: Protocol) -> Box<dyn Automaton> {
    dialect(protocol).automaton(&Call::new(protocol, Operation::Generate))
}

fn seen(automaton: &mut dyn Automaton, (name, data): &(Option<String>, Vec<u8>)) -> Seen {
    automaton.event(tollgate_wire::Event { name: name.as_deref(), data })
}

/// A client's request that reads everything there is.
fn exchange(client: Protocol, upstream: Protocol) -> Exchange {
    let body = match client {
        Protocol::OpenAiResponses => {
            r#"{"model":"m","stream":true,"input":"Hi","reasoning":{"summary":"auto"}}"#
        }
        Protocol::AnthropicMessages => {
            r#"{"model":"m","stream":true,"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":4000},"messages":[{"role":"user","content":"Hi"}]}"#
        }
        Protocol::Gemini => {
            r#"{"contents":[{"parts":[{"text":"Hi"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}"#
        }
        _ => {
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}]}"#
        }
    };
    let incoming = Incoming { model: Some("m"), stream: true, ..Incoming::new(body.as_bytes()) };
    let translator = Translator::new(client, upstream).call(1, "call");
    translator.request(&incoming, &Onto::new("m", &Caps::default())).unwrap().1
}

/// What a client got, read as its protocol reads it.
struct Got {
    bytes: Bytes,
    events: Vec<(Option<String>, Vec<u8>)>,
    errors: usize,
    complete: bool,
}

impl Got {
    fn read(client: Protocol, bytes: Bytes) -> Result<Self, String> {
        let events = events(bytes.clone(), Framing::Sse).ok_or("it ends within an event")?;
        let mut automaton = automaton(client);
        let mut errors = 0;
        for event in &events {
            match seen(automaton.as_mut(), event) {
                Seen::Malformed => return Err(format!("no such event: {event:?}")),
                Seen::Error(_) => errors += 1,
                _ if errors > 0 => return Err(format!("it goes on after an error: {event:?}")),
                _ => {}
            }
        }
        let complete = automaton.is_complete(true) && errors == 0;
        Ok(Self { bytes, events, errors, complete })
    }
}

impl Recorded {
    fn of(recording: &Recording, from: Protocol) -> Option<Self> {
        let body = recording.response.body();
        let framing = match body.trim_ascii_start().first()? {
            b'[' => Framing::JsonArray,
            _ => Framing::Sse,
        };
        let events = events(body, framing)?;
        let is_stream = events.len() > 1;
        is_stream.then(|| Self { id: recording.id.clone(), from, events })
    }

    /// Whether the first so many events are a whole stream.
    fn is_whole(&self, events: usize) -> bool {
        let mut automaton = automaton(self.from);
        for event in &self.events[..events] {
            if matches!(seen(automaton.as_mut(), event), Seen::Error(_)) {
                return false;
            }
        }
        automaton.is_complete(true)
    }

    fn feed(&self, stream: &mut StreamTranslator, events: usize) -> BytesMut {
        let mut out = BytesMut::new();
        for (name, data) in &self.events[..events] {
            stream.event(name.as_deref(), data, &mut out);
        }
        out
    }

    fn says_the_same(&self, to: Protocol) -> Result<(), String> {
        let mut stream = exchange(to, self.from).stream().unwrap();
        let mut out = self.feed(&mut stream, self.events.len());
        stream.end(&mut out);
        let got = Got::read(to, out.freeze())?;
        grammar::check(to, &got.events).map_err(|why| format!("{why}\n{got}"))?;
        if got.complete != stream.fault().is_none() {
            return Err(format!("it says it ended and shows another end: {stream:?}\n{got}"));
        }
        let whole = self.is_whole(self.events.len());
        match stream.fault() {
            Some(fault) if whole && !is_malformed(fault) => {
                return Err(format!("{fault:?}\n{got}"));
            }
            None if !whole => return Err(format!("it ended as if it were whole\n{got}")),
            Some(_) if got.errors != 1 => return Err(format!("{} errors\n{got}", got.errors)),
            Some(_) => return Ok(()),
            None => {}
        }
        let upstream = fold(self.from, &self.events)?;
        let client = fold(to, &got.events)?;
        same(&upstream, &client, to).map_err(|why| format!("{why}\n{got}"))
    }

    fn breaks_honestly(&self, to: Protocol) -> Result<(), String> {
        let exchange = exchange(to, self.from);
        let step = self.events.len().div_ceil(24);
        let last = self.events.len().saturating_sub(4)..self.events.len();
        for cut in (0..self.events.len()).step_by(step).chain(last) {
            let mut stream = exchange.stream().unwrap();
            let out = self.feed(&mut stream, cut);
            let over = stream.is_over();
            if !over && !self.is_whole(cut) {
                let mut out = out.clone();
                let mut stream = exchange.stream().unwrap();
                let _ = self.feed(&mut stream, cut);
                stream.end(&mut out);
                is_error(to, out).map_err(|why| format!("ended after {cut}: {why}"))?;
            }
            if !over {
                let mut out = out;
                stream.fail(&Fault::new(Class::Timeout, "nothing came"), &mut out);
                is_error(to, out).map_err(|why| format!("failed after {cut}: {why}"))?;
            }
        }
        Ok(())
    }
}

/// One error is the last that is said.
fn is_error(client: Protocol, out: BytesMut) -> Result<(), String> {
    let got = Got::read(client, out.freeze())?;
    match (got.errors, got.complete) {
        (1, false) => Ok(()),
        (errors, complete) => Err(format!("{errors} errors, complete {complete}\n{got}")),
    }
}

fn is_malformed(fault: &Fault) -> bool {
    fault.code.as_deref() == Some("malformed_tool_call")
}

/// The answer a stream amounts to.
fn fold(protocol: Protocol, events: &[(Option<String>, Vec<u8>)]) -> Result<Answer, String> {
    let mut decoder = codec(protocol).decode_stream("call");
    let mut fold = Fold::new(protocol);
    for (name, data) in events {
        decoder.event(name.as_deref(), data, &mut fold).map_err(|fault| fault.message)?;
    }
    decoder.finish(&mut fold).map_err(|fault| fault.message)?;
    fold.event(Event::End).map_err(|fault| fault.message)?;
    fold.into_answer().ok_or_else(|| "it has no end".to_owned())
}

/// Whether two answers say the same, as far as a client can see.
fn same(upstream: &Answer, client: &Answer, to: Protocol) -> Result<(), String> {
    let (wanted, found) = (said(upstream, to), said(client, to));
    let declines = |part: &Part| matches!(part, Part::Refusal(_));
    // Where a protocol has no place for it, that the model declined is told by how it ended.
    let declined = upstream.candidates.iter().any(|each| each.parts.iter().any(declines));
    if wanted == found || (declined && wanted[1..] == found[1..]) {
        return Ok(());
    }
    Err(format!("it says another thing:\n  {wanted:?}\n  {found:?}"))
}

fn said(answer: &Answer, to: Protocol) -> Vec<String> {
    let Some(candidate) = answer.candidates.first() else {
        return vec!["ContentFilter".to_owned()];
    };
    let (mut text, mut thoughts, mut calls) = (String::new(), String::new(), Vec::new());
    for part in &candidate.parts {
        match part {
            Part::Text(part) => text.push_str(&part.text),
            Part::Refusal(part) => text.push_str(part),
            // Sections and blocks are told apart by blank lines, each protocol in its way.
            Part::Reasoning(part) => {
                thoughts.extend(part.text.concat().chars().filter(|c| !c.is_whitespace()));
            }
            Part::ToolCall(call) => {
                let args: serde_json::Value =
                    serde_json::from_str(call.args.as_str()).unwrap_or_default();
                // A namespace is part of the name where there is no other place for it.
                let space = call.namespace.as_ref().map(|space| format!("{space}__"));
                calls.push(format!("{}{}({args})", space.unwrap_or_default(), call.name));
            }
            _ => {}
        }
    }
    let finish = match (&candidate.finish, to) {
        // What a protocol has no word for.
        (Finish::StopSequence(_) | Finish::PauseTurn | Finish::Other(_), _) => "Stop".to_owned(),
        (Finish::Refusal | Finish::Recitation, _) => "ContentFilter".to_owned(),
        (Finish::ContextWindow, _) => "Length".to_owned(),
        (finish, _) => format!("{finish:?}"),
    };
    vec![finish, text, thoughts, calls.join(" ")]
}

impl std::fmt::Display for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        let from = text.len().saturating_sub(1500);
        f.write_str(&text[(from..).find(|at| text.is_char_boundary(*at)).unwrap_or(0)..])
    }
}
