use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{Class, InFlight, Outcome, Standing};
use tollgate_sse::GatedBody;

use crate::{breaker::Asked, layer::Settings, run::now};

pin_project! {
    /// The body of the answer that was chosen. Its frames pass untouched; the attempt counts as
    /// under way until they have ended or the body is dropped.
    #[derive(Debug)]
    pub struct FallbackBody<B> {
        #[pin]
        body: GatedBody<B>,
        // `None` where nothing can fail any more.
        watch: Option<Box<Watch>>,
    }
}

impl<B> FallbackBody<B> {
    pub(crate) fn new(body: GatedBody<B>, watch: Option<Watch>) -> Self {
        Self { body, watch: watch.map(Box::new) }
    }
}

impl<B: Body<Data = Bytes>> Body for FallbackBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if let Some(watch) = this.watch {
            match &frame {
                Some(Ok(frame)) => watch.passed(frame.data_ref()),
                Some(Err(_)) => watch.over(true),
                None => watch.over(false),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Writes on the board how an answer went that has begun.
#[derive(Debug)]
pub(crate) struct Watch {
    settings: Arc<Settings>,
    standing: Arc<Standing>,
    /// `None` once the body has ended.
    in_flight: Option<InFlight>,
    /// Where the client's side writes how a stream ended: only it reads the stream to its end.
    outcome: Option<Outcome>,
    began: Instant,
    committed: Instant,
    /// When the call must have ended: what breaks then is no fault of the upstream's.
    deadline: Option<Instant>,
    bytes: u64,
    broke: bool,
}

impl Watch {
    pub(crate) fn new(
        in_flight: InFlight,
        began: Instant,
        committed: Instant,
        settings: Arc<Settings>,
    ) -> Self {
        Self {
            settings,
            standing: in_flight.standing().clone(),
            in_flight: Some(in_flight),
            outcome: None,
            began,
            committed,
            deadline: None,
            bytes: 0,
            broke: false,
        }
    }

    pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    pub(crate) fn told_by(mut self, outcome: Option<Outcome>) -> Self {
        self.outcome = outcome;
        self
    }

    fn passed(&mut self, data: Option<&Bytes>) {
        self.bytes += data.map_or(0, |data| data.len() as u64);
    }

    fn over(&mut self, broke: bool) {
        if self.in_flight.take().is_some() {
            self.broke = broke;
            let now = now();
            if self.outcome.is_some() && !broke {
                let took = now.saturating_duration_since(self.committed);
                self.standing.saw_output(now, self.bytes, took);
            }
        }
    }

    /// The class of the failure, if the upstream failed after its first content. That the client
    /// left is none.
    fn failure(&self, now: Instant) -> Option<Class> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return None;
        }
        let told = self.outcome.as_ref().and_then(Outcome::ending).flatten();
        let broke = self.broke.then_some(Class::ServerError);
        told.filter(|class| *class != Class::Cancelled).or(broke)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Settings { breaker, counts, .. } = &*self.settings;
        let asked = Asked { standing: &self.standing, began: self.began, is_probe: false };
        let now = now();
        match self.failure(now) {
            Some(class) => breaker.broke(asked, class, now, counts),
            None => self.standing.succeeded(now),
        }
    }
}
