//! A connection's bytes, in time: nothing waits for ever for a client.

use std::{
    cell::RefCell,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_rustls::server::TlsStream;

/// Bytes by which HTTP/2's preface is told from a request: before, no protocol's clock runs.
const PREFACE: usize = 24;

/// Up to so many bytes in pieces, the lines around an event for instance, leave as one piece:
/// copying them costs less than handing over several.
const SHORT: usize = 2048;

thread_local! {
    static PIECE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

const TOO_LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A connection, encrypted or not.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that ends when its client does not say what it wants, or takes nothing.
#[derive(Debug)]
pub(super) struct Line {
    socket: Socket,
    read: usize,
    /// Something was read since something was last written.
    unanswered: bool,
    opening: Option<Pin<Box<Sleep>>>,
    patience: Duration,
    /// A write waits: the timer runs.
    stalled: bool,
    timer: Option<Pin<Box<Sleep>>>,
    late: Late,
}

/// Whether a connection was given up because a head did not arrive in time.
#[derive(Clone, Debug, Default)]
pub(super) struct Late(Arc<AtomicBool>);

impl Late {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Line {
    /// `head`: how long the first bytes may take; `patience`: how long a write may.
    pub(super) fn new(socket: Socket, head: Duration, patience: Duration) -> Self {
        Self {
            socket,
            read: 0,
            unanswered: false,
            opening: Some(Box::pin(tokio::time::sleep(head))),
            patience,
            stalled: false,
            timer: None,
            late: Late::default(),
        }
    }

    pub(super) fn late(&self) -> Late {
        self.late.clone()
    }

    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket),
            Socket::Tls(socket) => Pin::new(&mut **socket),
        }
    }

    /// Notes what came of an attempt to write; a client that takes nothing for long is gone.
    fn wrote<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = false;
            return polled;
        }
        let due = (!self.stalled).then(|| Instant::now() + self.patience);
        self.stalled = true;
        match (&mut self.timer, due) {
            (Some(timer), Some(due)) => timer.as_mut().reset(due),
            (timer @ None, Some(due)) => *timer = Some(Box::pin(tokio::time::sleep_until(due))),
            _ => {}
        }
        let timer = self.timer.as_mut().expect("set above when the write first waited");
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

fn write_together<W: AsyncWrite + ?Sized>(
    to: Pin<&mut W>,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [buf] = bufs {
        return to.poll_write(cx, buf);
    }
    if bufs.iter().map(|buf| buf.len()).sum::<usize>() > SHORT {
        return to.poll_write_vectored(cx, bufs);
    }
    PIECE.with_borrow_mut(|piece| {
        piece.clear();
        bufs.iter().for_each(|buf| piece.extend_from_slice(buf));
        to.poll_write(cx, piece)
    })
}

/// Both directions.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.stream().poll_read(cx, buf);
        let n = buf.filled().len() - before;
        self.unanswered |= n > 0;
        if self.opening.is_none() {
            return polled;
        }
        self.read += n;
        if self.read >= PREFACE {
            self.opening = None;
        }
        let (Poll::Pending, Some(opening)) = (&polled, &mut self.opening) else { return polled };
        ready!(opening.as_mut().poll(cx));
        self.late.set();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unanswered = false;
        let polled = self.stream().poll_write(cx, buf);
        self.wrote(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unanswered = false;
        let polled = write_together(self.stream(), cx, bufs);
        self.wrote(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.stream().poll_flush(cx);
        self.wrote(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.stream().poll_shutdown(cx);
        self.wrote(polled, cx)
    }
}

impl Drop for Line {
    /// Whoever began a request and did not finish its head in time is told so; idle connections
    /// just end. Under TLS nothing can be said at this point.
    fn drop(&mut self) {
        if let Socket::Plain(socket) = &self.socket
            && self.unanswered
            && self.late.0.load(Ordering::Relaxed)
        {
            let _ = socket.try_write(TOO_LATE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Writes down each write, and of how many pieces it was.
    #[derive(Default)]
    struct Writes(Vec<(usize, Vec<u8>)>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push((1, buf.to_vec()));
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let whole: Vec<u8> = bufs.iter().flat_map(|buf| buf.to_vec()).collect();
            let length = whole.len();
            self.0.push((bufs.len(), whole));
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn written(parts: &[&[u8]]) -> (usize, Vec<u8>) {
        let mut to = Writes::default();
        let bufs: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(length)) = write_together(Pin::new(&mut to), &mut cx, &bufs) else {
            unreachable!("it is always ready");
        };
        let [write] = <[_; 1]>::try_from(to.0).unwrap();
        assert_eq!(length, write.1.len());
        write
    }

    #[test]
    fn short_pieces_leave_as_one_and_long_ones_uncopied() {
        assert_eq!(written(&[b"5\r\n", b"hello", b"\r\n"]), (1, b"5\r\nhello\r\n".to_vec()));
        assert_eq!(written(&[b"a", b"b"]), (1, b"ab".to_vec()), "nothing is left of the first");
        let long = vec![b'.'; SHORT];
        assert_eq!(written(&[&long]).0, 1);
        assert_eq!(written(&[b"x", &long]), (2, [b"x", &*long].concat()));
    }
}
