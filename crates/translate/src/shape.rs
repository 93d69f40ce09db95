//! The conversation as turns in which every call has its result: what all encoders write from.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use tollgate_core::{Protocol, Refusal};

use crate::{
    model::{Conversation, Item, Message, Part, Place, Role, ToolCall, ToolResult},
    warning::{Code, Report},
};

/// What a call is answered with that nobody answered.
pub(crate) const NO_RESULT: &str = "No result was provided for this tool call.";

/// A conversation in turns.
#[derive(Debug)]
pub(crate) struct Shape<'a> {
    /// System and developer messages before anybody spoke.
    pub(crate) leading: Vec<&'a Message>,
    pub(crate) turns: Vec<Turn<'a>>,
}

#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// A later system or developer message.
    System(&'a Message),
    User(User<'a>),
    Assistant(Assistant<'a>),
    /// The results of the assistant's turn before, in the order of its calls.
    Results(Vec<Outcome<'a>>),
    /// An item of the target's own protocol.
    Opaque(&'a crate::json::Raw),
}

#[derive(Debug)]
pub(crate) struct User<'a> {
    pub(crate) place: Place,
    /// The message, unless this stands for a result without a call.
    pub(crate) message: Option<&'a Message>,
    pub(crate) parts: Vec<Cow<'a, Part>>,
}

#[derive(Debug)]
pub(crate) struct Assistant<'a> {
    pub(crate) place: Place,
    pub(crate) messages: Vec<&'a Message>,
    pub(crate) pieces: Vec<Piece<'a>>,
}

impl Assistant<'_> {
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&ToolCall, &str)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Call { call, id } => Some((*call, id.as_ref())),
            Piece::Part(_) => None,
        })
    }
}

#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Part(&'a Part),
    /// A call with an id no other call of the turn has.
    Call {
        call: &'a ToolCall,
        id: Cow<'a, str>,
    },
}

#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) call: &'a ToolCall,
    pub(crate) id: Cow<'a, str>,
    /// `None`: nobody answered.
    pub(crate) result: Option<&'a ToolResult>,
}

/// Brings a conversation into turns for `target`.
///
/// Errors: an item of another protocol holds what the client produced.
pub(crate) fn shape<'a>(
    conversation: &'a Conversation,
    target: Protocol,
    report: &mut Report,
) -> Result<Shape<'a>, Refusal> {
    let items = native_items(conversation, target, report)?;
    let first = items.iter().position(|item| instruction(item).is_none()).unwrap_or(items.len());
    let leading = items[..first].iter().filter_map(|item| instruction(item)).collect();
    let mut shaper = Shaper { items: &items[first..], used: Vec::new(), turns: Vec::new(), report };
    shaper.used.resize(shaper.items.len(), false);
    shaper.run();
    Ok(Shape { leading, turns: shaper.turns })
}

/// Leaves out what only another protocol has.
fn native_items<'a>(
    conversation: &'a Conversation,
    target: Protocol,
    report: &mut Report,
) -> Result<Vec<&'a Item>, Refusal> {
    let mut items = Vec::with_capacity(conversation.items.len());
    for item in &conversation.items {
        match item {
            Item::Opaque { place, kind, essential, .. } if conversation.source != target => {
                if *essential {
                    let why = format!(
                        "holds an item of type `{kind}`, which this model's protocol has not; send its content as a message"
                    );
                    return Err(report.refuse_place(*place, &why));
                }
                report.place(Code::ServerToolDropped, *place);
            }
            item => items.push(item),
        }
    }
    Ok(items)
}

fn instruction(item: &Item) -> Option<&Message> {
    match item {
        Item::Message(message) if matches!(message.role, Role::System | Role::Developer) => {
            Some(message)
        }
        _ => None,
    }
}

fn assistant(item: &Item) -> Option<&Message> {
    match item {
        Item::Message(message) if message.role == Role::Assistant => Some(message),
        _ => None,
    }
}

struct Shaper<'a, 'b> {
    items: &'b [&'a Item],
    used: Vec<bool>,
    turns: Vec<Turn<'a>>,
    report: &'b mut Report,
}

impl<'a> Shaper<'a, '_> {
    fn run(&mut self) {
        let mut at = 0;
        while at < self.items.len() {
            let item = self.items[at];
            let end = at + self.items[at..].iter().take_while(|i| assistant(i).is_some()).count();
            if end > at {
                self.assistant(at, end);
                at = end;
                continue;
            }
            if !self.used[at] {
                self.other(item);
            }
            at += 1;
        }
    }

    fn other(&mut self, item: &'a Item) {
        let turn = match item {
            Item::Message(message) if message.role == Role::User => Turn::User(User {
                place: message.place,
                message: Some(message),
                parts: message.parts.iter().map(Cow::Borrowed).collect(),
            }),
            Item::Message(message) => Turn::System(message),
            Item::ToolResult(result) => Turn::User(self.orphan(result)),
            Item::Opaque { value, .. } => Turn::Opaque(value),
        };
        self.turns.push(turn);
    }

    /// A result whose call is not there is told in words.
    fn orphan(&mut self, result: &'a ToolResult) -> User<'a> {
        self.report.place(Code::OrphanToolResult, result.place);
        let text = format!("[result of tool call {}] {}", result.call_id, result.text());
        let others = result.parts.iter().filter(|part| part.as_text().is_none());
        let parts = std::iter::once(Cow::Owned(Part::text(text)))
            .chain(others.map(Cow::Borrowed))
            .collect();
        User { place: result.place, message: None, parts }
    }

    fn assistant(&mut self, start: usize, end: usize) {
        let messages: Vec<_> =
            self.items[start..end].iter().filter_map(|item| assistant(item)).collect();
        let pieces = pieces(&messages);
        let place = messages.first().map(|message| message.place).unwrap_or_default();
        let calls: Vec<_> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Call { call, id } => Some((*call, id.clone())),
                Piece::Part(_) => None,
            })
            .collect();
        self.turns.push(Turn::Assistant(Assistant { place, messages, pieces }));
        if !calls.is_empty() && end < self.items.len() {
            let mut open = self.results_after(end);
            let outcomes =
                calls.into_iter().map(|(call, id)| self.outcome(call, id, &mut open, place));
            let outcomes = outcomes.collect();
            self.turns.push(Turn::Results(outcomes));
        }
    }

    fn outcome(
        &mut self,
        call: &'a ToolCall,
        id: Cow<'a, str>,
        open: &mut HashMap<&'a str, VecDeque<usize>>,
        place: Place,
    ) -> Outcome<'a> {
        let at = open.get_mut(call.id.as_str()).and_then(VecDeque::pop_front);
        let result = at.and_then(|at| self.take_result(at));
        if result.is_none() {
            self.report.place(Code::SyntheticToolResult, place);
        }
        Outcome { call, id, result }
    }

    /// Where the results stand before the assistant speaks again, by the call they answer.
    fn results_after(&self, start: usize) -> HashMap<&'a str, VecDeque<usize>> {
        let mut open: HashMap<&'a str, VecDeque<usize>> = HashMap::new();
        let until = self.items[start..].iter().take_while(|item| assistant(item).is_none());
        for (at, item) in until.enumerate() {
            if let Item::ToolResult(result) = item {
                open.entry(&result.call_id).or_default().push_back(start + at);
            }
        }
        open
    }

    fn take_result(&mut self, at: usize) -> Option<&'a ToolResult> {
        self.used[at] = true;
        match self.items[at] {
            Item::ToolResult(result) => Some(result),
            _ => None,
        }
    }
}

/// The parts of adjacent assistant messages; a call whose id was there before gets a suffix.
fn pieces<'a>(messages: &[&'a Message]) -> Vec<Piece<'a>> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut pieces = Vec::new();
    for part in messages.iter().flat_map(|message| &message.parts) {
        let Part::ToolCall(call) = part else {
            pieces.push(Piece::Part(part));
            continue;
        };
        let times = seen.entry(&call.id).or_default();
        *times += 1;
        let id = match *times {
            1 => Cow::Borrowed(call.id.as_str()),
            n => Cow::Owned(format!("{}_{n}", call.id)),
        };
        pieces.push(Piece::Call { call, id });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec, model::Args};

    fn call(id: &str) -> Part {
        Part::ToolCall(ToolCall::new(id, "f", Args::empty()))
    }

    fn turns(items: Vec<Item>) -> (Vec<String>, Vec<String>) {
        let mut conversation = Conversation::new(Protocol::OpenAiChat, "m");
        conversation.items = items;
        let mut report = Report::new(codec(Protocol::OpenAiChat));
        let shape = shape(&conversation, Protocol::Gemini, &mut report).unwrap();
        let tell = |turn: &Turn<'_>| match turn {
            Turn::System(_) => "system".to_owned(),
            Turn::User(user) => format!("user {}", user.parts[0].as_text().unwrap()),
            Turn::Assistant(turn) => {
                format!("assistant {:?}", turn.calls().map(|(_, id)| id).collect::<Vec<_>>())
            }
            Turn::Results(outcomes) => {
                let tell = |o: &Outcome<'_>| format!("{}={}", o.id, o.result.is_some());
                format!("results {:?}", outcomes.iter().map(tell).collect::<Vec<_>>())
            }
            Turn::Opaque(_) => "opaque".to_owned(),
        };
        let warnings = report.into_warnings().iter().map(ToString::to_string).collect();
        (shape.turns.iter().map(tell).collect(), warnings)
    }

    fn user(text: &str) -> Item {
        Item::Message(Message::new(Role::User, vec![Part::text(text)]))
    }

    fn result(id: &str) -> Item {
        Item::ToolResult(ToolResult::new(id, vec![Part::text("r")]))
    }

    #[test]
    fn results_come_first_in_the_order_of_the_calls() {
        let assistant = Item::Message(Message::new(Role::Assistant, vec![call("a"), call("b")]));
        let (turns, warnings) = turns(vec![assistant, user("x"), result("b"), result("a")]);
        let wanted = ["assistant [\"a\", \"b\"]", "results [\"a=true\", \"b=true\"]", "user x"];
        assert_eq!(turns, wanted);
        assert!(warnings.is_empty());
    }

    #[test]
    fn a_call_nobody_answered_and_a_result_nobody_asked_for_are_told() {
        let assistant = Item::Message(Message::new(Role::Assistant, vec![call("a"), call("a")]));
        let (turns, warnings) = turns(vec![assistant, result("a"), result("z")]);
        assert_eq!(turns[1], "results [\"a=true\", \"a_2=false\"]");
        assert_eq!(turns[2], "user [result of tool call z] r");
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn calls_at_the_end_stay_open() {
        let assistant = Item::Message(Message::new(Role::Assistant, vec![call("a")]));
        assert_eq!(turns(vec![user("x"), assistant]).0, ["user x", "assistant [\"a\"]"]);
    }
}
