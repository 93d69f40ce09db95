use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tollgate_core::{
    Body, BoxError, Call, CallFacts, CallId, Class, Frames, Operation, Protocol, Refusal,
};

use crate::{
    Caller, Located,
    aim::ModelSpan,
    dialect, locate,
    path::guess,
    peek::{Peek, PeekError, peek},
};

/// Gives a service its [`Call`]: reads a request's head and, where an operation names its model in
/// the body, the body too, once.
///
/// A request that has a `Call` already keeps it. What no layer needs is never read: requests of
/// no known operation, and those without a model.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tollgate_wire::{Inspect, tollgate_core::{Call, Protocol}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let body = Full::new(Bytes::from(r#"{"messages":[],"model":"gpt-5","stream":true}"#));
/// let request = http::Request::post("/v1/chat/completions").body(body).unwrap();
///
/// let request = Inspect::new().call(request).await.expect("well-formed");
///
/// let call = request.extensions().get::<Call>().unwrap();
/// assert_eq!((call.model.as_deref(), call.stream), (Some("gpt-5"), true));
/// assert!(request.body().try_clone().is_some(), "read once, can be sent again");
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Inspect {
    limit: usize,
}

impl Inspect {
    /// Returns an inspection that reads up to 32 MiB.
    pub const fn new() -> Self {
        Self { limit: 32 << 20 }
    }

    /// Sets how many bytes of a body are read before the request is refused with 413.
    /// Default: 32 MiB.
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Inspects a request.
    ///
    /// The future's error is the answer to give instead: 400 naming the field that is wrong, 413
    /// above the limit, in the request's own protocol, with its [`Refusal`].
    pub fn call<B>(self, request: Request<B>) -> InspectFuture<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = match self.known(request) {
            Ok(request) => return InspectFuture::done(Ok(request)),
            Err(request) => request,
        };
        let caller = Caller::of(&request);
        let (parts, body) = request.into_parts();
        let located = locate(&parts.method, parts.uri.path(), &parts.headers);
        match located {
            Some(located) if located.route.operation.has_model() => {
                self.collect(parts, body, located, caller)
            }
            located => InspectFuture::done(Ok(unread(parts, Body::untouched(body), located))),
        }
    }

    /// Returns the request at once if it was inspected before.
    fn known<B>(self, request: Request<B>) -> Result<Request<Body>, Request<B>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if request.extensions().get::<Call>().is_some() {
            return Ok(request.map(Body::untouched));
        }
        Err(request)
    }

    fn collect<B>(self, parts: Parts, body: B, located: Located, caller: Caller) -> InspectFuture<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.size_hint().lower() > self.limit as u64 {
            return InspectFuture::done(Err(caller.refuse(too_large(self.limit))));
        }
        InspectFuture {
            state: State::Collecting {
                body,
                frames: Vec::new(),
                left: self.limit,
                limit: self.limit,
                head: Some(Box::new(Head { parts, located, caller })),
            },
        }
    }
}

impl Default for Inspect {
    fn default() -> Self {
        Self::new()
    }
}

pin_project! {
    /// Response future of [`Inspect::call`].
    #[derive(Debug)]
    pub struct InspectFuture<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<B> {
        Done { result: Option<Result<Request<Body>, Response<Bytes>>> },
        Collecting {
            #[pin] body: B,
            frames: Vec<Bytes>,
            left: usize,
            limit: usize,
            head: Option<Box<Head>>,
        },
    }
}

#[derive(Debug)]
struct Head {
    parts: Parts,
    located: Located,
    caller: Caller,
}

impl<B> InspectFuture<B> {
    fn done(result: Result<Request<Body>, Response<Bytes>>) -> Self {
        Self { state: State::Done { result: Some(result) } }
    }
}

impl<B> Future for InspectFuture<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Request<Body>, Response<Bytes>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut body, frames, left, limit, head) = match self.project().state.project() {
            StateProj::Done { result } => {
                return Poll::Ready(result.take().expect("polled after completion"));
            }
            StateProj::Collecting { body, frames, left, limit, head } => {
                (body, frames, left, limit, head)
            }
        };
        loop {
            let frame = ready!(body.as_mut().poll_frame(cx));
            let read = match frame {
                None => {
                    let head = *head.take().expect("polled after completion");
                    return Poll::Ready(head.finish(Frames::new(std::mem::take(frames))));
                }
                Some(Err(_)) => Err(broken()),
                Some(Ok(frame)) => {
                    take(frame.into_data().ok(), frames, left).ok_or_else(|| too_large(*limit))
                }
            };
            if let Err(refusal) = read {
                let head = *head.take().expect("polled after completion");
                return Poll::Ready(Err(head.caller.refuse(refusal)));
            }
        }
    }
}

/// Keeps a frame. `None`: it does not fit.
fn take(data: Option<Bytes>, frames: &mut Vec<Bytes>, left: &mut usize) -> Option<()> {
    let Some(data) = data else { return Some(()) };
    *left = left.checked_sub(data.len())?;
    frames.push(data);
    Some(())
}

impl Head {
    fn finish(self, frames: Frames) -> Result<Request<Body>, Response<Bytes>> {
        let Self { mut parts, located, caller } = self;
        let dialect = dialect(located.protocol);
        let peek = peek(dialect, &frames).map_err(|error| caller.refuse(wrong(error)))?;
        if let Some(at) = peek.model_at.clone() {
            parts.extensions.insert(ModelSpan { at, len: frames.len() });
        }
        let json_array =
            located.route.stream && dialect.streams_an_array(parts.uri.query().unwrap_or_default());
        let call = facts(located, peek, json_array, caller.id);
        if call.model.is_none() {
            return Err(caller.refuse(crate::aim::no_model()));
        }
        parts.extensions.insert(Call::from(call));
        Ok(Request::from_parts(parts, frames.into()))
    }
}

fn facts(located: Located, peek: Peek, json_array: bool, id: CallId) -> CallFacts {
    CallFacts {
        id,
        protocol: located.protocol,
        operation: located.route.operation,
        model: located.route.model.or(peek.model).map(Into::into),
        stream: located.route.stream || peek.stream,
        json_array,
        output_limit: peek.output_limit,
        candidates: peek.candidates.unwrap_or(1),
        stream_usage: peek.stream_usage,
        needs: peek.needs,
    }
}

/// A request whose body nobody needs to read.
fn unread(mut parts: Parts, body: Body, located: Option<Located>) -> Request<Body> {
    let id = parts.extensions.get().copied().unwrap_or_else(CallId::random);
    let (protocol, operation, model) = match located {
        Some(located) => (located.protocol, located.route.operation, located.route.model),
        None => (nobodys(&parts), Operation::Other, None),
    };
    let call = Call::new(protocol, operation);
    let facts = CallFacts { id, model: model.map(Into::into), ..CallFacts::clone(&call) };
    parts.extensions.insert(Call::from(facts));
    Request::from_parts(parts, body)
}

fn nobodys(parts: &Parts) -> Protocol {
    guess(parts.uri.path(), &parts.headers)
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Class::TooLarge, format!("the request body is larger than {limit} bytes"))
        .code("request_too_large")
}

fn broken() -> Refusal {
    Refusal::new(Class::InvalidRequest, "the request body could not be read to its end")
}

fn wrong(error: PeekError) -> Refusal {
    match error {
        PeekError::Malformed(malformed) => Refusal::new(
            Class::InvalidRequest,
            format!("the request body is not a JSON object: {malformed}"),
        ),
        PeekError::Field(field, wrong) => {
            Refusal::new(Class::InvalidRequest, format!("`{field}` {wrong}")).param(field)
        }
    }
}
