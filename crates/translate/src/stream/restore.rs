//! What a request's encoder changed, given back to the stream that answers it.

use super::{Delta, Ending, Event, Flow, Head, LIMIT, Sink, broken};
use crate::{
    model::{Args, CallKind, Finish},
    restore::{self, Restore},
};

/// Gives a stream back what its request lost. See [`Restore`].
#[derive(Debug)]
pub(crate) struct Restorer {
    restore: Restore,
    open: Vec<Open>,
    /// Candidates that call a tool of the client.
    calling: Vec<u64>,
    /// Candidates that met a stop text, and which.
    stopped: Vec<(u64, String)>,
}

#[derive(Debug)]
struct Open {
    candidate: u64,
    block: u64,
    how: How,
}

/// What becomes of a block.
#[derive(Debug)]
enum How {
    Passes,
    /// A stand-in's arguments, held until the text in them is whole.
    Unwraps(String),
    /// The end of a text that may be the beginning of a stop text.
    Watches(String),
}

impl Restorer {
    /// Returns what gives back `restore`; `None` where there is nothing to give.
    pub(crate) fn new(restore: &Restore) -> Option<Self> {
        let restorer = || Self {
            restore: restore.clone(),
            open: Vec::new(),
            calling: Vec::new(),
            stopped: Vec::new(),
        };
        (!restore.is_empty()).then(restorer)
    }

    pub(crate) fn event(&mut self, event: Event<'_>, out: &mut dyn Sink) -> Flow {
        match event {
            Event::BlockStart { candidate, .. }
            | Event::Delta { candidate, .. }
            | Event::BlockEnd { candidate, .. }
                if self.stopped.iter().any(|(each, _)| *each == candidate) =>
            {
                Ok(())
            }
            Event::BlockStart { candidate, block, head } => {
                let (head, how) = self.head(candidate, head);
                self.open.push(Open { candidate, block, how });
                out.event(Event::BlockStart { candidate, block, head })
            }
            Event::Delta { candidate, block, delta } => self.delta(candidate, block, delta, out),
            Event::BlockEnd { candidate, block } => {
                self.end(candidate, block, out)?;
                out.event(Event::BlockEnd { candidate, block })
            }
            Event::Finish(ending) => out.event(Event::Finish(self.ending(ending))),
            other => out.event(other),
        }
    }

    fn head(&mut self, candidate: u64, head: Head) -> (Head, How) {
        match head {
            Head::Tool(tool) if self.restore.is_answer_tool(&tool.name) => {
                (Head::Text(None), How::Passes)
            }
            Head::Tool(mut tool) => {
                self.calling.push(candidate);
                let Some(original) = self.restore.original(&tool.name) else {
                    return (Head::Tool(tool), How::Passes);
                };
                tool.name.clone_from(&original.name);
                tool.namespace.clone_from(&original.namespace);
                if !original.custom {
                    return (Head::Tool(tool), How::Passes);
                }
                tool.kind = CallKind::Custom;
                (Head::Tool(tool), How::Unwraps(String::new()))
            }
            Head::Text(signature) if !self.restore.stop_texts().is_empty() => {
                (Head::Text(signature), How::Watches(String::new()))
            }
            head => (head, How::Passes),
        }
    }

    fn delta(&mut self, candidate: u64, block: u64, delta: Delta<'_>, out: &mut dyn Sink) -> Flow {
        let is_it = |open: &&mut Open| open.candidate == candidate && open.block == block;
        let how = self.open.iter_mut().find(is_it).map(|open| &mut open.how);
        let delta = match (how, delta) {
            (Some(How::Unwraps(held)), Delta::Text(text)) => {
                held.push_str(&text);
                return match held.len() {
                    ..=LIMIT => Ok(()),
                    _ => Err(broken("the upstream calls a tool with too long arguments")),
                };
            }
            (Some(How::Watches(held)), Delta::Text(text)) => {
                held.push_str(&text);
                let (shown, met) = watched(held, self.restore.stop_texts());
                if let Some(stop) = met {
                    return self.stop(candidate, block, &shown, stop, out);
                }
                Delta::Text(shown.into())
            }
            (_, delta) => delta,
        };
        out.event(Event::Delta { candidate, block, delta })
    }

    /// Tells what was held of a block.
    fn end(&mut self, candidate: u64, block: u64, out: &mut dyn Sink) -> Flow {
        let is_it = |open: &Open| open.candidate == candidate && open.block == block;
        let Some(at) = self.open.iter().position(is_it) else { return Ok(()) };
        let text = match self.open.swap_remove(at).how {
            How::Passes => return Ok(()),
            How::Watches(held) => held,
            How::Unwraps(held) => restore::free_text(&Args::of_text(&held)).unwrap_or(held),
        };
        out.event(Event::Delta { candidate, block, delta: Delta::Text(text.into()) })
    }

    /// Ends a candidate whose text met a stop text.
    fn stop(
        &mut self,
        candidate: u64,
        block: u64,
        shown: &str,
        stop: String,
        out: &mut dyn Sink,
    ) -> Flow {
        self.stopped.push((candidate, stop));
        out.event(Event::Delta { candidate, block, delta: Delta::Text(shown.into()) })?;
        let (mine, others) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|open| open.candidate == candidate);
        self.open = others;
        let mine: Vec<Open> = mine;
        mine.iter().try_for_each(|open| out.event(Event::BlockEnd { candidate, block: open.block }))
    }

    fn ending(&self, ending: Ending) -> Ending {
        let candidate = ending.candidate;
        if let Some((_, stop)) = self.stopped.iter().find(|(each, _)| *each == candidate) {
            return Ending { finish: Finish::StopSequence(Some(stop.clone())), ..ending };
        }
        match ending.finish {
            Finish::ToolCalls if !self.calling.contains(&candidate) => {
                Ending { finish: Finish::Stop, ..ending }
            }
            _ => ending,
        }
    }
}

/// Takes out of `held` what can be shown, and the stop text that was met.
fn watched(held: &mut String, stops: &[String]) -> (String, Option<String>) {
    let found = stops.iter().filter_map(|stop| Some((held.find(stop.as_str())?, stop)));
    if let Some((cut, stop)) = found.min_by_key(|(cut, _)| *cut) {
        let mut shown = std::mem::take(held);
        shown.truncate(cut);
        return (shown, Some(stop.clone()));
    }
    let longest = stops.iter().map(String::len).max().unwrap_or(0);
    let from = held.len().saturating_sub(longest.saturating_sub(1));
    let may_begin = |at: &usize| {
        held.is_char_boundary(*at) && stops.iter().any(|stop| stop.starts_with(&held[*at..]))
    };
    let keep = (from..held.len()).find(may_begin).unwrap_or(held.len());
    let rest = held.split_off(keep);
    (std::mem::replace(held, rest), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_text_is_found_wherever_it_is_cut() {
        let stops = ["END".to_owned(), "é!".to_owned()];
        for (text, wanted) in [("oneENDtwo", "one"), ("oneEé!", "oneE"), ("EEND", "E")] {
            for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                let (mut held, mut shown, mut met) = (String::new(), String::new(), None);
                for piece in [&text[..cut], &text[cut..]] {
                    if met.is_none() {
                        held.push_str(piece);
                        let (more, stop) = watched(&mut held, &stops);
                        shown.push_str(&more);
                        met = stop;
                    }
                }
                assert_eq!((shown.as_str(), met.is_some()), (wanted, true), "{text} {cut}");
            }
        }
    }

    #[test]
    fn what_only_begins_like_a_stop_text_is_shown() {
        let mut held = "a E".to_owned();
        assert_eq!(watched(&mut held, &["END".to_owned()]), ("a ".to_owned(), None));
        held.push('x');
        assert_eq!(watched(&mut held, &["END".to_owned()]), ("Ex".to_owned(), None));
    }
}
