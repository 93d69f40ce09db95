//! One keep-alive connection, and what it sees of an answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{Failed, ask::Ask};

/// A connection; dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    events: Arc<AtomicU64>,
}

/// What was seen of one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// From the first byte sent to the end of the answer.
    pub(crate) whole: Duration,
    /// From the first byte sent to the first piece of the answer's body.
    pub(crate) first: Duration,
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Result<Self, Failed> {
        Self::counting(to, Arc::default()).await
    }

    /// Returns a connection that adds each event to `events` as it comes.
    pub(crate) async fn counting(to: SocketAddr, events: Arc<AtomicU64>) -> Result<Self, Failed> {
        let socket = TcpStream::connect(to).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver, events })
    }

    /// Sends a request and reads its answer.
    ///
    /// Errors: the connection's, any status but 200, and a stream without its last event.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Seen, Failed> {
        let started = Instant::now();
        let response = self.sent(ask).await?;
        self.read(response, ask, started).await
    }

    /// Sends a request and returns with the first piece of its answer, the rest still to come.
    pub(crate) async fn open(&mut self, ask: &Ask) -> Result<Response<Incoming>, Failed> {
        let mut response = self.sent(ask).await?;
        response.body_mut().frame().await.ok_or("a stream without events")??;
        Ok(response)
    }

    async fn sent(&mut self, ask: &Ask) -> Result<Response<Incoming>, Failed> {
        self.sender.ready().await?;
        let response = self.sender.send_request(ask.request()).await?;
        if response.status() == http::StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Err(format!("answered {status}: {}", String::from_utf8_lossy(&body)).into())
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        ask: &Ask,
        started: Instant,
    ) -> Result<Seen, Failed> {
        let is_stream = response.headers().get("content-type").is_some_and(|kind| {
            kind.to_str().is_ok_and(|kind| kind.starts_with("text/event-stream"))
        });
        let (mut body, mut first, mut done) = (response.into_body(), None, !is_stream);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            first.get_or_insert_with(|| started.elapsed());
            if is_stream {
                let events = memmem::find_iter(&data, b"\n\n").count() as u64;
                self.events.fetch_add(events, Ordering::Relaxed);
                done |= memmem::find(&data, ask.end()).is_some();
            }
        }
        let first = first.filter(|_| done).ok_or("an answer without its end")?;
        Ok(Seen { whole: started.elapsed(), first })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
