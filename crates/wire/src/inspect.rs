use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use pin_project_lite::pin_project;
use tollgate_core::{
    AskedProvider, Body, BoxError, Call, CallFacts, CallId, Class, Frames, Operation, Refusal,
    StreamError,
};

use crate::{
    Caller, Located,
    aim::ModelSpan,
    dialect, locate,
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
    /// above the limit, 415 naming the encoding of a body that is not sent as it is, in the request's
    /// own protocol, with its [`Refusal`].
    pub fn call<B>(self, request: Request<B>) -> InspectFuture<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if request.extensions().get::<Call>().is_some() {
            return InspectFuture::done(Ok(request.map(Body::untouched)));
        }
        let caller = Caller::of(&request);
        let (parts, body) = request.into_parts();
        let located = locate(&parts.method, parts.uri.path(), &parts.headers);
        match located {
            Some(located) if located.route.operation.has_model() => {
                self.collect(parts, body, located, caller)
            }
            located => {
                let body = Body::untouched(body);
                InspectFuture::done(Ok(unread(parts, body, located, caller)))
            }
        }
    }

    fn collect<B>(self, parts: Parts, body: B, located: Located, caller: Caller) -> InspectFuture<B>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if let Some(encoding) = encoding(&parts.headers) {
            return InspectFuture::done(Err(caller.encoded(encoding)));
        }
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
                Some(Err(error)) => {
                    let head = *head.take().expect("polled after completion");
                    return Poll::Ready(Err(head.caller.broken(error.into())));
                }
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
    #[allow(clippy::result_large_err, reason = "either is the whole message that goes on")]
    fn finish(self, frames: Frames) -> Result<Request<Body>, Response<Bytes>> {
        let Self { mut parts, located, caller } = self;
        let dialect = dialect(located.protocol);
        let peek = peek(dialect, &frames).map_err(|error| caller.refuse(wrong(error)))?;
        if let Some(at) = peek.model_at.clone() {
            parts.extensions.insert(ModelSpan { at, len: frames.len() });
        }
        let json_array =
            located.route.stream && dialect.streams_an_array(parts.uri.query().unwrap_or_default());
        let mut call = facts(located, peek, json_array, caller.id);
        if let Some(provider) = parts.extensions.get::<AskedProvider>() {
            call.model = call.model.map(|model| provider.name(model.to_string()).into());
        }
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
        asks_cost: peek.asks_cost,
        user: peek.user.map(Into::into),
        service_tier: peek.service_tier.map(Into::into),
        needs: peek.needs,
    }
}

/// A request whose body nobody needs to read.
fn unread(mut parts: Parts, body: Body, located: Option<Located>, caller: Caller) -> Request<Body> {
    let (protocol, operation, model) = match located {
        Some(located) => (located.protocol, located.route.operation, located.route.model),
        None => (caller.protocol, Operation::Other, None),
    };
    let call = Call::new(protocol, operation);
    let model = model.map(Into::into);
    let facts = CallFacts { id: caller.id, model, ..CallFacts::clone(&call) };
    parts.extensions.insert(Call::from(facts));
    Request::from_parts(parts, body)
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(Class::TooLarge, format!("the request body is larger than {limit} bytes"))
        .code("request_too_large")
}

/// How a body is encoded, if it is.
fn encoding(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut named = headers.get_all(header::CONTENT_ENCODING).iter();
    named.find(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

impl Caller {
    /// Says that a body in this encoding is not read here: 415.
    pub fn encoded(self, encoding: &HeaderValue) -> Response<Bytes> {
        let named = String::from_utf8_lossy(encoding.as_bytes());
        let message = format!("a request body with content-encoding `{named}` is not read here");
        let refusal = Refusal::new(Class::InvalidRequest, message).code("unsupported_encoding");
        self.refuse_with(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal)
    }

    /// Says that the body could not be read; 408 where the client was too slow.
    fn broken(self, error: BoxError) -> Response<Bytes> {
        let error = StreamError::from_boxed(error);
        if error.class() != Class::Timeout {
            let message = "the request body could not be read to its end";
            return self.refuse(Refusal::new(Class::InvalidRequest, message));
        }
        let mut refusal = Refusal::new(Class::Timeout, error.message());
        refusal.code = error.stable_code();
        self.refuse_with(StatusCode::REQUEST_TIMEOUT, refusal)
    }
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

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http_body_util::{BodyExt, Full, StreamBody};
    use tollgate_core::{Protocol, Target};

    use super::*;
    use crate::aim;

    async fn inspected(uri: &str, body: &'static str) -> Result<Request<Body>, Response<Bytes>> {
        let request = Request::post(uri).body(Full::new(Bytes::from_static(body.as_bytes())));
        Inspect::new().limit(200).call(request.unwrap()).await
    }

    async fn refused(uri: &str, body: &'static str) -> (StatusCode, Refusal, Bytes) {
        let response = inspected(uri, body).await.unwrap_err();
        let refusal = response.extensions().get::<Refusal>().cloned().unwrap();
        (response.status(), refusal, response.into_body())
    }

    fn target(protocol: Protocol, model: &'static str) -> Target {
        Target::new("p", protocol, model, "http://h".parse().unwrap())
    }

    #[tokio::test]
    async fn finds_the_facts_of_each_protocol() {
        for (uri, body, protocol, limit) in [
            (
                "/v1/chat/completions",
                r#"{"model":"m","max_tokens":5,"messages":[{"model":"x"}],"stream":true}"#,
                Protocol::OpenAiChat,
                Some(5),
            ),
            (
                "/v1/responses",
                r#"{"input":"x","stream":true,"max_output_tokens":7,"model":"m"}"#,
                Protocol::OpenAiResponses,
                Some(7),
            ),
            (
                "/anthropic/v1/messages",
                r#"{"max_tokens":9,"stream":true,"model":"m","messages":[]}"#,
                Protocol::AnthropicMessages,
                Some(9),
            ),
            (
                "/v1beta/models/m:streamGenerateContent?alt=sse",
                r#"{"contents":[],"generationConfig":{"maxOutputTokens":"11"}}"#,
                Protocol::Gemini,
                Some(11),
            ),
        ] {
            let request = inspected(uri, body).await.unwrap();
            let call = request.extensions().get::<Call>().unwrap();
            assert_eq!((call.protocol, call.operation), (protocol, Operation::Generate));
            assert_eq!((call.model.as_deref(), call.stream), (Some("m"), true), "{protocol}");
            assert_eq!((call.output_limit, call.json_array), (limit, false), "{protocol}");
        }
    }

    #[tokio::test]
    async fn the_service_tier_is_read_in_each_protocols_own_word() {
        for (uri, body) in [
            ("/v1/chat/completions", r#"{"model":"m","service_tier":"flex"}"#),
            ("/v1/responses", r#"{"service_tier":"flex","model":"m"}"#),
            ("/v1/messages", r#"{"model":"m","service_tier":"flex"}"#),
            ("/v1beta/models/m:generateContent", r#"{"serviceTier":"flex"}"#),
            ("/v1beta/models/m:generateContent", r#"{"service_tier":"flex"}"#),
        ] {
            let request = inspected(uri, body).await.unwrap();
            let call = request.extensions().get::<Call>().unwrap();
            assert_eq!(call.service_tier.as_deref(), Some("flex"), "{uri} {body}");
        }
        for odd in [r#"{"model":"m","service_tier":null}"#, r#"{"model":"m","service_tier":7}"#] {
            let request = inspected("/v1/responses", odd).await.unwrap();
            assert_eq!(request.extensions().get::<Call>().unwrap().service_tier, None);
        }
    }

    #[tokio::test]
    async fn a_gemini_stream_without_sse_is_an_array() {
        let uri = "/v1beta/models/m:streamGenerateContent";
        let request = inspected(uri, "{}").await.unwrap();
        assert!(request.extensions().get::<Call>().unwrap().json_array);
    }

    #[tokio::test]
    async fn refusals_are_in_the_callers_protocol_and_name_the_field() {
        let (status, refusal, body) = refused("/v1/messages", r#"{"model":7}"#).await;
        assert_eq!((status.as_u16(), refusal.param.as_deref()), (400, Some("model")));
        assert!(body.starts_with(br#"{"type":"error""#));
        let (_, refusal, body) = refused("/v1/responses", r#"{"input":"x"}"#).await;
        assert_eq!(refusal.param.as_deref(), Some("model"));
        assert!(body.starts_with(br#"{"error":{"message""#));
        let (_, refusal, _) = refused("/v1/responses", r#"{"model":"a","model":"b"}"#).await;
        assert!(refusal.message.contains("twice"), "{}", refusal.message);
        let (status, _, _) = refused("/v1/responses", r#"{"model":"a""#).await;
        assert_eq!(status, 400);
        let (status, _, _) = refused("/v1/responses", r#"["model"]"#).await;
        assert_eq!(status, 400);
    }

    #[tokio::test]
    async fn more_than_the_limit_is_refused_with_413_before_it_is_read() {
        let body =
            StreamBody::new(futures_util::stream::iter((0..).map(|_| {
                Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(&[b' '; 64])))
            })));
        let request = Request::post("/v1/responses").body(body).unwrap();
        let refused = Inspect::new().limit(200).call(request).await.unwrap_err();
        assert_eq!(refused.status(), 413);
        let long: &'static str = Box::leak("x".repeat(201).into_boxed_str());
        assert_eq!(self::refused("/v1/responses", long).await.0, 413);
    }

    #[tokio::test]
    async fn fault_35_a_body_that_came_too_late_is_a_408_and_one_that_broke_a_400() {
        let late: BoxError =
            StreamError::new(Class::Timeout, "late").code("request_timeout").into();
        for (error, status, code) in [(late, 408, Some("request_timeout")), ("x".into(), 400, None)]
        {
            let frames = [Err::<http_body::Frame<Bytes>, _>(error)];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let request = Request::post("/v1/messages").body(body).unwrap();
            let answer = Inspect::new().call(request).await.unwrap_err();
            assert_eq!(answer.status(), status);
            assert_eq!(answer.extensions().get::<Refusal>().unwrap().code, code);
        }
    }

    #[tokio::test]
    async fn an_encoded_body_is_a_415_in_the_callers_protocol_that_names_the_encoding() {
        for uri in ["/v1/responses", "/v1/messages", "/v1beta/models/m:generateContent"] {
            let request = Request::post(uri).header("content-encoding", "zip");
            let body = Full::new(Bytes::from_static(b"PK"));
            let refused = Inspect::new().call(request.body(body).unwrap()).await.unwrap_err();
            assert_eq!(refused.status(), 415);
            let refusal = refused.extensions().get::<Refusal>().unwrap();
            assert_eq!(refusal.code, Some("unsupported_encoding"));
            let text = String::from_utf8(refused.body().to_vec()).unwrap();
            assert!(text.contains("`zip`"), "{text}");
            assert_eq!(text.contains("\"code\":415"), uri.contains("v1beta"), "{text}");
        }
        let request = Request::post("/v1/responses").header("content-encoding", "Identity");
        let body = Full::new(Bytes::from_static(br#"{"model":"m"}"#));
        assert!(Inspect::new().call(request.body(body).unwrap()).await.is_ok());
    }

    #[tokio::test]
    async fn what_nobody_needs_is_not_read() {
        let never = StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, BoxError>,
        >());
        let request = Request::post("/v1/files").body(never).unwrap();
        let request = Inspect::new().call(request).await.unwrap();
        assert_eq!(request.extensions().get::<Call>().unwrap().operation, Operation::Other);
        assert!(request.body().frames().is_none());
    }

    #[tokio::test]
    async fn a_second_inspection_keeps_the_first() {
        let first = inspected("/v1/responses", r#"{"model":"m"}"#).await.unwrap();
        let id = first.extensions().get::<Call>().unwrap().id;
        let second = Inspect::new().limit(1).call(first).await.unwrap();
        assert_eq!(second.extensions().get::<Call>().unwrap().id, id);
    }

    #[tokio::test]
    async fn a_call_under_a_providers_prefix_is_for_its_model() {
        for (model, asked) in [("m", "p/m"), ("p/m", "p/m"), ("pp/m", "p/pp/m")] {
            let body = Full::new(Bytes::from(format!(r#"{{"model":"{model}","a":"m"}}"#)));
            let request = Request::post("/v1/responses").extension(AskedProvider("p".into()));
            let request = Inspect::new().call(request.body(body).unwrap()).await;
            let mut request = request.unwrap();
            assert_eq!(request.extensions().get::<Call>().unwrap().model.as_deref(), Some(asked));
            aim(&mut request, &target(Protocol::OpenAiResponses, "own")).unwrap();
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(sent, r#"{"model":"own","a":"m"}"#);
        }
    }

    #[tokio::test]
    async fn aiming_changes_the_model_and_no_other_byte() {
        let body = r#"{ "messages":[{"model":"m"}], "model" : "m" ,"x":1.0}"#;
        let mut request = inspected("/v1/chat/completions", body).await.unwrap();
        aim(&mut request, &target(Protocol::OpenAiChat, "new\"m")).unwrap();
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(sent, r#"{ "messages":[{"model":"m"}], "model" : "new\"m" ,"x":1.0}"#);
    }

    #[tokio::test]
    async fn a_targets_own_members_leave_with_it() {
        let mut request = inspected("/v1/responses", r#"{"model":"m","a":1}"#).await.unwrap();
        let mut first = target(Protocol::OpenAiResponses, "first");
        first.members = [("provider".into(), Bytes::from(r#"{"zdr":true}"#))].into();
        aim(&mut request, &first).unwrap();
        let text = |request: &Request<Body>| request.body().frames().unwrap().joined();
        assert_eq!(text(&request), r#"{"provider":{"zdr":true},"model":"first","a":1}"#);
        let clone = request.body().try_clone().unwrap();
        aim(&mut request, &target(Protocol::OpenAiResponses, "second")).unwrap();
        assert_eq!(text(&request), r#"{"model":"second","a":1}"#);
        aim(&mut request, &first).unwrap();
        assert_eq!(text(&request), clone.frames().unwrap().joined());
    }

    #[tokio::test]
    async fn wishes_are_seen_in_each_protocol() {
        for uri in [
            "/v1/chat/completions",
            "/v1/responses",
            "/v1/messages",
            "/v1beta/models/m:generateContent",
        ] {
            for (body, wishes) in [
                (r#"{"model":"m","provider":{}}"#, true),
                (r#"{"models":["a"],"model":"m"}"#, true),
                (r#"{"model":"m","x":{"provider":{}}}"#, false),
            ] {
                let request = inspected(uri, body).await.unwrap();
                let call = request.extensions().get::<Call>().unwrap();
                assert_eq!(call.needs.wishes, wishes, "{uri} {body}");
            }
        }
    }

    #[tokio::test]
    async fn aiming_again_and_after_a_foreign_change_still_hits_the_model() {
        let mut request = inspected("/v1/responses", r#"{"model":"m","a":"m"}"#).await.unwrap();
        request.body_mut().set_frames(Bytes::from_static(br#"{"a":"m","model":"m"}"#).into());
        aim(&mut request, &target(Protocol::OpenAiResponses, "first")).unwrap();
        aim(&mut request, &target(Protocol::OpenAiResponses, "second")).unwrap();
        aim(&mut request, &target(Protocol::OpenAiResponses, "m")).unwrap();
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(sent, r#"{"a":"m","model":"m"}"#);
    }
}
