use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};
use http_body::Body;
use tollgate_core::{Class, Protocol, Secret};
use tower_service::Service;

use crate::{
    BillRow, SimBody, SimFuture,
    act::{Act, Break, MODELS},
    anthropic,
    ask::{Ask, Bad},
    bill::Bill,
    body::End,
    dialect::{Asked, Dialect, Fault, Turn, dialect},
    feed::{Feed, Framing},
    gemini,
    json::{Json, json},
    openai,
    place::{Doing, Place, query},
    said::{Said, Used},
    strict,
};

/// The simulated providers as one service. Clones share key, bill and ids.
///
/// Never fails: what is wrong with a request is answered in the provider's own shape. Request
/// bodies above 64 MiB are answered with 413.
#[derive(Clone, Debug)]
pub struct Sim {
    key: Option<Secret>,
    bill: Option<Bill>,
    apart: bool,
    strict: bool,
    check: Option<Check>,
    count: Arc<AtomicU64>,
}

/// What the user of this service checks.
#[derive(Clone)]
struct Check(Arc<CheckFn>);

type CheckFn = dyn Fn(&Parts, &[u8]) -> Result<(), String> + Send + Sync;

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check(..)")
    }
}

/// An answer, and how long it lets its head wait.
pub(crate) type Answered = (Response<SimBody>, Duration);

impl Sim {
    /// Returns providers that take any key, keep no bill and write as fast as they can.
    pub fn new() -> Self {
        // Two instances must not give the same ids.
        let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let count = Arc::new(AtomicU64::new(start as u64));
        Self { key: None, bill: None, apart: false, strict: false, check: None, count }
    }

    /// Refuses, in each provider's own way, every request that does not bring this key. Default:
    /// none is asked for.
    pub fn with_key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(Secret::new(key));
        self
    }

    /// Keeps a row for each answer. Off by default: the list grows as long as the service lives.
    pub fn with_bill(mut self) -> Self {
        self.bill = Some(Bill::default());
        self
    }

    /// Lets a server write each event of a stream on its own. Off by default: events that are
    /// ready together leave together.
    pub fn with_write_per_event(mut self) -> Self {
        self.apart = true;
        self
    }

    /// Refuses what the provider itself would refuse, in its own words: members it does not know,
    /// calls without answers and answers without calls, signatures it never gave, sampling a model
    /// does not take. Off by default: a request must only be readable.
    ///
    /// The rules are those of the provider of the request's path, and of the model by its name:
    /// `gpt-5` and `o3` reason, `claude-opus-4-6` takes no prefill, `gemini-3-pro` signs its calls.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Refuses as invalid what `check` finds wrong with a request's head or body, saying what it
    /// said. Default: nothing more is checked.
    pub fn with_check<C>(mut self, check: C) -> Self
    where
        C: Fn(&Parts, &[u8]) -> Result<(), String> + Send + Sync + 'static,
    {
        self.check = Some(Check(Arc::new(check)));
        self
    }

    /// Returns the rows so far, in the order the answers ended; none without [`Sim::with_bill`].
    ///
    /// Errors are not billed.
    pub fn bill(&self) -> Vec<BillRow> {
        self.bill.as_ref().map(Bill::rows).unwrap_or_default()
    }

    /// Answers a request whose body has been read.
    pub(crate) fn answer(&self, head: &Parts, body: &[u8]) -> Answered {
        let place = Place::of(&head.method, &head.uri, &head.headers);
        let request = Exchange { sim: self, protocol: place.protocol, id: self.id() };
        if !self.admits(&head.uri, &head.headers) {
            return request.refuse(&Fault::of(Class::Auth));
        }
        if let Some(Err(said)) = self.check.as_ref().map(|check| check.0(head, body)) {
            return request.refuse(&Fault::saying(Class::InvalidRequest, said));
        }
        if self.strict
            && let Err(fault) = request.rules(&place.doing, &head.headers, body)
        {
            return request.refuse(&fault);
        }
        request.answer(place.doing, body)
    }

    pub(crate) fn too_large(&self, head: &Parts) -> Answered {
        let place = Place::of(&head.method, &head.uri, &head.headers);
        let request = Exchange { sim: self, protocol: place.protocol, id: self.id() };
        request.refuse(&Fault::of(Class::TooLarge))
    }

    fn admits(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(key) = &self.key else { return true };
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let own = ["x-api-key", "api-key", "x-goog-api-key"];
        let own = own.iter().find_map(|name| headers.get(*name)?.to_str().ok());
        own.or(bearer).or(query(uri, "key")) == Some(key.expose())
    }

    fn id(&self) -> String {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        // Spread by an odd constant: ids differ at a glance and never repeat.
        format!("{:08x}{:016x}", n >> 32, n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self::new()
    }
}

/// One request on its way to an answer.
struct Exchange<'a> {
    sim: &'a Sim,
    protocol: Protocol,
    id: String,
}

impl Exchange<'_> {
    /// What the provider itself would refuse.
    fn rules(&self, doing: &Doing, headers: &HeaderMap, body: &[u8]) -> Result<(), Fault> {
        let (model, counting) = match doing {
            Doing::Generate { model, .. } => (model, false),
            Doing::Count { model } => (model, true),
            _ => return Ok(()),
        };
        strict::Request { protocol: self.protocol, headers, model, counting }.check(body)
    }

    fn answer(&self, doing: Doing, body: &[u8]) -> Answered {
        match doing {
            Doing::Generate { model, stream, array } => {
                self.generate(&Asked { model: &model, stream, array }, body)
            }
            Doing::Embed { model, batch } => self.embed(&model, batch, body),
            Doing::Count { model } => self.count(&model, body),
            Doing::Models => self.models(),
            Doing::Model(id) => self.model(&id),
            Doing::Unknown => {
                self.refuse(&Fault::saying(Class::NotFound, "Not found: no such path."))
            }
        }
    }

    fn generate(&self, asked: &Asked<'_>, body: &[u8]) -> Answered {
        let mut ask = match self.dialect().ask(asked, body) {
            Ok(ask) => ask,
            Err(bad) => return self.bad(bad),
        };
        ask.vendor = vendor(self.protocol);
        ask.quiet |= self.sim.strict
            && self.protocol == Protocol::OpenAiChat
            && strict::is_openai(&ask.model);
        let act = match Act::read(&ask.model, &ask.prompt) {
            Ok(act) => act,
            Err(marker) => return self.bad(Bad::Value(marker)),
        };
        let (response, _) = match act.error {
            Some(class) => self.refuse(&Fault::of(class)),
            None if act.garbage => self.garbage(),
            None => self.say(&ask, &act),
        };
        (response, act.delay)
    }

    fn say(&self, ask: &Ask, act: &Act) -> Answered {
        let said = Said::to(ask, act);
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let turn = Turn { ask, said: &said, id: &self.id, created };
        let body = match ask.stream {
            true => self.stream(&turn, act),
            false => SimBody::whole(self.dialect().answer(&turn).0),
        };
        let bill = self.sim.bill.as_ref();
        let tab = bill.map(|bill| bill.open(self.protocol, &ask.model, said.used, !ask.stream));
        let kind = if ask.stream && !ask.array { EVENTS } else { JSON };
        self.respond(StatusCode::OK, kind, body.tab(tab))
    }

    fn stream(&self, turn: &Turn<'_>, act: &Act) -> SimBody {
        let framing = if turn.ask.array { Framing::Array } else { Framing::Sse };
        let mut feed = Feed::new(framing);
        self.dialect().stream(turn, &mut feed);
        let mut end = End::Clean;
        if let Some((events, broken)) = act.broken {
            feed.truncate(events);
            end = match broken {
                Break::Cut => End::Cut,
                Break::Stall => End::Stall,
                Break::Reset => End::Reset,
                Break::Error(class) => {
                    self.dialect().fail(turn, &Fault::of(class), &mut feed);
                    End::Cut
                }
            };
        }
        SimBody::events(feed).ending(end).pace(act.pace).apart(self.sim.apart)
    }

    fn embed(&self, model: &str, batch: bool, body: &[u8]) -> Answered {
        let embedded = match (self.protocol, batch) {
            (Protocol::Gemini, true) => gemini::embed_batch(body),
            (Protocol::Gemini, false) => gemini::embed(body),
            _ => match openai::embed(body) {
                Ok((answer, model, used)) => return self.embedded(answer, &model, used),
                Err(bad) => Err(bad),
            },
        };
        match embedded {
            Ok((answer, used)) => self.embedded(answer, model, used),
            Err(bad) => self.bad(bad),
        }
    }

    fn embedded(&self, answer: Json, model: &str, input: u64) -> Answered {
        let act = Act::read(model, "").unwrap_or_default();
        if let Some(class) = act.error {
            return self.refuse(&Fault::of(class));
        }
        let used = Used { input, ..Used::default() };
        let bill = self.sim.bill.as_ref();
        let tab = bill.map(|bill| bill.open(self.protocol, model, used, true));
        self.respond(StatusCode::OK, JSON, SimBody::whole(answer.0).tab(tab))
    }

    fn count(&self, model: &str, body: &[u8]) -> Answered {
        let asked = Asked { model, ..Asked::default() };
        let input = match self.protocol {
            Protocol::Gemini => gemini::count(body),
            Protocol::AnthropicMessages => {
                anthropic::Anthropic::read(body, true).map(|ask| ask.input)
            }
            _ => self.dialect().ask(&asked, body).map(|ask| ask.input),
        };
        match (input, self.protocol) {
            (Err(bad), _) => self.bad(bad),
            (Ok(n), Protocol::Gemini) => self.json(json! {"totalTokens": n}),
            (Ok(n), Protocol::AnthropicMessages) => self.json(json! {"input_tokens": n}),
            (Ok(n), _) => self.json(json! {"object": "response.input_tokens", "input_tokens": n}),
        }
    }

    fn models(&self) -> Answered {
        self.json(match self.protocol {
            Protocol::Gemini => gemini::models(&MODELS),
            Protocol::AnthropicMessages => anthropic::models(&MODELS),
            _ => openai::models(&MODELS),
        })
    }

    fn model(&self, id: &str) -> Answered {
        if let Some(class) = Act::read(id, "").unwrap_or_default().error {
            return self.refuse(&Fault::of(class));
        }
        self.json(match self.protocol {
            Protocol::Gemini => gemini::model(id),
            Protocol::AnthropicMessages => anthropic::model(id),
            _ => openai::model(id),
        })
    }

    fn json(&self, json: Json) -> Answered {
        self.respond(StatusCode::OK, JSON, SimBody::whole(json.0))
    }

    fn garbage(&self) -> Answered {
        let html = "<html><body><h1>502 Bad Gateway</h1></body></html>";
        self.respond(StatusCode::OK, "text/html", SimBody::whole(html))
    }

    fn bad(&self, bad: Bad) -> Answered {
        self.refuse(&self.dialect().bad(bad))
    }

    fn refuse(&self, fault: &Fault) -> Answered {
        let (status, body) = self.dialect().error(fault, &format!("req_{}", self.id));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answered = self.respond(status, JSON, SimBody::whole(body.0));
        let headers = answered.0.headers_mut();
        let gemini = self.protocol == Protocol::Gemini;
        if matches!(fault.class, Class::RateLimit | Class::Overloaded) && !gemini {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if fault.class == Class::Quota && !gemini {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        answered
    }

    fn respond(&self, status: StatusCode, kind: &'static str, body: SimBody) -> Answered {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if kind == EVENTS {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        let (request, limits) = own_headers(self.protocol);
        if let Ok(id) = HeaderValue::from_str(&format!("req_{}", self.id)) {
            headers.insert(request, id);
        }
        for (name, value) in limits {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        (response, Duration::ZERO)
    }

    fn dialect(&self) -> &'static dyn Dialect {
        dialect(self.protocol)
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Whose signatures a protocol's thoughts carry.
fn vendor(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::AnthropicMessages => "anthropic",
        Protocol::Gemini => "gemini",
        _ => "openai",
    }
}

type Headers = &'static [(&'static str, &'static str)];

/// The header of the request id, and what the account's limits look like.
fn own_headers(protocol: Protocol) -> (HeaderName, Headers) {
    match protocol {
        Protocol::Gemini => (HeaderName::from_static("x-request-id"), &[]),
        Protocol::AnthropicMessages => (
            HeaderName::from_static("request-id"),
            &[
                ("anthropic-ratelimit-requests-limit", "4000"),
                ("anthropic-ratelimit-requests-remaining", "3999"),
            ],
        ),
        _ => (
            HeaderName::from_static("x-request-id"),
            &[
                ("openai-processing-ms", "1"),
                ("x-ratelimit-limit-requests", "10000"),
                ("x-ratelimit-remaining-requests", "9999"),
            ],
        ),
    }
}

impl<B> Service<Request<B>> for Sim
where
    B: Body<Data = Bytes>,
{
    type Response = Response<SimBody>;
    type Error = Infallible;
    type Future = SimFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> SimFuture<B> {
        SimFuture::new(self.clone(), request)
    }
}
