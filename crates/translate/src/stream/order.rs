//! One block at a time, for protocols that have no two open.

use std::collections::VecDeque;

use super::{Delta, Event, Flow, Head, Sink, event::broken, out::LIMIT};
use crate::{json::Prefix, model::CallKind};

/// Brings the blocks of each candidate into the order they began.
///
/// The oldest open block passes as it comes; what younger ones say waits. A call whose arguments
/// are a whole object counts as ended as soon as another block has begun.
#[derive(Debug)]
pub(crate) struct InOrder {
    lanes: Vec<Lane>,
    /// How many bytes may wait.
    limit: usize,
}

#[derive(Debug, Default)]
struct Lane {
    candidate: u64,
    live: Option<Live>,
    waiting: VecDeque<Waiting>,
    /// Calls that were ended before the upstream said so.
    early: Vec<u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Live {
    block: u64,
    /// The arguments so far, where it is a function call.
    arguments: Option<Prefix>,
}

#[derive(Debug)]
struct Waiting {
    block: u64,
    head: Head,
    deltas: Vec<Delta<'static>>,
    ended: bool,
}

impl Default for InOrder {
    fn default() -> Self {
        Self { lanes: Vec::new(), limit: LIMIT }
    }
}

impl InOrder {
    /// Takes an event and hands on what is in order.
    pub(crate) fn event(&mut self, event: Event<'_>, out: &mut dyn Sink) -> Flow {
        match event {
            Event::BlockStart { candidate, block, head } => {
                self.lane(candidate).start(block, head, out)
            }
            Event::Delta { candidate, block, delta } => {
                let limit = self.limit;
                self.lane(candidate).delta(block, delta, limit, out)
            }
            Event::BlockEnd { candidate, block } => self.lane(candidate).end(block, out),
            other => out.event(other),
        }
    }

    fn lane(&mut self, candidate: u64) -> &mut Lane {
        let at = self.lanes.iter().position(|lane| lane.candidate == candidate);
        let at = at.unwrap_or_else(|| {
            self.lanes.push(Lane { candidate, ..Lane::default() });
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.lanes.iter().map(|lane| lane.bytes + lane.early.len()).sum()
    }
}

impl Live {
    fn of(block: u64, head: &Head) -> Self {
        let function = matches!(head, Head::Tool(tool) if tool.kind == CallKind::Function);
        Self { block, arguments: function.then(Prefix::default) }
    }

    /// Follows the arguments; what is no JSON is somebody else's to tell.
    fn follow(&mut self, delta: &Delta<'_>) {
        if let (Some(arguments), Delta::Text(text)) = (&mut self.arguments, delta)
            && arguments.push(text).is_err()
        {
            self.arguments = None;
        }
    }

    fn is_whole(&self) -> bool {
        self.arguments.as_ref().is_some_and(Prefix::is_done)
    }
}

impl Lane {
    fn start(&mut self, block: u64, head: Head, out: &mut dyn Sink) -> Flow {
        if self.live.as_ref().is_some_and(Live::is_whole) {
            self.close_early(out)?;
        }
        if self.live.is_some() {
            self.waiting.push_back(Waiting { block, head, deltas: Vec::new(), ended: false });
            return Ok(());
        }
        self.live = Some(Live::of(block, &head));
        out.event(Event::BlockStart { candidate: self.candidate, block, head })
    }

    fn delta(&mut self, block: u64, delta: Delta<'_>, limit: usize, out: &mut dyn Sink) -> Flow {
        let candidate = self.candidate;
        if let Some(live) = self.live.as_mut().filter(|live| live.block == block) {
            live.follow(&delta);
            let whole = live.is_whole();
            out.event(Event::Delta { candidate, block, delta })?;
            if whole && !self.waiting.is_empty() {
                self.close_early(out)?;
                return self.advance(out);
            }
            return Ok(());
        }
        if self.early.contains(&block) {
            return match delta {
                Delta::Text(text) if !text.trim().is_empty() => {
                    Err(broken("the upstream goes on with arguments that were whole"))
                }
                _ => Ok(()),
            };
        }
        self.wait(block, delta, limit)
    }

    fn wait(&mut self, block: u64, delta: Delta<'_>, limit: usize) -> Flow {
        let Some(waiting) = self.waiting.iter_mut().find(|each| each.block == block) else {
            return Err(broken("the upstream goes on with a block that is not open"));
        };
        self.bytes += match &delta {
            Delta::Text(text) => text.len(),
            _ => 0,
        } + size_of::<Delta<'_>>();
        if self.bytes > limit {
            return Err(broken("the upstream sends too much out of order"));
        }
        waiting.deltas.push(delta.into_owned());
        Ok(())
    }

    fn end(&mut self, block: u64, out: &mut dyn Sink) -> Flow {
        if self.live.as_ref().is_some_and(|live| live.block == block) {
            self.live = None;
            out.event(Event::BlockEnd { candidate: self.candidate, block })?;
            return self.advance(out);
        }
        if let Some(at) = self.early.iter().position(|each| *each == block) {
            self.early.swap_remove(at);
        } else if let Some(waiting) = self.waiting.iter_mut().find(|each| each.block == block) {
            waiting.ended = true;
        }
        Ok(())
    }

    fn close_early(&mut self, out: &mut dyn Sink) -> Flow {
        let Some(live) = self.live.take() else { return Ok(()) };
        self.early.push(live.block);
        out.event(Event::BlockEnd { candidate: self.candidate, block: live.block })
    }

    /// Goes on with the blocks that waited.
    fn advance(&mut self, out: &mut dyn Sink) -> Flow {
        let candidate = self.candidate;
        while let Some(next) = self.waiting.pop_front() {
            let block = next.block;
            let mut live = Live::of(block, &next.head);
            out.event(Event::BlockStart { candidate, block, head: next.head })?;
            for delta in next.deltas {
                live.follow(&delta);
                self.bytes -= match &delta {
                    Delta::Text(text) => text.len(),
                    _ => 0,
                } + size_of::<Delta<'_>>();
                out.event(Event::Delta { candidate, block, delta })?;
            }
            if next.ended {
                out.event(Event::BlockEnd { candidate, block })?;
                continue;
            }
            let whole = live.is_whole();
            self.live = Some(live);
            if !whole || self.waiting.is_empty() {
                return Ok(());
            }
            self.close_early(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Tool;

    /// Writes down what it is told.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Sink for Told {
        fn event(&mut self, event: Event<'_>) -> Flow {
            self.0.push(match event {
                Event::BlockStart { block, .. } => format!("+{block}"),
                Event::Delta { block, delta: Delta::Text(text), .. } => format!("{block}:{text}"),
                Event::BlockEnd { block, .. } => format!("-{block}"),
                other => format!("{other:?}"),
            });
            Ok(())
        }
    }

    fn call(block: u64) -> Event<'static> {
        let tool = Tool {
            id: format!("c{block}"),
            name: "f".to_owned(),
            namespace: None,
            kind: CallKind::Function,
            signature: None,
        };
        Event::BlockStart { candidate: 0, block, head: Head::Tool(tool) }
    }

    fn more(block: u64, text: &'static str) -> Event<'static> {
        Event::Delta { candidate: 0, block, delta: Delta::Text(text.into()) }
    }

    fn end(block: u64) -> Event<'static> {
        Event::BlockEnd { candidate: 0, block }
    }

    fn run(events: Vec<Event<'static>>) -> (Vec<String>, usize, bool) {
        let (mut order, mut told) = (InOrder::default(), Told::default());
        let failed = events.into_iter().any(|event| order.event(event, &mut told).is_err());
        (told.0, order.held(), failed)
    }

    #[test]
    fn interleaved_blocks_come_one_after_the_other() {
        let (told, held, _) = run(vec![
            call(0),
            more(0, "{"),
            call(1),
            more(1, "{\"b\""),
            more(1, ":2}"),
            more(0, "}"),
            end(0),
            end(1),
        ]);
        assert_eq!(told, ["+0", "0:{", "0:}", "-0", "+1", "1:{\"b\"", "1::2}", "-1"]);
        assert_eq!(held, 0);
    }

    #[test]
    fn whole_arguments_make_way_and_nothing_may_follow_them() {
        let events = || vec![call(0), more(0, "{}"), call(1), more(1, "{"), more(0, " ")];
        assert_eq!(run(events()).0, ["+0", "0:{}", "-0", "+1", "1:{"]);
        let mut late = events();
        late.push(more(0, "x"));
        assert!(run(late).2);
    }

    #[test]
    fn what_waits_is_limited() {
        let mut order = InOrder { limit: 1000, ..InOrder::default() };
        let mut told = Told::default();
        order.event(call(0), &mut told).unwrap();
        order.event(call(1), &mut told).unwrap();
        let mut grow = (0..100).map(|_| order.event(more(1, "0123456789"), &mut told));
        assert!(grow.any(|flow| flow.is_err()));
    }
}
