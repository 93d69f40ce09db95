use std::{
    any::Any,
    fmt,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use crate::BoxError;

/// Up to so many bytes are copied rather than kept apart.
const SHORT: usize = 4096;

/// The bytes of a body, in the frames they came in. Cloning copies no byte.
#[derive(Clone, Debug, Default)]
pub struct Frames(List);

#[derive(Clone, Debug, Default)]
enum List {
    #[default]
    Empty,
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl Frames {
    /// Returns the frames in order, without the empty ones.
    pub fn new(mut frames: Vec<Bytes>) -> Self {
        frames.retain(|frame| !frame.is_empty());
        Self(match frames.len() {
            0 => List::Empty,
            1 => List::One(frames.swap_remove(0)),
            _ => List::Many(frames.into()),
        })
    }

    /// Returns the frames as a slice.
    pub fn as_slice(&self) -> &[Bytes] {
        match &self.0 {
            List::Empty => &[],
            List::One(frame) => std::slice::from_ref(frame),
            List::Many(frames) => frames,
        }
    }

    /// Returns the number of bytes in all frames.
    pub fn len(&self) -> usize {
        self.as_slice().iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Returns all bytes as one piece. Copies when there is more than one frame.
    pub fn joined(&self) -> Bytes {
        match self.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut joined = BytesMut::with_capacity(self.len());
                many.iter().for_each(|frame| joined.extend_from_slice(frame));
                joined.freeze()
            }
        }
    }

    /// Returns the bytes of `range`, copied only when it crosses frames.
    ///
    /// What lies beyond the end is left out.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        if let [one] = self.as_slice() {
            let end = range.end.min(one.len());
            return one.slice(range.start.min(end)..end);
        }
        let parts = self.cut(range);
        match parts.as_slice() {
            [one] => one.clone(),
            _ => Self::new(parts).joined(),
        }
    }

    /// Returns the same bytes with those of `range` replaced. No other byte is copied, unless there
    /// are at most four thousand: these become one frame, for less than it takes to send several.
    pub fn splice(&self, range: Range<usize>, replacement: Bytes) -> Self {
        if self.len() + replacement.len() <= SHORT {
            return self.copied(range, &replacement);
        }
        let mut frames = Vec::with_capacity(self.as_slice().len() + 2);
        self.cut_into(&mut frames, 0..range.start);
        frames.push(replacement);
        self.cut_into(&mut frames, range.end..usize::MAX);
        Self::new(frames)
    }

    fn cut(&self, range: Range<usize>) -> Vec<Bytes> {
        let mut parts = Vec::new();
        self.cut_into(&mut parts, range);
        parts
    }

    fn cut_into(&self, parts: &mut Vec<Bytes>, range: Range<usize>) {
        parts.extend(self.within(range).map(|(frame, part)| frame.slice(part)));
    }

    fn copied(&self, range: Range<usize>, replacement: &[u8]) -> Self {
        let mut whole = BytesMut::with_capacity(self.len() + replacement.len());
        let before = self.within(0..range.start).map(|(frame, part)| &frame[part]);
        let behind = self.within(range.end..usize::MAX).map(|(frame, part)| &frame[part]);
        for part in before.chain([replacement]).chain(behind) {
            whole.extend_from_slice(part);
        }
        whole.freeze().into()
    }

    /// Returns the frames that lie in `range`, and where in each of them it does.
    fn within(&self, range: Range<usize>) -> impl Iterator<Item = (&Bytes, Range<usize>)> {
        let mut next = 0;
        self.as_slice().iter().filter_map(move |frame| {
            let start = next;
            next += frame.len();
            let (from, to) = (range.start.max(start), range.end.min(next));
            (from < to).then(|| (frame, from - start..to - start))
        })
    }
}

impl From<Bytes> for Frames {
    fn from(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { List::Empty } else { List::One(bytes) })
    }
}

/// A request body.
///
/// Either [`Frames`], which can be read and sent as often as one likes, or a body nobody has read.
/// No layer joins the frames unless it must have contiguous bytes.
///
/// Errors: only an unread body can fail; the error is the underlying body's.
pub struct Body(Inner);

enum Inner {
    Frames { frames: Frames, next: usize, trailers: Option<Box<HeaderMap>> },
    Untouched(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// Returns a body without bytes.
    pub fn empty() -> Self {
        Frames::default().into()
    }

    /// Wraps a body nobody has read. A [`Body`] is recognised and returned as it is.
    pub fn untouched<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut slot = Some(body);
        if let Some(own) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Self>>() {
            return own.take().expect("the slot was filled above");
        }
        let body = slot.expect("only a `Body` is taken out above");
        Self(Inner::Untouched(body.map_err(Into::into).boxed_unsync()))
    }

    /// Adds trailers that follow the frames. Has no effect on an unread body, which brings its own.
    pub fn with_trailers(mut self, added: HeaderMap) -> Self {
        if let Inner::Frames { trailers, .. } = &mut self.0 {
            *trailers = Some(Box::new(added));
        }
        self
    }

    /// Returns the frames, or `None` for a body nobody has read.
    pub fn frames(&self) -> Option<&Frames> {
        match &self.0 {
            Inner::Frames { frames, .. } => Some(frames),
            Inner::Untouched(_) => None,
        }
    }

    /// Replaces the frames and keeps the trailers. What was read of them counts as unread again.
    pub fn set_frames(&mut self, replacement: Frames) {
        match &mut self.0 {
            Inner::Frames { frames, next, .. } => (*frames, *next) = (replacement, 0),
            Inner::Untouched(_) => *self = replacement.into(),
        }
    }

    /// Returns the same body again, from its first byte, or `None` for a body nobody has read.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Inner::Frames { frames, trailers, .. } => Some(Self(Inner::Frames {
                frames: frames.clone(),
                next: 0,
                trailers: trailers.clone(),
            })),
            Inner::Untouched(_) => None,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Frames> for Body {
    fn from(frames: Frames) -> Self {
        Self(Inner::Frames { frames, next: 0, trailers: None })
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Frames::from(bytes).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl fmt::Debug for Body {
    /// Shows lengths, never contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Frames { frames, next, .. } => f
                .debug_struct("Body")
                .field("bytes", &frames.len())
                .field("frames", &frames.as_slice().len())
                .field("next", next)
                .finish(),
            Inner::Untouched(_) => f.write_str("Body(untouched)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Frames { frames, next, trailers } => {
                let frame = frames.as_slice().get(*next).cloned().map(Frame::data);
                *next += usize::from(frame.is_some());
                let frame = frame.or_else(|| trailers.take().map(|t| Frame::trailers(*t)));
                Poll::Ready(frame.map(Ok))
            }
            Inner::Untouched(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Frames { frames, next, trailers } => {
                *next >= frames.as_slice().len() && trailers.is_none()
            }
            Inner::Untouched(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Frames { frames, next, .. } => {
                let rest = frames.as_slice().get(*next..).unwrap_or_default();
                SizeHint::with_exact(rest.iter().map(|frame| frame.len() as u64).sum())
            }
            Inner::Untouched(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    fn frames(parts: &[&'static str]) -> Frames {
        Frames::new(parts.iter().map(|p| Bytes::from_static(p.as_bytes())).collect())
    }

    #[test]
    fn splices_across_frames_without_touching_the_rest() {
        let long = Bytes::from(vec![b'.'; SHORT]);
        let parts = ["ab".into(), "cd".into(), long.clone()];
        let spliced = Frames::new(parts.to_vec()).splice(1..3, Bytes::from_static(b"XYZ"));
        assert_eq!(spliced.as_slice()[..3], ["a", "XYZ", "d"]);
        assert_eq!(spliced.as_slice()[3].as_ptr(), long.as_ptr());
        assert_eq!(spliced.len(), SHORT + 5);
    }

    #[test]
    fn what_is_short_becomes_one_frame() {
        let spliced = frames(&["ab", "cd", "ef"]).splice(1..3, Bytes::from_static(b"XYZ"));
        assert_eq!(spliced.as_slice(), ["aXYZdef"]);
    }

    #[test]
    fn splices_at_both_ends_and_into_nothing() {
        assert_eq!(frames(&["abc"]).splice(0..0, "x".into()).joined(), "xabc");
        assert_eq!(frames(&["abc"]).splice(3..3, "x".into()).joined(), "abcx");
        assert_eq!(frames(&[]).splice(0..0, "x".into()).joined(), "x");
        assert!(frames(&["abc"]).splice(0..3, Bytes::new()).is_empty());
    }

    #[test]
    fn slices_what_there_is() {
        let frames = frames(&["ab", "cd"]);
        assert_eq!(frames.slice(1..3), "bc");
        assert_eq!(frames.slice(2..9), "cd");
        assert_eq!(frames.slice(7..9), "");
    }

    #[tokio::test]
    async fn a_clone_starts_at_the_first_byte() {
        let mut body = Body::from(frames(&["ab", "cd"]));
        body.frame().await.unwrap().unwrap();
        assert_eq!(body.size_hint().exact(), Some(2));
        let again = body.try_clone().unwrap();
        assert_eq!(again.collect().await.unwrap().to_bytes(), "abcd");
    }

    #[tokio::test]
    async fn recognises_itself_and_cannot_clone_what_nobody_read() {
        assert!(Body::untouched(Body::from("x")).frames().is_some());
        let foreign = Body::untouched(http_body_util::Full::new(Bytes::from_static(b"abc")));
        assert!(foreign.frames().is_none() && foreign.try_clone().is_none());
        assert_eq!(foreign.size_hint().exact(), Some(3));
        assert_eq!(foreign.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn trailers_follow_the_frames() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let body = Body::from("x").with_trailers(trailers.clone());
        assert!(!body.is_end_stream());
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
    }
}
