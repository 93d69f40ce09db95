//! The answer to a request, the same for all protocols.

use serde_json::{Value, json};

use crate::{
    act::{Act, Kind, Named, unmarked},
    ask::{Ask, Choice, Format, Tool, tokens},
    schema,
    sign::sign,
    strict::is_three,
};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// The pieces it is streamed in, and the signature over them.
    Thinking {
        pieces: Vec<String>,
        signature: String,
    },
    Text {
        pieces: Vec<String>,
    },
    /// Why it will not answer.
    Refusal {
        pieces: Vec<String>,
    },
    Call {
        name: String,
        arguments: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    Calls,
    /// One of the texts it had to end before.
    Sequence,
    Refused,
}

/// Token counts. `input` holds cached and written, `output` holds reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) written: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) blocks: Vec<Block>,
    pub(crate) finish: Finish,
    /// The text the answer ended before.
    pub(crate) stopped: Option<String>,
    /// What Gemini signs its last text or first call with.
    pub(crate) signature: Option<String>,
    pub(crate) used: Used,
}

impl Said {
    pub(crate) fn to(ask: &Ask, act: &Act) -> Self {
        let mut blocks = Vec::new();
        if act.thinking || ask.thinking {
            blocks.push(thinking(ask));
        }
        let calls = calls(ask, act);
        let (mut finish, mut stopped) = (Finish::Calls, None);
        if act.refuse {
            finish = Finish::Refused;
            blocks.push(Block::Refusal { pieces: pieces(REFUSAL, None) });
        } else if calls.is_empty() {
            let text;
            (text, finish, stopped) = ended(self::text(ask, act), ask);
            blocks.push(Block::Text { pieces: pieces(&text, act.events) });
        } else {
            blocks.extend(calls);
        }
        let (used, signature) = (used(ask, act, &blocks), signature(ask, &blocks));
        Self { blocks, finish, stopped, signature, used }
    }

    /// The place of the first call.
    pub(crate) fn first_call(&self) -> Option<usize> {
        self.blocks.iter().position(|block| matches!(block, Block::Call { .. }))
    }
}

const REFUSAL: &str = "I will not do that.";

/// The text up to where it must end, and why it ends there.
fn ended(text: String, ask: &Ask) -> (String, Finish, Option<String>) {
    let found = ask.stop.iter().filter_map(|stop| Some((text.find(stop.as_str())?, stop)));
    let (text, stopped) = match found.min() {
        Some((at, stop)) => (text[..at].to_owned(), Some(stop.clone())),
        None => (text, None),
    };
    match limited(text, ask.limit) {
        (text, false) => (text, Finish::Length, None),
        (text, true) if stopped.is_some() => (text, Finish::Sequence, stopped),
        (text, true) => (text, Finish::Stop, None),
    }
}

/// The thoughts' signature; from Gemini 3 on every answer has one.
fn signature(ask: &Ask, blocks: &[Block]) -> Option<String> {
    match blocks.first() {
        Some(Block::Thinking { signature, .. }) => Some(signature.clone()),
        _ if is_three(&ask.model) => Some(sign(ask.vendor, &ask.prompt)),
        _ => None,
    }
}

impl Block {
    pub(crate) fn joined(pieces: &[String]) -> String {
        pieces.concat()
    }

    fn tokens(&self) -> u64 {
        match self {
            Self::Thinking { pieces, .. } | Self::Text { pieces } | Self::Refusal { pieces } => {
                pieces.iter().map(|piece| tokens(piece.len())).sum()
            }
            Self::Call { name, arguments } => tokens(name.len() + arguments.len()),
        }
    }
}

fn used(ask: &Ask, act: &Act, blocks: &[Block]) -> Used {
    let of = |wanted: fn(&Block) -> bool| {
        blocks.iter().filter(|block| wanted(block)).map(Block::tokens).sum()
    };
    let (cached, written) = (act.cached.unwrap_or(0), act.written.unwrap_or(0));
    Used {
        input: ask.input.max(1) + cached + written,
        cached,
        written,
        output: of(|_| true),
        reasoning: of(|block| matches!(block, Block::Thinking { .. })),
    }
}

fn thinking(ask: &Ask) -> Block {
    let text = format!("The user wants an answer of {}. I will give it.", ask.model);
    let signature = sign(ask.vendor, &text);
    Block::Thinking { pieces: pieces(&text, None), signature }
}

fn calls(ask: &Ask, act: &Act) -> Vec<Block> {
    // A conversation that ends in results is answered, or it would go on for ever.
    let answered = !ask.results.is_empty() && ask.rounds >= act.steps;
    if answered || ask.choice == Choice::None {
        return Vec::new();
    }
    let named = |tool: &&Tool| !matches!(&ask.choice, Choice::Named(name) if *name != tool.name);
    let tools: Vec<_> = ask.tools.iter().filter(named).collect();
    if !act.calls.is_empty() {
        return act.calls.iter().filter_map(|named| call_named(&tools, named)).collect();
    }
    let forced = matches!(ask.choice, Choice::Any | Choice::Named(_));
    match (act.kind, tools.as_slice()) {
        (Kind::Parallel, [one]) => vec![call(one), call(one)],
        (Kind::Parallel, all) => all.iter().map(|tool| call(tool)).collect(),
        (kind, [first, ..]) if forced || kind == Kind::Tool => vec![call(first)],
        _ => Vec::new(),
    }
}

/// The call as it was named; nothing where no such tool is offered.
fn call_named(tools: &[&Tool], named: &Named) -> Option<Block> {
    let tool = tools.iter().find(|tool| tool.name == named.tool)?;
    Some(match &named.arguments {
        Some(arguments) => Block::Call { name: tool.name.clone(), arguments: arguments.clone() },
        None => call(tool),
    })
}

fn call(tool: &Tool) -> Block {
    let mut arguments = schema::example(&tool.schema, "");
    if !arguments.is_object() {
        arguments = json!({});
    }
    Block::Call { name: tool.name.clone(), arguments: arguments.to_string() }
}

fn text(ask: &Ask, act: &Act) -> String {
    if let Some(say) = &act.say {
        return say.clone();
    }
    if let Some(bytes) = act.bytes {
        return "lorem ipsum dolor sit amet ".chars().cycle().take(bytes).collect();
    }
    if !ask.results.is_empty() {
        return format!("The tools said: {}", ask.results.join("; "));
    }
    match &ask.format {
        Format::Schema(schema) => schema::example(schema, "").to_string(),
        Format::Json => structured(ask),
        Format::Text if act.kind == Kind::Structured => structured(ask),
        Format::Text => format!("You said: {}", unmarked(&ask.prompt)),
    }
}

fn structured(ask: &Ask) -> String {
    let answer: Value = json!({"answer": unmarked(&ask.prompt)});
    answer.to_string()
}

/// The text as far as the limit of tokens lets it, and whether that is all of it.
fn limited(mut text: String, limit: Option<u64>) -> (String, bool) {
    let most =
        limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX).saturating_mul(4));
    if text.len() <= most {
        return (text, true);
    }
    let cut = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(cut);
    (text, false)
}

/// The words of the text with the spaces after them; with `events` exactly so many, repeated.
fn pieces(text: &str, events: Option<usize>) -> Vec<String> {
    let words = text.split_inclusive(' ');
    match events {
        None => words.map(str::to_owned).collect(),
        Some(n) => words.cycle().take(n).map(|word| format!("{} ", word.trim_end())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ask: &Ask, marker: &str) -> Said {
        Said::to(ask, &Act::read("m", marker).unwrap())
    }

    fn only_text(said: &Said) -> String {
        let [Block::Text { pieces }] = said.blocks.as_slice() else { panic!("{said:?}") };
        pieces.concat()
    }

    fn asking(prompt: &str) -> Ask {
        let schema = json!({"properties": {"city": {"type": "string"}}});
        let tool = |name: &str| Tool { name: name.into(), schema: schema.clone() };
        let tools = vec![tool("weather"), tool("time")];
        Ask { prompt: prompt.into(), tools, input: 9, ..Ask::default() }
    }

    #[test]
    fn echoes_unless_told_what_to_say() {
        assert_eq!(only_text(&said(&asking("hi [[sim:cut:1]]"), "")), "You said: hi");
        assert_eq!(only_text(&said(&asking("hi"), "[[sim:say:bye]]")), "bye");
        assert_eq!(only_text(&said(&asking("hi"), "[[sim:bytes:1000]]")).len(), 1000);
        let Block::Text { pieces } = &said(&asking("hi"), "[[sim:events:256]]").blocks[0] else {
            panic!("no text")
        };
        assert_eq!(pieces.len(), 256);
    }

    #[test]
    fn calls_tools_when_told_or_forced_and_answers_results() {
        let args = r#"{"city":"sim city"}"#.to_owned();
        let call = |name: &str| Block::Call { name: name.into(), arguments: args.clone() };
        let mut ask = asking("x");
        assert_eq!(said(&ask, "[[sim:tool]]").blocks, [call("weather")]);
        assert_eq!(said(&ask, "[[sim:parallel-tools]]").blocks, [call("weather"), call("time")]);
        assert_eq!(said(&ask, "").finish, Finish::Stop);
        ask.choice = Choice::Named("time".into());
        assert_eq!(said(&ask, "").blocks, [call("time")]);
        ask.results = vec!["42".into()];
        assert_eq!(only_text(&said(&ask, "[[sim:tool]]")), "The tools said: 42");
    }

    #[test]
    fn calls_the_named_tools_that_are_offered() {
        let call = |name: &str, arguments: &str| Block::Call {
            name: name.into(),
            arguments: arguments.into(),
        };
        let marker = r#"[[sim:call:time:{"zone":["utc"]}]][[sim:call:weather]]"#;
        let wanted =
            [call("time", r#"{"zone":["utc"]}"#), call("weather", r#"{"city":"sim city"}"#)];
        let mut ask = asking("x");
        assert_eq!(said(&ask, marker).blocks, wanted);
        assert_eq!(said(&ask, "[[sim:call:nobody:{}]]").finish, Finish::Stop);
        ask.choice = Choice::None;
        assert_eq!(said(&ask, marker).finish, Finish::Stop);
    }

    #[test]
    fn a_limit_cuts_the_text() {
        let ask = Ask { limit: Some(2), ..asking("ééééééé") };
        let said = said(&ask, "[[sim:say:ééééééé]]");
        assert_eq!((only_text(&said).as_str(), said.finish), ("éééé", Finish::Length));
        assert_eq!(said.used.output, 2);
    }

    #[test]
    fn counts_four_bytes_a_token() {
        let used = said(&asking("abc"), "[[sim:thinking]][[sim:cached:100]]").used;
        assert_eq!((used.input, used.cached), (109, 100));
        assert!(used.reasoning > 0 && used.output > used.reasoning);
    }
}
