//! Media that the upstream cannot fetch itself.

use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex},
};

use tollgate_core::{Protocol, Refusal};
use tollgate_testkit::{Answer, Upstream};
use tollgate_translate::{
    Fetched, Policy, TranslateLayer, Wanted, layer::FetchFailed, model::MediaKind,
};

use crate::samples::{SAMPLES, Seen, ask, asked, post};

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":[
    {"type":"text","text":"what?"},
    {"type":"image_url","image_url":{"url":"https://e.org/a.png"}},
    {"type":"image_url","image_url":{"url":"https://e.org/a.png"}}]}]}"#;

fn png(wanted: &Wanted) -> Result<Fetched, FetchFailed> {
    assert_eq!(wanted.kind, MediaKind::Image);
    Ok(Fetched::new("image/png", b"\x89PNG"))
}

/// Asks Gemini, which fetches nothing, through a layer that fetches so.
async fn asking(
    policy: Policy,
    answer: fn(&Wanted) -> Result<Fetched, FetchFailed>,
) -> (Seen, Upstream, Vec<String>) {
    let urls = Arc::new(Mutex::new(Vec::new()));
    let noted = urls.clone();
    let fetch = move |wanted: Wanted| -> Ready<_> {
        noted.lock().unwrap().push(wanted.url.clone());
        ready(answer(&wanted))
    };
    let server = Upstream::always(Answer::json(200, SAMPLES[3].answer));
    let layer = TranslateLayer::to(Protocol::Gemini).policy(policy).fetch(fetch);
    let seen = ask(layer, &server, post(SAMPLES[0].path, BODY)).await;
    let urls = urls.lock().unwrap().clone();
    (seen, server, urls)
}

#[tokio::test]
async fn each_address_is_fetched_once_and_stands_in_the_request() {
    let (seen, server, urls) = asking(Policy::default(), png).await;
    assert_eq!(seen.at(SAMPLES[0].text), "Hello");
    assert_eq!(urls, ["https://e.org/a.png"]);
    let sent = asked(&server).json();
    assert_eq!(sent["contents"][0]["parts"][1]["inlineData"]["data"], "iVBORw==");
    assert_eq!(sent["contents"][0]["parts"][2]["inlineData"]["mimeType"], "image/png");
    assert_eq!(seen.headers["x-tollgate-warnings"], "media_inlined:/messages/0");
}

#[tokio::test]
async fn without_a_fetcher_such_a_request_is_refused() {
    let server = Upstream::always(Answer::json(200, "{}"));
    let layer = TranslateLayer::to(Protocol::Gemini);
    let seen = ask(layer, &server, post(SAMPLES[0].path, BODY)).await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/param")), (400, "messages[0]".into()));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn what_cannot_be_fetched_is_the_callers_fault() {
    let failing = |_: &Wanted| Err(FetchFailed::new("the address is not of the public internet"));
    let (seen, server, _) = asking(Policy::default(), failing).await;
    assert_eq!((seen.status.as_u16(), seen.at("/error/param")), (400, "messages[0]".into()));
    assert_eq!(seen.at("/error/code"), "invalid_image_url");
    assert!(seen.at("/error/message").contains("public internet"), "{}", seen.text());
    assert!(seen.extensions.get::<Refusal>().is_some() && server.received().is_empty());
    let policy = Policy { drop_media: true, ..Policy::default() };
    let (seen, server, _) = asking(policy, failing).await;
    assert_eq!(seen.headers["x-tollgate-warnings"], "media_dropped:/messages/0");
    assert!(asked(&server).json()["contents"][0]["parts"][1]["text"].is_string());
}

#[tokio::test]
async fn a_strict_policy_wants_media_as_they_were_sent() {
    let strict = Policy { strict: true, ..Policy::default() };
    let (seen, server, _) = asking(strict, png).await;
    assert_eq!(seen.status, 400);
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn an_upstream_that_fetches_itself_is_left_to_it() {
    let server = Upstream::always(Answer::json(200, SAMPLES[2].answer));
    let fetch = |_: Wanted| -> Ready<Result<Fetched, FetchFailed>> { panic!("nothing to fetch") };
    let layer = TranslateLayer::to(Protocol::AnthropicMessages).fetch(fetch);
    let seen = ask(layer, &server, post(SAMPLES[0].path, BODY)).await;
    assert_eq!(seen.at(SAMPLES[0].text), "Hello");
    assert!(asked(&server).body().starts_with(b"{"));
}

#[tokio::test]
async fn nobody_fetches_a_hundred_addresses() {
    let parts: Vec<_> = (0..40)
        .map(|i| format!(r#"{{"type":"image_url","image_url":{{"url":"https://e.org/{i}"}}}}"#))
        .collect();
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{}]}}]}}"#,
        parts.join(",")
    );
    let server = Upstream::always(Answer::json(200, "{}"));
    let fetch = |_: Wanted| -> Ready<Result<Fetched, FetchFailed>> { panic!("nothing to fetch") };
    let layer = TranslateLayer::to(Protocol::Gemini).fetch(fetch);
    let seen = ask(layer, &server, post(SAMPLES[0].path, &body)).await;
    assert_eq!(seen.at("/error/code"), "too_many_media");
}
