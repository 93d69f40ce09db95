//! Translation of single bodies described by an object, for debugging and for tests.
//!
//! Such an object has the members `id`, `kind`, `from`, `to`, `caps`, `ctx` and `input`; the
//! answer has `id` and, as far as they apply, `body`, `path`, `status`, `headers`, `raw`, `ms`,
//! `reject` and `warnings`.
//!
//! Of a stream (`input` is `{"sse": text}` or `{"chunks_hex": [...]}`) the answer has `events`,
//! the `terminator` behind them, the bytes as `sse`, and as `fold` the whole answer it amounts
//! to. A stream that failed before it said anything is the plain error it becomes, with `http`.
//!
//! ```
//! let case = r#"{"id":"1","kind":"count_response","from":"gemini","to":"anthropic-messages",
//!     "input":{"totalTokens":31}}"#;
//! let answer = tollgate_translate::case::run(case).unwrap();
//! assert_eq!(answer, r#"{"id":"1","body":{"input_tokens":31},"warnings":[]}"#);
//! ```

mod streams;

use std::{collections::BTreeSet, fmt};

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use tollgate_core::{
    Body, Caps, ForcedToolChoice, Protocol, Refusal, Sampling, SchemaDialect, Thinking,
};
use tollgate_wire::{Fault, Rendered, dialect};

use crate::{
    codec::{Asked, Incoming, Onto, Outgoing, codec},
    effort,
    embed::EmbedRequest,
    exchange::{self, Kind, Translator},
    json::{Fields, Json, Node, Object},
    warning::{Report, Warnings},
};

/// The object does not describe a translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCase(String);

impl fmt::Display for BadCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadCase {}

/// Does what an object describes and describes the outcome as one line of JSON.
///
/// Errors: the object does not describe a translation.
pub fn run(case: &str) -> Result<String, BadCase> {
    let case = Case::read(case)?;
    let outcome = case.outcome()?;
    Ok(Json::from(Object::new().with("id", case.id.as_str()).join(outcome)).to_string())
}

/// Reads a capability record, as a case has one under `caps`; what is not named keeps its default.
///
/// Errors: the text is no JSON object.
pub fn caps(text: &str) -> Result<Caps, BadCase> {
    let node = Node::parse(text.as_bytes()).ok().filter(|node| node.fields().is_some());
    let node = node.ok_or_else(|| BadCase("the capabilities are no JSON object".to_owned()))?;
    Ok(caps_of(Some(node)))
}

struct Case<'a> {
    id: String,
    kind: String,
    from: Protocol,
    to: Protocol,
    caps: Caps,
    ctx: Option<Node<'a>>,
    input: Node<'a>,
}

type Outcome = Object<'static>;

impl<'a> Case<'a> {
    fn read(text: &'a str) -> Result<Self, BadCase> {
        let bad = |why: &str| BadCase(why.to_owned());
        let node = Node::parse(text.as_bytes()).map_err(|_| bad("not JSON"))?;
        let word = |name: &str| node.get(name).and_then(Node::string);
        let protocol = |name: &str| {
            let word = word(name).ok_or_else(|| bad("`from` and `to` are required"))?;
            word.parse::<Protocol>().map_err(|unknown| BadCase(unknown.to_string()))
        };
        Ok(Self {
            id: word("id").unwrap_or_default(),
            kind: word("kind").ok_or_else(|| bad("`kind` is required"))?,
            from: protocol("from")?,
            to: protocol("to")?,
            caps: caps_of(node.get("caps")),
            ctx: node.get("ctx"),
            input: node.get("input").ok_or_else(|| bad("`input` is required"))?,
        })
    }

    fn context(&self, name: &str) -> Option<String> {
        self.ctx?.get(name)?.string()
    }

    /// What the client's request said, where only its answer is given.
    fn client_said(&self, name: &str) -> Option<Node<'a>> {
        self.ctx?.get("client_request")?.get(name)
    }

    fn outcome(&self) -> Result<Outcome, BadCase> {
        Ok(match self.kind.as_str() {
            "request" | "reject" => self.request(Kind::Generate)?,
            "count_request" => self.request(Kind::Count)?,
            "embed_request" => self.request(Kind::Embed)?,
            "response" => self.response(&self.body(self.input)),
            "error" => self.error(),
            "count_response" => self.count_response(),
            "embed_response" => self.embed_response(),
            "models" => match exchange::models(self.from, self.to, &self.body(self.input)) {
                Ok(body) => plain(&body, &Warnings::default()),
                Err(fault) => self.fault(fault),
            },
            "passthrough" => self.passthrough()?,
            "passthrough_stream" => self.passthrough_stream()?,
            "stream" => self.stream()?,
            "sse_parse" => self.sse_parse()?,
            "retry_hint" => self.retry_hint(),
            other => return Err(BadCase(format!("unknown kind `{other}`"))),
        })
    }

    fn body(&self, node: Node<'_>) -> Vec<u8> {
        node.raw().as_str().as_bytes().to_vec()
    }

    /// A refused request names `from` twice and the upstream in its context.
    fn upstream(&self) -> Protocol {
        let named = self.context("upstream").and_then(|name| name.parse().ok());
        named.unwrap_or(self.to)
    }

    fn request(&self, kind: Kind) -> Result<Outcome, BadCase> {
        let path = self.input.get("path").and_then(Node::string);
        let wrapped = path.as_ref().and(self.input.get("body"));
        let body = self.body(wrapped.unwrap_or(self.input));
        let in_path = path.as_deref().and_then(model_of_path).or_else(|| self.context("model"));
        let own = self.input.get("model").and_then(Node::string);
        let gemini = self.from == Protocol::Gemini;
        let model = self.context("model").or(own).or(in_path.clone()).unwrap_or_default();
        let streams = self.client_said("stream").and_then(Node::bool) == Some(true);
        let incoming = Incoming {
            model: in_path.as_deref().filter(|_| gemini),
            stream: gemini && streams,
            batch: path.is_some_and(|path| path.ends_with(":batchEmbedContents")),
            body: &body,
        };
        let onto = Onto::new(&model, &self.caps);
        let translator = Translator::new(self.from, self.upstream()).kind(kind);
        Ok(match translator.request(&incoming, &onto) {
            Ok((sent, exchange)) => request(&sent, exchange.warnings()),
            Err(refusal) => self.refused(&refusal),
        })
    }

    fn refused(&self, refusal: &Refusal) -> Outcome {
        let shown = exchange::render(self.from, &Fault::from(refusal), &self.id);
        let reject = Object::new()
            .with("status", u64::from(shown.status.as_u16()))
            .with("body", verbatim(&shown.body));
        Object::new().with("reject", reject).with("warnings", Json::Array(Vec::new()))
    }

    fn asked(&self) -> Asked {
        let said = |name: &str| self.client_said(name).and_then(Node::bool) == Some(true);
        Asked {
            reasoning: said("thinking") || said("include_thoughts"),
            legacy_functions: said("legacy_functions"),
            stream_usage: said("include_usage"),
            // Whatever was asked for, each alternative that is seen must have finished.
            candidates: 2,
            now: 0,
            id: self.id.clone(),
            echo: Vec::new(),
        }
    }

    fn response(&self, body: &[u8]) -> Outcome {
        let shown = codec(self.from).decode_answer(body, &self.id).and_then(|answer| {
            let mut report = Report::new(codec(self.from));
            let shown = codec(self.to).encode_answer(&answer, &self.asked(), &mut report)?;
            Ok((shown, report.into_warnings()))
        });
        match shown {
            Ok((body, warnings)) => plain(&body, &warnings),
            Err(fault) => self.fault(fault),
        }
    }

    fn error(&self) -> Outcome {
        let status = self.input.get("status").and_then(Node::u64).unwrap_or(500);
        let body = self.input.get("body");
        let text = body.and_then(Node::string).map(String::into_bytes);
        let body = text.or_else(|| body.map(|body| self.body(body))).unwrap_or_default();
        if status < 300 {
            return self.response(&body);
        }
        let status = u16::try_from(status).ok().and_then(|n| StatusCode::from_u16(n).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.fault(exchange::error(self.from, status, &self.headers(), &body))
    }

    fn headers(&self) -> HeaderMap {
        let said = self.input.get("headers").or_else(|| self.ctx?.get("headers"));
        let members = said.and_then(Node::fields).map(|fields| fields.extra().0);
        let header = |(name, value): (Box<str>, crate::json::Raw)| {
            let value = value.node().string().unwrap_or_else(|| value.to_string());
            Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(&value).ok()?))
        };
        members.unwrap_or_default().into_iter().filter_map(header).collect()
    }

    /// The plain answer that tells of a fault.
    fn answered(&self, fault: Fault) -> Outcome {
        let told = self.fault(fault);
        Object(told.0.into_iter().filter(|(name, _)| name == "status" || name == "body").collect())
    }

    fn fault(&self, fault: Fault) -> Outcome {
        let (class, retryable, fallback) = (fault.class, fault.retryable, fault.fallback);
        let ours = self.context("credential").is_some_and(|whose| whose == "gateway");
        let fault = if ours { fault.hiding_ours() } else { fault };
        error(&exchange::render(self.to, &fault, &self.id))
            .with("class", class.as_str())
            .with("retryable", retryable)
            .with("fallback", fallback)
            .with("warnings", Json::Array(Vec::new()))
    }

    fn count_response(&self) -> Outcome {
        match codec(self.from).decode_counted(&self.body(self.input)) {
            Ok(tokens) => plain(&codec(self.to).encode_counted(tokens), &Warnings::default()),
            Err(fault) => self.fault(fault),
        }
    }

    fn embed_response(&self) -> Outcome {
        let answer = codec(self.from).decode_embedded(&self.body(self.input));
        let format = self.client_said("encoding_format").and_then(Node::string);
        match answer {
            Err(fault) => self.fault(fault),
            Ok(answer) => {
                let request = EmbedRequest {
                    source: self.to,
                    model: self.context("model").unwrap_or_default(),
                    inputs: Vec::new(),
                    list: answer.vectors.len() != 1,
                    dimensions: None,
                    base64: format.as_deref() == Some("base64"),
                    user: None,
                    native: Vec::new(),
                    unknown: Vec::new(),
                };
                let body = codec(self.to).encode_embedded(&answer, &request);
                plain(&body, &Warnings::default())
            }
        }
    }

    fn passthrough(&self) -> Result<Outcome, BadCase> {
        let raw = self.input.get("raw").and_then(Node::string).unwrap_or_default();
        let mut request = Request::new(Body::from(raw));
        let model = self.context("model").unwrap_or_default();
        if let Err(refusal) = dialect(self.from).aim(&mut request, &model) {
            return Ok(self.refused(&refusal));
        }
        let frames = request.body().frames().map(|frames| frames.joined()).unwrap_or_default();
        let text = String::from_utf8_lossy(&frames).into_owned();
        Ok(Object::new().with("raw", true).with("body", text))
    }

    fn retry_hint(&self) -> Outcome {
        let body = self.input.get("body").map(|body| self.body(body)).unwrap_or_default();
        let status = StatusCode::TOO_MANY_REQUESTS;
        let fault = dialect(self.from).classify(status, &self.headers(), &body);
        let ms = fault.retry_after.map(|after| after.as_millis() as u64);
        Object::new().with("ms", ms.map_or(Json::Null, Json::from))
    }
}

fn model_of_path(path: &str) -> Option<String> {
    let (before, _) = path.rsplit_once(':')?;
    Some(before.split_once("models/")?.1.to_owned())
}

fn verbatim(body: &[u8]) -> Json<'static> {
    Json::Raw(String::from_utf8_lossy(body).into_owned().into())
}

fn told(warnings: &Warnings) -> Json<'static> {
    Json::Array(warnings.iter().map(|warning| Json::from(warning.to_string())).collect())
}

fn plain(body: &[u8], warnings: &Warnings) -> Outcome {
    Object::new().with("body", verbatim(body)).with("warnings", told(warnings))
}

fn request(sent: &Outgoing, warnings: &Warnings) -> Outcome {
    let query = if sent.query.is_empty() { "" } else { "?" };
    let headers = sent.headers.iter().map(|(name, value)| ((*name).into(), Json::from(*value)));
    Object::new()
        .with("path", format!("{}{query}{}", sent.path, sent.query))
        .filled("headers", Object(headers.collect()))
        .with("body", verbatim(&sent.body))
        .with("warnings", told(warnings))
}

fn error(shown: &Rendered) -> Outcome {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string().into(), Json::from(text))
    };
    Object::new()
        .with("status", u64::from(shown.status.as_u16()))
        .filled("headers", Object(shown.headers.iter().map(header).collect()))
        .with("body", verbatim(&shown.body))
}

/// Reads a capability record; what is not named keeps its default.
fn caps_of(node: Option<Node<'_>>) -> Caps {
    let mut caps = Caps::default();
    let Some(mut fields) = node.and_then(Node::fields) else { return caps };
    limits(&mut fields, &mut caps);
    words(&mut fields, &mut caps);
    flags(&mut fields, &mut caps);
    caps
}

fn limits(fields: &mut Fields<'_>, caps: &mut Caps) {
    let mut number = |name| fields.take(name).and_then(Node::u64);
    caps.context_window = number("context_window");
    caps.max_output_tokens = number("max_output_tokens");
    caps.default_max_output_tokens =
        number("default_max_output_tokens").unwrap_or(caps.default_max_output_tokens);
}

fn words(fields: &mut Fields<'_>, caps: &mut Caps) {
    let efforts = fields.take("efforts");
    caps.efforts = efforts.map(|list| {
        let words = list.elements().filter_map(|word| effort::parse(&word.str()?));
        words.collect::<BTreeSet<_>>()
    });
    let mut word = |name| fields.take(name).and_then(Node::string).unwrap_or_default();
    caps.sampling = match word("sampling").as_str() {
        "one_of" => Sampling::OneOf,
        "none" => Sampling::None,
        _ => Sampling::Full,
    };
    caps.thinking = match word("thinking").as_str() {
        "none" => Some(Thinking::None),
        "budget" => Some(Thinking::Budget),
        "adaptive" => Some(Thinking::Adaptive),
        "level" => Some(Thinking::Level),
        _ => None,
    };
    caps.schema = match word("schema").as_str() {
        "openapi_subset" => SchemaDialect::OpenApiSubset,
        _ => SchemaDialect::JsonSchema,
    };
    caps.forced_tool_choice = match word("forced_tool_choice").as_str() {
        "always" => Some(ForcedToolChoice::Always),
        "not_with_thinking" => Some(ForcedToolChoice::NotWithThinking),
        "never" => Some(ForcedToolChoice::Never),
        _ => None,
    };
}

fn flags(fields: &mut Fields<'_>, caps: &mut Caps) {
    let mut flag = |name| fields.take(name).and_then(Node::bool);
    caps.prefill = flag("prefill").unwrap_or(caps.prefill);
    caps.mid_system = flag("mid_system").unwrap_or(caps.mid_system);
    caps.developer_role = flag("developer_role");
    caps.structured_output = flag("structured_output").unwrap_or(caps.structured_output);
    caps.strict_tools = flag("strict_tools").unwrap_or(caps.strict_tools);
    caps.tool_result_media = flag("tool_result_media");
    caps.bound_reasoning = flag("bound_reasoning").unwrap_or(caps.bound_reasoning);
    caps.needs_thought_signature =
        flag("needs_thought_signature").unwrap_or(caps.needs_thought_signature);
    caps.fetches_https_images = flag("fetches_https_images");
    caps.fetches_https_files = flag("fetches_https_files");
    caps.image_in = flag("image_in");
    caps.audio_in = flag("audio_in");
    caps.video_in = flag("video_in");
    caps.pdf_in = flag("pdf_in");
    caps.tools = flag("tools");
    caps.n_gt_1 = flag("n_gt_1");
    caps.logprobs = flag("logprobs");
    caps.penalties = flag("penalties");
    caps.seed = flag("seed");
    caps.server_web_search = flag("server_web_search");
}
