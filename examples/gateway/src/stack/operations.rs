//! What names no model: lists are answered here, what stands under a provider's name is sent there
//! as it is, anything else is nobody's.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use tollgate_core::{Call, CallFacts, Class, KeyId, Operation, Plan, Principal, Refusal, Reply};
use tollgate_store::StoreError;
use tollgate_wire::{Caller, Located, asks_model, dialect, locate, with_path};
use tower::{Layer, Service};

use super::{paths::Own, targets::Targets};
use crate::{books::Books, state::SharedState};

/// Layer of [`Operations`].
#[derive(Clone, Debug)]
pub(super) struct OperationsLayer {
    state: SharedState,
    books: Books,
}

impl OperationsLayer {
    /// Returns the layer; model lists show the names of `state`.
    /// What a key asks of its own calls is read in `books`.
    pub(super) fn new(state: SharedState, books: Books) -> Self {
        Self { state, books }
    }
}

impl<S> Layer<S> for OperationsLayer {
    type Service = Operations<S>;

    fn layer(&self, inner: S) -> Operations<S> {
        Operations { inner, state: self.state.clone(), books: self.books.clone() }
    }
}

/// Middleware that answers model lists in the asking protocol's shape, gives what stands under
/// `/{provider}/` that provider for a target, says 404 or 405 to what no protocol knows, and passes
/// on everything that names a model.
#[derive(Clone, Debug)]
pub(super) struct Operations<S> {
    inner: S,
    state: SharedState,
    books: Books,
}

impl<S> Operations<S> {
    /// The answer to what is asked of the gateway itself.
    fn of_ours<B, F>(&self, request: &Request<B>) -> Option<State<F>> {
        if !reads(request.method()) {
            return None;
        }
        let question = match Own::at(request.uri().path())? {
            Own::Targets => {
                let state = self.state.load();
                let targets = Targets::of(&state, principal(request), Instant::now());
                return Some(State::own(json(text(&targets))));
            }
            Own::Spend => Question::Spent,
            Own::Call(id) => Question::Call(id.to_owned()),
            // Answered where no key is asked for, or by nobody.
            Own::Health | Own::Ready | Own::Metrics => return None,
        };
        let key = principal(request)?.key.clone();
        Some(State::Reading { answer: self.read(Caller::of(request), key, question) })
    }

    /// The answer that is given here to an operation of a protocol; `None` for what goes on.
    fn operation<B>(&self, request: &mut Request<B>) -> Option<Response<Bytes>> {
        let caller = Caller::of(request);
        // What is asked for without its body is what would have one.
        let method = if reads(request.method()) { &Method::GET } else { request.method() };
        let Some(located) = locate(method, request.uri().path(), request.headers()) else {
            let passed = self.pass_through(caller, request).is_some();
            return (!passed).then(|| nobodys(caller, request));
        };
        let principal = principal(request);
        match located.route.operation {
            Operation::ListModels => Some(self.list(&located, principal)),
            Operation::GetModel => Some(self.describe(caller, &located)),
            _ => None,
        }
    }

    /// Points a request under `/{provider}/` at that provider: the rest of its path is the
    /// provider's own. Its body is never read, so that what asks a model is not passed: nobody would
    /// know what it costs.
    fn pass_through<B>(&self, caller: Caller, request: &mut Request<B>) -> Option<()> {
        let (name, rest) = request.uri().path().get(1..)?.split_once('/')?;
        if *request.method() != Method::GET && asks_model(&format!("/{rest}")) {
            return None;
        }
        let state = self.state.load();
        let now = tokio::time::Instant::now().into_std();
        let provider = state.router.provider(name)?;
        let target = provider.without_model(caller.protocol, &state.board, now)?;
        let uri = with_path(request.uri(), &format!("/{rest}"))?;
        let call = Call::new(target.protocol, Operation::Other);
        let call = CallFacts { id: caller.id, ..CallFacts::clone(&call) };
        *request.uri_mut() = uri;
        request.extensions_mut().insert(Call::from(call));
        request.extensions_mut().insert(Plan::one(target.clone(), "named by the path"));
        request.extensions_mut().insert(target);
        Some(())
    }

    /// Looks up what a key asks about its own calls.
    fn read(&self, caller: Caller, key: KeyId, question: Question) -> Reading {
        let books = self.books.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || question.answer(&books, &key)).await;
            let refusal = match read {
                Ok(Ok(text)) => return json(text),
                Ok(Err(refusal)) => refusal,
                Err(_) => Refusal::new(Class::ServerError, "the books could not be read"),
            };
            caller.refuse(refusal)
        })
    }

    fn list(&self, located: &Located, principal: Option<&Principal>) -> Response<Bytes> {
        let cards = self.state.load().router.list(principal);
        json(dialect(located.protocol).render_models(&cards))
    }

    fn describe(&self, caller: Caller, located: &Located) -> Response<Bytes> {
        let asked = located.route.model.as_deref().unwrap_or_default();
        match self.state.load().router.describe(asked, located.protocol) {
            Some(card) => json(dialect(located.protocol).render_model(&card)),
            None => caller.refuse(
                Refusal::new(Class::NotFound, format!("no model `{asked}` here")).param("model"),
            ),
        }
    }
}

/// An answer that is being read from the books.
type Reading = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// What a key may ask about itself.
enum Question {
    Spent,
    Call(String),
}

impl Question {
    /// Looks it up. Blocks.
    fn answer(&self, books: &Books, key: &KeyId) -> Result<Bytes, Refusal> {
        let unreadable = |error: StoreError| {
            tracing::error!(%error, "the books could not be read");
            Refusal::new(Class::ServerError, "the books could not be read")
        };
        match self {
            Self::Spent => Ok(text(&books.spent(key).map_err(unreadable)?)),
            Self::Call(id) => {
                let message = || format!("no call `{id}` of this key");
                let unknown = || Refusal::new(Class::NotFound, message()).code("call_not_found");
                let known = id.parse().map_err(|_| unknown())?;
                let call = books.call(known, Some(key)).map_err(unreadable)?;
                Ok(text(&call.ok_or_else(unknown)?))
            }
        }
    }
}

/// Whether this asks to see something; that nothing of a body is sent for `HEAD` hyper sees to.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn principal<B>(request: &Request<B>) -> Option<&Principal> {
    request.extensions().get::<Arc<Principal>>().map(|principal| &**principal)
}

fn text(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).map_or_else(|_| Bytes::from_static(b"{}"), Bytes::from)
}

fn json(body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Answers what nobody knows: 405 where the path exists for another method, else 404. A model may
/// have a colon in its name, but to whoever does not ask to see it a verb begins there.
fn nobodys<B>(caller: Caller, request: &Request<B>) -> Response<Bytes> {
    let (method, path) = (request.method(), request.uri().path());
    let ours = !reads(method) && Own::at(path).is_some();
    let known = |m: &Method| {
        let located = locate(m, path, request.headers());
        located.is_some_and(|l| l.route.operation != Operation::GetModel || !path.contains(':'))
    };
    let others = [Method::GET, Method::POST];
    let allowed = others.iter().find(|m| (ours && *m == Method::GET) || known(m));
    let refusal = Refusal::new(Class::NotFound, format!("no such route: {method} {path}"));
    let refusal = refusal.code("route_not_found");
    let allow = allowed.and_then(|method| HeaderValue::from_str(method.as_str()).ok());
    let Some(allow) = allow else { return caller.refuse(refusal) };
    let mut response = caller.refuse_with(StatusCode::METHOD_NOT_ALLOWED, refusal);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

impl<S, B, ResBody> Service<Request<B>> for Operations<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = Response<Reply<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let ours = self.of_ours(&request);
        let ours = ours.or_else(|| self.operation(&mut request).map(State::own));
        let state = ours.unwrap_or_else(|| State::Calling { future: self.inner.call(request) });
        ResponseFuture { state }
    }
}

pin_project! {
    /// Response future of [`Operations`].
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Own { response: Option<Response<Bytes>> },
        Reading { answer: Reading },
        Calling { #[pin] future: F },
    }
}

impl<F> State<F> {
    fn own(response: Response<Bytes>) -> Self {
        Self::Own { response: Some(response) }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Reply<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Own { response } => {
                let response = response.take().expect("polled after completion");
                Poll::Ready(Ok(response.map(Reply::own)))
            }
            StateProj::Reading { answer } => {
                Poll::Ready(Ok(ready!(answer.as_mut().poll(cx)).map(Reply::own)))
            }
            StateProj::Calling { future } => {
                Poll::Ready(Ok(ready!(future.poll(cx))?.map(Reply::inner)))
            }
        }
    }
}
