//! Answers that are none, and bodies that are too much.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tollgate_core::Class;
use tollgate_gateway::Options;
use tollgate_testkit::{Answer, Script};
use tollgate_tests::one_attempt;

use crate::{
    gateway::{Setup, exchange, leaf, read, send, upstream},
    judge::{failed, refused},
    lane::{Kind, Lane},
};

pub(crate) async fn malformed_json(lane: Lane) {
    let canary = "canary-of-the-raw-answer";
    let texts = match lane.kind {
        Kind::Json => vec![
            format!("{{\"a\":\"{canary}\""),
            canary.to_owned(),
            format!("{{}} {canary}"),
            format!("{{\"a\":\"{canary}\"]"),
        ],
        Kind::Stream => vec![format!("data: {{{canary}\n\n"), format!("data: [\"{canary}\"\n\n")],
        Kind::Array => {
            vec![format!("[{{{canary}}}]"), format!("[\"{canary}\"]"), canary.to_owned()]
        }
    };
    for text in texts {
        let (seen, _) = exchange(lane, lane.answer(Script::new(text))).await;
        failed(lane, &seen, Class::ServerError, "upstream_bad_answer");
        assert!(!seen.text().contains(canary), "{lane}: {}", seen.text());
    }
}

pub(crate) async fn html(lane: Lane) {
    let page = "<html><body>Just a moment…</body></html>";
    for content_type in ["text/html", "text/html; charset=utf-8", "text/plain"] {
        let answer =
            Answer::new(StatusCode::OK, Script::new(page)).header("content-type", content_type);
        let (seen, probe) = exchange(lane, answer).await;
        failed(lane, &seen, Class::ServerError, "upstream_bad_answer");
        assert!(!seen.text().contains("moment"), "{lane}: {}", seen.text());
        assert!(probe.dropped_early(), "{lane}: the page was not read");
    }
}

pub(crate) async fn client_body_over_the_limit(lane: Lane) {
    let upstream = upstream(lane.answer(Script::new(lane.whole())));
    let options = Options { max_body: 100, ..one_attempt() };
    let setup = Setup { options, ..Setup::default() };
    let request = lane.request_with(&"x".repeat(100));
    let seen = read(send(lane, setup, leaf(&upstream), request).await).await;
    refused(lane, &seen, Class::TooLarge, "request_too_large");
    assert!(upstream.received().is_empty(), "{lane}: nobody was asked");
}

/// A request as it was before a Chat stream was asked for its usage in the client's stead.
fn without_asking(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.replace(r#""stream_options":{"include_usage":true},"#, "")
}

/// The lane's request with its body by gzip.
async fn zipped(lane: Lane, text: &str) -> (Request<Full<Bytes>>, Bytes) {
    let (mut head, body) = lane.request_with(text).into_parts();
    let plain = body.collect().await.expect("infallible").to_bytes();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain).expect("written to memory");
    let body = Full::from(encoder.finish().expect("written to memory"));
    head.headers.remove("content-length");
    head.headers.insert("content-encoding", HeaderValue::from_static("gzip"));
    (Request::from_parts(head, body), plain)
}

pub(crate) async fn compressed_client_body(lane: Lane) {
    let upstream = upstream(lane.answer(Script::new(lane.whole())));
    let (request, plain) = zipped(lane, "x").await;
    let seen = read(send(lane, Setup::default(), leaf(&upstream), request).await).await;
    assert_eq!(seen.status, 200, "{lane}: {}", seen.text());
    let received = &upstream.received()[0];
    assert!(!received.headers.contains_key("content-encoding"), "{lane}");
    assert_eq!(without_asking(&received.body()), plain, "{lane}");

    let (mut request, _) = zipped(lane, "x").await;
    *request.body_mut() = Full::from(&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..]);
    let seen = read(send(lane, Setup::default(), leaf(&upstream), request).await).await;
    assert_eq!((seen.status, upstream.received().len()), (400, 1), "{lane}: {}", seen.text());
}

pub(crate) async fn compressed_client_bomb(lane: Lane) {
    let upstream = upstream(lane.answer(Script::new(lane.whole())));
    let (request, plain) = zipped(lane, &"x".repeat(1 << 20)).await;
    let wire = request.body().size_hint().exact().expect("known");
    assert!(wire < 4096 && plain.len() > 1 << 20, "{wire}");
    let options = Options { max_body: 4096, ..one_attempt() };
    let setup = Setup { options, ..Setup::default() };
    let seen = read(send(lane, setup, leaf(&upstream), request).await).await;
    refused(lane, &seen, Class::TooLarge, "request_too_large");
    assert!(upstream.received().is_empty(), "{lane}: nobody was asked");
}

pub(crate) async fn unknown_encoding(lane: Lane) {
    let upstream = upstream(lane.answer(Script::new(lane.whole())));
    let (mut request, _) = zipped(lane, "x").await;
    request.headers_mut().insert("content-encoding", HeaderValue::from_static("zip"));
    let seen = read(send(lane, Setup::default(), leaf(&upstream), request).await).await;
    assert_eq!(
        (seen.status, &seen.headers["x-tollgate-origin"]),
        (415, &"gateway".parse().expect("valid"))
    );
    assert!(seen.text().contains("`zip`"), "{lane}: {}", seen.text());
    assert_eq!(seen.headers["accept-encoding"], "gzip, deflate, br, zstd");
    assert!(upstream.received().is_empty(), "{lane}: nobody was asked");
}
