//! Every recorded answer through `MeterLayer`: the charge is exact, and what an independent reader
//! takes from the wire; the price is that of this usage, and the bytes stay.

use std::{convert::Infallible, sync::Arc, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, Full};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tollgate_catalog::{Catalogue, Occasion, Priced, price};
use tollgate_core::{Body, Call, CallFacts, Operation, Protocol, Quality, Target, Usage};
use tollgate_meter::{Charge, Ending, MemoryLedger, MeterLayer};
use tollgate_testkit::{Recording, Script, recordings, shared_trial};
use tollgate_wire::{Inspect, locate};
use tower::{Layer, ServiceExt, service_fn};

/// Answers whose numbers contradict each other, and how.
const INCONSISTENT: [(&str, &str); 5] = [
    (
        "ruby-llm-azure-chat-basic-chat-functionality-azure-grok-4-1-fast-non-reasoning-0-ef61f8",
        "163 cached tokens in a prompt of 7",
    ),
    (
        "pydantic-ai-openrouter-test-openrouter-cache-instructions-gemini-real-api-0-dd0800",
        "2161 tokens both read from the cache and written to it, in a prompt of 2168",
    ),
    (
        "pydantic-ai-openrouter-test-openrouter-stream-error-0-267b11",
        "11 tokens of reasoning in a completion of 10; the stream ends in an error",
    ),
    (
        "pydantic-ai-groq-test-groq-model-web-search-tool-stream-0-1ca788",
        "each of four models is said to have used what all of them did",
    ),
    (
        "vercel-ai-azure-azure-deepseek-reasoning-1-0-f01ec5",
        "a Chat answer among those of Responses: its total belongs to counts that are not there",
    ),
];

/// Answers with status 200 that end in an error, and how.
const FAILED: [(&str, &str); 2] = [
    (
        "pydantic-ai-openrouter-test-openrouter-stream-error-0-267b11",
        "the host's own error event, after usage was told",
    ),
    (
        "pydantic-ai-groq-test-tool-use-failed-error-streaming-0-9cdccc",
        "the model called a tool that was not offered",
    ),
];

fn main() {
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for protocol in Protocol::ALL {
        for (kind, stream) in [("json", false), ("stream", true)] {
            let name = format!("{protocol}::{kind}::is_charged_for_what_it_tells");
            trials.push(shared_trial("fixtures/recorded", &name, move |_| all(protocol, stream)));
        }
    }
    trials
}

fn cases() -> &'static [Case] {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
        let recorded = recordings("").expect("trials run only where the recordings are");
        recorded.into_iter().filter_map(Case::of).collect()
    });
    &CASES
}

fn all(protocol: Protocol, stream: bool) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cases = cases().iter().filter(|c| c.protocol == protocol && c.recording.stream == stream);
    let (mut wrong, mut metered) = (Vec::new(), 0);
    for case in cases {
        metered += 1;
        for cut in [1, 13, usize::MAX] {
            if let Err(why) = runtime.block_on(case.play(cut)) {
                wrong.push(format!("{} cut {cut}: {why}", case.recording.id));
                break;
            }
        }
    }
    println!("{protocol}, stream {stream}: {metered} metered");
    match wrong.is_empty() && metered > 0 {
        true => Ok(()),
        false => Err(wrong.join("\n").into()),
    }
}

/// A recorded answer of a generation or embedding.
struct Case {
    recording: Recording,
    protocol: Protocol,
    operation: Operation,
    /// The path as these protocols know it, where a host has a prefix before it.
    path: String,
    model: String,
}

impl Case {
    /// `None` for what is no answer in these four protocols.
    fn of(recording: Recording) -> Option<Self> {
        let request = &recording.request;
        let endings = ["/chat/completions", "/responses", "/embeddings"];
        let path = match endings.iter().find(|ending| request.path.ends_with(*ending)) {
            Some(ending) => format!("/v1{ending}"),
            None => {
                let own = ["/v1/messages", "/v1beta/models/", "/v1/models/"];
                let at = own.iter().find_map(|own| request.path.find(own))?;
                request.path[at..].to_owned()
            }
        };
        let located = locate(&http::Method::POST, &path, &Default::default())?;
        let tells = matches!(located.route.operation, Operation::Generate | Operation::Embed);
        if !tells || recording.response.status != 200 || request.method != "POST" {
            return None;
        }
        let body: Value = serde_json::from_slice(&request.body()).unwrap_or_default();
        let model = located.route.model.or_else(|| Some(body["model"].as_str()?.to_owned()))?;
        let (protocol, operation) = (located.protocol, located.route.operation);
        Some(Self { protocol, operation, path, model, recording })
    }

    async fn play(&self, cut: usize) -> Result<(), String> {
        let ledger = MemoryLedger::new();
        let layer = MeterLayer::new(ledger.clone(), pricing).target(self.target());
        let script = Script::new(self.recording.response.body()).split_every(cut);
        let kind = self.content_type();
        let inner = service_fn(move |_| {
            let mut response = Response::new(script.body());
            response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
            async { Ok::<_, Infallible>(response) }
        });
        let mut request = self.request();
        // A client that asked for usage gets every byte.
        request.extensions_mut().insert(self.call().await?);
        let service = layer.layer(inner);
        let response = service.oneshot(request).await.expect("infallible");
        let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
        if body != self.recording.response.body() {
            return Err("the bytes changed".to_owned());
        }
        let charges = ledger.charges();
        let [charge] = charges.as_slice() else { return Err(format!("{} charges", charges.len())) };
        self.judge(charge)
    }

    fn target(&self) -> Arc<Target> {
        let provider = self.recording.provider.as_str();
        let host = http::Uri::from_static("http://upstream.test");
        Arc::new(Target::new(provider, self.protocol, self.model.as_str(), host))
    }

    fn content_type(&self) -> HeaderValue {
        let events = self.recording.stream && self.recording.response.body().first() != Some(&b'[');
        let usual = if events { "text/event-stream" } else { "application/json" };
        let json_as_asked = self.recording.response.body().first() == Some(&b'{');
        HeaderValue::from_static(if json_as_asked { "application/json" } else { usual })
    }

    fn request(&self) -> http::Request<Full<Bytes>> {
        let mut request = self.recording.request.to_request();
        if self.recording.request.body().is_empty() {
            // Some recordings are of answers alone.
            *request.body_mut() = Full::from("{}");
        }
        let path = match self.recording.request.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        };
        *request.uri_mut() = path.parse().expect("a recorded path is valid");
        request
    }

    /// The facts of the call, of a client that asked for its usage itself.
    async fn call(&self) -> Result<Call, String> {
        let inspected = Inspect::new().call(self.request()).await;
        let inspected: http::Request<Body> = inspected.map_err(|no| format!("{no:?}"))?;
        let call = inspected.extensions().get::<Call>().ok_or("no call")?;
        let facts = CallFacts { stream_usage: true, asks_cost: false, ..(**call).clone() };
        Ok(facts.into())
    }

    fn judge(&self, charge: &Charge) -> Result<(), String> {
        let id = self.recording.id.as_str();
        let doubted = INCONSISTENT.iter().any(|(name, _)| *name == id);
        let told = Told::of(self.protocol, &self.recording);
        let quality = match told {
            _ if doubted => Quality::Inconsistent,
            Some(_) => Quality::Exact,
            None => Quality::Estimated,
        };
        let fails = FAILED.iter().any(|(name, _)| *name == id);
        if (charge.ending == Ending::Complete) == fails {
            return Err(format!("ended as {:?}", charge.ending));
        }
        if charge.usage.quality != quality && !fails {
            return Err(format!("{:?}, expected {quality:?}", charge.usage.quality));
        }
        if charge.usage.quality == Quality::Absent {
            return match charge.cost.is_some_and(|cost| cost.is_zero()) {
                true => Ok(()),
                false => Err(format!("{:?} for nothing", charge.cost)),
            };
        }
        let own = price_of(&self.target(), &charge.usage, charge);
        if charge.cost != own.cost() {
            return Err(format!("{:?} is not the price of its usage", charge.cost));
        }
        match told.filter(|_| !doubted && charge.usage.extra.is_empty()) {
            Some(told) => told.agrees(&charge.usage, &self.recording.provider, self.operation),
            None => Ok(()),
        }
    }
}

/// Prices by the built-in catalogue, at no time in particular.
fn pricing(target: &Target, usage: &Usage, _: &Occasion) -> Priced {
    price(&Catalogue::builtin(), &target.kind, &target.model, usage, &Occasion::default())
}

fn price_of(target: &Target, usage: &Usage, charge: &Charge) -> Priced {
    let again = pricing(target, usage, &Occasion::default());
    assert_eq!(charge.priced.as_deref(), Some(&again), "pricing is pure");
    again
}

/// The last usage object of an answer, read without the reader that is tested.
struct Told {
    usage: Value,
    protocol: Protocol,
}

impl Told {
    fn of(protocol: Protocol, recording: &Recording) -> Option<Self> {
        let texts = texts(&recording.response.body());
        let usage = texts.iter().filter_map(|value| match protocol {
            Protocol::Gemini => value.get("usageMetadata").cloned(),
            Protocol::OpenAiResponses => {
                let usage = value.get("response").unwrap_or(value).get("usage")?;
                usage.get("input_tokens").map(|_| usage.clone())
            }
            Protocol::AnthropicMessages => {
                value.get("usage").or(value.pointer("/message/usage")).cloned()
            }
            _ => {
                let top = value.get("usage").filter(|usage| usage.is_object());
                top.or(value.pointer("/x_groq/usage")).cloned()
            }
        });
        let mut usage = usage.filter(|usage| usage.as_object().is_some_and(|map| !map.is_empty()));
        Some(Self { usage: usage.next_back()?, protocol })
    }

    /// The figures a reader cannot take in two ways: the prompt where all of it is one number, and
    /// the output where no host counts beside it.
    fn agrees(&self, read: &Usage, provider: &str, operation: Operation) -> Result<(), String> {
        let number = |name: &str| self.usage[name].as_u64();
        let outside = ["xai", "google", "vertex", "vercel-gateway", "perplexity", "mistral"];
        let (prompt, output) = match self.protocol {
            Protocol::Gemini => (
                number("promptTokenCount"),
                Some(
                    number("candidatesTokenCount").unwrap_or(0)
                        + number("thoughtsTokenCount").unwrap_or(0),
                ),
            ),
            Protocol::OpenAiResponses => (number("input_tokens"), number("output_tokens")),
            Protocol::AnthropicMessages if self.usage.get("iterations").is_none() => {
                (None, number("output_tokens"))
            }
            Protocol::OpenAiChat if !outside.contains(&provider) => {
                (number("prompt_tokens"), number("completion_tokens"))
            }
            _ => (None, None),
        };
        let output = output.filter(|_| operation == Operation::Generate);
        let same = |told: Option<u64>, read: u64| told.is_none_or(|told| told == read);
        match same(prompt, read.prompt_total()) && same(output, read.output_total()) {
            true => Ok(()),
            false => Err(format!("{read:?} is not {}", self.usage)),
        }
    }
}

/// Every JSON text of an answer: the data of its events, the elements of an array, or the whole.
fn texts(body: &Bytes) -> Vec<Value> {
    if let Ok(whole) = serde_json::from_slice::<Value>(body) {
        return match whole {
            Value::Array(elements) => elements,
            whole => vec![whole],
        };
    }
    let text = String::from_utf8_lossy(body);
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
}
