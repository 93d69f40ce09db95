//! Upstreams that fail within their answer, or never come to its end.

use tollgate_core::{Class, Protocol};
use tollgate_testkit::Script;

use crate::{
    gateway::exchange,
    judge::{broken, failed, unchanged},
    lane::{Kind, Lane},
};

pub(crate) async fn an_error_is_the_first_event(lane: Lane) {
    let mut scripts = vec![lane.overloaded().to_owned()];
    if lane.kind == Kind::Stream {
        scripts.push([lane.start(), lane.ping(), lane.overloaded()].concat());
    }
    for script in scripts {
        let (seen, _) = exchange(lane, lane.answer(Script::new(script))).await;
        failed(lane, &seen, Class::Overloaded, "server_is_overloaded");
    }
}

pub(crate) async fn reset(lane: Lane) {
    let whole = lane.whole();
    let early = if lane.kind == Kind::Json { whole.len() - 1 } else { lane.start().len() + 5 };
    for at in [0, 5, early] {
        let script = Script::new(whole.clone()).reset_at(at);
        let (seen, _) = exchange(lane, lane.answer(script)).await;
        failed(lane, &seen, Class::ServerError, "upstream_truncated");
    }
    if lane.streams() {
        let sent = [lane.start(), lane.content(), lane.content()].concat();
        for inside in ["", &lane.content()[..9]] {
            let script = Script::new(sent.clone() + inside).reset();
            let (seen, _) = exchange(lane, lane.answer(script)).await;
            broken(lane, &seen, &sent, Class::ServerError, "upstream_truncated");
        }
        reset_after_the_finish(lane).await;
    }
}

/// Only a terminal event outlives a reset.
async fn reset_after_the_finish(lane: Lane) {
    let whole = lane.whole();
    let script = Script::new(whole.clone()).reset();
    let (seen, _) = exchange(lane, lane.answer(script)).await;
    match lane.protocol {
        Protocol::AnthropicMessages | Protocol::OpenAiResponses => unchanged(lane, &seen, &whole),
        _ => {
            let array = lane.kind == Kind::Array;
            let sent = if array { whole.trim_end_matches(['\n', ']']) } else { whole.as_str() };
            broken(lane, &seen, sent, Class::ServerError, "upstream_truncated");
        }
    }
}

pub(crate) async fn end_without_terminal_event(lane: Lane) {
    if lane.kind == Kind::Json {
        let whole = lane.whole();
        let script = Script::new(whole.clone()).end_at(whole.len() - 1);
        let (seen, _) = exchange(lane, lane.answer(script)).await;
        return failed(lane, &seen, Class::ServerError, "upstream_bad_answer");
    }
    let (seen, _) = exchange(lane, lane.answer(Script::new(lane.start()))).await;
    failed(lane, &seen, Class::ServerError, "upstream_truncated");
    let sent = [lane.start(), lane.content(), lane.content()].concat();
    let (seen, _) = exchange(lane, lane.answer(Script::new(sent.clone()))).await;
    broken(lane, &seen, &sent, Class::ServerError, "upstream_truncated");
}

pub(crate) async fn truncated_last_event(lane: Lane) {
    let sent = [lane.start(), lane.content()].concat();
    for at in [1, 15, 30] {
        let script = Script::new(sent.clone() + &lane.finish()[..at]);
        let (seen, _) = exchange(lane, lane.answer(script)).await;
        broken(lane, &seen, &sent, Class::ServerError, "upstream_truncated");
    }
    // The event is whole, what it carries is not.
    let cut = sent.clone() + truncated_finish(lane);
    let (seen, _) = exchange(lane, lane.answer(Script::new(cut.clone()))).await;
    let shown = if seen.text().starts_with(&cut) { &cut } else { &sent };
    broken(lane, &seen, shown, Class::ServerError, "upstream_truncated");
}

fn truncated_finish(lane: Lane) -> &'static str {
    match (lane.protocol, lane.kind) {
        (Protocol::OpenAiResponses, _) => {
            "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\"\n\n"
        }
        (Protocol::AnthropicMessages, _) => "event: message_stop\ndata: {\"type\":\"message_st\n\n",
        (_, Kind::Array) => ",{\"candidates\":[{\"finishReason\":\"STOP\"}]",
        (Protocol::Gemini, _) => "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]\n\n",
        _ => "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]\n\n",
    }
}

/// The default limit of one event.
const LIMIT: u64 = 16 << 20;

pub(crate) async fn endless_event(lane: Lane) {
    let open = if lane.kind == Kind::Array { ",{\"x\":\"" } else { "data: {\"x\":\"" };
    for sent in [lane.start().to_owned(), [lane.start(), lane.content()].concat()] {
        let committed = sent.len() > lane.start().len();
        let chunk = bytes::Bytes::from(vec![b'x'; 1 << 18]);
        let endless = Script::new(sent.clone()).then(open);
        let endless = (0..72).fold(endless, |script, _| script.then(chunk.clone())).stall();
        let (seen, probe) = exchange(lane, lane.answer(endless)).await;
        match committed {
            true => broken(lane, &seen, &sent, Class::ServerError, "event_too_large"),
            false => failed(lane, &seen, Class::ServerError, "event_too_large"),
        }
        assert!(probe.taken() < LIMIT + (1 << 20), "no more was held: {}", probe.taken());
        assert!(probe.dropped_early(), "{lane}: the upstream was let go");
    }
}
