//! A first upstream that fails in every way a wire can show, and a second one that is well.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Uri;
use tokio::time::Instant;
use tollgate_core::{Class, Protocol};
use tollgate_gateway::{Books, Config, Options, Readiness, SharedState, stack};
use tollgate_keys::MemoryKeys;
use tollgate_meter::{Charge, MemoryLedger};
use tollgate_testkit::{Wire, WireConnector};
use tollgate_tests::CLIENT_KEY;
use tollgate_upstream::Upstream;
use tower::ServiceExt;

use crate::{
    gateway::{Seen, answered, read},
    judge::broken,
    lane::{Kind, Lane},
};

/// What an upstream does with each connection: `None` refuses it.
type Way = Option<Wire>;

/// Answers a request with these bytes and closes.
fn says(bytes: impl Into<Bytes>) -> Way {
    Some(Wire::new().request().write(bytes))
}

/// Answers a request with these bytes and then with nothing.
fn stalls(bytes: impl Into<Bytes>) -> Way {
    says(bytes).map(Wire::stall)
}

/// Two upstreams in memory, `one.test` and another.
fn hosts(one: Way, two: Way) -> WireConnector {
    WireConnector::choose(move |uri| match uri.host() {
        Some(ONE) => one.clone(),
        _ => two.clone(),
    })
}

const ONE: &str = "one.test";

/// How often each of the two was connected to.
fn asked(hosts: &WireConnector) -> (usize, usize) {
    let (all, one) = (hosts.asked(), |uri: &&Uri| uri.host() == Some(ONE));
    let first = all.iter().filter(one).count();
    (first, all.len() - first)
}

/// A gateway whose alias `m` means two providers of the lane's protocol.
fn gateway(protocol: Protocol) -> SharedState {
    let provider = |name: &str| {
        format!(
            "[providers.{name}]\nkind = \"openai-compatible\"\napi_key = \"sk-of-{name}\"\n\
             base_url = \"http://{name}.test/v1\"\nprotocols = [\"{protocol}\"]\n"
        )
    };
    let text = format!(
        "[models.m]\ntargets = [\"one/m\", \"two/m\"]\n{}{}\
         [[keys]]\nname = \"test\"\nkey = \"{CLIENT_KEY}\"\n",
        provider("one"),
        provider("two"),
    );
    let config = Config::parse("gateway.toml", &text, false).expect("a configuration");
    SharedState::new(config.state(Arc::new(MemoryKeys::new())))
}

async fn ask(lane: Lane, state: &SharedState, hosts: &WireConnector) -> Seen {
    charged(lane, state, hosts).await.0
}

/// The answer, and what its attempts were charged.
async fn charged(lane: Lane, state: &SharedState, hosts: &WireConnector) -> (Seen, Vec<Charge>) {
    let (leaf, ledger) = (Upstream::builder().build_on(hosts.clone()), MemoryLedger::new());
    let options = Options { books: Books::Memory(ledger.clone()), ..Options::default() };
    let gateway = stack(state.clone(), Readiness::ready(), options, leaf);
    let seen = read(answered(gateway.oneshot(lane.request()).await.expect("infallible"))).await;
    (seen, ledger.charges())
}

/// A whole HTTP answer.
fn http(status: u16, headers: &str, content_type: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len}\r\n\
         {headers}\r\n{body}"
    )
}

/// An answer's head without a length, and what of the body is there.
fn begun(lane: Lane, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\n\r\n{body}", lane.content_type())
}

/// A body that is cut within its announced length.
fn cut(lane: Lane, body: &str) -> String {
    let (content_type, len) = (lane.content_type(), body.len() + 100);
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len}\r\n\r\n{body}"
    )
}

fn error(lane: Lane, status: u16, headers: &str) -> Way {
    let word = match status {
        400 | 413 | 422 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let body = match lane.protocol {
        Protocol::AnthropicMessages => {
            r#"{"type":"error","error":{"type":"api_error","message":"no"}}"#.to_owned()
        }
        Protocol::Gemini => {
            format!(r#"{{"error":{{"code":{status},"message":"no","status":"{word}"}}}}"#)
        }
        _ => r#"{"error":{"message":"no","type":"server_error","code":null,"param":null}}"#.into(),
    };
    says(http(status, headers, "application/json", &body))
}

/// Everything that can go wrong before the first content.
fn before_content(lane: Lane) -> Vec<(&'static str, Way)> {
    let ok = |body: &str| http(200, "", lane.content_type(), body);
    let mut ways = vec![
        ("connect refused", None),
        ("reset before the head", says("")),
        ("reset within the head", says("HTTP/1.1 200 OK\r\ncontent-ty")),
        ("no status line", says("\u{16}\u{3}\u{1} what\r\n\r\n")),
        ("stall before the head", stalls("")),
        ("200, then stall", stalls(begun(lane, ""))),
        ("200, then an error", says(ok(lane.overloaded()))),
        ("429 with a short pause", error(lane, 429, "retry-after: 1\r\n")),
        ("429 with a long pause", error(lane, 429, "retry-after: 3600\r\n")),
        ("429 with milliseconds", error(lane, 429, "retry-after-ms: 20\r\n")),
        ("429 without a header", error(lane, 429, "")),
        ("401", error(lane, 401, "")),
        ("402", error(lane, 402, "")),
        ("403", error(lane, 403, "")),
        ("500", error(lane, 500, "")),
        ("502 in HTML", says(http(502, "", "text/html", "<html>bad gateway</html>"))),
        ("503", error(lane, 503, "")),
        ("529", error(lane, 529, "")),
        ("garbage", says(ok("{\"a\":]"))),
        ("HTML with status 200", says(http(200, "", "text/html", "<html>moment</html>"))),
        ("a truncated body", says(cut(lane, &lane.whole()[..9]))),
        ("an empty 200", says(ok(""))),
        (
            "a redirect",
            says("HTTP/1.1 302 X\r\nlocation: http://x.test/\r\ncontent-length: 0\r\n\r\n"),
        ),
    ];
    if lane.streams() {
        let lifecycle = lane.start();
        ways.extend([
            ("lifecycle events, then stall", stalls(begun(lane, lifecycle))),
            ("lifecycle events, then a reset", says(cut(lane, lifecycle))),
            ("lifecycle events, then the end", says(begun(lane, lifecycle))),
        ]);
    }
    if lane.kind == Kind::Stream {
        let error = [lane.start(), lane.ping(), lane.overloaded()].concat();
        ways.push(("lifecycle events, then an error", says(begun(lane, &error))));
        ways.push(("malformed events", says(begun(lane, "data: {{{\n\n"))));
    }
    ways
}

/// Whatever fails before the first content, the client sees only the second target's answer.
pub(crate) async fn before_the_first_content(lane: Lane) {
    let whole = says(begun(lane, &lane.whole()));
    for (name, way) in before_content(lane) {
        let hosts = hosts(way, whole.clone());
        let begin = Instant::now();
        let (seen, charges) = charged(lane, &gateway(lane.protocol), &hosts).await;
        assert_eq!((seen.status, seen.text()), (200, lane.whole()), "{lane}: {name}");
        assert_eq!(seen.headers["x-tollgate-target"], "two/m", "{lane}: {name}");
        let attempts = seen.headers["x-tollgate-attempts"].to_str().unwrap_or_default();
        assert!(["2", "3"].contains(&attempts), "{lane}: {name}: {attempts} attempts");
        assert_eq!(asked(&hosts).1, 1, "{lane}: {name}");
        assert!(begin.elapsed() <= Duration::from_secs(310), "{lane}: {name}");
        assert_eq!(seen.ending(), Some(None), "{lane}: {name}");
        assert_eq!(charges.len().to_string(), attempts, "{lane}: {name}: each is charged");
        let one_call = charges.iter().all(|charge| charge.call == charges[0].call);
        assert!(one_call, "{lane}: {name}: on one call");
    }
}

/// After the first content nobody else is asked: the stream ends in one error event.
pub(crate) async fn after_the_first_content(lane: Lane) {
    let sent = [lane.start(), lane.content()].concat();
    let whole = says(begun(lane, &lane.whole()));
    for way in [says(cut(lane, &sent)), says(begun(lane, &sent))] {
        let hosts = hosts(way, whole.clone());
        let seen = ask(lane, &gateway(lane.protocol), &hosts).await;
        broken(lane, &seen, &sent, Class::ServerError, "upstream_truncated");
        assert_eq!(asked(&hosts), (1, 0), "{lane}");
    }
}

/// The caller's own mistake is told to the caller; nobody else is asked.
pub(crate) async fn the_callers_mistake(lane: Lane) {
    let whole = says(begun(lane, &lane.whole()));
    for status in [400, 413, 422] {
        let hosts = hosts(error(lane, status, ""), whole.clone());
        let seen = ask(lane, &gateway(lane.protocol), &hosts).await;
        assert!((400..500).contains(&seen.status), "{lane}: {status}: {}", seen.status);
        assert_eq!(asked(&hosts), (1, 0), "{lane}: {status}");
    }
}

/// With everybody failing, upstreams are asked little more often than clients ask.
pub(crate) async fn everybody_fails(lane: Lane) {
    const CALLS: usize = 500;
    let way = error(lane, 500, "");
    let (hosts, state) = (hosts(way.clone(), way), gateway(lane.protocol));
    let leaf = Upstream::builder().build_on(hosts.clone());
    let gateway = stack(state, Readiness::ready(), Options::default(), leaf);
    for _ in 0..CALLS {
        let seen =
            read(answered(gateway.clone().oneshot(lane.request()).await.expect("infallible")))
                .await;
        assert!(seen.status >= 429, "{lane}: {}", seen.status);
    }
    let asked = hosts.asked().len();
    assert!(asked <= CALLS * 6 / 5, "{lane}: {asked} requests for {CALLS} calls");
}

/// A 429 of everybody is the caller's 429, with the shortest pause.
pub(crate) async fn everybody_limits(lane: Lane) {
    let hosts =
        hosts(error(lane, 429, "retry-after: 3600\r\n"), error(lane, 429, "retry-after: 1800\r\n"));
    let state = gateway(lane.protocol);
    let seen = ask(lane, &state, &hosts).await;
    let pause = seen.headers["retry-after"].to_str().unwrap_or_default().to_owned();
    assert_eq!((seen.status, &*pause), (429, "1800"), "{lane}: {}", seen.text());
}
