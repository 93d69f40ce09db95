//! What a running gateway tells of its calls: lines of log, and traces.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "not every test needs all of the program")]

mod program;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;

use self::program::{Answered, Gateway, command, folder, send, whole};

/// What is asked, and what the simulated providers repeat in their answers.
const PROMPT: &str = "canary-of-the-prompt";

fn chat(model: &str, prompt: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"{prompt} {PROMPT}"}}],"stream":{stream}}}"#
    )
}

/// What a client's own tracing puts on its calls.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

async fn ask(gateway: &Gateway, key: &str, body: &str) -> Answered {
    gateway.ask(key, Method::POST, "/v1/chat/completions", body).await
}

fn call_of(answer: &Answered) -> String {
    answer.headers["x-tollgate-call-id"].to_str().unwrap().to_owned()
}

/// Asks for a stream as a proxy does for somebody else, reads its first events and leaves.
async fn leave(gateway: &Gateway) -> String {
    let body = chat("openai/gpt-5", "[[sim:events:400]][[sim:pace:20ms]]", true);
    let request = Request::post(gateway.at("/v1/chat/completions"));
    let request = request.header("authorization", format!("Bearer {}", gateway.key()));
    let request = request.header("x-forwarded-for", "198.51.100.1, 203.0.113.7");
    let mut answer = send(request.body(Full::from(body)).unwrap()).await;
    answer.body_mut().frame().await.unwrap().unwrap();
    answer.headers()["x-tollgate-call-id"].to_str().unwrap().to_owned()
}

/// What the gateway said on standard error until it ended.
async fn logged(gateway: Gateway) -> String {
    gateway.terminate().await;
    let ended = gateway.child.wait_with_output().await.unwrap();
    String::from_utf8(ended.stderr).unwrap()
}

/// The one line of a call.
fn line<'a>(log: &'a str, call: &str) -> &'a str {
    let lines: Vec<_> = log.lines().filter(|line| line.contains(call)).collect();
    assert_eq!(lines.len(), 1, "{call}: {log}");
    assert!(lines[0].contains("INFO tollgate::access:"), "{}", lines[0]);
    lines[0]
}

fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
}

const SERVER: &str = "[server]\naccess_log = true\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

#[tokio::test]
async fn each_call_is_one_line_of_log_where_that_is_wanted() {
    let folder = folder("access");
    fs::write(folder.join("tollgate.toml"), SERVER).unwrap();
    let mut command = command(&folder, &["--demo", "--listen", "127.0.0.1:0"]);
    command.env("NO_COLOR", "1");
    let gateway = Gateway::start(command).await;
    let key = gateway.key().to_owned();

    let json = call_of(&ask(&gateway, &key, &chat("openai/gpt-5", "", false)).await);
    let stream = call_of(&ask(&gateway, &key, &chat("openai/gpt-5", "", true)).await);
    let cut = "[[sim:events:40]][[sim:cut:9]]";
    let broken = call_of(&ask(&gateway, &key, &chat("openai/gpt-5-mini", cut, true)).await);
    let unknown = call_of(&ask(&gateway, &key, &chat("nobody/nothing", "", false)).await);
    let stranger = call_of(&ask(&gateway, "sk-of-a-stranger", &chat("gpt-5", "", false)).await);
    let left = leave(&gateway).await;
    let health = gateway.ask(&key, Method::GET, "/healthz", "").await;
    assert_eq!(health.status, 200);
    let log = logged(gateway).await;

    let answered = [
        "key=\"first\"",
        "protocol=\"openai-chat\"",
        "path=\"/v1/chat/completions\"",
        "model=\"openai/gpt-5",
        "target=\"openai/gpt-5",
        "attempts=1",
        "status=200",
        "ttft_ms=",
        "duration_ms=",
        "cost_usd=",
    ];
    let (near, far) = ("client=127.0.0.1 ", "client=203.0.113.7 ");
    for (call, client, stream, end) in [
        (&json, near, "stream=false", "end=\"complete\""),
        (&stream, near, "stream=true", "end=\"complete\""),
        (&broken, near, "stream=true", "end=\"server_error\""),
        (&left, far, "stream=true", "end=\"cancelled\""),
    ] {
        let line = line(&log, call);
        assert_says(line, &answered);
        assert_says(line, &[client, stream, end]);
        assert!(!line.contains("_tokens=0"), "{line}");
    }
    assert_says(line(&log, &unknown), &["key=\"first\"", "status=404", "end=\"not_found\""]);
    let refused = line(&log, &stranger);
    assert_says(refused, &["status=401", "end=\"auth\"", "input_tokens=0"]);
    assert!(!refused.contains("key=") && !refused.contains("cost_usd="), "{refused}");
    for secret in [PROMPT, &key, "sk-of-a-stranger"] {
        assert!(!log.contains(secret), "{log}");
    }
    assert_eq!(log.matches("tollgate::access").count(), 6, "health checks are no calls: {log}");
}

/// A collector of traces: takes what is sent to `/v1/traces` and gives its bodies, each before it
/// is answered, so that a gateway that has ended has no more to give.
fn collector() -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = mpsc::channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = BufReader::new(socket.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(socket.read_line(&mut head).unwrap(), 0, "{head}");
            }
            for line in head.lines() {
                let (name, value) = line.split_once(':').unwrap_or_default();
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap();
                }
            }
            assert!(head.starts_with("POST /v1/traces "), "{head}");
            assert!(head.contains("application/x-protobuf"), "{head}");
            let mut body = vec![0; length];
            socket.read_exact(&mut body).unwrap();
            if sender.send(body).is_err() {
                return;
            }
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            socket.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, received)
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    match value(&span.attributes, key)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{key}: {other:?}"),
    }
}

fn number(span: &Span, key: &str) -> Option<i64> {
    match value(&span.attributes, key)? {
        Value::IntValue(number) => Some(*number),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn a_collector_of_traces_is_sent_each_attempt_in_genai_terms_and_nothing_secret() {
    let folder = folder("traces");
    let (collector, received) = collector();
    let mut command = command(&folder, &["--demo", "--listen", "127.0.0.1:0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    let gateway = Gateway::start(command).await;
    let key = gateway.key().to_owned();
    let answered = call_of(&ask(&gateway, &key, &chat("openai/gpt-5", "", true)).await);
    let refused = chat("openai/gpt-5-mini", "[[sim:error:invalid_request]]", false);
    let refused = call_of(&ask(&gateway, &key, &refused).await);
    let log = logged(gateway).await;
    assert!(!log.contains("tollgate::access"), "off unless it is asked for: {log}");

    let spans = sent(&received, &[PROMPT, &key, "sk-", "Bearer", "You said"]);
    let attempt = of(&spans, &answered, SpanKind::Client);
    assert_is_answered(attempt);
    let call = of(&spans, &answered, SpanKind::Server);
    assert_eq!((&attempt.trace_id, &attempt.parent_span_id), (&call.trace_id, &call.span_id));
    assert_eq!((&*call.name, &*call.parent_span_id), ("POST", &[][..]));
    assert_eq!(text(call, "url.path"), Some("/v1/chat/completions"));
    assert_eq!(number(call, "http.response.status_code"), Some(200));
    assert!(call.end_time_unix_nano >= attempt.end_time_unix_nano, "the stream is part of it");
    let failed = of(&spans, &refused, SpanKind::Client);
    assert_eq!(failed.status.as_ref().unwrap().code, StatusCode::Error as i32);
    assert_eq!(text(failed, "error.type"), Some("invalid_request"));
    assert_eq!(number(failed, "http.response.status_code"), Some(400));
}

/// All that a gateway, which has ended, sent to a collector. No secret is in it.
fn sent(received: &mpsc::Receiver<Vec<u8>>, secrets: &[&str]) -> Vec<Span> {
    let mut spans = Vec::new();
    for body in received.try_iter() {
        let raw = String::from_utf8_lossy(&body);
        for secret in secrets {
            assert!(!raw.contains(secret), "{secret}: {raw}");
        }
        for resource in ExportTraceServiceRequest::decode(&*body).unwrap().resource_spans {
            let of = resource.resource.unwrap().attributes;
            assert_eq!(value(&of, "service.name"), Some(&Value::StringValue("tollgate".into())));
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    spans
}

fn of<'a>(spans: &'a [Span], call: &str, kind: SpanKind) -> &'a Span {
    let is_it =
        |span: &&Span| span.kind == kind as i32 && text(span, "tollgate.call.id") == Some(call);
    spans.iter().find(is_it).unwrap()
}

/// Asks as a client that traces its calls, and tells their retries by a key.
async fn retry(gateway: &Gateway, body: &str, sampled: &str) -> Answered {
    let request = Request::post(gateway.at("/v1/chat/completions"))
        .header("authorization", format!("Bearer {}", gateway.key()))
        .header("idempotency-key", "order-7")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-{sampled}"));
    whole(send(request.body(Full::from(body.to_owned())).unwrap()).await).await
}

#[tokio::test]
async fn fault_56_retries_of_one_request_are_charged_apart_and_linked() {
    let folder = folder("retries");
    let (collector, received) = collector();
    let mut command = command(&folder, &["--demo", "--listen", "127.0.0.1:0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "50");
    let gateway = Gateway::start(command).await;
    let body = chat("openai/gpt-5", "", false);
    let unsampled = retry(&gateway, &body, "00").await;
    assert_eq!(unsampled.status, 200);
    let (first, again) = (retry(&gateway, &body, "01").await, retry(&gateway, &body, "01").await);
    let (first, again) = (call_of(&first), call_of(&again));
    assert_ne!(first, again);

    for call in [&first, &again] {
        let record = booked(&gateway, call).await;
        assert_eq!(record["idempotency_key"], "order-7", "{record}");
        assert_eq!(record["attempts"].as_array().unwrap().len(), 1);
        assert_ne!(record["cost_usd"], serde_json::Value::Null);
    }
    logged(gateway).await;
    let mut spans = sent(&received, &[PROMPT]);
    // Whoever reads the books is no part of the client's trace.
    spans.retain(|span| hex(&span.trace_id) == TRACE);
    assert_eq!(spans.len(), 4, "the client does not want the first call's");
    for call in [&first, &again] {
        let (call, attempt) =
            (of(&spans, call, SpanKind::Server), of(&spans, call, SpanKind::Client));
        assert_eq!(hex(&call.parent_span_id), PARENT);
        assert_eq!(attempt.parent_span_id, call.span_id);
        for span in [call, attempt] {
            assert_eq!(text(span, "tollgate.idempotency_key"), Some("order-7"));
        }
    }
}

/// What the books say of a call, which they know within a second.
async fn booked(gateway: &Gateway, call: &str) -> serde_json::Value {
    for _ in 0..100 {
        let path = format!("/v1/calls/{call}");
        let answer = gateway.ask(gateway.key(), Method::GET, &path, "").await;
        if answer.status == 200 {
            return answer.json();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{call} is not in the books");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_is_answered(span: &Span) {
    assert_eq!((&*span.name, span.kind), ("chat gpt-5", SpanKind::Client as i32));
    assert_eq!(text(span, "gen_ai.operation.name"), Some("chat"));
    assert_eq!(text(span, "gen_ai.provider.name"), Some("openai"));
    assert_eq!(text(span, "gen_ai.request.model"), Some("gpt-5"));
    assert_eq!(text(span, "gen_ai.response.model"), Some("gpt-5"));
    assert!(number(span, "gen_ai.usage.input_tokens").unwrap() > 0);
    assert!(number(span, "gen_ai.usage.output_tokens").unwrap() > 0);
    assert_eq!(text(span, "server.address"), Some("127.0.0.1"));
    assert!(number(span, "server.port").unwrap() > 0);
    assert_eq!(number(span, "http.response.status_code"), Some(200));
    assert_eq!(text(span, "error.type"), None);
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
}
