use std::{
    collections::VecDeque,
    fmt,
    future::{Future, pending},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    Version, header::CONTENT_TYPE,
};
use http_body::Body;
use http_body_util::BodyExt;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tollgate_core::{BoxError, Frames};
use tower_service::Service;

use crate::{Probe, Reset, Script, ScriptBody};

/// A request an [`Upstream`] received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The request target as it came.
    pub uri: Uri,
    /// The HTTP version.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The facts that travelled with the request; nothing for one that came over TCP.
    pub extensions: Extensions,
    /// The frames of the body, as far as they came.
    pub frames: Frames,
    /// The trailers of the body.
    pub trailers: Option<HeaderMap>,
    /// The body came to its end.
    pub complete: bool,
}

impl Received {
    /// Returns the body's bytes, joined.
    pub fn body(&self) -> Bytes {
        self.frames.joined()
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body()).expect("the received body is JSON")
    }
}

/// One scripted answer: status, headers, body, and what may go wrong before the head.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    extensions: Extensions,
    script: Script,
    delay: Duration,
    head: Head,
}

#[derive(Clone, Copy, Debug)]
enum Head {
    Given,
    Never,
    Failed,
}

impl Answer {
    /// Answers with this status and body, without headers.
    pub fn new(status: StatusCode, script: Script) -> Self {
        let (headers, extensions) = (HeaderMap::new(), Extensions::new());
        Self { status, headers, extensions, script, delay: Duration::ZERO, head: Head::Given }
    }

    /// Answers 200 with an event stream.
    pub fn sse(script: Script) -> Self {
        Self::new(StatusCode::OK, script)
            .header(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
    }

    /// Answers with JSON of known length.
    ///
    /// # Panics
    ///
    /// When `status` is none.
    pub fn json(status: u16, text: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).expect("a status code");
        Self::new(status, Script::new(text).sized())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Never gives a head.
    pub fn silence() -> Self {
        Self { head: Head::Never, ..Self::new(StatusCode::OK, Script::default()) }
    }

    /// Fails with [`Reset`] instead of giving a head.
    pub fn error() -> Self {
        Self { head: Head::Failed, ..Self::new(StatusCode::OK, Script::default()) }
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// When name or value cannot be one.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Debug>,
        V: TryInto<HeaderValue, Error: fmt::Debug>,
    {
        let name = name.try_into().expect("a header name");
        self.headers.append(name, value.try_into().expect("a header value"));
        self
    }

    /// Puts a fact into the answer's extensions.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, fact: T) -> Self {
        self.extensions.insert(fact);
        self
    }

    /// Gives the head (or the error) only after this time.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn response(&self) -> Response<ScriptBody> {
        let mut response = Response::new(self.script.body());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        *response.extensions_mut() = self.extensions.clone();
        response
    }
}

type Choose = dyn Fn(&Received) -> Answer + Send + Sync;

enum Plan {
    Queue(VecDeque<Answer>),
    Always(Answer),
    Choose(Arc<Choose>),
}

/// A service that records each request and answers from a script. Clones share all of it.
///
/// The body is read to its end before the answer is chosen. A queue that has run out answers 599.
/// Errors: only those scripted by [`Answer::error`], and a request body that fails.
#[derive(Clone)]
pub struct Upstream(Arc<Mutex<State>>);

struct State {
    plan: Plan,
    received: Vec<Received>,
    probes: Vec<Probe>,
}

impl Upstream {
    /// Answers with each of `answers` once, in order.
    pub fn queue(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::planned(Plan::Queue(answers.into_iter().collect()))
    }

    /// Answers the same each time.
    pub fn always(answer: Answer) -> Self {
        Self::planned(Plan::Always(answer))
    }

    /// Answers what `choose` says, given the request with its whole body.
    pub fn choose(choose: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::planned(Plan::Choose(Arc::new(choose)))
    }

    fn planned(plan: Plan) -> Self {
        Self(Arc::new(Mutex::new(State { plan, received: Vec::new(), probes: Vec::new() })))
    }

    /// Returns the requests so far, in the order they came.
    pub fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// Returns the watchers of the bodies given so far, in the order they were given.
    pub fn probes(&self) -> Vec<Probe> {
        self.state().probes.clone()
    }

    /// Serves HTTP/1.1 on a free loopback port until the guard is dropped.
    ///
    /// What HTTP cannot express, a wrong length or a reset, is [`crate::Wire`]'s.
    pub async fn serve(self) -> io::Result<(SocketAddr, ServeGuard)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        Ok((addr, ServeGuard(tokio::spawn(self.accept(listener)))))
    }

    async fn accept(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(self.clone());
            let http = hyper::server::conn::http1::Builder::new();
            connections.spawn(http.serve_connection(TokioIo::new(stream), service));
            while connections.try_join_next().is_some() {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding this lock")
    }

    fn record<B>(&self, request: Request<B>) -> (usize, B) {
        let (head, body) = request.into_parts();
        let mut state = self.state();
        state.received.push(Received {
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers: head.headers,
            extensions: head.extensions,
            frames: Frames::default(),
            trailers: None,
            complete: false,
        });
        (state.received.len() - 1, body)
    }

    async fn read<B>(&self, at: usize, body: B) -> Result<(), BoxError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut body = std::pin::pin!(body);
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(Into::into)?.into_data() {
                Ok(data) => frames.push(data),
                Err(frame) => self.state().received[at].trailers = frame.into_trailers().ok(),
            }
            self.state().received[at].frames = Frames::new(frames.clone());
        }
        self.state().received[at].complete = true;
        Ok(())
    }

    fn next(&self, at: usize) -> Answer {
        let mut state = self.state();
        let choose = match &mut state.plan {
            Plan::Queue(queue) => return queue.pop_front().unwrap_or_else(exhausted),
            Plan::Always(answer) => return answer.clone(),
            Plan::Choose(choose) => choose.clone(),
        };
        let received = state.received[at].clone();
        // The closure may itself look at this upstream.
        drop(state);
        choose(&received)
    }

    async fn play(&self, answer: Answer) -> Result<Response<ScriptBody>, BoxError> {
        if !answer.delay.is_zero() {
            sleep(answer.delay).await;
        }
        match answer.head {
            Head::Given => {}
            Head::Never => pending().await,
            Head::Failed => return Err(Reset.into()),
        }
        let response = answer.response();
        self.state().probes.push(response.body().probe());
        Ok(response)
    }
}

fn exhausted() -> Answer {
    Answer::json(599, "{\"error\":\"the script has no more answers\"}")
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("received", &self.state().received.len()).finish()
    }
}

impl<B> Service<Request<B>> for Upstream
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ScriptBody>;
    type Error = BoxError;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AnswerFuture {
        let upstream = self.clone();
        let (at, body) = upstream.record(request);
        AnswerFuture(Box::pin(async move {
            upstream.read(at, body).await?;
            upstream.play(upstream.next(at)).await
        }))
    }
}

/// Response future for [`Upstream`].
pub struct AnswerFuture(
    Pin<Box<dyn Future<Output = Result<Response<ScriptBody>, BoxError>> + Send>>,
);

impl fmt::Debug for AnswerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerFuture")
    }
}

impl Future for AnswerFuture {
    type Output = Result<Response<ScriptBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// Keeps an [`Upstream`] served; dropped, it closes the listener and every connection.
#[derive(Debug)]
pub struct ServeGuard(JoinHandle<()>);

impl Drop for ServeGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::{Instant, timeout},
    };
    use tower::ServiceExt;

    use super::*;
    use crate::Ended;

    fn ask(text: &'static str) -> Request<Full<Bytes>> {
        Request::post("/v1/x?y").header("a", "b").body(Full::from(text)).unwrap()
    }

    #[tokio::test]
    async fn records_what_it_is_asked() {
        let upstream = Upstream::always(Answer::json(200, "{}"));
        let mut request = ask("{\"n\":1}");
        request.extensions_mut().insert(7_u8);
        upstream.clone().oneshot(request).await.unwrap();
        let received = upstream.received().remove(0);
        assert_eq!(
            (received.method.as_str(), received.uri.to_string()),
            ("POST", "/v1/x?y".into())
        );
        assert_eq!(
            (received.headers["a"].as_bytes(), received.json()["n"].as_u64()),
            (&b"b"[..], Some(1))
        );
        assert_eq!(received.extensions.get::<u8>(), Some(&7));
        assert!(received.complete);
    }

    #[tokio::test]
    async fn a_queue_runs_out() {
        let upstream = Upstream::queue([Answer::json(201, ""), Answer::error()]);
        assert_eq!(upstream.clone().oneshot(ask("")).await.unwrap().status(), 201);
        assert!(upstream.clone().oneshot(ask("")).await.unwrap_err().is::<Reset>());
        assert_eq!(upstream.clone().oneshot(ask("")).await.unwrap().status(), 599);
        assert_eq!(upstream.received().len(), 3);
    }

    #[tokio::test]
    async fn a_closure_sees_the_body() {
        let upstream = Upstream::choose(|r| Answer::json(200, r.body()));
        let response = upstream.oneshot(ask("hello")).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    }

    #[tokio::test(start_paused = true)]
    async fn the_head_comes_late_or_never() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let upstream = Upstream::queue([Answer::json(200, "").after(second), Answer::silence()]);
        upstream.clone().oneshot(ask("")).await.unwrap();
        assert_eq!(start.elapsed(), second);
        assert!(timeout(second, upstream.oneshot(ask(""))).await.is_err());
    }

    #[tokio::test]
    async fn plays_over_tcp_and_notices_that_the_client_left() {
        let upstream = Upstream::always(Answer::sse(Script::new("data: 1\n\n").stall()));
        let (addr, _guard) = upstream.clone().serve().await.unwrap();
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut seen = String::new();
        while !seen.contains("data: 1") {
            let mut part = [0; 512];
            let n = client.read(&mut part).await.unwrap();
            seen.push_str(std::str::from_utf8(&part[..n]).unwrap());
        }
        assert!(seen.starts_with("HTTP/1.1 200 OK") && seen.contains("chunked"));
        drop(client);
        assert_eq!(upstream.probes()[0].end().await, Ended::Dropped);
    }
}
