use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, response::Parts};
use http_body::{Body, Frame};
use tollgate_core::{Attempt, BoxError, Call, Ending, Failure, Frames, StreamError};
use tollgate_wire::Fault;

use super::{
    Failed, Gated, GatedBody, Held, Limits,
    body::{Opened, What},
    failure_of,
    passed::{Known, Passed},
    verdict::{Entry, Hold, Verdict, bad_answer, fault_of},
};

/// Holds an answer until its first content, its failure or its end.
///
/// The one place where "first content" is decided.
///
/// - **A stream** (status 2xx, `text/event-stream`, or the JSON array of a Gemini call without
///   `alt=sse`) is committed at the first event its protocol's automaton calls content; a regular
///   ending counts. Every event before it is validated. An error event, an event the protocol does
///   not have, and an end before content fail the answer.
/// - **A JSON answer** is committed when it is whole: a balanced object without a top-level error.
///   Its frames are held as they came. Beyond [`Limits::answer`] it is committed as it stands. JSON
///   that answers a call for a stream is passed on as JSON: `TranslateLayer` makes it one.
/// - **An error answer** (any status that is not 2xx) is read, classified, and fails.
/// - **Any other content type**, HTML from a CDN for instance, fails, and so does a stream nobody
///   asked for.
/// - **What another gate let pass** ([`Passed`]) passes at once.
/// - Operations without a model, answers without body (204, 205) and compressed answers pass
///   unread. Of an operation without a model an error answer is held up to [`Limits::error`], and
///   fails if it speaks of the gateway's credential or quota, was written by an inner layer, or
///   breaks off.
///
/// Dropping the future drops the inner body.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Gate<B> {
    head: Option<Parts>,
    call: Call,
    limits: Limits,
    /// What is none of the gate's business.
    passing: Option<GatedBody<B>>,
    /// What is held.
    holding: Option<Box<Holding<B>>>,
    /// What is refused for its head.
    wrong: Option<B>,
    attempt: Option<Attempt>,
}

#[derive(Debug)]
struct Holding<B> {
    hold: Hold,
    /// Kept after its end too: the attempt is told why it ends before the body is dropped.
    body: Pin<Box<B>>,
    has_ended: bool,
    trailers: Option<Box<HeaderMap>>,
}

/// A body is moved before it is polled, or else boxed; it is never pinned in place.
impl<B> Unpin for Gate<B> {}

impl<B> Gate<B> {
    /// Holds `response`, the answer to `call`, within the default [`Limits`].
    pub fn new(response: Response<B>, call: &Call) -> Self {
        Self::with_limits(response, call, Limits::default())
    }

    /// Holds `response` within `limits`.
    pub fn with_limits(response: Response<B>, call: &Call, limits: Limits) -> Self {
        Self::build(response, call, limits, true)
    }

    /// The same for a call whose body nobody has read: it may ask for a stream.
    pub(crate) fn of_unread(response: Response<B>, call: &Call, limits: Limits) -> Self {
        Self::build(response, call, limits, false)
    }

    fn build(response: Response<B>, call: &Call, limits: Limits, is_read: bool) -> Self {
        let (mut head, body) = response.into_parts();
        let (mut passing, mut holding, mut wrong) = (None, None, None);
        match passed(&mut head, body) {
            Ok(body) => passing = Some(body),
            Err(body) => match Entry::of(&head, call, limits, is_read) {
                Entry::Hold(hold) => {
                    let body = Box::pin(body);
                    let held = Holding { hold, body, has_ended: false, trailers: None };
                    holding = Some(Box::new(held));
                }
                Entry::Pass => passing = Some(GatedBody::pass(body)),
                Entry::Wrong => wrong = Some(body),
            },
        }
        let (head, call) = (Some(head), call.clone());
        Self { head, call, limits, passing, holding, wrong, attempt: None }
    }

    /// Tells `attempt` why it ends when the answer fails, before the body is dropped. Default: nobody
    /// is told.
    pub fn attempt(mut self, attempt: Attempt) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// Takes what the gate holds as the body of an answer that goes on.
    fn open(&mut self) -> GatedBody<B> {
        if let Some(body) = self.passing.take() {
            return body;
        }
        let holding = *self.holding.take().expect("an answer refused for its head is not opened");
        let what = match holding.hold {
            Hold::Stream(stream) => What::Stream(stream),
            hold => What::Answer(hold.into_held()),
        };
        let rest = (!holding.has_ended).then_some(holding.body);
        GatedBody::opened(Opened { what, rest, trailers: holding.trailers })
    }

    fn conclude(&mut self, verdict: Verdict) -> Gated<B> {
        let head = self.head.take().expect("a gate is not polled after it opened");
        let verdict = match verdict {
            Verdict::Unread if self.concerns_us(&head) => Verdict::Answered { whole: false },
            Verdict::Unread => Verdict::Commit,
            verdict => verdict,
        };
        if let Verdict::Commit = verdict {
            return Gated::Committed(Response::from_parts(head, self.open()));
        }
        let (held, rest) = match self.holding.take() {
            Some(holding) => (holding.hold.into_held().into_vec(), Some(holding.body)),
            None => (Vec::new(), None),
        };
        let body = Frames::new(held);
        let whole = matches!(verdict, Verdict::Answered { whole: true });
        let (fault, failure) = match verdict {
            Verdict::Broken(error) => (Fault::from(&error), Some(Failure::from(error))),
            Verdict::Said(fault) => (*fault, None),
            _ => (fault_of(&head, &body.joined(), &self.call), None),
        };
        let written = head.extensions.get::<Failure>().cloned();
        let failure = written.or(failure).unwrap_or_else(|| failure_of(&fault));
        if let Some(attempt) = &self.attempt {
            attempt.end(Ending::Failed(failure.cause));
        }
        drop((rest, self.wrong.take()));
        Gated::Failed(Box::new(Failed { fault, failure, head, body, whole }))
    }
}

impl<B> Gate<B> {
    /// Whether an error answer that nobody reads is not for the client as it came.
    fn concerns_us(&self, head: &Parts) -> bool {
        let held = self.holding.as_ref().and_then(|holding| holding.hold.unread());
        let is_ours = |held: &Held| fault_of(head, &held.joined(), &self.call).is_ours();
        head.extensions.get::<Failure>().is_some() || held.is_some_and(is_ours)
    }
}

/// Returns the body of an answer that has passed another gate; the body itself if it has not.
fn passed<B>(head: &mut Parts, body: B) -> Result<GatedBody<B>, B> {
    let Some(passed) = head.extensions.get::<Passed>() else { return Err(body) };
    if passed.is_failed() {
        return Err(body);
    }
    let Some(Passed(known)) = head.extensions.remove() else { return Err(body) };
    match (known.take_stream(), known) {
        (Some(stream), _) => {
            let what = What::Stream(stream);
            Ok(GatedBody::opened(Opened { what, rest: Some(Box::pin(body)), trailers: None }))
        }
        (None, Known::Answer { whole }) => Ok(GatedBody::known(body, whole)),
        (None, _) => Err(body),
    }
}

impl<B> Gate<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_verdict(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        if self.passing.is_some() {
            return Poll::Ready(Verdict::Commit);
        }
        let Some(holding) = &mut self.holding else {
            return Poll::Ready(bad_answer(WRONG_TYPE));
        };
        loop {
            let frame = ready!(holding.body.as_mut().poll_frame(cx));
            if let Some(verdict) = holding.take_in(frame, &self.call, self.limits) {
                return Poll::Ready(verdict);
            }
        }
    }
}

const WRONG_TYPE: &str = "the upstream answered with a content type its protocol does not have";

type MaybeFrame<B> = Option<Result<Frame<Bytes>, <B as Body>::Error>>;

impl<B> Holding<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn take_in(&mut self, frame: MaybeFrame<B>, call: &Call, limits: Limits) -> Option<Verdict> {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            ended => {
                self.has_ended = true;
                let error = ended.and_then(Result::err).map(|e| StreamError::from_boxed(e.into()));
                return Some(match error {
                    Some(error) => self.hold.failed(error),
                    None => self.hold.end(call),
                });
            }
        };
        match frame.into_data() {
            Ok(chunk) => self.hold.chunk(chunk, limits),
            Err(frame) => {
                self.trailers = frame.into_trailers().ok().map(Box::new);
                None
            }
        }
    }
}

impl<B> Future for Gate<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Gated<B>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Gated<B>> {
        let this = self.get_mut();
        let verdict = ready!(this.poll_verdict(cx));
        Poll::Ready(this.conclude(verdict))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http_body_util::BodyExt;
    use tollgate_core::{Class, Operation, Protocol};

    use super::*;
    use crate::scripted::Scripted;

    async fn gated(status: u16, script: Scripted) -> Gated<Scripted> {
        let mut response = Response::new(script);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let limits = Limits { error: 64, ..Limits::default() };
        let call = Call::new(Protocol::OpenAiChat, Operation::Other);
        Gate::with_limits(response, &call, limits).await
    }

    async fn passed(status: u16, script: Scripted) -> Bytes {
        match gated(status, script).await {
            Gated::Committed(response) => response.into_body().collect().await.unwrap().to_bytes(),
            Gated::Failed(failed) => panic!("{failed:?}"),
        }
    }

    #[tokio::test]
    async fn an_error_nobody_reads_passes_as_it_came_however_long_it_is() {
        assert_eq!(passed(404, Scripted::new(["<h1>", "no</h1>"])).await, "<h1>no</h1>");
        assert_eq!(passed(500, Scripted::new(["{}"])).await, "{}");
        let long = "x".repeat(50);
        let whole = passed(400, Scripted::new([&*long, &long, "end"])).await;
        assert_eq!(whole, [&*long, &long, "end"].concat());
    }

    #[tokio::test]
    async fn an_error_nobody_reads_fails_where_it_is_about_our_account() {
        let spent = "{\"error\":{\"type\":\"insufficient_quota\"}}";
        let long = "x".repeat(50);
        for (status, script, class) in [
            (401, Scripted::new(["no"]), Class::Auth),
            (401, Scripted::new([&*long, &long]), Class::Auth),
            (429, Scripted::new([spent]), Class::Quota),
        ] {
            match gated(status, script).await {
                Gated::Failed(failed) => assert_eq!(failed.failure.class, class),
                Gated::Committed(_) => panic!("{status} was passed on"),
            }
        }
        // The words alone, where the status says that it went well, are the client's business.
        assert_eq!(passed(200, Scripted::new([spent])).await, spent);
    }
}
