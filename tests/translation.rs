//! Every client protocol in front of every provider's, through the whole gateway: texts, tools,
//! streams, errors; and what the books and the answer's headers say of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tollgate_core::{BoxError, CallFacts, Operation, Protocol};
use tollgate_gateway::{Books, Options, Readiness, SharedState, State, Translation, stack};
use tollgate_keys::Credential;
use tollgate_meter::{Charge, Ending, MemoryLedger};
use tollgate_route::Endpoint;
use tollgate_sim::Sim;
use tollgate_testkit::{Answer, Script, Upstream};
use tollgate_tests::{CLIENT_KEY, state};
use tollgate_upstream::fetch::Fetcher;
use tollgate_wire::{Automaton, Event, Seen as Meaning, dialect};
use tower::ServiceExt;

/// What a client asks, in its own words.
#[derive(Clone, Copy, Debug)]
struct Asked {
    client: Protocol,
    /// What the provider is told to do, and the model's name.
    prompt: &'static str,
    model: &'static str,
    stream: bool,
}

impl Asked {
    fn path(self) -> String {
        let verb = match self.stream {
            true => "streamGenerateContent?alt=sse",
            false => "generateContent",
        };
        match self.client {
            Protocol::OpenAiChat => "/v1/chat/completions".to_owned(),
            Protocol::OpenAiResponses => "/v1/responses".to_owned(),
            Protocol::AnthropicMessages => "/v1/messages".to_owned(),
            _ => format!("/v1beta/models/{}:{verb}", self.model),
        }
    }

    fn body(self) -> Value {
        let (model, stream, prompt) = (self.model, self.stream, self.prompt);
        let messages = json!([{"role": "user", "content": prompt}]);
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}},
            "required": ["city"], "additionalProperties": false});
        match self.client {
            Protocol::OpenAiChat => json!({"model": model, "stream": stream, "messages": messages,
                "tools": [{"type": "function",
                    "function": {"name": "weather", "parameters": schema}}]}),
            Protocol::OpenAiResponses => json!({"model": model, "stream": stream, "input": prompt,
                "tools": [{"type": "function", "name": "weather", "parameters": schema,
                    "strict": true}]}),
            Protocol::AnthropicMessages => json!({"model": model, "stream": stream,
                "max_tokens": 4096, "messages": messages,
                "tools": [{"name": "weather", "input_schema": schema}]}),
            _ => json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}],
                "tools": [{"functionDeclarations":
                    [{"name": "weather", "parametersJsonSchema": schema}]}]}),
        }
    }

    fn request(self) -> Request<Full<Bytes>> {
        let request = Request::post(self.path());
        let request = request.header("authorization", format!("Bearer {CLIENT_KEY}"));
        let request = request.header("content-type", "application/json");
        request.body(Full::from(self.body().to_string())).unwrap()
    }
}

/// The state of a gateway whose one provider speaks these protocols, and is priced as one that is
/// known, whatever it speaks.
fn speaking(protocols: &[Protocol], models: &[&str]) -> SharedState {
    let mut own = State::clone(&state(protocols[0], "http://upstream.test/v1", models).load());
    own.router = own.router.each_provider(|provider| {
        let at =
            |protocol: &Protocol| Endpoint::new(*protocol, provider.endpoints[0].base_url.clone());
        provider.endpoints = protocols.iter().map(at).collect();
        provider.kind = "openai".into();
    });
    for protocol in protocols {
        own.credentials.insert((Arc::from("upstream"), *protocol), Credential::None);
    }
    SharedState::new(own)
}

/// A gateway whose one provider speaks this protocol alone, and what it charges.
struct House {
    state: SharedState,
    ledger: MemoryLedger,
}

#[derive(Debug)]
struct Seen {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

const MODEL: &str = "gpt-4o";

impl House {
    fn of(upstream: Protocol) -> Self {
        let names = [MODEL, "sim-tools", "sim-error-rate_limit", "sim-error-context_length"];
        Self { state: speaking(&[upstream], &names), ledger: MemoryLedger::new() }
    }

    async fn ask(&self, asked: Asked) -> Seen {
        let options = Options { books: Books::Memory(self.ledger.clone()), ..Options::default() };
        let gateway = stack(self.state.clone(), Readiness::ready(), options, Sim::new());
        let (head, body) = gateway.oneshot(asked.request()).await.unwrap().into_parts();
        let body = body.map_err(Into::<BoxError>::into).collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Seen { status: head.status.as_u16(), headers: head.headers, text }
    }

    /// The charge of the only attempt.
    fn charge(&self) -> Charge {
        let mut charges = self.ledger.charges();
        assert_eq!(charges.len(), 1);
        charges.remove(0)
    }
}

/// Every client with every provider.
fn pairs() -> impl Iterator<Item = (Protocol, Protocol)> {
    let all = Protocol::ALL.into_iter();
    all.flat_map(|client| Protocol::ALL.into_iter().map(move |upstream| (client, upstream)))
}

/// What a whole answer says, and the name and arguments of the call it makes.
fn said(client: Protocol, answer: &Value) -> (String, Option<(String, Value)>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let parsed = |value: &Value| serde_json::from_str(value.as_str().unwrap()).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match client {
        Protocol::OpenAiChat => {
            let message = &answer["choices"][0]["message"];
            let call = message["tool_calls"].get(0).map(|call| &call["function"]);
            let call = call.map(|call| (text(&call["name"]), parsed(&call["arguments"])));
            (text(&message["content"]), call)
        }
        Protocol::OpenAiResponses => {
            let output = list(&answer["output"]);
            let of = |kind: &str| output.iter().find(|item| item["type"] == kind);
            let message = of("message").map(|item| text(&item["content"][0]["text"]));
            let call = of("function_call");
            let call = call.map(|call| (text(&call["name"]), parsed(&call["arguments"])));
            (message.unwrap_or_default(), call)
        }
        Protocol::AnthropicMessages => {
            let content = list(&answer["content"]);
            let of = |kind: &str| content.iter().find(|block| block["type"] == kind);
            let call = of("tool_use").map(|call| (text(&call["name"]), call["input"].clone()));
            (of("text").map(|block| text(&block["text"])).unwrap_or_default(), call)
        }
        _ => {
            let parts = list(&answer["candidates"][0]["content"]["parts"]);
            let call = parts.iter().find_map(|part| part.get("functionCall"));
            let call = call.map(|call| (text(&call["name"]), call["args"].clone()));
            let said = parts.iter().find_map(|part| part["text"].as_str());
            (said.unwrap_or_default().to_owned(), call)
        }
    }
}

/// Whether a stream in the client's protocol is complete, and the error it ended in.
fn judged(client: Protocol, stream: &str) -> (bool, Option<String>) {
    let call = tollgate_core::Call::new(client, Operation::Generate);
    let call = CallFacts { stream: true, ..CallFacts::clone(&call) }.into();
    let mut automaton: Box<dyn Automaton> = dialect(client).automaton(&call);
    let mut error = None;
    for event in stream.split("\n\n").filter(|event| !event.trim().is_empty()) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let data = field("data: ").unwrap_or_default().as_bytes();
        match automaton.event(Event { name: field("event: "), data }) {
            Meaning::Error(fault) => error = Some(fault.message),
            Meaning::Malformed => panic!("malformed: {event}"),
            _ => assert_eq!(error, None, "nothing follows an error: {stream}"),
        }
    }
    (automaton.is_complete(true), error)
}

#[tokio::test]
async fn every_client_is_answered_by_every_provider_and_charged_as_the_provider_counts() {
    for (client, upstream) in pairs() {
        let (pair, house) = (format!("{client} to {upstream}"), House::of(upstream));
        let prompt = "[[sim:say:good morning]]";
        let seen = house.ask(Asked { client, prompt, model: MODEL, stream: false }).await;
        assert_eq!(seen.status, 200, "{pair}: {}", seen.text);
        assert_eq!(said(client, &seen.json()).0, "good morning", "{pair}: {}", seen.text);
        assert_eq!(seen.headers["x-tollgate-target"], format!("upstream/{MODEL}").as_str());
        let charge = house.charge();
        assert_eq!(charge.ending, Ending::Complete, "{pair}");
        assert_eq!((charge.protocol, charge.asked.as_deref()), (upstream, Some(MODEL)), "{pair}");
        let cost = charge.cost.unwrap_or_else(|| panic!("{pair}: no cost")).to_string();
        assert_eq!(seen.headers["x-tollgate-cost"], cost.as_str(), "{pair}");
        assert!(cost.parse::<f64>().unwrap() > 0.0, "{pair}: {cost}");
        let native = client == upstream;
        assert!(!native || !seen.headers.contains_key("x-tollgate-warnings"), "{pair}");
    }
}

#[tokio::test]
async fn every_client_calls_its_tools_through_every_provider() {
    for (client, upstream) in pairs() {
        let (pair, house) = (format!("{client} to {upstream}"), House::of(upstream));
        let prompt = "[[sim:call:weather:{\"city\":\"Oslo\"}]]";
        let seen = house.ask(Asked { client, prompt, model: MODEL, stream: false }).await;
        let (_, call) = said(client, &seen.json());
        let (name, arguments) = call.unwrap_or_else(|| panic!("{pair}: {}", seen.text));
        assert_eq!((name.as_str(), arguments), ("weather", json!({"city": "Oslo"})), "{pair}");
    }
}

#[tokio::test]
async fn every_client_streams_from_every_provider() {
    for (client, upstream) in pairs() {
        let (pair, house) = (format!("{client} to {upstream}"), House::of(upstream));
        for (prompt, marks) in [
            ("[[sim:say:good morning]][[sim:events:4]]", ["good", "morning"]),
            ("[[sim:call:weather:{\"city\":\"Oslo\"}]]", ["weather", "Oslo"]),
        ] {
            let seen = house.ask(Asked { client, prompt, model: MODEL, stream: true }).await;
            assert_eq!(seen.status, 200, "{pair}: {}", seen.text);
            assert_eq!(seen.headers["content-type"], "text/event-stream", "{pair}");
            assert_eq!(judged(client, &seen.text), (true, None), "{pair}: {}", seen.text);
            for mark in marks {
                assert!(seen.text.contains(mark), "{pair}: {}", seen.text);
            }
        }
        for charge in house.ledger.charges() {
            assert_eq!((charge.ending, charge.stream), (Ending::Complete, true), "{pair}");
            assert!(charge.cost.is_some(), "{pair}");
            assert_eq!(charge.quality_word(), "exact", "{pair}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_client_sees_every_providers_errors_as_its_own() {
    for (client, upstream) in pairs() {
        for stream in [false, true] {
            // A provider that refused is left alone for a while: each question has its own.
            let (pair, house) = (format!("{client} to {upstream}"), House::of(upstream));
            let model = "sim-error-rate_limit";
            let seen = house.ask(Asked { client, prompt: "x", model, stream }).await;
            assert_eq!(seen.status, 429, "{pair}: {}", seen.text);
            assert!(seen.json()["error"]["message"].is_string(), "{pair}: {}", seen.text);
            assert!(seen.headers.contains_key("retry-after"), "{pair}: {:?}", seen.headers);
            assert_eq!(seen.headers["x-tollgate-origin"], "upstream", "{pair}");
            costs_nothing(&house);
            let house = House::of(upstream);
            let model = "sim-error-context_length";
            let seen = house.ask(Asked { client, prompt: "x", model, stream }).await;
            assert_eq!(seen.status, 400, "{pair}: {}", seen.text);
            if [Protocol::OpenAiChat, Protocol::OpenAiResponses].contains(&client) {
                let code = &seen.json()["error"]["code"];
                assert_eq!(code, "context_length_exceeded", "{pair}: {}", seen.text);
            }
            costs_nothing(&house);
        }
    }
}

fn costs_nothing(house: &House) {
    let charges = house.ledger.charges();
    assert!(!charges.is_empty());
    assert!(charges.iter().all(|charge| charge.cost.is_some_and(|cost| cost.is_zero())));
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_the_clients_own_error() {
    for (client, upstream) in pairs() {
        let (pair, house) = (format!("{client} to {upstream}"), House::of(upstream));
        for prompt in [
            "[[sim:events:9]][[sim:cut:6]]",
            "[[sim:events:9]][[sim:reset:6]]",
            "[[sim:events:9]][[sim:error-in-stream:6:overloaded]]",
        ] {
            let seen = house.ask(Asked { client, prompt, model: MODEL, stream: true }).await;
            assert_eq!(seen.status, 200, "{pair}: {}", seen.text);
            let (complete, error) = judged(client, &seen.text);
            assert!(error.is_some(), "{pair} {prompt}: {complete} {}", seen.text);
        }
        let charges = house.ledger.charges();
        let failed = |charge: &Charge| matches!(charge.ending, Ending::Failed(_));
        assert!(charges.iter().all(failed), "{pair}: {charges:?}");
    }
}

#[tokio::test]
async fn a_provider_is_asked_in_the_clients_own_protocol_where_it_speaks_it() {
    let protocols = [Protocol::OpenAiChat, Protocol::AnthropicMessages];
    let house = House { state: speaking(&protocols, &[MODEL]), ledger: MemoryLedger::new() };
    for (client, spoken) in [
        (Protocol::AnthropicMessages, Protocol::AnthropicMessages),
        (Protocol::OpenAiChat, Protocol::OpenAiChat),
        (Protocol::OpenAiResponses, Protocol::OpenAiChat),
        (Protocol::Gemini, Protocol::OpenAiChat),
    ] {
        let asked = Asked { client, prompt: "hi", model: MODEL, stream: false };
        assert_eq!(house.ask(asked).await.status, 200);
        assert_eq!(house.ledger.charges().last().unwrap().protocol, spoken, "{client}");
    }
}

#[tokio::test]
async fn a_strict_gateway_refuses_what_it_would_only_report() {
    let house = House::of(Protocol::OpenAiChat);
    let ask = async || {
        let asked = Asked {
            client: Protocol::AnthropicMessages,
            prompt: "hi",
            model: MODEL,
            stream: false,
        };
        let mut body = asked.body();
        body["top_k"] = 3.into();
        let request = asked.request().map(|_| Full::from(body.to_string()));
        let gateway =
            stack(house.state.clone(), Readiness::ready(), Options::default(), Sim::new());
        gateway.oneshot(request).await.unwrap().into_parts().0
    };
    let head = ask().await;
    assert_eq!(head.headers["x-tollgate-warnings"], "dropped_field:/top_k");
    let mut own = State::clone(&house.state.load());
    own.translation = Translation::default();
    own.translation.policy.strict = true;
    house.state.replace(own);
    let head = ask().await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-tollgate-origin"]),
        (400, &"gateway".parse().unwrap())
    );
}

#[tokio::test]
async fn media_are_fetched_for_who_cannot_and_never_from_the_gateways_own_network() {
    let png = Answer::new(http::StatusCode::OK, Script::new("\u{89}PNG"))
        .header("content-type", "image/png");
    let server = Upstream::always(png);
    let (address, _guard) = server.clone().serve().await.unwrap();
    let gemini = Upstream::always(Answer::json(
        200,
        r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"a cat"}]},"finishReason":"STOP"}]}"#,
    ));
    let asking = async |fetcher: Option<Fetcher>, url: String| {
        let state = speaking(&[Protocol::Gemini], &[MODEL]);
        let mut own = State::clone(&state.load());
        own.translation.fetcher = fetcher;
        state.replace(own);
        let body = json!({"model": MODEL, "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url}}]}]});
        let request = Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {CLIENT_KEY}"))
            .body(Full::<Bytes>::from(body.to_string()))
            .unwrap();
        let leaf = gemini.clone();
        let leaf = tower::service_fn(move |request: Request<tollgate_core::Body>| {
            let leaf = leaf.clone();
            async move { Ok::<_, std::convert::Infallible>(leaf.oneshot(request).await.unwrap()) }
        });
        let gateway = stack(state, Readiness::ready(), Options::default(), leaf);
        let (head, body) = gateway.oneshot(request).await.unwrap().into_parts();
        let body = body.map_err(Into::<BoxError>::into).collect().await.unwrap().to_bytes();
        (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    };
    let at = |scheme: &str, host: String| format!("{scheme}://{host}/a.png");
    for (fetcher, url) in [
        (None, at("https", "e.org".to_owned())),
        (Some(Fetcher::new()), at("https", address.to_string())),
        (Some(Fetcher::new().http(true)), at("http", address.to_string())),
        (Some(Fetcher::new().http(true)), at("http", format!("localhost:{}", address.port()))),
    ] {
        let (status, text) = asking(fetcher, url.clone()).await;
        assert_eq!(status, 400, "{url}: {text}");
        assert!(text.contains("messages[0]"), "{text}");
    }
    assert!(server.received().is_empty() && gemini.received().is_empty());
    let own = Fetcher::new().http(true).hosts([address.ip().to_string()]);
    let (status, text) = asking(Some(own), at("http", address.to_string())).await;
    assert_eq!(status, 200, "{text}");
    let sent = gemini.received()[0].json();
    assert_eq!(sent["contents"][0]["parts"][0]["inlineData"]["mimeType"], "image/png");
}

/// Asks a provider that refuses what the real one refuses.
async fn strictly(upstream: Protocol, path: &str, body: &Value) -> Seen {
    let (state, sim) = (speaking(&[upstream], &["claude-sonnet-4-5"]), Sim::new().strict());
    let gateway = stack(state, Readiness::ready(), Options::default(), sim);
    let request = Request::post(path)
        .header("authorization", format!("Bearer {CLIENT_KEY}"))
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(body.to_string()))
        .unwrap();
    let (head, body) = gateway.oneshot(request).await.unwrap().into_parts();
    let body = body.map_err(Into::<BoxError>::into).collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    Seen { status: head.status.as_u16(), headers: head.headers, text }
}

/// The second turn of a tool loop with a thinking Claude, as a client sends it that keeps no
/// thoughts of a model the answer names otherwise than it was asked for.
fn without_thoughts(stream: bool) -> Value {
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}});
    let result = json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"});
    json!({"model": "upstream/claude-sonnet-4-5", "max_tokens": 4096, "stream": stream,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]})
}

#[tokio::test(start_paused = true)]
async fn a_tool_loop_goes_on_though_the_client_lost_the_thoughts() {
    for stream in [false, true] {
        let body = without_thoughts(stream);
        let seen = strictly(Protocol::AnthropicMessages, "/v1/messages", &body).await;
        assert_eq!(seen.status, 200, "{}", seen.text);
        assert!(seen.text.contains("sunny"), "{}", seen.text);
        assert_eq!(seen.headers["x-tollgate-warnings"], "reasoning_dropped:/");
        assert_eq!(seen.headers["x-tollgate-attempts"], "2");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_request_beside_its_thoughts_is_told() {
    let mut body = without_thoughts(false);
    body["messages"][2]["content"][0]["tool_use_id"] = "toolu_2".into();
    let seen = strictly(Protocol::AnthropicMessages, "/v1/messages", &body).await;
    assert_eq!(seen.status, 400, "{}", seen.text);
    assert!(seen.text.contains("tool_use"), "{}", seen.text);
}
