//! One connection: TLS where wanted, HTTP, and its end.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::{Future, poll_fn},
    mem,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    TryFutureExt,
    future::{Either, MapOk},
};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tollgate_core::BoxError;
use tower::{Service, ServiceExt, util::Oneshot};

use super::{
    Ambiguous, ClientBody, Limits, Network, Peer, Server,
    admit::{Lingering, Place},
    body::Pace,
    line::{Line, Socket},
    streams::{SentBody, Streams},
};
use crate::signal::{Signal, Waiter};

/// What a client beyond the limit is told, whatever protocol it would have spoken.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-type: application/json\r\nx-tollgate-origin: gateway\r\n\
    content-length: 84\r\n\r\n\
    {\"error\":{\"message\":\"too many connections\",\"type\":\"overloaded\",\"code\":\"overloaded\"}}";

/// Starts connections and tells them to finish.
pub(super) struct Connections<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    server: Server,
    http: auto::Builder<Streams>,
    finish: Signal,
    service: S,
}

impl<S> Connections<S> {
    pub(super) fn new(server: Server, service: S) -> Self {
        let http = http(server.limits);
        Self { shared: Arc::new(Shared { server, http, finish: Signal::new(), service }) }
    }

    /// Lets every connection end after the request it serves.
    pub(super) fn finish(&self) {
        self.shared.finish.give();
    }

    /// Tells a client that there are too many connections, if there is a place to wait for it.
    pub(super) fn refuse(&self, mut socket: TcpStream, lingering: Option<Lingering>) {
        self.shared.server.counts.connection_refused();
        let Some(lingering) = lingering.filter(|_| self.shared.server.tls.is_none()) else {
            return;
        };
        tokio::spawn(async move {
            let _lingering = lingering;
            let told = async {
                socket.write_all(TOO_MANY).await?;
                socket.shutdown().await?;
                // Closed with bytes unread, the kernel would take back what was said.
                let mut unread = [0; 1024];
                while socket.read(&mut unread).await? > 0 {}
                Ok::<_, std::io::Error>(())
            };
            let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
        });
    }
}

impl<S, B> Connections<S>
where
    S: Service<Request<ClientBody<Incoming>>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Serves a connection in a task of its own.
    pub(super) fn start(&self, socket: TcpStream, peer: IpAddr, place: Place) {
        let Shared { server, http, finish, service } = &*self.shared;
        let service = PerConnection {
            service: RefCell::new(service.clone()),
            limits: server.limits,
            peer,
            trusted: server.trusted.clone(),
            asked: Arc::default(),
        };
        let asked = service.asked.clone();
        let (tls, limits) = (server.tls.clone(), server.limits);
        let (http, finish) = (http.clone(), finish.waiter());
        tokio::spawn(async move {
            let _place = place;
            let socket = match tls {
                None => Some(Socket::Plain(socket)),
                Some(tls) => tls.accept(socket, limits.head).await.map(Socket::Tls),
            };
            let Some(socket) = socket else { return };
            let line = Line::new(socket, limits.head, limits.write_idle);
            let late = line.late();
            let connection = http.serve_connection(TokioIo::new(line), service);
            let mut connection = pin!(connection);
            let finished = finish_when_told(connection.as_mut(), finish, asked);
            if let Err(error) = finished.await {
                if is_timeout(&*error) {
                    late.set();
                }
                tracing::debug!(error, "connection ended");
            }
        });
    }
}

fn http(limits: Limits) -> auto::Builder<Streams> {
    let mut http = auto::Builder::new(Streams::new(limits.write_idle));
    // Without `pipeline_flush`: with it the 400 for a malformed head is lost behind the bytes that
    // follow the head.
    http.http1().timer(TokioTimer::new()).header_read_timeout(limits.head);
    http.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    http
}

type Connection<'a, S> = auto::Connection<'a, TokioIo<Line>, PerConnection<S>, Streams>;

/// How long a client that has just connected has to ask something once all is to end.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Drives a connection. Told to finish, it ends after the requests under way, or after its first
/// one: a client that has only just connected would take the end for a failure of its request.
async fn finish_when_told<S, B>(
    mut connection: Pin<&mut Connection<'_, S>>,
    mut finish: Waiter,
    asked: Arc<AtomicBool>,
) -> Result<(), BoxError>
where
    S: Service<Request<ClientBody<Incoming>>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let told = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if finish.poll(cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    if let Some(ended) = told.await {
        return ended;
    }
    let mut patience = pin!(tokio::time::sleep(FIRST_REQUEST));
    let asked = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if asked.load(Ordering::Relaxed) => Poll::Ready(None),
        Poll::Pending => patience.as_mut().poll(cx).map(|()| None),
    });
    if let Some(ended) = asked.await {
        return ended;
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

fn is_timeout(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
}

type Sent<B> = fn(Response<B>) -> Response<SentBody<B>>;

/// The service as one connection sees it: each request says whose it is and arrives in time.
struct PerConnection<S> {
    /// Called where it stands: a clone for each request would be one of every layer.
    service: RefCell<S>,
    limits: Limits,
    peer: IpAddr,
    trusted: Arc<[Network]>,
    /// Whether there was a request on this connection.
    asked: Arc<AtomicBool>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for PerConnection<S>
where
    S: Service<Request<ClientBody<Incoming>>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<SentBody<B>>;
    type Error = Infallible;
    type Future = MapOk<Either<S::Future, Oneshot<S, Request<ClientBody<Incoming>>>>, Sent<B>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let peer = Peer::of(self.peer, request.headers(), &self.trusted);
        request.extensions_mut().insert(peer);
        if let Some(ambiguous) = Ambiguous::of(request.version(), request.headers()) {
            request.extensions_mut().insert(ambiguous);
        }
        let Limits { body_idle: idle, body: total, body_rate: rate, .. } = self.limits;
        let request = request.map(|incoming| ClientBody::new(incoming, Pace { idle, total, rate }));
        let sent: Sent<B> = |response| response.map(SentBody::new);
        let mut service = self.service.borrow_mut();
        let future = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Either::Left(service.call(request)),
            // It goes itself and leaves its copy: what it was asked may hold its place in a queue.
            _ => {
                let copy = service.clone();
                Either::Right(mem::replace(&mut *service, copy).oneshot(request))
            }
        };
        future.map_ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tokio::{net::TcpListener, sync::watch};
    use tollgate_testkit::Script;
    use tower::{limit::ConcurrencyLimit, service_fn};

    use super::*;

    async fn ask(at: std::net::SocketAddr) -> String {
        let mut socket = TcpStream::connect(at).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        socket.write_all(request).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_service_that_is_not_ready_answers_when_it_is() {
        let service = service_fn(async |_| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"at last"))))
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (_go_on, stop) = watch::channel(false);
        let one_by_one = ConcurrencyLimit::new(service, 1);
        tokio::spawn(Server::new(Limits::default()).serve(listener, one_by_one, stop));
        let both = async { tokio::join!(ask(at), ask(at)) };
        let answers = tokio::time::timeout(Duration::from_secs(10), both).await;
        let (first, second) = answers.expect("a place in the queue is held by nobody");
        assert!(first.ends_with("at last") && second.ends_with("at last"), "{first} {second}");
    }

    #[tokio::test]
    async fn a_body_that_breaks_at_once_comes_behind_its_head() {
        for script in [Script::new("abc").reset(), Script::default().reset()] {
            let sent = script.bytes();
            let service = service_fn(move |_| {
                let head = Response::builder().header("content-length", 500);
                std::future::ready(Ok::<_, Infallible>(head.body(script.body()).unwrap()))
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let (_go_on, stop) = watch::channel(false);
            tokio::spawn(Server::new(Limits::default()).serve(listener, service, stop));
            let answer = ask(at).await;
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("content-length: 500"));
            assert_eq!(body, sent);
        }
    }

    #[test]
    fn what_too_many_are_told_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
