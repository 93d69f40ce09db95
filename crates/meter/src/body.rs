use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollgate_core::{BoxError, Operation, StreamError, Usage};

use crate::{Ending, Ledger, Prices, account::Account, drain::Drain, meter::Meter, span::Span};

pin_project! {
    /// Response body of [`Meter`](crate::Meter): settles its attempt when it ends, or is dropped.
    ///
    /// Its end is released when the ledger has the charge.
    pub struct MeterBody<B, L: Ledger, P: Prices>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
        B: Send,
        B: 'static,
    {
        #[pin]
        kind: Kind<B, L, P>,
    }

    impl<B, L: Ledger, P: Prices> PinnedDrop for MeterBody<B, L, P>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
        B: Send,
        B: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            if let KindProj::Metered { metered } = this.project().kind.project()
                && let Some(metered) = metered.take()
            {
                Metered::left(metered);
            }
        }
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B, L: Ledger, P: Prices> {
        Own { text: Option<Bytes> },
        // Boxed: rare, and every layer outside moves what is not.
        Pass { body: Pin<Box<B>> },
        // `None` only while it is dropped.
        Metered { metered: Option<Pin<Box<Metered<B, L, P>>>> },
    }
}

pin_project! {
    /// An answer that is metered.
    struct Metered<B, L: Ledger, P: Prices> {
        // `None` once it ended.
        #[pin]
        body: Option<B>,
        #[pin]
        recording: Option<L::Recording>,
        reading: Reading<L, P>,
        span: Span,
    }
}

/// What is read of an answer, and what of it waits to leave. Dropped before the end, it settles
/// what it has seen.
struct Reading<L: Ledger, P: Prices> {
    /// `None` for an answer nobody reads.
    meter: Option<Box<Meter>>,
    /// `None` once it was settled.
    account: Option<Box<Account<L, P>>>,
    out: VecDeque<Bytes>,
    last: Option<Result<Frame<Bytes>, BoxError>>,
    drain: Option<Drain>,
    /// Bytes still to come, where that is known: a server stops polling when it has them.
    left: Option<u64>,
    /// The client is gone; somebody reads on.
    is_left: bool,
}

/// What came of a frame.
enum Came<R> {
    /// All of it leaves as it is.
    Leaves(Bytes),
    /// It was the last: the charge is on its way into the ledger.
    Settled(R),
    /// What leaves, if anything, was put aside.
    Nothing,
}

impl<B, L, P> MeterBody<B, L, P>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    L: Ledger,
    P: Prices,
{
    pub(crate) fn own(text: Bytes) -> Self {
        Self { kind: Kind::Own { text: Some(text).filter(|text| !text.is_empty()) } }
    }

    pub(crate) fn pass(body: B) -> Self {
        Self { kind: Kind::Pass { body: Box::pin(body) } }
    }

    /// Passes a body whose attempt was settled; its end waits for `recording`.
    pub(crate) fn settled(body: B, recording: L::Recording) -> Self {
        let reading = Reading::new(None, None, None, None);
        Self::of(Metered {
            body: Some(body),
            recording: Some(recording),
            reading,
            span: Span::none(),
        })
    }

    /// Meters a body of which `left` bytes are announced.
    pub(crate) fn metered(
        body: B,
        meter: Option<Box<Meter>>,
        account: Box<Account<L, P>>,
        drain: Option<Drain>,
        left: Option<u64>,
    ) -> Self {
        let span = account.span.clone();
        let left = left.or_else(|| body.size_hint().exact());
        let mut reading = Reading::new(meter, Some(account), drain, left);
        // A server need not poll a body without bytes.
        let recording = match left == Some(0) || body.is_end_stream() {
            true => reading.end().recording(),
            false => None,
        };
        Self::of(Metered { body: Some(body), recording, reading, span })
    }

    fn of(metered: Metered<B, L, P>) -> Self {
        Self { kind: Kind::Metered { metered: Some(Box::pin(metered)) } }
    }
}

impl<R> Came<R> {
    fn recording(self) -> Option<R> {
        match self {
            Self::Settled(recording) => Some(recording),
            _ => None,
        }
    }
}

impl<B, L: Ledger, P: Prices> Metered<B, L, P>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let _entered = this.span.enter();
        let reading = this.reading;
        loop {
            if let Some(recording) = this.recording.as_mut().as_pin_mut() {
                ready!(recording.poll(cx));
                this.recording.set(None);
            }
            if let Some(piece) = reading.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if let Some(last) = reading.last.take() {
                return Poll::Ready(Some(last));
            }
            let Some(mut body) = this.body.as_mut().as_pin_mut() else {
                return Poll::Ready(None);
            };
            let frame = ready!(body.as_mut().poll_frame(cx));
            let ends = !matches!(frame, Some(Ok(_))) || body.is_end_stream();
            if ends {
                this.body.set(None);
            }
            match reading.came(frame, ends) {
                Came::Leaves(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Came::Settled(recording) => this.recording.set(Some(recording)),
                Came::Nothing => {}
            }
        }
    }

    /// The client left: reads on where that is wanted.
    fn left(mut metered: Pin<Box<Self>>)
    where
        B: Send + 'static,
    {
        let this = metered.as_mut().project();
        let unfinished = this.body.is_some() && this.reading.is_worth_reading();
        let Some(drain) = this.reading.drain.take().filter(|_| unfinished) else { return };
        this.reading.is_left = true;
        drain.background.run(Box::pin(async move {
            let read_on = poll_fn(|cx| {
                while let Some(Ok(_)) = ready!(metered.as_mut().poll_frame(cx)) {}
                Poll::Ready(())
            });
            let _ = tokio::time::timeout(drain.limit, read_on).await;
        }));
    }

    fn is_end_stream(&self) -> bool {
        let nothing_waits = self.reading.out.is_empty() && self.reading.last.is_none();
        // An inner body at its end that was never polled is still to be settled.
        self.body.is_none() && self.recording.is_none() && nothing_waits
    }

    fn size_hint(&self) -> SizeHint {
        if self.reading.meter.as_deref().is_some_and(Meter::changes_length) {
            return SizeHint::default();
        }
        let waiting = self.reading.waiting();
        let inner = self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(waiting));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(waiting));
        }
        hint
    }
}

impl<L: Ledger, P: Prices> Reading<L, P> {
    fn new(
        meter: Option<Box<Meter>>,
        account: Option<Box<Account<L, P>>>,
        drain: Option<Drain>,
        left: Option<u64>,
    ) -> Self {
        Self { meter, account, out: VecDeque::new(), last: None, drain, left, is_left: false }
    }

    /// Takes in what came; `ends` says that nothing follows.
    fn came<E: Into<BoxError>>(
        &mut self,
        frame: Option<Result<Frame<Bytes>, E>>,
        ends: bool,
    ) -> Came<L::Recording> {
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => self.data(data, ends),
            Some(Ok(Err(trailers))) => {
                let came = self.end();
                self.last = Some(Ok(trailers));
                came
            }
            Some(Err(error)) => {
                let error = StreamError::from_boxed(error.into());
                let came = self.settle(Ending::Failed(error.class()));
                self.last = Some(Err(error.into()));
                came
            }
            None => self.end(),
        }
    }

    fn data(&mut self, data: Bytes, ends: bool) -> Came<L::Recording> {
        let length = data.len() as u64;
        let ends = ends || self.left.is_some_and(|left| left <= length);
        self.left = self.left.map(|left| left.saturating_sub(length));
        let piece = self.read(data);
        if !ends || self.account.is_none() {
            return piece.map_or(Came::Nothing, Came::Leaves);
        }
        self.last = piece.map(|piece| Ok(Frame::data(piece)));
        self.end()
    }

    fn read(&mut self, data: Bytes) -> Option<Bytes> {
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

    fn end(&mut self) -> Came<L::Recording> {
        if self.account.is_none() {
            return Came::Nothing;
        }
        let ending = self.meter.as_mut().map_or(Ending::Complete, |meter| meter.end(&mut self.out));
        self.settle(ending)
    }

    fn settle(&mut self, ending: Ending) -> Came<L::Recording> {
        let Some(mut account) = self.account.take() else { return Came::Nothing };
        if ending == Ending::Complete {
            let began = account.facts.began;
            account.facts.first_content.get_or_insert_with(|| began.elapsed());
        }
        let shown = if self.is_left { Ending::Cancelled } else { ending };
        let settled = match &mut self.meter {
            Some(meter) => match meter.usage(ending, || account.sent()) {
                Some(usage) => account.used(shown, usage),
                None => account.free(shown),
            },
            None => match account.facts.call.operation {
                Operation::Generate | Operation::Embed => account.used(shown, Box::default()),
                _ => account.unread(shown),
            },
        };
        let release = |meter: &mut Meter| {
            meter.release(|| settled.cost.map(|cost| cost.to_string()), &mut self.out);
        };
        self.meter.as_deref_mut().into_iter().for_each(release);
        Came::Settled(settled.recording)
    }

    /// Whether the rest of the answer, which nobody waits for, would tell more.
    fn is_worth_reading(&self) -> bool {
        let given_up = self.account.as_ref().map(|account| account.facts.given_up());
        let meter = self.meter.as_ref().filter(|_| given_up == Some(Ending::Cancelled));
        meter.is_some_and(|meter| !meter.is_told())
    }

    fn waiting(&self) -> u64 {
        let last = match &self.last {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        self.out.iter().map(|piece| piece.len() as u64).sum::<u64>() + last as u64
    }
}

impl<L: Ledger, P: Prices> Drop for Reading<L, P> {
    fn drop(&mut self) {
        let Some(account) = &self.account else { return };
        let ending = match &self.meter {
            Some(meter) if meter.is_complete() => Ending::Complete,
            _ => account.facts.given_up(),
        };
        self.settle(ending);
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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            KindProj::Own { text } => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            KindProj::Pass { body } => body.as_mut().poll_frame(cx).map_err(Into::into),
            KindProj::Metered { metered } => match metered {
                Some(metered) => metered.as_mut().poll_frame(cx),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own { text } => text.is_none(),
            Kind::Pass { body } => body.is_end_stream(),
            Kind::Metered { metered } => metered.as_ref().is_none_or(|m| m.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own { text } => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Pass { body } => body.size_hint(),
            Kind::Metered { metered } => {
                metered.as_ref().map_or(SizeHint::with_exact(0), |metered| metered.size_hint())
            }
        }
    }
}

impl<B, L: Ledger, P: Prices> fmt::Debug for MeterBody<B, L, P>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Own { .. } => "MeterBody(own)",
            Kind::Pass { .. } => "MeterBody(pass)",
            Kind::Metered { .. } => "MeterBody(metered)",
        })
    }
}
