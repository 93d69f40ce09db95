use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tollgate_testkit::{Answer, Script, ServeGuard, Upstream as Scripted, refused_addr};
use tower::ServiceExt;

use super::*;

const START: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const ANSWER: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: [DONE]\n\n";

async fn served(upstream: &Scripted) -> (Uri, ServeGuard) {
    let (addr, guard) = upstream.clone().serve().await.unwrap();
    (format!("http://{addr}/v1").parse().unwrap(), guard)
}

async fn ask(hosts: [Uri; 2], model: &str) -> (StatusCode, String) {
    let body = format!(r#"{{"model":"{model}","messages":[],"stream":true}}"#);
    let request = Request::post("/v1/chat/completions").body(Body::from(body)).unwrap();
    let answer = app(hosts).oneshot(request).await.unwrap();
    let status = answer.status();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn the_second_host_answers_where_the_first_fails() {
    let east = Scripted::always(Answer::sse(Script::new(ANSWER)));
    let (east_url, _east) = served(&east).await;
    let nobody: Uri = format!("http://{}/v1", refused_addr().unwrap()).parse().unwrap();
    let (status, text) = ask([nobody.clone(), east_url.clone()], "llama").await;
    assert_eq!((status, &*text), (StatusCode::OK, ANSWER));

    // Though it began as if all were well.
    let west = Scripted::always(Answer::sse(Script::new(START).reset()));
    let (west_url, _west) = served(&west).await;
    let (status, text) = ask([west_url, east_url], "llama").await;
    assert_eq!((status, &*text), (StatusCode::OK, ANSWER));
    assert_eq!((west.received().len(), east.received().len()), (1, 2));
    assert_eq!(east.received()[0].json()["model"], "meta-llama/Llama-3.3");

    let (status, text) = ask([nobody.clone(), nobody], "llama").await;
    assert!(status == StatusCode::BAD_GATEWAY && text.contains("upstream_connect"), "{text}");
}

#[tokio::test]
async fn the_rest_of_the_app_stays_as_it_is() {
    let nobody = || Uri::from_static("http://127.0.0.1:1");
    let (status, text) = ask([nobody(), nobody()], "gpt").await;
    assert!(status == StatusCode::NOT_FOUND && text.contains("`llama`"), "{text}");
    let request = Request::get("/").body(Body::empty()).unwrap();
    let answer = app([nobody(), nobody()]).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}
