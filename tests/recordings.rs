//! Every recorded exchange through the gateway: what the upstream received is what the client
//! sent, what the client received is what the upstream sent, byte for byte, however either is cut.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use libtest_mimic::{Arguments, Failed, Trial};
use tollgate_core::{Body, BoxError, Protocol};
use tollgate_gateway::{Options, Readiness, SharedState, stack};
use tollgate_testkit::{Answer, Recording, Script, ScriptBody, Upstream, recordings};
use tollgate_tests::{CLIENT_KEY, state};
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

fn main() {
    let arguments = Arguments::from_args();
    let recorded = match recordings("") {
        Ok(recorded) => recorded,
        Err(absent) => {
            let must = std::env::var_os("CI").is_some_and(|ci| ci == "true");
            let reason = format!("recordings skipped: {absent}");
            let trial = Trial::test(reason.clone(), move || Err(Failed::from(reason)));
            libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(!must)]).exit();
        }
    };
    let (cases, others): (Vec<_>, Vec<_>) =
        recorded.into_iter().map(Case::of).partition(Result::is_ok);
    let cases: Vec<_> = cases.into_iter().flatten().map(Arc::new).collect();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in others.into_iter().filter_map(Result::err) {
        *reasons.entry(reason).or_default() += 1;
    }
    println!("{} recordings are replayed; the others:", cases.len());
    reasons.iter().for_each(|(reason, n)| println!("{n:6}  {reason}"));
    libtest_mimic::run(&arguments, trials(&cases)).exit();
}

/// One trial per protocol, answer kind and manner of cutting.
fn trials(cases: &[Arc<Case>]) -> Vec<Trial> {
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
        for stream in [false, true] {
            let group: Vec<_> = cases
                .iter()
                .filter(|case| case.protocol == protocol && case.recording.stream == stream)
                .cloned()
                .collect();
            for (manner, play) in manners {
                let kind = if stream { "stream" } else { "json" };
                let name = format!("{protocol}::{kind}::{manner}");
                let group = group.clone();
                trials.push(Trial::test(name, move || all(&group, play)));
            }
        }
    }
    trials
}

fn all(cases: &[Arc<Case>], play: fn(&Case) -> Result<(), String>) -> Result<(), Failed> {
    assert!(!cases.is_empty(), "no recording of this kind");
    let wrong: Vec<_> = cases
        .iter()
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
            state: state(located.protocol, "http://upstream.test", &[&model]),
            expected: expected(located.protocol, &recording),
            base,
            model,
            recording,
        })
    }

    fn whole(&self) -> Result<(), String> {
        self.play(&self.request(), &self.answer())
    }

    fn byte_by_byte(&self) -> Result<(), String> {
        self.play(&self.request().split_every(1), &self.answer().split_every(1))
    }

    fn answer_cut_in_two(&self) -> Result<(), String> {
        let request = self.request();
        cuts(self.answer().len()).try_for_each(|at| {
            self.play(&request, &self.answer().cut_at(&[at])).map_err(|e| format!("cut {at}: {e}"))
        })
    }

    fn request_cut_in_two(&self) -> Result<(), String> {
        let answer = self.answer();
        cuts(self.request().len()).try_for_each(|at| {
            self.play(&self.request().cut_at(&[at]), &answer).map_err(|e| format!("cut {at}: {e}"))
        })
    }

    fn request(&self) -> Script {
        Script::new(self.recording.request.body())
    }

    fn answer(&self) -> Script {
        Script::new(self.recording.response.body())
    }

    /// One exchange through the gateway's stack, the upstream in the same process.
    fn play(&self, request: &Script, answer: &Script) -> Result<(), String> {
        let seen = Arc::new(Mutex::new(None));
        let upstream = service_fn(self.upstream(answer.clone(), seen.clone()));
        let readiness = Readiness::ready();
        let gateway = stack(self.state.clone(), readiness, Options::default(), upstream);
        let (status, body) = block_on(exchange(gateway, self.asking(request)));
        let received = seen.lock().expect("one thread").take();
        same("request at the upstream", &received.ok_or("was not asked")?, &request.bytes())?;
        same("answer at the client", &body, &self.expected.1)?;
        same("status", status.as_str().as_bytes(), self.expected.0.as_str().as_bytes())
    }

    fn asking(&self, body: &Script) -> Request<ScriptBody> {
        let mut request = Request::post(self.asked.as_str()).body(body.body()).expect("valid");
        *request.headers_mut() = self.recording.request.to_request().headers().clone();
        let key = format!("Bearer {CLIENT_KEY}").parse().expect("a header value");
        request.headers_mut().insert(header::AUTHORIZATION, key);
        request
    }

    /// The upstream: remembers the body it was sent, answers as recorded.
    fn upstream(
        &self,
        answer: Script,
        seen: Arc<Mutex<Option<Bytes>>>,
    ) -> impl Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Answered> + Send>> + Clone + use<>
    {
        let head = Arc::new(self.recorded_head());
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

    fn recorded_head(&self) -> (StatusCode, HeaderMap) {
        let response = &self.recording.response;
        let headers = response.headers.iter().filter_map(|(name, value)| {
            Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
        });
        let mut headers: HeaderMap = headers.collect();
        let usual = if self.recording.stream && response.body().first() != Some(&b'[') {
            "text/event-stream"
        } else {
            "application/json"
        };
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(usual));
        (response.status(), headers)
    }

    /// The same over sockets, through the client at the bottom of the stack.
    fn over_sockets(&self) -> Result<(), String> {
        block_on(async {
            let (status, headers) = self.recorded_head();
            let mut answer = Answer::new(status, self.answer().random_cuts(7, 16));
            for (name, value) in &headers {
                answer = answer.header(name.clone(), value.clone());
            }
            let upstream = Upstream::always(answer);
            let (address, _guard) = upstream.clone().serve().await.map_err(|e| e.to_string())?;
            let base_url = format!("http://{address}{}", self.base);
            let state = state(self.protocol, &base_url, &[&self.model]);
            let leaf = tollgate_upstream::Upstream::new();
            let gateway = stack(state, Readiness::ready(), Options::default(), leaf);
            let (status, body) = exchange(gateway, self.asking(&self.request())).await;
            let received = upstream.received();
            let received = received.first().ok_or("was not asked")?;
            same("path", received.uri.path().as_bytes(), self.recording.request.path.as_bytes())?;
            let query = received.uri.query().unwrap_or_default();
            same("query", query.as_bytes(), self.recording.request.query.as_bytes())?;
            same("request at the upstream", &received.body(), &self.recording.request.body())?;
            same("answer at the client", &body, &self.expected.1)?;
            same("status", status.as_str().as_bytes(), self.expected.0.as_str().as_bytes())
        })
    }
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
