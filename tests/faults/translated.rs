//! Streams of one protocol that break, for clients of another.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::Full;
use tokio::time::Instant;
use tollgate_core::Protocol;
use tollgate_gateway::{Readiness, stack};
use tollgate_testkit::Script;
use tollgate_tests::{CLIENT_KEY, state};
use tower::ServiceExt;

use crate::{
    gateway::{Seen, Setup, answered, leaf, read, upstream},
    lane::{Kind, Lane},
};

/// The streams of each protocol the client does not speak.
fn foreign(client: Lane) -> impl Iterator<Item = Lane> {
    let others = Protocol::ALL.into_iter().filter(move |other| *other != client.protocol);
    others.map(|protocol| Lane { protocol, kind: Kind::Stream })
}

/// What a client asks that wants a stream and nothing else.
fn asking(client: Lane) -> Request<Full<Bytes>> {
    let (path, body) = match (client.protocol, client.kind) {
        (Protocol::OpenAiResponses, _) => {
            ("/v1/responses", r#"{"model":"m","stream":true,"input":"hi"}"#)
        }
        (Protocol::AnthropicMessages, _) => (
            "/v1/messages",
            r#"{"model":"m","stream":true,"max_tokens":99,"messages":[{"role":"user","content":"hi"}]}"#,
        ),
        (Protocol::Gemini, kind) => (
            match kind {
                Kind::Array => "/v1beta/models/m:streamGenerateContent",
                _ => "/v1beta/models/m:streamGenerateContent?alt=sse",
            },
            r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#,
        ),
        _ => (
            "/v1/chat/completions",
            r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#,
        ),
    };
    let request = Request::post(path).header("x-api-key", CLIENT_KEY);
    request.header(CONTENT_TYPE, "application/json").body(Full::from(body)).expect("valid")
}

/// What the client sees of an upstream of another protocol.
async fn exchange(client: Lane, other: Lane, script: Script) -> Seen {
    let upstream = upstream(other.answer(script));
    let state = state(other.protocol, "http://upstream.test/v1", &["m"]);
    let gateway = stack(state, Readiness::ready(), Setup::default().options, leaf(&upstream));
    read(answered(gateway.oneshot(asking(client)).await.expect("infallible"))).await
}

/// What each event says that only an ending has.
fn endings(client: Lane) -> &'static [&'static str] {
    match client.protocol {
        Protocol::OpenAiResponses => &["response.completed", "response.incomplete"],
        Protocol::AnthropicMessages => &["message_stop", "\"stop_reason\":\""],
        Protocol::Gemini => &["\"finishReason\":"],
        _ => &["[DONE]", "\"finish_reason\":\""],
    }
}

/// The text came, then exactly one error event, and nothing that looks like a success.
fn broken(client: Lane, other: Lane, seen: &Seen) {
    let text = seen.text();
    assert_eq!(seen.status, 200, "{client} on {other}: {text}");
    let (begun, error) = match client.protocol {
        Protocol::OpenAiResponses => ("é😀", "event: response.failed"),
        Protocol::AnthropicMessages => ("é😀", "event: error"),
        _ => ("é😀", "\"error\":{"),
    };
    let at = text.find(begun).unwrap_or_else(|| unreachable!("{client} on {other}: {text}"));
    assert_eq!(text.matches(error).count(), 1, "{client} on {other}: {text}");
    assert!(text.find(error) > Some(at), "{client} on {other}: {text}");
    for ending in endings(client) {
        assert!(!text.contains(ending), "{client} on {other}: shown as finished: {text}");
    }
    assert!(matches!(seen.ending(), Some(Some(_))), "{client} on {other}: the outcome");
}

/// The begin of a stream with what a decoder needs to place what follows.
fn start(other: Lane) -> String {
    let opened = match other.protocol {
        Protocol::OpenAiResponses => {
            r#"event: response.output_item.added
data: {"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}

event: response.content_part.added
data: {"type":"response.content_part.added","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}

"#
        }
        Protocol::AnthropicMessages => {
            r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

"#
        }
        _ => "",
    };
    [other.start(), opened].concat()
}

/// Something that is said.
fn content(other: Lane) -> &'static str {
    match other.protocol {
        Protocol::OpenAiResponses => {
            r#"event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"é😀"}

"#
        }
        _ => other.content(),
    }
}

fn begun(other: Lane) -> String {
    [&start(other), content(other), content(other)].concat()
}

/// A whole stream.
fn whole(other: Lane) -> String {
    let closed = match other.protocol {
        Protocol::OpenAiResponses => {
            r#"event: response.output_item.done
data: {"type":"response.output_item.done","sequence_number":4,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"é😀é😀","annotations":[]}]}}

"#
        }
        Protocol::AnthropicMessages => {
            r#"event: content_block_stop
data: {"type":"content_block_stop","index":0}

"#
        }
        _ => "",
    };
    [&begun(other), closed, other.finish()].concat()
}

pub(crate) async fn reset(client: Lane) {
    for other in foreign(client) {
        for inside in ["", &content(other)[..9]] {
            let script = Script::new(begun(other) + inside).reset();
            broken(client, other, &exchange(client, other, script).await);
        }
    }
}

pub(crate) async fn stall(client: Lane) {
    for other in foreign(client) {
        let since = Instant::now();
        let seen = exchange(client, other, Script::new(begun(other)).stall()).await;
        assert_eq!(since.elapsed(), Duration::from_secs(120), "{client} on {other}");
        broken(client, other, &seen);
    }
}

pub(crate) async fn end_without_terminal_event(client: Lane) {
    for other in foreign(client) {
        broken(client, other, &exchange(client, other, Script::new(begun(other))).await);
    }
}

pub(crate) async fn truncated_last_event(client: Lane) {
    for other in foreign(client) {
        for at in [1, 15, 30] {
            let script = Script::new(begun(other) + &other.finish()[..at]);
            broken(client, other, &exchange(client, other, script).await);
        }
    }
}

pub(crate) async fn an_error_in_the_stream(client: Lane) {
    for other in foreign(client) {
        let script = Script::new(begun(other) + other.overloaded());
        broken(client, other, &exchange(client, other, script).await);
    }
}

pub(crate) async fn endless_event(client: Lane) {
    for other in foreign(client) {
        let chunk = Bytes::from(vec![b'x'; 1 << 18]);
        let endless = Script::new(begun(other)).then("data: {\"x\":\"");
        let endless = (0..72).fold(endless, |script, _| script.then(chunk.clone())).stall();
        broken(client, other, &exchange(client, other, endless).await);
    }
}

/// However the upstream's bytes are cut, the client sees the same.
pub(crate) async fn split_at_every_offset(client: Lane) {
    for other in foreign(client) {
        let whole = Script::new(whole(other));
        let expected = exchange(client, other, whole.clone()).await.text();
        assert!(expected.contains("é😀"), "{client} on {other}: {expected}");
        for at in (1..whole.len()).step_by(3) {
            let seen = exchange(client, other, whole.clone().cut_at(&[at])).await.text();
            assert_eq!(without_times(&seen), without_times(&expected), "{client} on {other}: {at}");
        }
    }
}

/// Line ends, comments and a mark of byte order change nothing.
pub(crate) async fn odd_shapes(client: Lane) {
    for other in foreign(client) {
        let whole = whole(other);
        let expected = exchange(client, other, Script::new(whole.clone())).await.text();
        for odd in [
            whole.replace('\n', "\r\n"),
            whole.replace('\n', "\r"),
            format!("\u{feff}{whole}"),
            whole.replace("\n\n", "\nid: 7\nretry: 10\n\n: a comment\n\n"),
        ] {
            let seen = exchange(client, other, Script::new(odd)).await.text();
            assert_eq!(without_times(&seen), without_times(&expected), "{client} on {other}");
        }
    }
}

/// The text without the digits of ids and times, which differ from call to call.
fn without_times(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_hexdigit()).collect()
}
