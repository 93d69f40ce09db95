//! Streams: whole, broken, cut, arrays, and answers in a stream's place.

use http::header;
use http_body_util::BodyExt;
use tollgate_core::{Attempt, Cause, Class, Ending, Failure, Protocol, StreamError};
use tollgate_sse::SseLayer;
use tollgate_testkit::{Answer, Script, Upstream, body_contract};
use tollgate_translate::TranslateLayer;
use tollgate_wire::{Automaton, Event, Inspect, Seen as Meaning, dialect};
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::samples::{SAMPLES, Sample, Seen, ask, asked, pairs, post, streamed};

/// What a stream in a client's protocol says, read by that protocol's automaton: whether it had
/// content, its error, whether it is complete.
fn judged(client: &Sample, seen: &Seen) -> (bool, Option<String>, bool) {
    let call = tollgate_core::Call::new(client.protocol, tollgate_core::Operation::Generate);
    let mut automaton: Box<dyn Automaton> = dialect(client.protocol).automaton(&call);
    let (mut content, mut error) = (false, None);
    for event in seen.text().split("\n\n").filter(|event| !event.trim().is_empty()) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let data = field("data: ").unwrap_or_default().as_bytes();
        assert!(error.is_none(), "nothing follows an error: {}", seen.text());
        match automaton.event(Event { name: field("event: "), data }) {
            Meaning::Content => content = true,
            Meaning::Error(fault) => error = Some(fault.message),
            Meaning::Lifecycle | Meaning::Unfinished => {}
            Meaning::Malformed => panic!("malformed: {event}"),
        }
    }
    (content, error, automaton.is_complete(true))
}

fn whole(upstream: &Sample) -> Script {
    Script::new(format!("{}{}", upstream.events, upstream.last))
}

#[tokio::test]
async fn every_pair_streams() {
    for (client, upstream) in pairs() {
        let pair = format!("{} to {}", client.protocol, upstream.protocol);
        let (seen, received) = streamed(client, upstream, Answer::sse(whole(upstream))).await;
        assert_eq!(seen.status, 200, "{pair}: {}", seen.text());
        assert_eq!(seen.headers[header::CONTENT_TYPE], "text/event-stream", "{pair}");
        assert!(seen.text().contains("Hello"), "{pair}: {}", seen.text());
        let (content, error, complete) = judged(client, &seen);
        assert!(content && complete && error.is_none(), "{pair}: {}", seen.text());
        assert_eq!(received.uri, upstream.stream_path, "{pair}");
        assert_eq!(received.headers[header::ACCEPT], "text/event-stream");
    }
}

#[tokio::test]
async fn every_cut_of_the_frames_gives_the_same_stream() {
    for (client, upstream) in pairs() {
        let (one, _) = streamed(client, upstream, Answer::sse(whole(upstream))).await;
        for size in [1, 7, 64] {
            let cut = Answer::sse(whole(upstream).split_every(size));
            let (seen, _) = streamed(client, upstream, cut).await;
            assert_eq!(seen.text(), one.text(), "{} to {}", client.protocol, upstream.protocol);
        }
    }
}

#[tokio::test]
async fn an_event_leaves_when_it_came() {
    let [chat, _, messages, _] = &SAMPLES;
    let server = Upstream::always(Answer::sse(Script::new(chat.events).stall()));
    let service = TranslateLayer::to(chat.protocol).layer(server);
    let request = post(messages.stream_path, messages.stream_request);
    let mut body = service.oneshot(request).await.unwrap().into_body();
    let mut text = String::new();
    while !text.contains("Hello") {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&frame).unwrap());
    }
    assert!(!text.contains("message_stop"));
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_in_the_clients_error_event() {
    for (client, upstream) in pairs() {
        let pair = format!("{} to {}", client.protocol, upstream.protocol);
        for script in [
            Script::new(upstream.events),
            Script::new(upstream.events).reset(),
            Script::new(format!("{}data: {{", upstream.events)),
            Script::new(format!("{}data: garbage\n\n", upstream.events)),
        ] {
            let (seen, _) = streamed(client, upstream, Answer::sse(script)).await;
            assert_eq!(seen.status, 200, "{pair}");
            let (content, error, _) = judged(client, &seen);
            assert!(content && error.is_some(), "{pair}: {}", seen.text());
            assert!(!seen.text().contains("[DONE]") && !seen.text().contains("message_stop"));
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_content_is_an_error_answer() {
    for (client, upstream) in pairs() {
        let pair = format!("{} to {}", client.protocol, upstream.protocol);
        for script in [Script::default(), Script::default().reset(), Script::new("data: x\n\n")] {
            let (seen, _) = streamed(client, upstream, Answer::sse(script)).await;
            assert!(seen.status.is_server_error(), "{pair}: {} {}", seen.status, seen.text());
            assert!(!seen.at(client.message).is_empty(), "{pair}");
            let failure = seen.extensions.get::<Failure>().unwrap();
            assert_eq!(failure.class, Class::ServerError);
        }
    }
    let [chat, _, messages, _] = &SAMPLES;
    let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n";
    let (seen, _) = streamed(chat, messages, Answer::sse(Script::new(overloaded))).await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/message")), (503, "busy".into()));
    assert_eq!(seen.extensions.get::<Failure>().unwrap().class, Class::Overloaded);
}

#[tokio::test]
async fn what_went_wrong_further_in_is_told_with_its_reason() {
    let [chat, _, messages, _] = &SAMPLES;
    let idle =
        || StreamError::new(Class::Timeout, "nothing came for 2 minutes").code("idle_timeout");
    let broken = Script::new(chat.events).fail(idle);
    let (seen, _) = streamed(messages, chat, Answer::sse(broken)).await;
    let (_, error, _) = judged(messages, &seen);
    assert!(error.unwrap().contains("2 minutes"), "{}", seen.text());
    assert!(seen.text().contains("timeout_error"), "{}", seen.text());
    let broken = Script::default().fail(idle);
    let (seen, _) = streamed(messages, chat, Answer::sse(broken)).await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/type")), (504, "timeout_error".into()));
    assert_eq!(seen.extensions.get::<Failure>().unwrap().cause, Cause::Deadline);
}

#[tokio::test]
async fn whoever_made_the_attempt_hears_that_the_translator_ended_it() {
    let [chat, _, messages, _] = &SAMPLES;
    let script = Script::new(format!("{}data: garbage\n\n", chat.events)).stall();
    let server = Upstream::always(Answer::sse(script));
    let attempt = Attempt::new(1);
    let mut request = post(messages.stream_path, messages.stream_request);
    request.extensions_mut().insert(attempt.clone());
    ask(TranslateLayer::to(chat.protocol), &server, request).await;
    assert_eq!(attempt.ending(), Some(Ending::Failed(Cause::Translator)));
    assert!(server.probes()[0].dropped_early(), "the upstream is told at once");
}

#[tokio::test]
async fn a_gemini_client_without_alt_sse_gets_an_array() {
    let [chat, _, _, gemini] = &SAMPLES;
    for (script, fails) in [(whole(chat), false), (Script::new(chat.events), true)] {
        let server = Upstream::always(Answer::sse(script));
        let request = post("/v1beta/models/m:streamGenerateContent", gemini.stream_request);
        let seen = ask(TranslateLayer::to(chat.protocol), &server, request).await;
        assert_eq!(seen.headers[header::CONTENT_TYPE], "application/json");
        let elements = seen.json();
        let elements = elements.as_array().unwrap();
        assert_eq!(elements[0]["candidates"][0]["content"]["parts"][0]["text"], "Hello");
        assert_eq!(elements.last().unwrap()["error"].is_object(), fails, "{}", seen.text());
        assert_eq!(asked(&server).uri, chat.path);
    }
}

#[tokio::test]
async fn an_upstream_that_answers_a_call_for_a_stream_whole_is_streamed() {
    for (client, upstream) in pairs() {
        let pair = format!("{} to {}", client.protocol, upstream.protocol);
        let (seen, _) = streamed(client, upstream, Answer::json(200, upstream.answer)).await;
        assert_eq!(seen.headers[header::CONTENT_TYPE], "text/event-stream", "{pair}");
        let (content, error, complete) = judged(client, &seen);
        assert!(content && complete && error.is_none(), "{pair}: {}", seen.text());
        assert!(seen.text().contains("Hello"), "{pair}: {}", seen.text());
    }
}

#[tokio::test]
async fn an_upstream_of_the_same_protocol_that_answers_whole_is_streamed_too() {
    for sample in &SAMPLES {
        let request = post(sample.stream_path, sample.stream_request);
        let request = Inspect::new().call(request).await.unwrap();
        let server = Upstream::always(Answer::json(200, sample.answer));
        let seen = ask(TranslateLayer::to(sample.protocol), &server, request).await;
        assert_eq!(asked(&server).body(), sample.stream_request, "{}", sample.protocol);
        assert_eq!(seen.headers[header::CONTENT_TYPE], "text/event-stream", "{}", sample.protocol);
        let (content, error, complete) = judged(sample, &seen);
        assert!(content && complete && error.is_none(), "{}", seen.text());
        assert!(seen.text().contains("Hello"), "{}", seen.text());
    }
}

#[tokio::test]
async fn a_stream_nobody_asked_for_is_a_failure() {
    let [chat, _, messages, _] = &SAMPLES;
    let server = Upstream::always(Answer::sse(whole(chat)));
    let request = post(messages.path, messages.request);
    let seen = ask(TranslateLayer::to(chat.protocol), &server, request).await;
    assert!(seen.status.is_server_error(), "{}", seen.text());
    assert_eq!(seen.extensions.get::<Failure>().unwrap().cause, Cause::Upstream);
}

#[tokio::test]
async fn the_client_side_around_it_changes_nothing() {
    for (client, upstream) in pairs() {
        for script in [whole(upstream), Script::new(upstream.events).reset()] {
            let (alone, _) = streamed(client, upstream, Answer::sse(script.clone())).await;
            let service = ServiceBuilder::new()
                .layer(SseLayer::new())
                .layer(TranslateLayer::to(upstream.protocol))
                .service(Upstream::always(Answer::sse(script)));
            let request = post(client.stream_path, client.stream_request);
            let response = service.oneshot(request).await.unwrap();
            let text = response.into_body().collect().await.unwrap().to_bytes();
            let ids = |text: &str| text.lines().filter(|line| !line.contains("error")).count();
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!(
                ids(text),
                ids(alone.text()),
                "{} to {}",
                client.protocol,
                upstream.protocol
            );
        }
    }
}

#[tokio::test]
async fn the_bodies_keep_the_body_contract() {
    let [chat, _, messages, _] = &SAMPLES;
    for answer in [
        Answer::sse(whole(chat).split_every(50)),
        Answer::sse(Script::new(chat.events).reset()),
        Answer::json(200, chat.answer),
        Answer::json(429, chat.limited),
    ] {
        let stream = Upstream::always(answer);
        let make = || {
            let service = TranslateLayer::to(chat.protocol).layer(stream.clone());
            let request = post(messages.stream_path, messages.stream_request);
            futures_util::FutureExt::now_or_never(service.oneshot(request))
                .unwrap()
                .unwrap()
                .into_body()
        };
        body_contract(make).await;
    }
    let same = || {
        let service = TranslateLayer::to(chat.protocol)
            .layer(Upstream::always(Answer::sse(whole(chat).split_every(9))));
        let request = post(chat.stream_path, chat.stream_request);
        futures_util::FutureExt::now_or_never(service.oneshot(request))
            .unwrap()
            .unwrap()
            .into_body()
    };
    body_contract(same).await;
}

#[tokio::test]
async fn dropping_the_body_drops_the_upstreams() {
    let [chat, _, messages, _] = &SAMPLES;
    let server = Upstream::always(Answer::sse(Script::new(chat.events).stall()));
    let service = TranslateLayer::to(chat.protocol).layer(server.clone());
    let request = post(messages.stream_path, messages.stream_request);
    let response = service.oneshot(request).await.unwrap();
    assert!(!server.probes()[0].dropped_early());
    drop(response);
    assert!(server.probes()[0].dropped_early());
}

#[test]
fn there_is_a_sample_of_each_protocol() {
    assert_eq!(SAMPLES.each_ref().map(|sample| sample.protocol), Protocol::ALL);
    assert_eq!(pairs().count(), 12);
}
