//! Arbitrary conversations through another protocol and back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is a test")]

use proptest::{collection::vec, option, prelude::*, sample::select};
use tollgate_core::{Caps, Protocol};
use tollgate_translate::{
    Incoming, Onto, Outgoing, Report, codec,
    json::{Number, Raw},
    model::{
        Args, CallKind, Conversation, FunctionTool, Item, Message, Part, Role, SamplingRequest,
        Tool, ToolCall, ToolChoice, ToolResult,
    },
};

/// Text no protocol refuses, in any script, with quotes and breaks inside.
fn text() -> impl Strategy<Value = String> {
    "[a-zé漢😀][ -~é漢😀\n\t]{0,20}[a-zé漢😀]"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,10}"
}

/// The arguments of a call: numbers of any size, strings with anything in them.
fn arguments() -> impl Strategy<Value = Args> {
    let number = select(vec!["1", "1.0", "1e3", "12345678901234567890", "-0.5"]);
    let value = prop_oneof![
        number.prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("null".to_owned()),
        Just("[true,{\"x\":[]}]".to_owned()),
    ];
    vec((name(), value), 0..4).prop_map(|members| {
        let members: std::collections::BTreeMap<_, _> = members.into_iter().collect();
        let members: Vec<_> =
            members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        Args::of_text(&format!("{{{}}}", members.join(",")))
    })
}

/// One exchange: the user asks, the assistant may call tools and get results, and answers.
#[derive(Clone, Debug)]
struct Round {
    asked: Vec<String>,
    said: Option<String>,
    calls: Vec<(String, Args, String)>,
    answered: String,
}

fn round() -> impl Strategy<Value = Round> {
    let calls = vec((name(), arguments(), text()), 0..3);
    (vec(text(), 1..3), option::of(text()), calls, text())
        .prop_map(|(asked, said, calls, answered)| Round { asked, said, calls, answered })
}

fn items(system: Option<String>, rounds: Vec<Round>, last: String) -> Vec<Item> {
    let message = |role, parts| Item::Message(Message::new(role, parts));
    let mut items = Vec::new();
    items.extend(system.map(|text| message(Role::System, vec![Part::text(text)])));
    for (at, round) in rounds.into_iter().enumerate() {
        items.push(message(Role::User, round.asked.into_iter().map(Part::text).collect()));
        let mut parts: Vec<_> = round.said.into_iter().map(Part::text).collect();
        let mut results = Vec::new();
        for (i, (name, args, result)) in round.calls.into_iter().enumerate() {
            let id = format!("call_{at}_{i}");
            parts.push(Part::ToolCall(ToolCall::new(&id, name, args)));
            results.push(Item::ToolResult(ToolResult::new(id, vec![Part::text(result)])));
        }
        if !results.is_empty() {
            items.push(message(Role::Assistant, parts));
            items.extend(results);
        }
        items.push(message(Role::Assistant, vec![Part::text(round.answered)]));
    }
    items.push(message(Role::User, vec![Part::text(last)]));
    items
}

fn tools(items: &[Item]) -> Vec<Tool> {
    let mut names = std::collections::BTreeSet::new();
    for item in items {
        if let Item::Message(message) = item {
            names.extend(message.parts.iter().filter_map(|part| match part {
                Part::ToolCall(call) => Some(call.name.clone()),
                _ => None,
            }));
        }
    }
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
    let tool = |name| FunctionTool {
        name,
        description: Some("does it".to_owned()),
        schema: Raw::parse(schema),
        strict: None,
        ..FunctionTool::default()
    };
    names.into_iter().map(tool).map(Tool::Function).collect()
}

fn choice(tools: &[Tool], pick: u8) -> Option<ToolChoice> {
    let first = tools.first()?.name()?.to_owned();
    [
        None,
        Some(ToolChoice::Auto),
        Some(ToolChoice::None),
        Some(ToolChoice::Required),
        Some(ToolChoice::Named { name: first, kind: CallKind::Function }),
    ][usize::from(pick) % 5]
        .clone()
}

fn conversation() -> impl Strategy<Value = Conversation> {
    let content = (option::of(text()), vec(round(), 0..4), text());
    let knobs = (option::of(select(vec!["0", "0.5", "1.0"])), 16_u64..4000, any::<u8>());
    (content, knobs).prop_map(|((system, rounds, last), (temperature, limit, pick))| {
        let mut c = Conversation::new(Protocol::OpenAiChat, "m");
        c.items = items(system, rounds, last);
        c.tools = tools(&c.items);
        c.tool_choice = choice(&c.tools, pick);
        c.output_limit = Some(limit);
        let temperature = temperature.and_then(Number::parse);
        c.sampling = SamplingRequest { temperature, ..SamplingRequest::default() };
        c
    })
}

fn write(c: &Conversation, to: Protocol) -> Outgoing {
    let caps = Caps::default();
    let mut report = Report::new(codec(c.source));
    codec(to).encode_request(c, &Onto::new("m", &caps), &mut report).unwrap()
}

fn read(from: Protocol, sent: &Outgoing) -> Conversation {
    let incoming = Incoming { model: Some("m"), ..Incoming::new(&sent.body) };
    codec(from).decode_request(&incoming).unwrap()
}

/// What of a conversation its speakers see: who said what, called what, got what.
fn seen(c: &Conversation) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut say = |who: &str, what: &str| match out.last_mut().filter(|last| last.0 == who) {
        Some(last) if !who.contains(' ') => last.1.push_str(what),
        _ => out.push((who.to_owned(), what.to_owned())),
    };
    for item in &c.items {
        match item {
            Item::Message(message) => {
                let who = match message.role {
                    Role::System | Role::Developer => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                for part in &message.parts {
                    match part {
                        Part::Text(text) => say(who, &text.text),
                        Part::ToolCall(call) => {
                            say(&format!("calls {} {}", call.name, call.id), call.args.as_str());
                        }
                        _ => {}
                    }
                }
            }
            Item::ToolResult(result) => say(&format!("gets {}", result.call_id), &result.text()),
            Item::Opaque { .. } => {}
        }
    }
    out
}

/// What else every pair of protocols carries.
fn settings(c: &Conversation) -> String {
    let tools: Vec<_> = c
        .tools
        .iter()
        .filter_map(|tool| match tool {
            Tool::Function(tool) => Some((&tool.name, &tool.description, &tool.schema)),
            _ => None,
        })
        .collect();
    format!("{:?} {:?} {:?} {:?}", tools, c.tool_choice, c.output_limit, c.sampling.temperature)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_conversation_survives_another_protocol(original in conversation()) {
        for p in Protocol::ALL {
            let first = read(p, &write(&original, p));
            for q in Protocol::ALL {
                let there = read(q, &write(&first, q));
                let back = read(p, &write(&there, p));
                prop_assert_eq!(seen(&back), seen(&first), "{} through {}", p, q);
                prop_assert_eq!(settings(&back), settings(&first), "{} through {}", p, q);
            }
        }
    }

    #[test]
    fn the_same_conversation_is_the_same_bytes(c in conversation()) {
        for to in Protocol::ALL {
            prop_assert_eq!(write(&c, to).body, write(&c.clone(), to).body);
        }
    }

    /// What upstream prompt caches live from: the prompt of a longer conversation begins with the
    /// prompt of the shorter one.
    #[test]
    fn a_further_turn_changes_nothing_before_it(c in conversation(), more in text()) {
        let mut longer = c.clone();
        let said = Message::new(Role::Assistant, vec![Part::text("so")]);
        longer.items.push(Item::Message(said));
        longer.items.push(Item::Message(Message::new(Role::User, vec![Part::text(more)])));
        for to in Protocol::ALL {
            let list = |c: &Conversation| messages(to, &write(c, to).body);
            let (short, long) = (list(&c), list(&longer));
            prop_assert_eq!(&short[..], &long[..short.len()], "{}", to);
        }
    }

    #[test]
    fn no_body_makes_a_decoder_panic(body in any::<Vec<u8>>()) {
        for from in Protocol::ALL {
            let incoming = Incoming { model: Some("m"), ..Incoming::new(&body) };
            let _ = codec(from).decode_request(&incoming);
            let _ = codec(from).decode_answer(&body, "seed");
            let _ = codec(from).decode_embed(&incoming);
        }
    }

    #[test]
    fn no_member_of_another_kind_makes_a_decoder_panic(c in conversation(), at in any::<usize>(), with in select(vec!["null", "1", "\"x\"", "[]", "{}", "[{}]", "true"])) {
        for from in Protocol::ALL {
            let body = broken(&write(&c, from).body, at, with);
            let incoming = Incoming { model: Some("m"), ..Incoming::new(&body) };
            if let Ok(read) = codec(from).decode_request(&incoming) {
                for to in Protocol::ALL {
                    let caps = Caps::default();
                    let mut report = Report::new(codec(from));
                    let _ = codec(to).encode_request(&read, &Onto::new("m", &caps), &mut report);
                }
            }
        }
    }
}

fn messages(protocol: Protocol, body: &[u8]) -> Vec<serde_json::Value> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let key = match protocol {
        Protocol::OpenAiResponses => "input",
        Protocol::Gemini => "contents",
        _ => "messages",
    };
    body[key].as_array().unwrap().clone()
}

/// Puts `with` in place of some value of the body.
fn broken(body: &[u8], at: usize, with: &str) -> Vec<u8> {
    let mut body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let mut count = 0;
    each(&mut body, &mut |_| count += 1);
    let mut left = at % count;
    each(&mut body, &mut |value| {
        if left == 0 {
            *value = serde_json::from_str(with).unwrap();
        }
        left = left.wrapping_sub(1);
    });
    body.to_string().into_bytes()
}

fn each(value: &mut serde_json::Value, visit: &mut impl FnMut(&mut serde_json::Value)) {
    visit(value);
    match value {
        serde_json::Value::Array(list) => list.iter_mut().for_each(|inner| each(inner, visit)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|inner| each(inner, visit)),
        _ => {}
    }
}
