//! Every recorded exchange through the gateway: what the upstream received is what the client
//! sent, what the client received is what the upstream sent, byte for byte, however either is cut.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use libtest_mimic::{Arguments, Failed, Trial};
use tollgate_catalog::Catalogue;
use tollgate_core::{Body, BoxError, Protocol};
use tollgate_gateway::{Readiness, SharedState, State, stack};
use tollgate_testkit::{Answer, Recording, Script, ScriptBody, Upstream, recordings, shared_trial};
use tollgate_tests::{CLIENT_KEY, one_attempt, state};
use tollgate_wire::{
    dialect,
    json::{member, string},
    locate,
};
use tower::{Service, ServiceExt, service_fn};

/// A stream that ends in the provider's own error event, followed by a terminator.
const OWN_ERROR_INSIDE: &str = "pydantic-ai-openrouter-test-openrouter-stream-error-0-267b11";

/// Up to this size a body is cut in two at each of its bytes; above it, at 64 random ones.
const ALL_CUTS: usize = 4096;

/// Where a body of this length is cut in two.
fn cuts(len: usize) -> Box<dyn Iterator<Item = usize>> {
    if len <= ALL_CUTS {
        return Box::new(1..len.max(1));
    }
    // A fixed sequence, so that a failure can be played again.
    let mut state = len as u64;
    Box::new((0..64).map(move |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (state >> 33) as usize % (len - 1)
    }))
}

/// Into how many trials each kind of case is divided, so that every core has its share.
const SHARES: usize = 8;

fn main() {
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

/// The cases, read when the first trial needs them.
fn cases() -> &'static [Case] {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(read);
    &CASES
}

fn read() -> Vec<Case> {
    let recorded = recordings("").expect("trials run only where the recordings are");
    let (mut cases, mut others) = (Vec::new(), BTreeMap::<_, usize>::new());
    for recording in recorded {
        match Case::of(recording) {
            Ok(case) => cases.push(case),
            Err(reason) => *others.entry(reason).or_default() += 1,
        }
    }
    println!("{} recordings are replayed; the others:", cases.len());
    others.iter().for_each(|(reason, n)| println!("{n:6}  {reason}"));
    cases
}

/// Trials per protocol, answer kind and manner of cutting.
fn trials() -> Vec<Trial> {
    type Play = fn(&Case) -> Result<(), String>;
    let manners: [(&str, Play); 5] = [
        ("whole", Case::whole),
        ("over_sockets", Case::over_sockets),
        ("byte_by_byte", Case::byte_by_byte),
        ("answer_cut_in_two", Case::answer_cut_in_two),
        ("request_cut_in_two", Case::request_cut_in_two),
    ];
    let mut trials = Vec::new();
    for protocol in Protocol::ALL {
        for (kind, stream) in [("json", false), ("stream", true)] {
            for (manner, play) in manners {
                for share in 0..SHARES {
                    let name = format!("{protocol}::{kind}::{manner}::{}", share + 1);
                    trials.push(shared_trial("fixtures/recorded", &name, move |_| {
                        all(protocol, stream, share, play)
                    }));
                }
            }
        }
    }
    trials
}

fn all(
    protocol: Protocol,
    stream: bool,
    share: usize,
    play: fn(&Case) -> Result<(), String>,
) -> Result<(), Failed> {
    let kind = |case: &&Case| case.protocol == protocol && case.recording.stream == stream;
    assert!(cases().iter().any(|case| kind(&case)), "no recording of this kind");
    let share = cases().iter().filter(kind).skip(share).step_by(SHARES);
    let wrong: Vec<_> = share
        .filter_map(|case| play(case).err().map(|e| format!("{}: {e}", case.recording.id)))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// A recording that can be replayed: who the upstream is and what a client asks the gateway.
struct Case {
    recording: Recording,
    protocol: Protocol,
    /// Path and query the client asks the gateway for.
    asked: String,
    /// What of the recorded path belongs to the upstream's base URL.
    base: String,
    model: String,
    state: SharedState,
    /// What the client sends and the upstream answers, whole.
    request: Script,
    answer: Script,
    /// The head of the client's request.
    headers: HeaderMap,
    /// The head of the upstream's answer.
    head: Arc<(StatusCode, HeaderMap)>,
    expected: (StatusCode, Bytes),
}

impl Case {
    /// Errors: the reason why this recording cannot pass a native lane of these four protocols.
    fn of(recording: Recording) -> Result<Self, &'static str> {
        let request = &recording.request;
        if request.method != "POST" {
            return Err("no generation, embedding or token count (GET)");
        }
        if request.body().is_empty() {
            return Err("the request was not recorded");
        }
        if recording.protocol == "bedrock-converse" || request.path.starts_with("/model/") {
            return Err("a Bedrock path, no native path of these protocols");
        }
        let (base, native) =
            split(&request.path).ok_or("a path of a cloud's own, no native path")?;
        let located = locate(&Method::POST, &native, &Default::default()).ok_or("not ours")?;
        let body = request.body();
        let named = located.route.model.or_else(|| model_of(&body));
        let model = named.ok_or("the request names no model")?;
        let query = request.query.as_str();
        let asked = if query.is_empty() { native } else { format!("{native}?{query}") };
        Ok(Self {
            protocol: located.protocol,
            asked,
            state: as_recorded(
                state(located.protocol, "http://upstream.test", &[&model]),
                &recording,
            ),
            request: Script::new(body),
            answer: Script::new(recording.response.body()),
            headers: with_key(recording.request.to_request().headers().clone()),
            head: Arc::new(recorded_head(&recording)),
            expected: expected(located.protocol, &recording),
            base,
            model,
            recording,
        })
    }

    fn whole(&self) -> Result<(), String> {
        self.play(&self.request, &self.answer)
    }

    fn byte_by_byte(&self) -> Result<(), String> {
        self.play(&self.request.clone().split_every(1), &self.answer.clone().split_every(1))
    }

    fn answer_cut_in_two(&self) -> Result<(), String> {
        cuts(self.answer.len()).try_for_each(|at| {
            self.play(&self.request, &self.answer.clone().cut_at(&[at]))
                .map_err(|e| format!("cut {at}: {e}"))
        })
    }

    fn request_cut_in_two(&self) -> Result<(), String> {
        cuts(self.request.len()).try_for_each(|at| {
            self.play(&self.request.clone().cut_at(&[at]), &self.answer)
                .map_err(|e| format!("cut {at}: {e}"))
        })
    }

    /// One exchange through the gateway's stack, the upstream in the same process.
    fn play(&self, request: &Script, answer: &Script) -> Result<(), String> {
        let seen = Arc::new(Mutex::new(None));
        let upstream = service_fn(self.upstream(answer.clone(), seen.clone()));
        let readiness = Readiness::ready();
        let gateway = stack(self.state.clone(), readiness, one_attempt(), upstream);
        let (status, body) = block_on(exchange(gateway, self.asking(request)));
        let received = seen.lock().expect("one thread").take();
        same_request(&received.ok_or("was not asked")?, &request.bytes())?;
        self.same_answer(&body)?;
        same("status", status.as_str().as_bytes(), self.expected.0.as_str().as_bytes())
    }

    /// A host that tells usage in a chunk of its own although nobody asked: the gateway asked, so
    /// the chunk is taken out.
    fn same_answer(&self, seen: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(&self.expected.1);
        let tells =
            |event: &&str| event.contains(r#""choices":[]"#) && event.contains(r#""usage":{"#);
        let asked = self.recording.request.body();
        let asked = memchr::memmem::find(&asked, b"include_usage").is_some();
        let extra = text.split_inclusive("\n\n").find(tells).filter(|_| !asked);
        let without = extra.map(|extra| text.replacen(extra, "", 1));
        match without.is_some_and(|without| without.as_bytes() == seen) {
            true => Ok(()),
            false => same("answer at the client", seen, &self.expected.1),
        }
    }

    fn asking(&self, body: &Script) -> Request<ScriptBody> {
        let mut request = Request::post(self.asked.as_str()).body(body.body()).expect("valid");
        request.headers_mut().clone_from(&self.headers);
        request
    }

    /// The upstream: remembers the body it was sent, answers as recorded.
    fn upstream(
        &self,
        answer: Script,
        seen: Arc<Mutex<Option<Bytes>>>,
    ) -> impl Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Answered> + Send>> + Clone + use<>
    {
        let head = self.head.clone();
        move |request| {
            let (answer, seen, head) = (answer.clone(), seen.clone(), head.clone());
            Box::pin(async move {
                assert!(!format!("{:?}", request.headers()).contains(CLIENT_KEY));
                let body = request.into_body().collect().await.expect("readable").to_bytes();
                *seen.lock().expect("one thread") = Some(body);
                let mut response = Response::new(answer.body());
                (*response.status_mut(), *response.headers_mut()) = (*head).clone();
                Ok(response)
            })
        }
    }

    /// The same over sockets, through the client at the bottom of the stack.
    fn over_sockets(&self) -> Result<(), String> {
        block_on(async {
            let (status, headers) = &*self.head;
            let mut answer = Answer::new(*status, self.answer.clone().random_cuts(7, 16));
            for (name, value) in headers {
                answer = answer.header(name.clone(), value.clone());
            }
            let upstream = Upstream::always(answer);
            let (address, _guard) = upstream.clone().serve().await.map_err(|e| e.to_string())?;
            let base_url = format!("http://{address}{}", self.base);
            let state = state(self.protocol, &base_url, &[&self.model]);
            let state = as_recorded(state, &self.recording);
            let leaf = tollgate_upstream::Upstream::new();
            let gateway = stack(state, Readiness::ready(), one_attempt(), leaf);
            let (status, body) = exchange(gateway, self.asking(&self.request)).await;
            let received = upstream.received();
            let received = received.first().ok_or("was not asked")?;
            same("path", received.uri.path().as_bytes(), self.recording.request.path.as_bytes())?;
            let query = received.uri.query().unwrap_or_default();
            same("query", query.as_bytes(), self.recording.request.query.as_bytes())?;
            same_request(&received.body(), &self.recording.request.body())?;
            self.same_answer(&body)?;
            same("status", status.as_str().as_bytes(), self.expected.0.as_str().as_bytes())
        })
    }
}

/// The same with its provider of the recorded one's kind, where that decides what is sent: wishes
/// about routing are OpenRouter's own business, and others are not sent them.
fn as_recorded(state: SharedState, recording: &Recording) -> SharedState {
    if recording.provider == "openrouter" {
        let mut own = State::clone(&state.load());
        own.router = own.router.each_provider(|provider| {
            provider.kind = "openrouter".into();
            // Which nobody has another name for.
            provider.catalogue = Some(Catalogue::empty());
        });
        state.replace(own);
    }
    state
}

type Answered = Result<Response<ScriptBody>, Infallible>;

async fn exchange<S, B>(gateway: S, request: Request<ScriptBody>) -> (StatusCode, Bytes)
where
    S: Service<Request<ScriptBody>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let response = gateway.oneshot(request).await.expect("infallible");
    let status = response.status();
    let body = response.into_body().map_err(Into::<BoxError>::into).collect().await;
    let body = body.expect("an honest body has no error");
    (status, body.to_bytes())
}

fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Two things about usage may differ: it was asked for where the client had not, and OpenRouter's
/// wish, which other hosts refuse, was taken out.
fn same_request(seen: &[u8], sent: &[u8]) -> Result<(), String> {
    const ASKING: &[u8] = b"{\"stream_options\":{\"include_usage\":true},";
    let unasked = seen.strip_prefix(ASKING).map(|rest| [b"{", rest].concat());
    let seen = unasked.as_deref().unwrap_or(seen);
    let text = String::from_utf8_lossy(sent);
    let unwished = WISHES.iter().fold(text.clone(), |text, wish| text.replace(wish, "").into());
    match seen == unwished.as_bytes() {
        true => Ok(()),
        false => same("request at the upstream", seen, sent),
    }
}

const WISHES: [&str; 2] = [r#", "usage": {"include": true}"#, r#","usage":{"include":true}"#];

fn same(what: &str, seen: &[u8], expected: &[u8]) -> Result<(), String> {
    if seen == expected {
        return Ok(());
    }
    let at = seen.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let part = &bytes[at.saturating_sub(20)..bytes.len().min(at + 60)];
        String::from_utf8_lossy(part).into_owned()
    };
    Err(format!(
        "{what} differs at byte {at}: {:?} instead of {:?}",
        around(seen),
        around(expected)
    ))
}

/// The recorded headers, with the key of this gateway.
fn with_key(mut headers: HeaderMap) -> HeaderMap {
    let key = format!("Bearer {CLIENT_KEY}").parse().expect("a header value");
    headers.insert(header::AUTHORIZATION, key);
    headers
}

fn recorded_head(recording: &Recording) -> (StatusCode, HeaderMap) {
    let response = &recording.response;
    let headers = response.headers.iter().filter_map(|(name, value)| {
        Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
    });
    let mut headers: HeaderMap = headers.collect();
    let usual = if recording.stream && response.body().first() != Some(&b'[') {
        "text/event-stream"
    } else {
        "application/json"
    };
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(usual));
    (response.status(), headers)
}

/// What the client must get: the very answer, but for a rejection of the gateway's own credential
/// or quota, which is hidden.
fn expected(protocol: Protocol, recording: &Recording) -> (StatusCode, Bytes) {
    let (status, mut body) = (recording.response.status(), recording.response.body());
    if recording.id == OWN_ERROR_INSIDE {
        // The upstream's own error event is the end: what it sends after it is not passed on.
        body.truncate(body.len() - "data: [DONE]\n\n".len());
    }
    if status.is_success() {
        return (status, body);
    }
    let fault = dialect(protocol).classify(status, &HeaderMap::new(), &body);
    if !fault.is_ours() {
        return (status, body);
    }
    let rendered = dialect(protocol).render(&fault.hiding_ours(), "");
    (rendered.status, rendered.body)
}

/// Divides a recorded path into what belongs to the base URL and the protocol's own path.
fn split(path: &str) -> Option<(String, String)> {
    let openai = ["/chat/completions", "/responses", "/responses/input_tokens", "/embeddings"];
    let native = |suffix: &str| format!("/v1{suffix}");
    if let Some(suffix) = openai.iter().find(|suffix| path.ends_with(*suffix)) {
        return Some((path.strip_suffix(suffix)?.to_owned(), native(suffix)));
    }
    let own = ["/v1/messages", "/v1beta/models/", "/v1/models/"];
    let at = own.iter().find_map(|own| path.find(own))?;
    Some((path[..at].to_owned(), path[at..].to_owned()))
}

fn model_of(body: &[u8]) -> Option<String> {
    Some(string(member(body, "model")?)?.into_owned())
}
