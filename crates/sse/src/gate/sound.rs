use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// That a JSON answer of one frame is whole and tells no error, said by who has read it.
///
/// Travels in the extensions of a response. Whoever reads the body as it passes keeps a clone and
/// vouches for its frame; a [`Gate`](super::Gate) outside does not read that frame again. It is
/// known by where it lies in memory: what somebody between has changed is another frame.
///
/// ```
/// use bytes::Bytes;
/// use http::Response;
/// use http_body_util::Full;
/// use tollgate_core::{Call, Operation, Protocol};
/// use tollgate_sse::{Gate, Gated, Sound};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (sound, frame) = (Sound::new(), Bytes::from_static(b"{\"choices\":[]}"));
/// sound.vouch(&frame);
/// let mut response = Response::new(Full::new(frame));
/// response.extensions_mut().insert(sound);
/// let call = Call::new(Protocol::OpenAiChat, Operation::Generate);
/// assert!(matches!(Gate::new(response, &call).await, Gated::Committed(_)));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sound(Arc<OnceLock<Bytes>>);

impl Sound {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that `frame`, which is about to be passed on, is a whole JSON object without a member
    /// `error`. The first that is vouched for counts.
    pub fn vouch(&self, frame: &Bytes) {
        let _ = self.0.set(frame.clone());
    }

    /// Whether somebody vouched for just this frame.
    pub(super) fn is_said_of(&self, frame: &Bytes) -> bool {
        // Both are alive: what lies at the same place is the same.
        let same = |known: &Bytes| known.as_ptr() == frame.as_ptr() && known.len() == frame.len();
        self.0.get().is_some_and(|known| !frame.is_empty() && same(known))
    }
}

#[cfg(test)]
mod tests {
    use http::Response;
    use tollgate_core::{Call, Operation, Protocol};

    use super::*;
    use crate::{Gate, Gated, scripted::Scripted};

    const WHOLE: &str = "{\"choices\":[]}";

    async fn gated(sound: Sound, script: Scripted) -> bool {
        let mut response = Response::new(script);
        response.extensions_mut().insert(sound);
        let call = Call::new(Protocol::OpenAiChat, Operation::Generate);
        matches!(Gate::new(response, &call).await, Gated::Committed(_))
    }

    #[tokio::test]
    async fn what_is_vouched_for_is_not_read_again() {
        let sound = Sound::new();
        // It would be refused if it were read.
        let frame = Bytes::from_static(b"no JSON at all");
        sound.vouch(&frame);
        let mut response = Response::new(http_body_util::Full::new(frame));
        response.extensions_mut().insert(sound);
        let call = Call::new(Protocol::OpenAiChat, Operation::Generate);
        assert!(matches!(Gate::new(response, &call).await, Gated::Committed(_)));
    }

    #[tokio::test]
    async fn another_frame_and_what_follows_are_read() {
        let vouched = || {
            let sound = Sound::new();
            sound.vouch(&Bytes::from_static(WHOLE.as_bytes()));
            sound
        };
        assert!(gated(vouched(), Scripted::new([WHOLE])).await);
        assert!(!gated(vouched(), Scripted::new(["{\"choices\":["])).await);
        assert!(!gated(vouched(), Scripted::new([WHOLE, "}"])).await);
        assert!(gated(vouched(), Scripted::new([WHOLE, " "])).await);
        assert!(!gated(Sound::new(), Scripted::new(["{\"error\":{\"message\":\"no\"}}"])).await);
    }
}
