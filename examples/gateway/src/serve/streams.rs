//! The streams of an HTTP/2 connection, each in time: one that its client does not read is reset,
//! the others go on.
//!
//! A connection's own write deadline sees none of this: the socket takes bytes as long as any
//! stream is read. HTTP/2 asks a body for its next frame only once the client has made room for it;
//! [`SentBody`] notes in the task of its stream whose turn it is, and [`Streams`] looks at the clock
//! while it is the client's.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tollgate_core::BoxError;

/// The most of a frame that is handed over at once: a client that takes this much is reading.
const PIECE: usize = 64 << 10;

tokio::task_local! {
    /// Whose turn it was at last in this poll of a stream; `None`: its body was not asked.
    static TURN: Cell<Option<Turn>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There is nothing to send yet, or no more.
    Ours,
    /// Something was handed over that the client has to make room for.
    Client,
}

/// Runs the streams of HTTP/2 connections as tasks, and drops the one whose client makes no room
/// for longer than `patience`, which resets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    patience: Duration,
}

impl Streams {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Stream { stream, patience: self.patience, unread: false, timer: None });
    }
}

pin_project! {
    #[derive(Debug)]
    struct Stream<F> {
        #[pin]
        stream: F,
        patience: Duration,
        // It is the client's turn: the timer runs.
        unread: bool,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let (polled, turn) = TURN.sync_scope(Cell::new(None), || {
            let polled = this.stream.poll(cx);
            (polled, TURN.with(Cell::get))
        });
        if polled.is_ready() {
            return Poll::Ready(());
        }
        match (turn, &mut *this.timer) {
            (None, _) => {}
            (Some(Turn::Ours), _) => *this.unread = false,
            (Some(Turn::Client), timer) => {
                *this.unread = true;
                let due = Instant::now() + *this.patience;
                match timer {
                    Some(timer) => timer.as_mut().reset(due),
                    None => *timer = Some(Box::pin(tokio::time::sleep_until(due))),
                }
            }
        }
        let Some(timer) = this.timer.as_mut().filter(|_| *this.unread) else {
            return Poll::Pending;
        };
        ready!(timer.as_mut().poll(cx));
        tracing::debug!("a stream was reset: its client does not read it");
        Poll::Ready(())
    }
}

pin_project! {
    /// A response's body that notes whose turn it is. Over HTTP/1 it passes untouched, over HTTP/2
    /// in pieces of at most 64 KiB.
    ///
    /// It breaks off only after the connection had its turn: with an error hyper drops what it was
    /// given and has not written yet, the head too.
    #[derive(Debug)]
    pub(super) struct SentBody<B> {
        #[pin]
        body: B,
        // What is left of a frame.
        rest: Bytes,
        // How it breaks off.
        error: Option<BoxError>,
    }
}

impl<B> SentBody<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, rest: Bytes::new(), error: None }
    }
}

impl<B> Body for SentBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = match this.rest.is_empty() {
            true => this.body.poll_frame(cx),
            false => Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.rest))))),
        };
        let polled = match polled {
            Poll::Ready(Some(Err(error))) => {
                *this.error = Some(error.into());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled.map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        };
        let turn = if matches!(polled, Poll::Ready(Some(_))) { Turn::Client } else { Turn::Ours };
        // Outside a stream's task there is nobody to tell.
        match TURN.try_with(|of| of.set(Some(turn))) {
            Ok(()) => polled.map(|frame| frame.map(|frame| frame.map(|f| piece(f, this.rest)))),
            Err(_) => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.error.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Puts what is more than a piece aside.
fn piece(frame: Frame<Bytes>, rest: &mut Bytes) -> Frame<Bytes> {
    frame.map_data(|mut data| {
        if data.len() > PIECE {
            *rest = data.split_off(PIECE);
        }
        data
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty};
    use hyper::{body::Incoming, client::conn::http2, server, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
    use tollgate_testkit::{Probe, Script, wrapper_contract};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const WINDOW: u32 = 1 << 16;

    type Client = http2::SendRequest<Empty<Bytes>>;

    /// A connection on which each request is answered with `script`, to a client that makes room for
    /// 64 KiB of each stream.
    async fn connect(script: Script) -> (Client, tokio::sync::mpsc::UnboundedReceiver<Probe>) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (probes, probe) = tokio::sync::mpsc::unbounded_channel();
        let service = service_fn(move |_: Request<Incoming>| {
            let body = script.body();
            let _ = probes.send(body.probe());
            std::future::ready(Ok::<_, Infallible>(Response::new(SentBody::new(body))))
        });
        let served = server::conn::http2::Builder::new(Streams::new(PATIENCE))
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(far), service);
        tokio::spawn(served);
        let (client, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .handshake(TokioIo::new(near))
            .await
            .unwrap();
        tokio::spawn(connection);
        (client, probe)
    }

    async fn ask(client: &mut Client) -> Incoming {
        let request = Request::get("http://tollgate.test/").body(Empty::new()).unwrap();
        client.send_request(request).await.unwrap().into_body()
    }

    fn large() -> Script {
        Script::new("x".repeat(1 << 18)).split_every(1 << 12)
    }

    #[tokio::test(start_paused = true)]
    async fn fault_36_a_stream_nobody_reads_is_reset_and_the_others_go_on() {
        let (mut client, mut probes) = connect(large()).await;
        let (unread, read) = (ask(&mut client).await, ask(&mut client).await);
        let probe = probes.recv().await.unwrap();
        assert_eq!(read.collect().await.unwrap().to_bytes().len(), 1 << 18);
        tokio::time::sleep(PATIENCE - Duration::from_secs(1)).await;
        assert!(!probe.dropped_early());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(probe.dropped_early(), "what it read from is let go");
        let error = unread.collect().await.unwrap_err();
        assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
        let next = ask(&mut client).await.collect().await.unwrap();
        assert_eq!(next.to_bytes().len(), 1 << 18, "the connection goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn fault_36_a_stream_that_is_read_slowly_is_read_to_its_end() {
        let (mut client, _probes) = connect(large()).await;
        let (mut slow, mut length) = (ask(&mut client).await, 0);
        while let Some(frame) = slow.frame().await {
            length += frame.unwrap().into_data().unwrap().len();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(length, 1 << 18);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_frame_read_slowly_is_no_stall() {
        let (mut client, _probes) = connect(Script::new("x".repeat(8 << 20))).await;
        let (mut slow, mut length) = (ask(&mut client).await, 0);
        while let Some(frame) = slow.frame().await {
            length += frame.unwrap().into_data().unwrap().len();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(length, 8 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_for_its_upstream_is_not_its_clients_fault() {
        let script = Script::new("a").wait(PATIENCE * 10).then("b");
        let (mut client, _probes) = connect(script).await;
        assert_eq!(ask(&mut client).await.collect().await.unwrap().to_bytes(), "ab");
    }

    #[tokio::test]
    async fn the_body_keeps_the_body_contract() {
        wrapper_contract(SentBody::new).await;
    }

    #[tokio::test]
    async fn within_a_stream_a_body_comes_in_pieces_and_says_how_much_is_left() {
        let mut body = SentBody::new(Script::new("x".repeat(PIECE + 1)).sized().body());
        TURN.scope(Cell::new(None), async {
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(first.len(), PIECE);
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1), false));
            assert_eq!(TURN.with(Cell::get), Some(Turn::Client));
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
        })
        .await;
        assert!(body.is_end_stream() || body.frame().await.is_none());
    }
}
