//! Requests and whole answers.

use http::header;
use tollgate_core::{
    Body, Call, CallFacts, Cause, Class, Failure, Operation, Protocol, Refusal, Target,
};
use tollgate_testkit::{Answer, Script, Upstream};
use tollgate_translate::{Policy, TranslateLayer};
use tollgate_wire::Inspect;

use crate::samples::{SAMPLES, ask, asked, exchange, pairs, post, target};

#[tokio::test]
async fn every_pair_asks_and_answers() {
    for (client, upstream) in pairs() {
        let pair = format!("{} to {}", client.protocol, upstream.protocol);
        let answer = Answer::json(200, upstream.answer).header("x-own", "kept");
        let (seen, received) = exchange(client, upstream, answer).await;
        assert_eq!(seen.status, 200, "{pair}: {}", seen.text());
        assert_eq!(seen.at(client.text), "Hello", "{pair}");
        assert_eq!(seen.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(seen.headers[header::CONTENT_LENGTH], seen.body.len().to_string());
        assert_eq!(seen.headers["x-own"], "kept");
        assert_eq!(received.uri, upstream.path, "{pair}");
        assert!(received.json().is_object(), "{pair}");
        assert_eq!(received.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(received.headers[header::ACCEPT], "application/json");
    }
}

#[tokio::test]
async fn who_is_further_in_meets_a_call_in_the_upstreams_protocol() {
    for (client, upstream) in pairs() {
        let (_, received) = exchange(client, upstream, Answer::json(200, upstream.answer)).await;
        let call = received.extensions.get::<Call>().unwrap();
        assert_eq!((call.protocol, call.operation), (upstream.protocol, Operation::Generate));
        assert_eq!(call.model.as_deref(), Some("m"), "as the client named it");
        assert!(!call.stream && !call.json_array);
        let limited = upstream.protocol == Protocol::AnthropicMessages;
        if limited && client.protocol != Protocol::AnthropicMessages {
            assert_eq!(call.output_limit, Some(8192), "what the upstream was asked for");
        }
    }
}

#[tokio::test]
async fn the_same_protocol_passes_untouched() {
    for sample in &SAMPLES {
        let odd = format!("  {}\n", sample.request);
        let server = Upstream::always(
            Answer::new(http::StatusCode::IM_A_TEAPOT, Script::new("not json"))
                .header("x-own", "kept"),
        );
        let path =
            format!("{}{}a=b", sample.path, if sample.path.contains('?') { "&" } else { "?" });
        let mut request = post(&path, &odd);
        request.headers_mut().clear();
        let seen = ask(TranslateLayer::to(sample.protocol), &server, request).await;
        assert_eq!((seen.status.as_u16(), seen.text()), (418, "not json"));
        let received = asked(&server);
        assert_eq!(received.uri.to_string(), path);
        assert_eq!(received.body(), odd);
        assert!(received.headers.is_empty() && received.extensions.get::<Call>().is_none());
    }
}

#[tokio::test]
async fn without_target_and_upstream_nothing_is_touched() {
    let server = Upstream::always(Answer::json(200, "[]"));
    let request = post("/v1/messages", "no json");
    let seen = ask(TranslateLayer::new(), &server, request).await;
    assert_eq!((seen.text(), asked(&server).body().as_ref()), ("[]", &b"no json"[..]));
}

#[tokio::test]
async fn what_no_protocol_knows_passes_and_what_is_not_translated_is_refused() {
    let server = Upstream::always(Answer::json(200, "{}"));
    let layer = || TranslateLayer::to(Protocol::Gemini);
    let seen = ask(layer(), &server, post("/health", "x")).await;
    assert_eq!(seen.status, 200);
    let list = http::Request::get("/v1/models").body(Body::empty()).unwrap();
    let seen = ask(layer(), &server, list).await;
    assert_eq!(seen.status, 400);
    assert_eq!(seen.extensions.get::<Refusal>().unwrap().code, Some("not_translated"));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_requests_own_target_goes_before_the_layers_upstream() {
    let [chat, _, messages, gemini] = &SAMPLES;
    let server = Upstream::always(Answer::json(200, gemini.answer));
    let mut request = post(chat.path, chat.request);
    request.extensions_mut().insert(target(Protocol::Gemini, "gemini-9"));
    let seen = ask(TranslateLayer::to(messages.protocol), &server, request).await;
    assert_eq!(seen.at(chat.text), "Hello");
    assert_eq!(asked(&server).uri, "/v1beta/models/gemini-9:generateContent");
}

#[tokio::test]
async fn what_a_target_alone_is_to_be_told_is_told_in_its_own_body() {
    let [chat, _, messages, _] = &SAMPLES;
    let server = Upstream::always(Answer::json(200, chat.answer));
    let mut aimed = Target::clone(&target(Protocol::OpenAiChat, "x/y"));
    aimed.members = [("provider".into(), r#"{"sort":"price"}"#.into())].into();
    let body = messages.request.replace("99", r#"99,"provider":{"sort":"price"}"#);
    let mut request = post(messages.path, &body);
    request.extensions_mut().insert(std::sync::Arc::new(aimed));
    let seen = ask(TranslateLayer::new(), &server, request).await;
    assert!(!seen.headers.contains_key("x-tollgate-warnings"), "{:?}", seen.headers);
    let sent = asked(&server).json();
    assert_eq!((&sent["model"], &sent["provider"]["sort"]), (&"x/y".into(), &"price".into()));
}

#[tokio::test]
async fn a_call_whose_body_nobody_has_read_is_read_and_keeps_its_id() {
    let [chat, _, messages, _] = &SAMPLES;
    let server = Upstream::always(Answer::json(200, messages.answer));
    let call = Call::new(Protocol::OpenAiChat, Operation::Generate);
    let call = Call::from(CallFacts { model: Some("asked".into()), ..CallFacts::clone(&call) });
    let unread = http_body_util::Full::new(bytes::Bytes::from(chat.request));
    let mut request = http::Request::post(chat.path).body(Body::untouched(unread)).unwrap();
    request.extensions_mut().insert(call.clone());
    let seen = ask(TranslateLayer::to(Protocol::AnthropicMessages), &server, request).await;
    assert_eq!(seen.at(chat.text), "Hello");
    let inner = asked(&server).extensions.get::<Call>().unwrap().clone();
    assert_eq!((inner.id, inner.model.as_deref()), (call.id, Some("asked")));
}

#[tokio::test]
async fn headers_of_the_clients_protocol_stay_behind_and_the_upstreams_are_set() {
    let [chat, _, messages, gemini] = &SAMPLES;
    let server = Upstream::queue([
        Answer::json(200, chat.answer).header("x-request-id", "up-1"),
        Answer::json(200, messages.answer).header("request-id", "up-2"),
    ]);
    let mut request = post("/anthropic/v1/messages?beta=true", messages.request);
    for (name, value) in [
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "x"),
        ("x-api-key", "k"),
        ("user-agent", "u"),
        ("content-length", "99"),
        ("accept-encoding", "gzip"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let seen = ask(TranslateLayer::to(chat.protocol), &server, request).await;
    assert_eq!(seen.headers["request-id"], "up-1", "under the client's name for it");
    assert!(!seen.headers.contains_key("x-request-id"));
    let received = asked(&server);
    assert_eq!(received.uri, "/v1/chat/completions");
    let mut names: Vec<_> = received.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let expected =
        ["accept", "accept-encoding", "content-length", "content-type", "user-agent", "x-api-key"];
    assert_eq!(names, expected);
    assert_eq!(received.headers["content-length"], received.body().len().to_string());

    let mut request = post(gemini.path, gemini.request);
    request.headers_mut().insert("x-goog-api-client", "x".parse().unwrap());
    let seen = ask(TranslateLayer::to(messages.protocol), &server, request).await;
    assert_eq!(seen.headers["x-request-id"], "up-2");
    let received = &server.received()[1];
    assert_eq!(received.headers["anthropic-version"], "2023-06-01");
    assert!(!received.headers.contains_key("x-goog-api-client"));
}

#[tokio::test]
async fn what_was_not_carried_is_told_and_under_a_strict_policy_refused() {
    let [chat, _, messages, _] = &SAMPLES;
    let body = messages.request.replace("99", "99,\"top_k\":3");
    let server = Upstream::always(Answer::json(200, chat.answer));
    let layer = || TranslateLayer::to(chat.protocol);
    let seen = ask(layer(), &server, post(messages.path, &body)).await;
    assert_eq!(seen.headers["x-tollgate-warnings"], "dropped_field:/top_k");
    let strict = Policy { strict: true, ..Policy::default() };
    let seen = ask(layer().policy(strict), &server, post(messages.path, &body)).await;
    assert_eq!(
        (seen.status.as_u16(), seen.at("/error/type")),
        (400, "invalid_request_error".into())
    );
    assert!(seen.at("/error/message").contains("top_k"), "{}", seen.text());
    let mut request = post(messages.path, &body);
    request.extensions_mut().insert(strict);
    assert_eq!(ask(layer(), &server, request).await.status, 400, "the request's own policy");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_carried_is_refused_in_the_clients_words() {
    let [chat, _, _, gemini] = &SAMPLES;
    let server = Upstream::always(Answer::json(200, "{}"));
    let body = chat.request.replace("\"m\"", "\"m\",\"n\":3");
    let seen =
        ask(TranslateLayer::to(Protocol::AnthropicMessages), &server, post(chat.path, &body));
    let seen = seen.await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/param")), (400, "n".into()));
    assert_eq!(seen.headers["x-tollgate-origin"], "gateway");
    assert_eq!(seen.extensions.get::<Refusal>().unwrap().class, Class::InvalidRequest);
    let cached = gemini.request.replace("{\"contents", "{\"cachedContent\":\"c\",\"contents");
    let seen = ask(TranslateLayer::to(chat.protocol), &server, post(gemini.path, &cached)).await;
    assert_eq!(seen.at("/error/status"), "INVALID_ARGUMENT");
    assert!(seen.text().contains("cachedContent"));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_or_no_json_is_refused_in_the_clients_protocol() {
    let [_, _, messages, _] = &SAMPLES;
    let server = Upstream::always(Answer::json(200, "{}"));
    let layer = TranslateLayer::to(Protocol::OpenAiChat).inspect(Inspect::new().limit(50));
    let seen = ask(layer.clone(), &server, post(messages.path, messages.request)).await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/type")), (413, "request_too_large".into()));
    let seen = ask(layer, &server, post(messages.path, "{\"model\":")).await;
    assert_eq!((seen.status.as_u16(), seen.at("/type")), (400, "error".into()));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn garbage_is_a_failure_of_the_upstream_in_the_clients_protocol() {
    for (client, upstream) in pairs() {
        for garbage in [
            Answer::json(200, "not json"),
            Answer::json(200, "[]"),
            Answer::json(200, r#"{"a":1}"#),
            Answer::json(200, ""),
            Answer::new(http::StatusCode::NO_CONTENT, Script::default()),
            Answer::json(200, upstream.answer).header("content-encoding", "gzip"),
            Answer::new(http::StatusCode::OK, Script::new("<html>"))
                .header("content-type", "text/html"),
        ] {
            let pair = format!("{} to {}: {garbage:?}", client.protocol, upstream.protocol);
            let (seen, _) = exchange(client, upstream, garbage).await;
            assert!(seen.status.is_server_error(), "{pair}: {}", seen.text());
            assert!(!seen.at(client.message).is_empty(), "{pair}");
            let failure = seen.extensions.get::<Failure>().unwrap();
            assert_eq!(failure.class, Class::ServerError, "{pair}");
        }
    }
    let [chat, _, messages, _] = &SAMPLES;
    let (seen, _) = exchange(messages, chat, Answer::json(200, r#"{"a":1}"#)).await;
    assert_eq!(seen.extensions.get::<Failure>().unwrap().cause, Cause::Translator);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_a_failure() {
    let [chat, _, messages, _] = &SAMPLES;
    let server = Upstream::always(Answer::json(200, chat.answer));
    let layer = TranslateLayer::to(chat.protocol).answer_limit(64);
    let seen = ask(layer, &server, post(messages.path, messages.request)).await;
    assert!(seen.status.is_server_error(), "{}", seen.text());
    assert!(seen.at("/error/message").contains("64 bytes"), "{}", seen.text());
}

#[tokio::test]
async fn tokens_are_counted_and_texts_embedded_across_protocols() {
    let [_, _, messages, gemini] = &SAMPLES;
    let server = Upstream::always(Answer::json(200, r#"{"totalTokens":31}"#));
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    let count = post("/v1/messages/count_tokens", body);
    let seen = ask(TranslateLayer::to(gemini.protocol), &server, count).await;
    assert_eq!(seen.at("/input_tokens"), "31");
    assert_eq!(asked(&server).uri, "/v1beta/models/m:countTokens");

    let vectors = r#"{"embeddings":[{"values":[0.5]},{"values":[1]}]}"#;
    let server = Upstream::always(Answer::json(200, vectors));
    let embed = || post("/v1/embeddings", r#"{"model":"e","input":["a","b"]}"#);
    let seen = ask(TranslateLayer::to(gemini.protocol), &server, embed()).await;
    assert_eq!(
        (seen.at("/data/0/embedding/0"), seen.at("/data/1/index")),
        ("0.5".into(), "1".into())
    );
    assert_eq!(asked(&server).uri, "/v1beta/models/e:batchEmbedContents");
    let seen = ask(TranslateLayer::to(messages.protocol), &server, embed()).await;
    assert_eq!(seen.headers["x-tollgate-origin"], "gateway");
    assert!(seen.status.is_client_error() && seen.at("/error/message").contains("embeddings"));
}
