use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tollgate_core::{BoxError, Operation, StreamError, Usage};

use crate::{Ending, Ledger, Prices, account::Account, drain::Drain, meter::Meter};

/// Response body of [`Meter`](crate::Meter): settles its attempt when it ends, or is dropped.
///
/// Its end is released when the ledger has the charge.
pub struct MeterBody<B, L: Ledger, P: Prices>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    kind: Kind<B, L, P>,
}

enum Kind<B, L: Ledger, P: Prices>
where
    B::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
{
    Own(Option<Bytes>),
    Pass(Pin<Box<B>>),
    Metered(Box<Metered<B, L, P>>),
}

/// An answer that is metered. Dropped before its end, it settles what it has seen.
struct Metered<B, L: Ledger, P: Prices>
where
    B::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
{
    /// `None` once it ended.
    body: Option<Pin<Box<B>>>,
    /// `None` for an answer nobody reads.
    meter: Option<Meter>,
    /// `None` once it was settled.
    account: Option<Box<Account<L, P>>>,
    recording: Option<Pin<Box<L::Recording>>>,
    out: VecDeque<Bytes>,
    last: Option<Result<Frame<Bytes>, BoxError>>,
    drain: Option<Drain>,
    /// The client is gone; somebody reads on.
    is_left: bool,
}

impl<B, L, P> MeterBody<B, L, P>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    L: Ledger,
    P: Prices,
{
    pub(crate) fn own(text: Bytes) -> Self {
        Self { kind: Kind::Own(Some(text).filter(|text| !text.is_empty())) }
    }

    pub(crate) fn pass(body: B) -> Self {
        Self { kind: Kind::Pass(Box::pin(body)) }
    }

    /// Passes a body whose attempt was settled; its end waits for `recording`.
    pub(crate) fn settled(body: B, recording: L::Recording) -> Self {
        let mut metered = Metered::new(body, None, None, None);
        metered.recording = Some(Box::pin(recording));
        Self { kind: Kind::Metered(Box::new(metered)) }
    }

    pub(crate) fn metered(
        body: B,
        meter: Option<Meter>,
        account: Box<Account<L, P>>,
        drain: Option<Drain>,
    ) -> Self {
        let metered = Metered::new(body, meter, Some(account), drain);
        Self { kind: Kind::Metered(Box::new(metered)) }
    }
}

impl<B, L: Ledger, P: Prices> Metered<B, L, P>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn new(
        body: B,
        meter: Option<Meter>,
        account: Option<Box<Account<L, P>>>,
        drain: Option<Drain>,
    ) -> Self {
        Self {
            body: Some(Box::pin(body)),
            meter,
            account,
            recording: None,
            out: VecDeque::new(),
            last: None,
            drain,
            is_left: false,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if self.account.is_none()
                && let Some(recording) = &mut self.recording
            {
                ready!(recording.as_mut().poll(cx));
                self.recording = None;
            }
            if let Some(piece) = self.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if let Some(last) = self.last.take() {
                return Poll::Ready(Some(last));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let frame = ready!(body.as_mut().poll_frame(cx));
            let ends = body.is_end_stream();
            if let Some(piece) = self.came(frame, ends) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
    }

    /// Takes in what came; returns what leaves at once.
    fn came(&mut self, frame: Option<Result<Frame<Bytes>, B::Error>>, ends: bool) -> Option<Bytes> {
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                let piece = self.data(data);
                if !ends {
                    return piece;
                }
                self.out.extend(piece);
                self.end();
            }
            Some(Ok(Err(trailers))) => {
                self.end();
                self.last = Some(Ok(trailers));
            }
            Some(Err(error)) => {
                let error = StreamError::from_boxed(error.into());
                self.body = None;
                self.settle(Ending::Failed(error.class()));
                self.last = Some(Err(error.into()));
            }
            None => self.end(),
        }
        None
    }

    fn data(&mut self, data: Bytes) -> Option<Bytes> {
        let (Some(meter), Some(account)) = (&mut self.meter, &mut self.account) else {
            return Some(data);
        };
        let cost = |usage: &Usage| account.cost(usage).map(|cost| cost.to_string());
        let piece = meter.frame(data, &cost, &mut self.out);
        if account.facts.first_content.is_none() && meter.has_content() {
            account.facts.first_content = Some(account.facts.began.elapsed());
        }
        piece
    }

    fn end(&mut self) {
        self.body = None;
        let ending = self.meter.as_mut().map_or(Ending::Complete, |meter| meter.end(&mut self.out));
        self.settle(ending);
    }

    fn settle(&mut self, ending: Ending) {
        let Some(mut account) = self.account.take() else { return };
        if ending == Ending::Complete {
            let began = account.facts.began;
            account.facts.first_content.get_or_insert_with(|| began.elapsed());
        }
        let shown = if self.is_left { Ending::Cancelled } else { ending };
        let settled = match &mut self.meter {
            Some(meter) => {
                let usage = meter.usage(ending, &account.facts.sent());
                account.used(shown, usage)
            }
            None => match account.facts.call.operation {
                Operation::Generate | Operation::Embed => account.used(shown, Usage::default()),
                Operation::CountTokens => account.free(shown),
                _ => account.unread(shown),
            },
        };
        let cost = settled.cost.map(|cost| cost.to_string());
        self.out.extend(self.meter.as_mut().and_then(|meter| meter.release(cost.as_deref())));
        self.recording = Some(Box::pin(settled.recording));
    }

    /// The client left: reads on where that is wanted.
    fn left(mut self: Box<Self>)
    where
        B: Send + 'static,
    {
        let unfinished = self.account.is_some() && self.body.is_some();
        let cancelled = |account: &Account<L, P>| account.facts.given_up() == Ending::Cancelled;
        let wanted = unfinished && self.account.as_deref().is_some_and(cancelled);
        let Some(drain) = self.drain.take().filter(|_| wanted) else { return };
        self.is_left = true;
        drain.background.run(Box::pin(async move {
            let read_on = poll_fn(|cx| {
                while let Some(Ok(_)) = ready!(self.poll_frame(cx)) {}
                Poll::Ready(())
            });
            let _ = tokio::time::timeout(drain.limit, read_on).await;
        }));
    }
}

impl<B, L: Ledger, P: Prices> Drop for Metered<B, L, P>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        let Some(account) = &self.account else { return };
        let ending = match &self.meter {
            Some(meter) if meter.is_complete() => Ending::Complete,
            _ => account.facts.given_up(),
        };
        self.settle(ending);
    }
}

impl<B, L: Ledger, P: Prices> Drop for MeterBody<B, L, P>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        if let Kind::Metered(metered) = mem::replace(&mut self.kind, Kind::Own(None)) {
            metered.left();
        }
    }
}

impl<B, L, P> Body for MeterBody<B, L, P>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    L: Ledger,
    P: Prices,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Everything within is boxed: nothing here is pinned.
        match &mut self.kind {
            Kind::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Pass(body) => body.as_mut().poll_frame(cx).map_err(Into::into),
            Kind::Metered(metered) => metered.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(text) => text.is_none(),
            Kind::Pass(body) => body.is_end_stream(),
            Kind::Metered(metered) => metered.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Pass(body) => body.size_hint(),
            Kind::Metered(metered) => metered.size_hint(),
        }
    }
}

impl<B, L: Ledger, P: Prices> Metered<B, L, P>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn is_end_stream(&self) -> bool {
        let nothing_waits = self.out.is_empty() && self.last.is_none() && self.recording.is_none();
        // An inner body at its end that was never polled is still to be settled.
        self.body.is_none() && nothing_waits
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.out.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let inner = self.body.as_ref().map_or(SizeHint::with_exact(0), |body| body.size_hint());
        if self.meter.as_ref().is_some_and(Meter::changes_length) {
            return SizeHint::default();
        }
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(waiting));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(waiting));
        }
        hint
    }
}

impl<B, L: Ledger, P: Prices> fmt::Debug for MeterBody<B, L, P>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Own(_) => "MeterBody(own)",
            Kind::Pass(_) => "MeterBody(pass)",
            Kind::Metered(_) => "MeterBody(metered)",
        })
    }
}
