use std::{
    fmt::Debug,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use crate::{Ended, Script, ScriptBody};

/// What a body gave from its first poll to its end.
#[derive(Debug, Default)]
pub struct Transcript {
    /// The data frames in order, empty ones too.
    pub frames: Vec<Bytes>,
    /// The trailers, if any came.
    pub trailers: Option<HeaderMap>,
    /// The error the body ended in, as `Debug` shows it.
    pub error: Option<String>,
}

impl Transcript {
    /// Returns the data, joined.
    pub fn data(&self) -> Bytes {
        let mut joined = BytesMut::new();
        self.frames.iter().for_each(|frame| joined.extend_from_slice(frame));
        joined.freeze()
    }
}

/// Reads `body` to its end and asserts what must hold at every step.
///
/// * `is_end_stream` is only true when the next poll gives `None`;
/// * the size hint's bounds hold for the bytes that still come (the lower one only where the body
///   ends cleanly, for nobody can promise bytes that a broken connection swallows);
/// * trailers come at most once and are the last frame;
/// * after the end further polls give `None`.
///
/// Never returns for a body that stalls.
///
/// # Panics
///
/// When one of these does not hold.
pub async fn transcript<B>(body: B) -> Transcript
where
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    let mut body = Box::pin(body);
    let mut seen = Transcript::default();
    let mut hints = Vec::new();
    loop {
        let (hint, ended) = (body.size_hint(), body.is_end_stream());
        hints.push((total(&seen), hint));
        let frame = next(body.as_mut()).await;
        assert!(!ended || frame.is_none(), "is_end_stream was true, then came {frame:?}");
        if !record(&mut seen, frame) {
            break;
        }
    }
    check_hints(&hints, &seen);
    for _ in 0..2 {
        let frame = next(body.as_mut()).await;
        assert!(frame.is_none(), "after the end came {frame:?}");
    }
    seen
}

async fn next<B: Body>(mut body: Pin<&mut B>) -> Option<Result<Frame<B::Data>, B::Error>> {
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}

fn total(seen: &Transcript) -> u64 {
    seen.frames.iter().map(|frame| frame.len() as u64).sum()
}

/// Notes the frame; false when it was the last.
fn record<E: Debug>(seen: &mut Transcript, frame: Option<Result<Frame<Bytes>, E>>) -> bool {
    let frame = match frame {
        None => return false,
        Some(Err(error)) => {
            seen.error = Some(format!("{error:?}"));
            return false;
        }
        Some(Ok(frame)) => frame,
    };
    assert!(seen.trailers.is_none(), "a frame came after the trailers");
    match frame.into_data() {
        Ok(data) => seen.frames.push(data),
        Err(frame) => seen.trailers = frame.into_trailers().ok(),
    }
    true
}

fn check_hints(hints: &[(u64, SizeHint)], seen: &Transcript) {
    let whole = total(seen);
    for (before, hint) in hints {
        let left = whole - before;
        assert!(
            seen.error.is_some() || hint.lower() <= left,
            "after {before} bytes the hint promised at least {}, {left} came",
            hint.lower(),
        );
        assert!(
            hint.upper().is_none_or(|upper| left <= upper),
            "after {before} bytes the hint promised at most {:?}, {left} came",
            hint.upper(),
        );
    }
}

/// Asserts the contract of [`transcript`], and that dropping the body after any number of frames
/// does not panic. Returns what the body gave, to be compared with what it should have given.
///
/// # Panics
///
/// When the contract is broken.
pub async fn body_contract<B>(mut make: impl FnMut() -> B) -> Transcript
where
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    let seen = transcript(make()).await;
    let polls = seen.frames.len() + usize::from(seen.trailers.is_some());
    for stop in 0..=polls {
        let mut body = Box::pin(make());
        for _ in 0..stop {
            let _ = next(body.as_mut()).await;
        }
    }
    seen
}

/// Asserts that a body around another keeps the contract, passes all bytes and trailers through
/// unchanged, ends in an error where the inner body does, and drops the inner body when dropped.
///
/// For bodies that leave the bytes alone; one that changes them is given to [`body_contract`].
/// Some of the scripts wait a millisecond on tokio's clock, so its time must be enabled.
///
/// # Panics
///
/// When the contract is broken.
pub async fn wrapper_contract<B>(mut wrap: impl FnMut(ScriptBody) -> B)
where
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    for script in scripts() {
        let seen = body_contract(|| wrap(script.body())).await;
        let bare = transcript(script.body()).await;
        assert_eq!(seen.data(), bare.data(), "the bytes changed: {script:?}");
        assert_eq!(seen.trailers, bare.trailers, "the trailers changed: {script:?}");
        assert_eq!(seen.error.is_some(), bare.error.is_some(), "the ending changed: {script:?}");
    }
    let inner = Script::frames(["a", "b"]).body();
    let probe = inner.probe();
    drop(wrap(inner));
    assert_eq!(probe.ended(), Some(Ended::Dropped), "the inner body outlived its wrapper");
}

fn scripts() -> Vec<Script> {
    let text = Script::new("event: a\ndata: {\"n\":1}\n\ndata: [DONE]\n\n");
    vec![
        Script::default(),
        text.clone(),
        text.clone().sized(),
        text.clone().split_every(1),
        text.clone().split_every(5).sized(),
        text.clone().pace(Duration::from_millis(1)),
        text.clone().trailers(sum()),
        Script::default().trailers(sum()),
        text.clone().reset_at(9),
        text.reset_at(0),
    ]
}

fn sum() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))])
}

/// Counts how often an end callback fired. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct EndCounter(Arc<AtomicUsize>);

impl EndCounter {
    /// Counts one more.
    pub fn fire(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns how often [`EndCounter::fire`] was called.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Asserts that an end callback fires exactly once: for a body read to its end (with and without
/// trailers, and when its reader stops at `is_end_stream`), one that fails, one dropped in the
/// middle, and one never polled.
///
/// `make` wraps the inner body so that its end callback calls [`EndCounter::fire`].
///
/// # Panics
///
/// When it fires never or twice.
pub async fn end_contract<B>(mut make: impl FnMut(ScriptBody, EndCounter) -> B)
where
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    let text = Script::frames(["a", "b"]);
    let endings = [
        ("complete", text.clone(), 99),
        ("complete with trailers", text.clone().trailers(sum()), 99),
        ("complete without bytes", Script::default(), 99),
        ("failed", text.clone().reset(), 99),
        ("dropped", text.clone(), 1),
        ("never polled", text, 0),
    ];
    for (name, script, polls) in endings {
        let counter = EndCounter::default();
        read(make(script.body(), counter.clone()), polls).await;
        assert_eq!(counter.count(), 1, "{name}: the end must be told exactly once");
    }
}

/// Polls like a server: up to `polls` frames, and no further once `is_end_stream` says so.
async fn read<B: Body<Data = Bytes>>(body: B, polls: usize) {
    let mut body = Box::pin(body);
    for _ in 0..polls {
        if body.is_end_stream() || !matches!(next(body.as_mut()).await, Some(Ok(_))) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn honest_bodies_pass() {
        wrapper_contract(|body| body).await;
        let seen = body_contract(|| Full::new(Bytes::from("abc"))).await;
        assert_eq!(seen.data(), "abc");
        let script = Script::new("abc").reset_at(2);
        assert!(body_contract(|| script.body()).await.error.unwrap().contains("Reset"));
    }

    /// Claims a length and an end that are not so.
    struct Liar(ScriptBody, u64, bool);

    impl Body for Liar {
        type Data = Bytes;
        type Error = tollgate_core::BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }

        fn is_end_stream(&self) -> bool {
            self.2
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.1)
        }
    }

    #[tokio::test]
    #[should_panic(expected = "promised at least 9")]
    async fn a_length_that_is_too_large_is_found() {
        body_contract(|| Liar(Script::new("abc").body(), 9, false)).await;
    }

    #[tokio::test]
    #[should_panic(expected = "promised at most")]
    async fn a_length_that_is_too_small_is_found() {
        body_contract(|| Liar(Script::new("abc").body(), 0, false)).await;
    }

    #[tokio::test]
    #[should_panic(expected = "is_end_stream was true")]
    async fn an_early_end_is_found() {
        body_contract(|| Liar(Script::new("abc").body(), 3, true)).await;
    }

    #[tokio::test]
    #[should_panic(expected = "trailers changed")]
    async fn lost_trailers_are_found() {
        wrapper_contract(|body| {
            body.map_frame(|frame| frame.into_data().map_or(Frame::data(Bytes::new()), Frame::data))
        })
        .await;
    }

    struct FiresOnDrop(ScriptBody, EndCounter, bool);

    impl Drop for FiresOnDrop {
        fn drop(&mut self) {
            self.1.fire();
        }
    }

    impl Body for FiresOnDrop {
        type Data = Bytes;
        type Error = tollgate_core::BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let polled = Pin::new(&mut self.0).poll_frame(cx);
            if self.2 && matches!(polled, Poll::Ready(Some(Err(_)))) {
                self.1.fire();
            }
            polled
        }
    }

    #[tokio::test]
    async fn one_end_passes() {
        end_contract(|body, counter| FiresOnDrop(body, counter, false)).await;
    }

    #[tokio::test]
    #[should_panic(expected = "failed: the end must be told exactly once")]
    async fn a_second_end_is_found() {
        end_contract(|body, counter| FiresOnDrop(body, counter, true)).await;
    }
}
