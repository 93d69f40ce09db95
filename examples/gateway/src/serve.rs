//! The listener: accepts, serves HTTP/1.1 and HTTP/2, drains.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, net::TcpStream, sync::watch};
use tollgate_core::BoxError;
use tower::Service;

/// How a listener behaves.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a request's head may take to arrive.
    pub head: Duration,
    /// How long running answers may go on once the listener is told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), drain: Duration::from_secs(30) }
    }
}

/// Serves `service` on `listener` until `stop` says true, then lets running answers end for
/// [`Limits::drain`]. So long as they do, the listener stays open: whoever asks for `/readyz` is
/// told not to come, and new calls are refused by the service in their own protocol.
///
/// Returns how many connections had to be cut.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> usize
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let graceful = GracefulShutdown::new();
    let server = Arc::new(server(limits));
    tokio::select! {
        () = accept(&listener, |socket| connection(&server, Some(&graceful), socket, &service)) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    let open = graceful.count();
    tokio::select! {
        () = accept(&listener, |socket| connection(&server, None, socket, &service)) => open,
        drained = tokio::time::timeout(limits.drain, graceful.shutdown()) => match drained {
            Ok(()) => 0,
            Err(_) => open,
        },
    }
}

/// Accepts connections for as long as it is polled.
async fn accept(listener: &TcpListener, mut connection: impl FnMut(TcpStream)) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => connection(socket),
            Err(error) => pause_after(&error).await,
        }
    }
}

fn server(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).pipeline_flush(true);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    server
}

/// Serves one connection in a task; `graceful` is told of it where it is to be waited for.
fn connection<S, B>(
    server: &Arc<auto::Builder<TokioExecutor>>,
    graceful: Option<&GracefulShutdown>,
    socket: TcpStream,
    service: &S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Without it every short stream stalls 40 ms between Nagle and delayed acknowledgements.
    let _ = socket.set_nodelay(true);
    let (server, watcher) = (server.clone(), graceful.map(GracefulShutdown::watcher));
    let service = TowerToHyperService::new(service.clone());
    tokio::spawn(async move {
        let connection = server.serve_connection(TokioIo::new(socket), service).into_owned();
        let ended = match watcher {
            Some(watcher) => watcher.watch(connection).await,
            None => connection.await,
        };
        if let Err(error) = ended {
            tracing::debug!(error, "connection ended");
        }
    });
}

/// A process out of file descriptors gets the same error at once again: wait instead of spinning.
async fn pause_after(error: &io::Error) {
    let of_the_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    );
    if !of_the_peer {
        tracing::warn!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
