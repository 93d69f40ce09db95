//! The cases: each recorded stream as it came, and cut off.

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_core::{Call, Operation, Protocol};
use tollgate_sse::{Decoder, Framing, Tail};
use tollgate_testkit::{Answer, Recording, Script, recordings};
use tollgate_wire::{Seen, dialect};

use crate::expected::Expected;

pub(crate) const FOLDERS: [(&str, Protocol); 5] = [
    ("openai-chat", Protocol::OpenAiChat),
    ("other-openai-compatible", Protocol::OpenAiChat),
    ("openai-responses", Protocol::OpenAiResponses),
    ("anthropic-messages", Protocol::AnthropicMessages),
    ("gemini", Protocol::Gemini),
];

/// A stream an upstream gives, and the model one asks it of.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) answer: Answer,
    /// What it amounts to; `None`: an error.
    expected: Option<Expected>,
    /// The SDK of its own protocol can read it untranslated.
    is_the_labs: bool,
    /// What its provider's own SDK reads in another way than we do.
    own_way: Vec<&'static str>,
}

/// Who made the protocols, and the clouds that speak them as they do.
const LABS: [&str; 5] = ["openai", "azure", "anthropic", "google", "vertex"];

/// What the SDK of its own protocol reads as another thing: deltas were left out of the first two,
/// and the third's usage is forgotten with the moderation that follows it.
const UNREAD: [&str; 3] = [
    "vercel-ai-openai-openai-phase-1-0-bf0eb6",
    "vercel-ai-openai-openai-shell-container-1-0-ff307b",
    "pydantic-ai-openai-test-openai-moderation-stream-0-a3f706",
];

/// Members of an answer that SDKs do not accumulate: of several runs of a model in one answer the
/// last counts, pieces of arguments are left as they came.
const OWN_WAY: [(&str, &str); 2] = [("usage-iterations", "usage"), ("partial-args", "calls")];

/// One event of a stream: its name and its data.
pub(crate) type Event = (Option<String>, Vec<u8>);

/// The cases of a folder; none where the recordings are absent.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let protocol = FOLDERS.iter().find(|(name, _)| *name == folder).map(|(_, protocol)| *protocol);
    let protocol = protocol.expect("a folder of the list");
    let recordings = recordings(folder).unwrap_or_default();
    let streams = recordings.iter().filter(|recording| recording.stream);
    streams.flat_map(|recording| of(recording, protocol)).collect()
}

fn of(recording: &Recording, protocol: Protocol) -> Vec<Case> {
    let body = recording.response.body();
    let is_array = body.trim_ascii_start().starts_with(b"[");
    let framing = if is_array { Framing::JsonArray } else { Framing::Sse };
    let case = |name: String, script: Script, expected| {
        let mut answer = Answer::new(recording.response.status(), script);
        for (name, value) in &recording.response.headers {
            answer = answer.header(name.as_str(), value.as_str());
        }
        if recording.response.status().is_success() {
            let kind = if is_array { "application/json" } else { "text/event-stream" };
            answer = answer.header("content-type", kind);
        }
        let is_whole = name == recording.id && !is_array && !recording.has("responses-retrieve");
        let is_the_labs = is_whole
            && LABS.contains(&recording.provider.as_str())
            && !UNREAD.contains(&recording.id.as_str());
        let own_way = OWN_WAY.iter().filter(|(tag, _)| recording.has(tag));
        let own_way = own_way.map(|(_, member)| *member).collect();
        Case { name, answer, expected, is_the_labs, own_way }
    };
    let expected = |bytes: &Bytes| {
        let events = events(bytes.clone(), framing).filter(|events| is_whole(protocol, events))?;
        Expected::of(protocol, &events)
    };
    let whole = expected(&body).filter(|_| recording.response.status().is_success());
    let mut cases = vec![case(recording.id.clone(), Script::new(body.clone()), whole)];
    if cases[0].expected.is_some() {
        let (at, script) = (body.len() * 2 / 3, Script::new(body.clone()));
        // One half breaks off, the other ends too early.
        cases.push(if recording.id.ends_with(|last: char| last.is_ascii_digit()) {
            case(format!("{}-reset", recording.id), script.reset_at(at), None)
        } else {
            let ended = expected(&body.slice(..at));
            case(format!("{}-ended", recording.id), script.end_at(at), ended)
        });
    }
    cases
}

/// The events of a body; `None` where it ends within one.
fn events(body: Bytes, framing: Framing) -> Option<Vec<Event>> {
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

/// Whether a stream of these events is complete where its body ended as it should.
fn is_whole(protocol: Protocol, events: &[Event]) -> bool {
    let mut automaton = dialect(protocol).automaton(&Call::new(protocol, Operation::Generate));
    for (name, data) in events {
        let event = tollgate_wire::Event { name: name.as_deref(), data };
        if matches!(automaton.event(event), Seen::Error(_) | Seen::Malformed) {
            return false;
        }
    }
    automaton.is_complete(true)
}

impl Case {
    /// What a client of a protocol must read; `None` where its SDK cannot read what comes as it is.
    pub(crate) fn told(&self, upstream: Protocol, client: Protocol) -> Option<Value> {
        // A client that asks for events is given events: an array was asked for.
        let is_own = client == upstream;
        if is_own && !self.is_the_labs {
            return None;
        }
        let expected = self.expected.as_ref().map(|expected| expected.told(upstream, client));
        let mut expected = expected.flatten();
        if let Some(members) = expected.as_mut().and_then(Value::as_object_mut) {
            members.retain(|name, _| !(is_own && self.own_way.contains(&name.as_str())));
        }
        Some(json!({
            "upstream": upstream.to_string(),
            "client": client.to_string(),
            "model": self.name,
            "expected": expected,
        }))
    }
}
