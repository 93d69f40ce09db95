//! Errors of upstreams, and of layers further in.

use std::time::Duration;

use tollgate_core::{Body, Cause, Class, Failure, Protocol, Refusal, Sent};
use tollgate_sse::DeadlineLayer;
use tollgate_testkit::{Answer, Upstream};
use tollgate_translate::TranslateLayer;
use tower::{Layer, ServiceExt};

use crate::samples::{SAMPLES, ask, exchange, pairs, post, read, streamed, target};

#[tokio::test]
async fn every_pair_shows_the_upstreams_error_as_the_clients_own() {
    for (client, upstream) in pairs() {
        for stream in [false, true] {
            let pair = format!("{} to {}", client.protocol, upstream.protocol);
            let answer = Answer::json(429, upstream.limited)
                .header("retry-after", "7")
                .header("x-request-id", "up-1")
                .header("request-id", "up-1");
            let (seen, _) = match stream {
                true => streamed(client, upstream, answer).await,
                false => exchange(client, upstream, answer).await,
            };
            assert_eq!(seen.status, 429, "{pair}: {}", seen.text());
            assert_eq!(seen.at(client.message), "slow down", "{pair}");
            assert_eq!(seen.headers["retry-after"], "7", "{pair}");
            assert_eq!(seen.headers["content-type"], "application/json");
            assert_eq!(seen.headers["x-tollgate-origin"], "upstream");
            let failure = seen.extensions.get::<Failure>().unwrap();
            assert_eq!((failure.class, failure.cause), (Class::RateLimit, Cause::Upstream));
            assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
            let kind = match client.protocol {
                Protocol::Gemini => "RESOURCE_EXHAUSTED",
                _ => "rate_limit_error",
            };
            assert_eq!(seen.at(client.kind), kind, "{pair}");
            let id = match client.protocol {
                Protocol::AnthropicMessages => "request-id",
                _ => "x-request-id",
            };
            assert_eq!(seen.headers[id], "up-1", "{pair}");
        }
    }
}

#[tokio::test]
async fn a_rejected_credential_is_the_clients_unless_it_is_ours() {
    let [_, _, messages, gemini] = &SAMPLES;
    let rejected = r#"{"error":{"message":"bad key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
    let server = Upstream::always(Answer::json(401, rejected));
    let layer = || TranslateLayer::to(Protocol::OpenAiChat);
    let seen = ask(layer(), &server, post(messages.path, messages.request)).await;
    assert_eq!(
        (seen.status.as_u16(), seen.at("/error/type")),
        (401, "authentication_error".into())
    );
    let mut request = post(gemini.path, gemini.request);
    request.extensions_mut().insert(target(Protocol::OpenAiChat, "m"));
    let seen = ask(layer(), &server, request).await;
    assert_eq!(seen.status, 502);
    assert!(!seen.text().contains("bad key"), "{}", seen.text());
    assert_eq!(seen.extensions.get::<Failure>().unwrap().cause, Cause::Credential);
}

#[tokio::test]
async fn a_field_our_translation_wrote_and_the_upstream_refuses_is_our_fault() {
    let [chat, _, messages, _] = &SAMPLES;
    let of = async |message: &str, code: &str| {
        let text = format!(
            r#"{{"error":{{"message":"{message}","type":"invalid_request_error","param":"x","code":{code}}}}}"#
        );
        let (seen, _) = exchange(messages, chat, Answer::json(400, text)).await;
        assert_eq!(seen.status, 400);
        assert!(seen.at("/error/message").contains(message), "{}", seen.text());
        seen.extensions.get::<Failure>().unwrap().cause
    };
    assert_eq!(of("Unrecognized request argument supplied: x", "null").await, Cause::Translator);
    assert_eq!(of("no", "\"unknown_parameter\"").await, Cause::Translator);
    assert_eq!(of("the image is empty", "null").await, Cause::Upstream);
}

#[tokio::test]
async fn an_error_within_a_200_is_an_error() {
    let [chat, _, messages, _] = &SAMPLES;
    let (seen, _) = exchange(messages, chat, Answer::json(200, chat.limited)).await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/type")), (429, "rate_limit_error".into()));
}

#[tokio::test]
async fn an_error_that_is_no_json_keeps_its_class() {
    let [chat, _, _, gemini] = &SAMPLES;
    let answer = Answer::new(
        http::StatusCode::SERVICE_UNAVAILABLE,
        tollgate_testkit::Script::new("<html><h1>overloaded</h1></html>"),
    );
    let (seen, _) = exchange(gemini, chat, answer).await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/status")), (503, "UNAVAILABLE".into()));
    assert!(!seen.text().contains("<h1>"), "{}", seen.text());
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_further_in_says_is_said_in_the_clients_protocol() {
    let [_, _, messages, gemini] = &SAMPLES;
    let service = TranslateLayer::to(Protocol::OpenAiChat).layer(
        DeadlineLayer::new()
            .head(Duration::from_secs(1))
            .layer(Upstream::always(Answer::silence())),
    );
    let answer = service.clone().oneshot(post(messages.path, messages.request)).await.unwrap();
    let seen = read(answer).await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/type")), (504, "timeout_error".into()));
    let failure = seen.extensions.get::<Failure>().unwrap();
    assert_eq!((failure.cause, failure.sent), (Cause::Deadline, Sent::Maybe));
    let answer = service.oneshot(post(gemini.path, gemini.request)).await.unwrap();
    assert_eq!(read(answer).await.at("/error/status"), "DEADLINE_EXCEEDED");

    let refusing = tower::service_fn(|request: http::Request<Body>| async move {
        let caller = tollgate_wire::Caller::of(&request);
        let refusal = Refusal::new(Class::RateLimit, "not now").code("mine");
        Ok::<_, std::convert::Infallible>(caller.refuse(refusal).map(Body::from))
    });
    let service = TranslateLayer::to(Protocol::OpenAiChat).layer(refusing);
    let seen = read(service.oneshot(post(messages.path, messages.request)).await.unwrap()).await;
    assert_eq!((seen.status.as_u16(), seen.at("/type")), (429, "error".into()));
    assert_eq!(seen.extensions.get::<Refusal>().unwrap().code, Some("mine"));
    assert!(seen.extensions.get::<Failure>().is_none());
}

#[tokio::test]
async fn an_inner_error_stays_one() {
    let [chat, _, _, _] = &SAMPLES;
    let service = TranslateLayer::to(Protocol::Gemini).layer(Upstream::always(Answer::error()));
    let error = service.oneshot(post(chat.path, chat.request)).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("reset"), "{error}");
}
