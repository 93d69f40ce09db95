use std::{
    collections::BTreeSet,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::{
    sync::Notify,
    time::{Sleep, sleep},
};
use tollgate_core::BoxError;

/// The error of a scripted reset: a foreign error, as a broken connection would give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection reset by the script")
    }
}

impl std::error::Error for Reset {}

#[derive(Clone)]
enum Step {
    Data(Bytes),
    Wait(Duration),
    Trailers(HeaderMap),
    Stall,
    Fail(Arc<dyn Fn() -> BoxError + Send + Sync>),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(bytes) => f.debug_tuple("Data").field(bytes).finish(),
            Self::Wait(pause) => f.debug_tuple("Wait").field(pause).finish(),
            Self::Trailers(map) => f.debug_tuple("Trailers").field(map).finish(),
            Self::Stall => f.write_str("Stall"),
            Self::Fail(_) => f.write_str("Fail"),
        }
    }
}

/// What a body plays: frames of bytes, pauses, trailers and an ending.
///
/// A script is a recipe: clone it and play it as often as you like with [`Script::body`]. Unless
/// told otherwise it ends cleanly and does not know its length (so a server sends it chunked);
/// [`Script::sized`] lets it state its exact length. Offsets count bytes from the script's start;
/// one beyond the end means the end. Pauses use tokio's clock and pass at once when it is paused.
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<Step>,
    sized: bool,
}

impl Script {
    /// Plays `bytes` as one frame. No bytes, no frame.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self::default().then(bytes)
    }

    /// Plays each of `frames` as one frame.
    pub fn frames<T: Into<Bytes>>(frames: impl IntoIterator<Item = T>) -> Self {
        frames.into_iter().fold(Self::default(), Self::then)
    }

    /// Then plays `bytes` as one more frame.
    pub fn then(mut self, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if !bytes.is_empty() {
            self.steps.push(Step::Data(bytes));
        }
        self
    }

    /// Then waits.
    pub fn wait(self, pause: Duration) -> Self {
        self.push(Step::Wait(pause))
    }

    /// Then sends trailers.
    pub fn trailers(self, trailers: HeaderMap) -> Self {
        self.push(Step::Trailers(trailers))
    }

    /// Then never does anything again.
    pub fn stall(self) -> Self {
        self.push(Step::Stall)
    }

    /// Then fails with [`Reset`].
    pub fn reset(self) -> Self {
        self.fail(|| Reset)
    }

    /// Then fails with an error made for each playing.
    pub fn fail<E: Into<BoxError>>(self, error: impl Fn() -> E + Send + Sync + 'static) -> Self {
        self.push(Step::Fail(Arc::new(move || error().into())))
    }

    /// States the exact number of bytes still to come in the size hint.
    pub fn sized(mut self) -> Self {
        self.sized = true;
        self
    }

    /// Cuts the bytes after every `n` of the whole script. 0 is taken as 1.
    pub fn split_every(self, n: usize) -> Self {
        let n = n.max(1);
        let cuts: Vec<_> = (n..self.len()).step_by(n).collect();
        self.cut_at(&cuts)
    }

    /// Cuts the bytes at these offsets, in addition to the cuts there are.
    pub fn cut_at(mut self, offsets: &[usize]) -> Self {
        let cuts: BTreeSet<_> = offsets.iter().copied().collect();
        let mut start = 0;
        self.steps = self.steps.into_iter().flat_map(|step| cut(step, &mut start, &cuts)).collect();
        self
    }

    /// Cuts the bytes at up to `n` places that depend on `seed` alone.
    pub fn random_cuts(self, seed: u64, n: usize) -> Self {
        let (mut state, len) = (seed, self.len().max(1) as u64);
        let cuts: Vec<_> = (0..n).map(|_| (random(&mut state) % len) as usize).collect();
        self.cut_at(&cuts)
    }

    /// Waits before every frame.
    pub fn pace(mut self, pause: Duration) -> Self {
        let paced = |step| match step {
            Step::Data(_) => vec![Step::Wait(pause), step],
            other => vec![other],
        };
        self.steps = self.steps.into_iter().flat_map(paced).collect();
        self
    }

    /// Waits at this offset.
    pub fn wait_at(self, offset: usize, pause: Duration) -> Self {
        let (before, after) = self.part(offset);
        let mut script = before.wait(pause);
        script.steps.extend(after);
        script
    }

    /// Ends cleanly at this offset; trailers and all later steps are gone.
    pub fn end_at(self, offset: usize) -> Self {
        self.part(offset).0
    }

    /// Fails with [`Reset`] at this offset.
    pub fn reset_at(self, offset: usize) -> Self {
        self.end_at(offset).reset()
    }

    /// Never does anything again from this offset on.
    pub fn stall_at(self, offset: usize) -> Self {
        self.end_at(offset).stall()
    }

    /// Flips the bits of `mask` in the byte at this offset.
    pub fn xor(self, offset: usize, mask: u8) -> Self {
        self.map_bytes(|at, byte| if at == offset { byte ^ mask } else { byte })
    }

    /// Overwrites the bytes from this offset on; what would be beyond the end is left out.
    pub fn replace(self, offset: usize, with: &[u8]) -> Self {
        self.map_bytes(|at, byte| {
            let new = at.checked_sub(offset).and_then(|i| with.get(i));
            new.copied().unwrap_or(byte)
        })
    }

    /// Returns the number of bytes the script plays.
    pub fn len(&self) -> usize {
        self.steps.iter().map(Step::len).sum()
    }

    /// Whether the script plays no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes the script plays, joined.
    pub fn bytes(&self) -> Bytes {
        let mut joined = BytesMut::with_capacity(self.len());
        for step in &self.steps {
            if let Step::Data(bytes) = step {
                joined.extend_from_slice(bytes);
            }
        }
        joined.freeze()
    }

    /// Returns a body that plays the script from its start.
    pub fn body(&self) -> ScriptBody {
        ScriptBody {
            left: self.len() as u64,
            steps: self.steps.clone().into_iter(),
            next: None,
            sleep: None,
            sized: self.sized,
            probe: Probe::default(),
        }
        .advanced()
    }

    fn push(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// What is played up to `offset`, and the steps after it. Steps without bytes right at the
    /// offset belong to the second part.
    fn part(self, offset: usize) -> (Self, Vec<Step>) {
        let sized = self.sized;
        let mut left = offset;
        let mut before = self.cut_at(&[offset]).steps;
        let inside = before.iter().take_while(|step| {
            let taken = left > 0;
            left = left.saturating_sub(step.len());
            taken
        });
        let at = inside.count();
        let after = before.split_off(at);
        (Self { steps: before, sized }, after)
    }

    fn map_bytes(mut self, map: impl Fn(usize, u8) -> u8) -> Self {
        let mut at = 0;
        for step in &mut self.steps {
            if let Step::Data(bytes) = step {
                let mapped = bytes.iter().enumerate().map(|(i, byte)| map(at + i, *byte));
                let mapped: Bytes = mapped.collect();
                at += mapped.len();
                *bytes = mapped;
            }
        }
        self
    }
}

impl Step {
    fn len(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

fn cut(step: Step, start: &mut usize, cuts: &BTreeSet<usize>) -> Vec<Step> {
    let Step::Data(mut rest) = step else { return vec![step] };
    let (from, to) = (*start, *start + rest.len());
    *start = to;
    let mut parts = Vec::new();
    let mut at = from;
    for offset in cuts.range(from + 1..to.max(from + 1)) {
        parts.push(Step::Data(rest.split_to(offset - at)));
        at = *offset;
    }
    parts.push(Step::Data(rest));
    parts
}

/// SplitMix64: the same cuts for the same seed on every machine.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How a scripted body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its reader took everything.
    Complete,
    /// It gave its scripted error.
    Failed,
    /// It was dropped before its end.
    Dropped,
}

/// Watches one playing of a script. Clones watch the same one.
#[derive(Clone, Debug, Default)]
pub struct Probe(Arc<Watched>);

#[derive(Debug, Default)]
struct Watched {
    taken: AtomicU64,
    ended: Mutex<Option<Ended>>,
    end: Notify,
}

impl Probe {
    /// Returns how many bytes the reader took.
    pub fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::SeqCst)
    }

    /// Returns how the body ended, or `None` while it lives and has more to give.
    pub fn ended(&self) -> Option<Ended> {
        *self.slot()
    }

    /// Whether the body was dropped before its end.
    pub fn dropped_early(&self) -> bool {
        self.ended() == Some(Ended::Dropped)
    }

    /// Waits until the body has ended.
    pub async fn end(&self) -> Ended {
        loop {
            let notified = self.0.end.notified();
            if let Some(ended) = self.ended() {
                return ended;
            }
            notified.await;
        }
    }

    fn set(&self, ended: Ended) {
        self.slot().get_or_insert(ended);
        self.0.end.notify_waiters();
    }

    fn slot(&self) -> MutexGuard<'_, Option<Ended>> {
        self.0.ended.lock().expect("nobody panics while holding this lock")
    }
}

/// The body that plays a [`Script`].
///
/// Errors: only the scripted ones; afterwards the body is at its end. Dropped early it says so to
/// its [`Probe`].
#[derive(Debug)]
pub struct ScriptBody {
    steps: std::vec::IntoIter<Step>,
    next: Option<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    left: u64,
    sized: bool,
    probe: Probe,
}

impl ScriptBody {
    /// Returns the watcher of this body.
    pub fn probe(&self) -> Probe {
        self.probe.clone()
    }

    fn advanced(mut self) -> Self {
        self.advance();
        self
    }

    fn advance(&mut self) {
        self.next = self.steps.next();
        if self.next.is_none() {
            self.probe.set(Ended::Complete);
        }
    }

    fn poll_pause(&mut self, pause: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(pause)));
        ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        Poll::Ready(())
    }

    fn give(&mut self, bytes: Bytes) -> Frame<Bytes> {
        self.left -= bytes.len() as u64;
        self.probe.0.taken.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Frame::data(bytes)
    }
}

impl http_body::Body for ScriptBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let frame = match self.next.clone() {
                None => return Poll::Ready(None),
                Some(Step::Stall) => return Poll::Pending,
                Some(Step::Wait(pause)) => {
                    ready!(self.poll_pause(pause, cx));
                    self.advance();
                    continue;
                }
                Some(Step::Fail(error)) => {
                    self.probe.set(Ended::Failed);
                    (self.next, self.left) = (None, 0);
                    return Poll::Ready(Some(Err(error())));
                }
                Some(Step::Data(bytes)) => self.give(bytes),
                Some(Step::Trailers(trailers)) => Frame::trailers(trailers),
            };
            self.advance();
            return Poll::Ready(Some(Ok(frame)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized || self.next.is_none() {
            SizeHint::with_exact(self.left)
        } else {
            SizeHint::default()
        }
    }
}

impl Drop for ScriptBody {
    fn drop(&mut self) {
        self.probe.set(Ended::Dropped);
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;

    async fn frames(script: &Script) -> Vec<Bytes> {
        let mut body = script.body();
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            frames.extend(frame.unwrap().into_data());
        }
        frames
    }

    #[tokio::test]
    async fn cuts_without_changing_the_bytes() {
        let script = Script::frames(["hello ", "world"]);
        assert_eq!(frames(&script.clone().split_every(4)).await, ["hell", "o ", "wo", "rld"]);
        assert_eq!(frames(&script.clone().cut_at(&[0, 2, 99])).await, ["he", "llo ", "world"]);
        for seed in 0..50 {
            assert_eq!(script.clone().random_cuts(seed, 5).bytes(), "hello world");
        }
        assert!(frames(&Script::new("")).await.is_empty());
    }

    #[test]
    fn random_cuts_depend_on_the_seed_alone() {
        let cut = |seed| format!("{:?}", Script::new("x".repeat(100)).random_cuts(seed, 8));
        assert_eq!(cut(7), cut(7));
        assert_ne!(cut(7), cut(8));
    }

    #[tokio::test]
    async fn corrupts_across_frames() {
        let script = Script::frames(["abc", "def"]);
        assert_eq!(script.clone().replace(2, b"XY").bytes(), "abXYef");
        assert_eq!(script.clone().replace(5, b"XY").bytes(), "abcdeX");
        assert_eq!(script.xor(3, 0x20).bytes(), "abcDef");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_on_the_paused_clock() {
        let start = Instant::now();
        let script = Script::new("abcd").wait_at(2, Duration::from_secs(5));
        assert_eq!(frames(&script).await, ["ab", "cd"]);
        assert_eq!(start.elapsed().as_secs(), 5);
        frames(&script.pace(Duration::from_secs(1))).await;
        assert_eq!(start.elapsed().as_secs(), 12);
    }

    #[tokio::test]
    async fn a_reset_comes_at_its_offset_and_ends_the_body() {
        let mut body = Script::frames(["abc", "def"]).reset_at(4).body();
        let probe = body.probe();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "d");
        assert!(body.frame().await.unwrap().unwrap_err().is::<Reset>());
        assert!(body.frame().await.is_none());
        assert_eq!((probe.taken(), probe.ended()), (4, Some(Ended::Failed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_never_ends() {
        let mut body = Script::new("abc").stall_at(1).body();
        body.frame().await.unwrap().unwrap();
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, body.frame()).await.is_err());
    }

    #[tokio::test]
    async fn says_when_it_was_dropped() {
        let body = Script::new("abc").body();
        let probe = body.probe();
        assert_eq!(probe.ended(), None);
        drop(body);
        assert!(probe.dropped_early());
        assert_eq!(probe.end().await, Ended::Dropped);
    }

    #[tokio::test]
    async fn states_its_length_only_when_asked() {
        assert_eq!(Script::new("abc").body().size_hint().exact(), None);
        let mut body = Script::frames(["abc", "d"]).sized().body();
        assert_eq!(body.size_hint().exact(), Some(4));
        body.frame().await.unwrap().unwrap();
        assert_eq!(body.size_hint().exact(), Some(1));
    }
}
