//! What the gateway's edge keeps from its inside, and its inside from its clients.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tollgate_core::{BoxError, Protocol};
use tollgate_gateway::{
    Config, Counts, Limits, Offer, Options, Predecessor, Readiness, Reload, Server, SharedState,
    Tls, TlsFiles, bind, stack,
};
use tollgate_keys::FileKeys;
use tollgate_testkit::{Answer, Script, Upstream, Wire, WireServer};
use tollgate_tests::{CLIENT_KEY, state};
use tower::Service;

type Body = tollgate_core::Body;

/// A gateway behind a loopback port.
struct Gateway {
    address: SocketAddr,
    readiness: Readiness,
    counts: Counts,
    stop: watch::Sender<bool>,
    served: JoinHandle<usize>,
}

/// What a gateway of these tests is made of.
struct Setup {
    listener: Option<TcpListener>,
    state: SharedState,
    limits: Limits,
    options: Options,
    tls: Option<Tls>,
}

impl Setup {
    fn new(state: SharedState) -> Self {
        let (limits, options) = (Limits::default(), Options::default());
        Self { listener: None, state, limits, options, tls: None }
    }

    async fn start(self) -> Gateway {
        self.start_with(tollgate_upstream::Upstream::new()).await
    }

    async fn start_with<L, B>(self, leaf: L) -> Gateway
    where
        L: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
        L: Clone + Send + Sync + 'static,
        L::Future: Send + 'static,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
    {
        let listener = match self.listener {
            Some(listener) => listener,
            None => bind("127.0.0.1:0").await.expect("a free port"),
        };
        let address = listener.local_addr().expect("bound");
        let readiness = Readiness::ready();
        let Options { cut, counts, .. } = self.options.clone();
        let service = stack(self.state, readiness.clone(), self.options, leaf);
        let server = Server::new(self.limits).counts(counts.clone()).cut(cut).tls(self.tls);
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(server.serve(listener, service, stopped));
        Gateway { address, readiness, counts, stop, served }
    }
}

impl Gateway {
    /// Sends bytes on a connection of their own and reads to its end.
    async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut socket = self.connect().await;
        socket.write_all(bytes.as_ref()).await.expect("sent");
        rest(&mut socket).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("listening")
    }
}

/// Reads to the end of a connection, or what there is of it before it is reset.
async fn rest(socket: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut seen));
    let _ = read.await.expect("the connection ends");
    String::from_utf8_lossy(&seen).into_owned()
}

/// Reads until `text` has come.
async fn until(socket: &mut TcpStream, text: &str) -> String {
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let n = socket.read(&mut chunk).await.expect("readable");
        seen.extend_from_slice(&chunk[..n]);
        let said = String::from_utf8_lossy(&seen);
        if said.contains(text) {
            return said.into_owned();
        }
        assert!(n > 0, "it ended before `{text}`: {said}");
    }
}

const CHAT: (&str, &str) = ("/v1/chat/completions", r#"{"model":"m","messages":[],"stream":true}"#);

fn head(path: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {CLIENT_KEY}\r\n\
         content-type: application/json\r\nconnection: close\r\n{more}\r\n"
    )
}

fn post((path, body): (&str, &str)) -> String {
    head(path, &format!("content-length: {}\r\n", body.len())) + body
}

async fn chat(upstream: Upstream) -> (SharedState, impl Sized) {
    let (address, guard) = upstream.serve().await.expect("a free port");
    (state(Protocol::OpenAiChat, &format!("http://{address}/v1"), &["m"]), guard)
}

fn content(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

fn whole() -> Answer {
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    Answer::sse(Script::new(content("a") + end + "data: [DONE]\n\n"))
}

/// A directory of its own, removed with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("tollgate-edge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("writable");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("writable");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn fault_34_a_body_beyond_the_limit_is_refused_before_it_is_read() {
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let mut setup = Setup::new(state);
    setup.options.max_body = 1000;
    let gateway = setup.start().await;
    let declared = head(CHAT.0, "content-length: 100000000000\r\n") + "{";
    let seen = gateway.raw(declared).await;
    assert!(seen.starts_with("HTTP/1.1 413") && seen.contains("request_too_large"), "{seen}");
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    let seen = gateway.raw(head(CHAT.0, "transfer-encoding: chunked\r\n") + &chunk).await;
    assert!(seen.starts_with("HTTP/1.1 413"), "{seen}");
}

#[tokio::test]
async fn fault_35_a_head_that_does_not_come_is_a_408() {
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let mut setup = Setup::new(state);
    setup.limits.head = Duration::from_millis(200);
    let gateway = setup.start().await;
    for begun in ["P", "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nx-a: "] {
        let seen = gateway.raw(begun).await;
        assert!(seen.starts_with("HTTP/1.1 408"), "{begun:?}: {seen:?}");
    }
    assert_eq!(gateway.raw("").await, "", "who said nothing is told nothing");
}

#[tokio::test]
async fn fault_35_a_body_that_does_not_come_is_a_408_in_the_callers_protocol() {
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let mut setup = Setup::new(state);
    setup.limits.body_idle = Duration::from_millis(200);
    let gateway = setup.start().await;
    for (path, starts) in [(CHAT.0, r#"{"error":"#), ("/v1/messages", r#"{"type":"error""#)] {
        let seen = gateway.raw(head(path, "content-length: 100\r\n") + "{").await;
        assert!(seen.starts_with("HTTP/1.1 408"), "{seen}");
        let (_, body) = seen.split_once("\r\n\r\n").expect("a whole head");
        assert!(body.starts_with(starts), "{body}");
    }
}

#[tokio::test]
async fn fault_35_one_peer_cannot_take_all_connections() {
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let mut setup = Setup::new(state);
    setup.limits.connections_per_peer = Some(1);
    let gateway = setup.start().await;
    let held = gateway.connect().await;
    let seen = gateway.raw("GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(seen.starts_with("HTTP/1.1 503") && seen.contains("retry-after: 1"), "{seen}");
    assert_eq!(gateway.counts.connections_refused(), 1);
    drop(held);
}

#[tokio::test]
async fn fault_36_a_client_that_takes_nothing_is_gone() {
    let endless = Script::new(content(&"x".repeat(60_000)).repeat(1500)).split_every(50_000);
    let upstream = Upstream::always(Answer::sse(endless.stall()));
    let (state, _upstream) = chat(upstream.clone()).await;
    let mut setup = Setup::new(state);
    setup.limits.write_idle = Duration::from_millis(300);
    let gateway = setup.start().await;
    let mut socket = gateway.connect().await;
    socket.write_all(post(CHAT).as_bytes()).await.expect("sent");
    tokio::time::timeout(Duration::from_secs(10), async {
        while upstream.probes().first().is_none_or(|probe| probe.ended().is_none()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the upstream is let go");
    let taken = upstream.probes()[0].taken();
    assert!(taken < 60_000_000, "back-pressure reaches the upstream: {taken}");
}

#[tokio::test]
async fn fault_37_client_disconnect_cancels_upstream_within_200ms() {
    for (name, wire) in [
        ("before the head", Wire::new().request().stall()),
        ("before the first byte", Wire::sse().stall()),
        ("in the stream", Wire::sse().chunk(content("a").as_bytes()).stall()),
    ] {
        let upstream = WireServer::start([wire]).await.expect("a free port");
        let base = format!("http://{}/v1", upstream.addr());
        let gateway = Setup::new(state(Protocol::OpenAiChat, &base, &["m"])).start().await;
        let mut socket = gateway.connect().await;
        socket.write_all(post(CHAT).as_bytes()).await.expect("sent");
        if name == "in the stream" {
            until(&mut socket, "\"a\"").await;
        }
        while upstream.connections().first().is_none_or(|c| c.read.is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let left = Instant::now();
        drop(socket);
        upstream.peer_closed(0).await;
        assert!(left.elapsed() < Duration::from_millis(200), "{name}: {:?}", left.elapsed());
    }
}

#[tokio::test]
async fn fault_39_what_is_still_running_at_the_drain_deadline_is_told_natively() {
    let chat = (Protocol::OpenAiChat, CHAT.0, CHAT.1, content("a"));
    let responses = (
        Protocol::OpenAiResponses,
        "/v1/responses",
        r#"{"model":"m","input":"x","stream":true}"#,
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
         \"item_id\":\"i\",\"output_index\":0,\"content_index\":0,\"delta\":\"a\"}\n\n"
            .to_owned(),
    );
    let anthropic = (
        Protocol::AnthropicMessages,
        "/v1/messages",
        r#"{"model":"m","max_tokens":1,"messages":[],"stream":true}"#,
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
         \"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n"
            .to_owned(),
    );
    let gemini = (
        Protocol::Gemini,
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        r#"{"contents":[]}"#,
        "data: {\"candidates\":[{\"index\":0,\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\n"
            .to_owned(),
    );
    for (protocol, path, body, event) in [chat, responses, anthropic, gemini] {
        let upstream = Upstream::always(Answer::sse(Script::new(event).stall()));
        let (address, _guard) = upstream.clone().serve().await.expect("a free port");
        let base = match protocol {
            Protocol::OpenAiChat | Protocol::OpenAiResponses => format!("http://{address}/v1"),
            _ => format!("http://{address}"),
        };
        let mut setup = Setup::new(state(protocol, &base, &["m"]));
        setup.limits.drain = Duration::from_millis(300);
        let gateway = setup.start().await;
        let mut socket = gateway.connect().await;
        socket.write_all(post((path, body)).as_bytes()).await.expect("sent");
        until(&mut socket, "\"a\"").await;
        let told = Instant::now();
        gateway.stop.send(true).expect("serving");
        let seen = rest(&mut socket).await;
        assert!(told.elapsed() >= Duration::from_millis(300), "{protocol}: not before its time");
        assert!(seen.contains("shutting down"), "{protocol}: {seen}");
        let has_codes = protocol != Protocol::Gemini;
        assert_eq!(seen.contains("gateway_draining"), has_codes, "{protocol}: {seen}");
        assert!(seen.ends_with("0\r\n\r\n"), "{protocol}: an honest end: {seen}");
        assert_eq!(gateway.served.await.expect("no panic"), 0, "{protocol}: nothing was cut");
        assert!(told.elapsed() < Duration::from_millis(1300), "{protocol}");
        let let_go = upstream.probes()[0].clone();
        let let_go =
            tokio::time::timeout(Duration::from_secs(1), async move { let_go.end().await });
        let_go.await.expect("the upstream is let go");
    }
}

#[tokio::test]
async fn fault_39_running_streams_end_by_themselves_and_new_connections_go_elsewhere() {
    let slow = Script::new(content("a")).wait(Duration::from_millis(400)).then(
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    );
    let (state, _upstream) = chat(Upstream::always(Answer::sse(slow))).await;
    let mut setup = Setup::new(state);
    setup.limits.drain_delay = Duration::from_millis(150);
    let gateway = setup.start().await;
    let mut socket = gateway.connect().await;
    socket.write_all(post(CHAT).as_bytes()).await.expect("sent");
    until(&mut socket, "\"a\"").await;
    let idle = gateway.connect().await;
    gateway.readiness.end();
    gateway.stop.send(true).expect("serving");
    let ready = "GET /readyz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    assert!(gateway.raw(ready).await.starts_with("HTTP/1.1 503"), "told before it is closed");
    assert!(rest(&mut socket).await.contains("[DONE]"));
    drop(idle);
    assert_eq!(gateway.served.await.expect("no panic"), 0);
    assert!(TcpStream::connect(gateway.address).await.is_err(), "nobody listens");
}

/// Asks until told to stop, on new connections; returns how many answers were whole, and what was
/// wrong with the others.
async fn load(address: SocketAddr, done: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut whole, mut wrong) = (0, Vec::new());
    let client =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Full<Bytes>>();
    while !done.load(Ordering::Relaxed) {
        let request = Request::post(format!("http://{address}{}", CHAT.0))
            .header("authorization", format!("Bearer {CLIENT_KEY}"))
            .body(Full::from(CHAT.1))
            .expect("valid");
        let answered = async {
            let answer = client.request(request).await.map_err(|error| format!("{error:?}"))?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            let complete = status == 200 && text.contains("[DONE]");
            if complete { Ok(()) } else { Err(format!("{status} {text}")) }
        };
        match answered.await {
            Ok(()) => whole += 1,
            Err(error) => wrong.push(error),
        }
    }
    (whole, wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_41_a_new_listener_takes_over_without_a_failed_request() {
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let first = bind("127.0.0.1:0").await.expect("a free port");
    let address = first.local_addr().expect("bound");
    let with = |listener| Setup { listener: Some(listener), ..Setup::new(state.clone()) };
    let door = std::env::temp_dir().join(format!("tg-edge-{}.sock", std::process::id()));
    let mut offer = tokio::spawn(Offer::new(&door, &first).expect("a door").taken());
    let mut running = with(first).start().await;
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(load(address, done.clone()))).collect();
    for _ in 0..5 {
        let (next, predecessor) = Predecessor::at(&door).await.expect("it is offered");
        let again = Offer::new(&door, &next).expect("a door");
        let next = with(next).start().await;
        predecessor.relieve().await.expect("it listens");
        offer.await.expect("no panic");
        offer = tokio::spawn(again.taken());
        tokio::time::sleep(Duration::from_millis(50)).await;
        running.stop.send(true).expect("serving");
        assert_eq!(running.served.await.expect("no panic"), 0);
        running = next;
    }
    offer.abort();
    let _ = std::fs::remove_file(&door);
    done.store(true, Ordering::Relaxed);
    for client in clients {
        let (whole, wrong) = client.await.expect("no panic");
        assert!(whole > 0 && wrong.is_empty(), "{whole} whole, {wrong:?}");
    }
}

fn file(base: &str, alias: &str) -> String {
    format!(
        "[[keys]]\nname = \"k\"\nkey = \"{CLIENT_KEY}\"\n[providers.upstream]\n\
         kind = \"openai-compatible\"\nbase_url = \"{base}\"\n[models.{alias}]\n\
         targets = [\"upstream/x\"]\n"
    )
}

struct Reloading {
    dir: Dir,
    base: String,
    reload: Reload,
    counts: Counts,
    state: SharedState,
    _upstream: Box<dyn std::any::Any>,
}

impl Reloading {
    async fn new(name: &str) -> Self {
        let (address, guard) = Upstream::always(whole()).serve().await.expect("a free port");
        let (dir, base) = (Dir::new(name), format!("http://{address}/v1"));
        let config = Config::parse("t.toml", &file(&base, "m"), false).expect("valid");
        let stored = Arc::new(FileKeys::open(dir.0.join("data")).expect("writable"));
        let state = SharedState::new(config.state(stored.clone()));
        let counts = Counts::default();
        let reload = Reload::new(config, state.clone(), stored).counts(counts.clone());
        Self { dir, base, reload, counts, state, _upstream: Box::new(guard) }
    }

    fn write(&self, text: &str) -> bool {
        let path = self.dir.file("tollgate.toml", text);
        self.reload.apply(Config::read(&path, false).as_ref())
    }
}

#[tokio::test]
async fn fault_49_a_wrong_configuration_leaves_the_last_good_one_in_force() {
    let reloading = Reloading::new("49").await;
    let gateway = Setup::new(reloading.state.clone()).start().await;
    let good = file(&reloading.base, "m");
    let wrong = [
        "[server\n".to_owned(),
        "[servre]\n".to_owned(),
        good.replace("base_url", "base_ulr"),
        good.clone() + "[[keys]]\nname = \"k\"\nkey = \"other\"\n",
        good.replace(CLIENT_KEY, "env:TOLLGATE_TEST_UNSET"),
        good.replace("upstream/x", "nobody/x"),
    ];
    for (i, text) in wrong.iter().enumerate() {
        assert!(!reloading.write(text), "{text}");
        assert_eq!(reloading.counts.reloads_failed(), i as u64 + 1);
        let seen = gateway.raw(post(CHAT)).await;
        assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
        let ready = "GET /readyz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
        assert!(gateway.raw(ready).await.starts_with("HTTP/1.1 200"));
    }
    assert!(reloading.write(&good.replace("[models.m]", "[models.other]")));
    assert_eq!(reloading.counts.reloads(), 1);
    let other = post((CHAT.0, r#"{"model":"other","messages":[],"stream":true}"#));
    assert!(gateway.raw(other).await.starts_with("HTTP/1.1 200"), "the new one is in force");
    assert!(reloading.write(&good.replace(CLIENT_KEY, "sk-another-key-of-the-file")));
    assert!(gateway.raw(post(CHAT)).await.starts_with("HTTP/1.1 401"), "and the old key is not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_50_a_hundred_reloads_under_load_lose_no_request() {
    let reloading = Reloading::new("50").await;
    let gateway = Setup::new(reloading.state.clone()).start().await;
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..4).map(|_| tokio::spawn(load(gateway.address, done.clone()))).collect();
    for i in 0..100 {
        let more = format!("[models.extra{i}]\ntargets = [\"upstream/x\"]\n");
        assert!(reloading.write(&(file(&reloading.base, "m") + &more)));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        let (whole, wrong) = client.await.expect("no panic");
        assert!(whole > 0 && wrong.is_empty(), "{whole} whole, {wrong:?}");
    }
    assert_eq!(reloading.counts.reloads(), 100);
}

#[tokio::test]
async fn fault_57_a_panic_ends_one_call_and_nothing_else() {
    let calls = Arc::new(AtomicUsize::new(0));
    let leaf = tower::service_fn(move |_: Request<Body>| {
        let n = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(n != 0, "the panic of this test, before the head");
            let stream = futures_util::stream::iter(0..2).map(move |i| {
                assert!(n != 1 || i == 0, "the panic of this test, in the stream");
                let text = if i == 0 { content("a") } else { LAST.to_owned() };
                Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(text)))
            });
            let answer = Response::builder().header("content-type", "text/event-stream");
            Ok(answer.body(http_body_util::StreamBody::new(stream)).expect("valid"))
        }
    });
    use futures_util::StreamExt;
    const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let mut setup = Setup::new(state(Protocol::OpenAiChat, "http://127.0.0.1:1/v1", &["m"]));
    setup.options.max_requests = 1;
    let gateway = setup.start_with(leaf).await;
    let first = gateway.raw(post(CHAT)).await;
    assert!(first.starts_with("HTTP/1.1 500") && first.contains("internal_error"), "{first}");
    let second = gateway.raw(post(CHAT)).await;
    assert!(second.starts_with("HTTP/1.1 200") && second.contains("internal_error"), "{second}");
    assert!(second.ends_with("0\r\n\r\n") && !second.contains("[DONE]"), "{second}");
    let third = gateway.raw(post(CHAT)).await;
    assert!(third.contains("[DONE]"), "its place was given back: {third}");
    assert_eq!(gateway.counts.panics(), 2);
}

#[tokio::test]
async fn fault_58_connections_beyond_the_limit_are_told_to_come_back() {
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let mut setup = Setup::new(state);
    setup.limits.connections = 2;
    let gateway = setup.start().await;
    let held = [gateway.connect().await, gateway.connect().await];
    for _ in 0..20 {
        let seen = gateway.raw(post(CHAT)).await;
        assert!(seen.starts_with("HTTP/1.1 503") && seen.contains("retry-after: 1"), "{seen}");
    }
    assert_eq!(gateway.counts.connections_refused(), 20);
    drop(held);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(gateway.raw(post(CHAT)).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn fault_59_calls_beyond_the_limit_are_refused_and_health_is_not() {
    let upstream = Upstream::always(Answer::sse(Script::new(content("a")).stall()));
    let (state, _upstream) = chat(upstream.clone()).await;
    let mut setup = Setup::new(state);
    setup.options.max_requests = 1;
    let gateway = setup.start().await;
    let mut held = gateway.connect().await;
    held.write_all(post(CHAT).as_bytes()).await.expect("sent");
    until(&mut held, "\"a\"").await;
    let refused = gateway.raw(post(CHAT)).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 1") && refused.contains("\"overloaded\""), "{refused}");
    assert_eq!(upstream.received().len(), 1);
    let health = "GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    assert!(gateway.raw(health).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn fault_61_what_two_readers_could_read_differently_is_refused() {
    let upstream = Upstream::always(whole());
    let (state, _upstream) = chat(upstream.clone()).await;
    let gateway = Setup::new(state).start().await;
    let length = CHAT.1.len();
    for more in [
        format!("content-length: {length}\r\ncontent-length: 7\r\n"),
        "content-length: -1\r\n".to_owned(),
        format!("content-length: {length}\r\nx-a: b\rc\r\n"),
        format!("content-length: {length}\r\nx a: b\r\n"),
        "transfer-encoding: gzip\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
    ] {
        let seen = gateway.raw(head(CHAT.0, &more) + CHAT.1).await;
        assert!(seen.starts_with("HTTP/1.1 400"), "{more:?}: {seen}");
        assert!(!seen.contains("HTTP/1.1 200"), "{more:?}");
    }
    for more in [
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked, chunked\r\n".to_owned(),
        "transfer-encoding: gzip, chunked\r\n".to_owned(),
        "host: other\r\n".to_owned(),
    ] {
        let behind = "0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: h\r\n\r\n";
        let seen = gateway.raw(head(CHAT.0, &more) + behind).await;
        assert!(seen.starts_with("HTTP/1.1 400"), "{more:?}: {seen}");
        assert!(seen.contains("\"ambiguous_request\""), "in the caller's protocol: {seen}");
        assert_eq!(seen.matches("HTTP/1.1 ").count(), 1, "and closed: {seen}");
    }
    let seen = gateway.raw("GET /healthz HTTP/1.1\r\n\r\n").await;
    assert!(seen.starts_with("HTTP/1.1 400"), "for nobody: {seen}");
    assert!(upstream.received().is_empty());
    let both = "POST /healthz HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\
                transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(gateway.raw(both).await.matches("HTTP/1.1 ").count(), 1, "nothing behind is read");
}

#[tokio::test]
async fn fault_61_a_models_name_stays_within_its_part_of_the_path() {
    let upstream = Upstream::always(Answer::json(200, "{}"));
    let (address, _guard) = upstream.clone().serve().await.expect("a free port");
    let state = state(Protocol::Gemini, &format!("http://{address}"), &[]);
    let gateway = Setup::new(state).start().await;
    for model in ["..%2F..%2Fadmin", "upstream%2F..%2Fx", "upstream/..", "a%0d%0ax:y", "%2e%2e"] {
        let path = format!("/v1beta/models/{model}:generateContent");
        gateway.raw(post((&path, r#"{"contents":[]}"#))).await;
    }
    for received in upstream.received() {
        let path = received.uri.path();
        let parts: Vec<_> = path.split('/').collect();
        assert!(
            path.starts_with("/v1beta/models/") && path.ends_with(":generateContent"),
            "{path}"
        );
        assert!(!parts.contains(&".."), "{path}");
        assert_eq!(received.headers.get("x"), None);
    }
}

#[tokio::test]
async fn fault_61_a_models_name_in_a_body_says_nothing_else_of_the_path() {
    let upstream = Upstream::always(Answer::json(200, "{}"));
    let (address, _guard) = upstream.clone().serve().await.expect("a free port");
    let state = state(Protocol::Gemini, &format!("http://{address}"), &[]);
    let gateway = Setup::new(state).start().await;
    let ask = async |model: &str| {
        let message = serde_json::json!({"role": "user", "content": "Hi"});
        let body = serde_json::json!({"model": model, "messages": [message]}).to_string();
        gateway.raw(post((CHAT.0, &body))).await
    };
    for model in ["m:countTokens?x=", "m:batchEmbedContents#", "m?key=1", "m%2e", "é"] {
        ask(&format!("upstream/{model}")).await;
        let sent = upstream.received().pop().expect("sent").uri;
        let (name, verb) = sent.path().rsplit_once(':').expect("a verb");
        assert_eq!((verb, sent.query()), ("generateContent", None), "{sent}");
        assert!(!name.contains([':', '#']), "{sent}");
    }
    let before = upstream.received().len();
    for model in ["upstream/..", "upstream/../x", "upstream/m\r\nx: y"] {
        let seen = ask(model).await;
        assert!(seen.starts_with("HTTP/1.1 400"), "{seen}");
        assert!(seen.contains(r#""param":"model""#), "{seen}");
    }
    assert_eq!(upstream.received().len(), before);
}

#[tokio::test]
async fn http2_without_tls_is_served_where_a_client_begins_with_it() {
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let gateway = Setup::new(state).start().await;
    let socket = TokioIo::new(gateway.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), socket).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::post(format!("http://h{}", CHAT.0))
        .header("authorization", format!("Bearer {CLIENT_KEY}"))
        .body(Full::<Bytes>::from(CHAT.1))
        .expect("valid");
    let answer = sender.send_request(request).await.expect("answered");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"));
}

/// A certificate for `localhost` and its key, in `dir`.
fn certificate(dir: &Dir, name: &str) -> (TlsFiles, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let cert = dir.file(&format!("{name}.crt"), &made.cert.pem());
    let key = dir.file(&format!("{name}.key"), &made.signing_key.serialize_pem());
    (TlsFiles { cert, key, client_ca: None }, made.cert.der().clone())
}

type Encrypted = tokio_rustls::client::TlsStream<TcpStream>;

async fn encrypted(
    address: SocketAddr,
    trusted: &rustls::pki_types::CertificateDer<'static>,
) -> std::io::Result<Encrypted> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = "localhost".try_into().expect("a name");
    let socket = TcpStream::connect(address).await?;
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

#[tokio::test]
async fn fault_63_new_certificates_drop_no_connection() {
    let dir = Dir::new("63");
    let (old, old_cert) = certificate(&dir, "old");
    let (new, new_cert) = certificate(&dir, "new");
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let tls = Tls::read(&old).expect("valid");
    let gateway = Setup { tls: Some(tls.clone()), ..Setup::new(state) }.start().await;

    let socket = encrypted(gateway.address, &old_cert).await.expect("trusted");
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let mut ask = async || {
        let request = Request::post(format!("https://localhost{}", CHAT.0))
            .header("authorization", format!("Bearer {CLIENT_KEY}"))
            .body(Full::<Bytes>::from(CHAT.1))
            .expect("valid");
        let answer = sender.send_request(request).await.expect("answered");
        answer.into_body().collect().await.expect("whole").to_bytes()
    };
    assert!(ask().await.ends_with(b"data: [DONE]\n\n"));
    tls.replace(&Tls::read(&new).expect("valid"));
    assert!(ask().await.ends_with(b"data: [DONE]\n\n"), "the open connection goes on");
    assert!(encrypted(gateway.address, &old_cert).await.is_err(), "the old one is not shown");
    encrypted(gateway.address, &new_cert).await.expect("the new one is");
}

#[tokio::test]
async fn fault_63_certificates_that_do_not_fit_are_named() {
    let dir = Dir::new("63-wrong");
    let (one, _) = certificate(&dir, "one");
    let (other, _) = certificate(&dir, "other");
    let mixed = TlsFiles { key: other.key, ..one.clone() };
    assert!(Tls::read(&mixed).unwrap_err().to_string().contains("one.crt"));
    let missing = TlsFiles { key: dir.0.join("none"), ..one.clone() };
    assert!(Tls::read(&missing).unwrap_err().to_string().contains("none"));
    let empty = TlsFiles { cert: dir.file("empty", ""), ..one };
    assert!(Tls::read(&empty).unwrap_err().to_string().contains("no certificate"));
}

#[tokio::test]
async fn without_a_clients_certificate_mutual_tls_serves_nobody() {
    let dir = Dir::new("mutual");
    let (mut files, cert) = certificate(&dir, "server");
    files.client_ca = Some(certificate(&dir, "clients").0.cert);
    let (state, _upstream) = chat(Upstream::always(whole())).await;
    let tls = Tls::read(&files).expect("valid");
    let gateway = Setup { tls: Some(tls), ..Setup::new(state) }.start().await;
    let refused = async {
        let mut socket = encrypted(gateway.address, &cert).await?;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").await?;
        let mut seen = [0; 1];
        socket.read_exact(&mut seen).await
    };
    assert!(refused.await.is_err());
}
