//! The provider's own bill against the gateway's books: all protocols at once, JSON and streams,
//! with errors, broken streams and clients that leave.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tollgate_catalog::{Catalogue, Component, Rates};
use tollgate_core::{Decimal, Money, Protocol, Quality, Usage};
use tollgate_gateway::{Books, Options, Readiness, SharedState, stack};
use tollgate_keys::Credential;
use tollgate_meter::{Charge, Ending, MemoryLedger, Metrics};
use tollgate_route::Endpoint;
use tollgate_sim::{BillRow, Sim};
use tollgate_store::{Range, SpendBy, SpendRow, SqliteStore};
use tollgate_tests::{CLIENT_KEY, one_attempt, state};
use tower::{Service, ServiceExt};

/// How often each situation happens.
const TIMES: usize = 4;

/// What the provider does, what the client does, and what the books must show.
type Situation = (&'static str, Client, Expected);

#[derive(Clone, Copy, Debug)]
enum Client {
    Stays,
    /// Leaves after so many frames of the answer.
    Takes(usize),
    /// Leaves after so long.
    Waits(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// What the bill says, to the digit.
    Exact,
    /// As good as can be known, and marked as that.
    Flagged,
    /// Nothing was sold.
    Free,
}

use {Client::*, Expected::*};

const ANY: [Situation; 10] = [
    ("", Stays, Exact),
    ("[[sim:events:40]]", Stays, Exact),
    ("[[sim:bytes:5000]]", Stays, Exact),
    ("[[sim:thinking]]", Stays, Exact),
    ("[[sim:thinking]][[sim:cached:3000]]", Stays, Exact),
    ("[[sim:delay:300ms]]", Stays, Exact),
    ("[[sim:error:rate-limit]]", Stays, Free),
    ("[[sim:error:overloaded]]", Stays, Free),
    ("[[sim:error:context-length]]", Stays, Free),
    ("[[sim:delay:2s]]", Waits(Duration::from_secs(1)), Flagged),
];

const WRITTEN: Situation = ("[[sim:cached:512]][[sim:cache-write:256]]", Stays, Exact);

/// An answer in one piece has come whole before its head goes on.
const JSON: [Situation; 1] = [("[[sim:bytes:2000]]", Takes(0), Exact)];

const STREAMS: [Situation; 8] = [
    ("[[sim:events:20]][[sim:cut:9]]", Stays, Flagged),
    ("[[sim:events:20]][[sim:reset:9]]", Stays, Flagged),
    ("[[sim:events:20]][[sim:stall:9]]", Stays, Flagged),
    ("[[sim:events:20]][[sim:error-in-stream:9:overloaded]]", Stays, Flagged),
    ("[[sim:thinking]][[sim:events:20]][[sim:cut:12]]", Stays, Flagged),
    ("[[sim:events:20]]", Takes(6), Flagged),
    ("[[sim:cached:900]][[sim:events:20]]", Takes(8), Flagged),
    ("[[sim:events:200]]", Waits(Duration::from_millis(600)), Flagged),
];

/// One request. Its model is nobody else's, so that charge and bill are found by it.
#[derive(Debug)]
struct Case {
    model: String,
    protocol: Protocol,
    stream: bool,
    situation: Situation,
    number: usize,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (protocol, stream) in Protocol::ALL.into_iter().flat_map(|p| [(p, false), (p, true)]) {
        // Gemini has no word for tokens written to its cache.
        let written = (protocol != Protocol::Gemini).then_some(WRITTEN);
        let own = if stream { &STREAMS[..] } else { &JSON[..] };
        let situations = ANY.into_iter().chain(written).chain(own.iter().copied());
        for situation in situations.flat_map(|situation| [situation; TIMES]) {
            let number = cases.len();
            let model = format!("model-{number}");
            cases.push(Case { model, protocol, stream, situation, number });
        }
    }
    cases
}

impl Case {
    fn request(&self) -> Request<Full<Bytes>> {
        let (path, body) = self.asking();
        Request::post(path)
            .header("authorization", format!("Bearer {CLIENT_KEY}"))
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))
            .expect("a valid request")
    }

    fn asking(&self) -> (String, Value) {
        let (model, stream) = (self.model.as_str(), self.stream);
        let (script, number) = (self.situation.0, self.number);
        // Events come apart, so that the answers run beside each other.
        let prompt = format!("question {number} {script}[[sim:pace:10ms]]");
        let messages = json!([{"role": "user", "content": prompt}]);
        match self.protocol {
            Protocol::OpenAiResponses => {
                ("/v1/responses".into(), json!({"model": model, "input": prompt, "stream": stream}))
            }
            Protocol::AnthropicMessages => (
                "/v1/messages".into(),
                json!({"model": model, "max_tokens": 4096, "messages": messages, "stream": stream}),
            ),
            Protocol::Gemini => {
                let verb = match (stream, number % 2 == 0) {
                    (false, _) => "generateContent",
                    (true, false) => "streamGenerateContent",
                    (true, true) => "streamGenerateContent?alt=sse",
                };
                let contents = json!([{"role": "user", "parts": [{"text": prompt}]}]);
                (format!("/v1beta/models/{model}:{verb}"), json!({"contents": contents}))
            }
            _ => {
                let mut body = json!({"model": model, "messages": messages, "stream": stream});
                if stream && number % 2 == 0 {
                    body["stream_options"] = json!({"include_usage": true});
                }
                ("/v1/chat/completions".into(), body)
            }
        }
    }

    /// Sends it and does with the answer what this client does.
    async fn send<S, B>(&self, gateway: S)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
        B: http_body::Body<Data = Bytes>,
    {
        tokio::time::sleep(Duration::from_millis(self.number as u64 % 50)).await;
        let (frames, patience) = match self.situation.1 {
            Stays => (usize::MAX, Duration::MAX),
            Takes(frames) => (frames, Duration::MAX),
            Waits(patience) => (usize::MAX, patience),
        };
        let read = async {
            let response = gateway.oneshot(self.request()).await.expect("infallible");
            let mut body = pin!(response.into_body());
            for _ in 0..frames {
                let Some(Ok(_)) = body.frame().await else { break };
            }
        };
        let _ = tokio::time::timeout(patience, read).await;
    }

    /// USD per million tokens: input, read from the cache, written to it, output, reasoning.
    fn rates(&self) -> [&'static str; 5] {
        match (self.number % 3, self.protocol) {
            // Messages do not tell reasoning apart: it has no price of its own.
            (_, Protocol::AnthropicMessages) => ["3", "0.3", "3.75", "15", "15"],
            (0, _) => ["1.25", "0.125", "1.5625", "10", "10"],
            (1, _) => ["0.1", "0.025", "0.2", "0.4", "3.5"],
            _ => ["0.000001", "0.0000003", "0.000007", "0.123456789", "7"],
        }
    }

    fn price(&self) -> Rates {
        let [input, read, written, output, reasoning] = self.rates().map(decimal);
        let mut rates = Rates::new();
        rates.set(Component::Input, input);
        rates.set(Component::CacheRead, read);
        rates.set(Component::CacheWrite, written);
        rates.set(Component::Output, output);
        if self.protocol != Protocol::AnthropicMessages {
            rates.set(Component::Reasoning, reasoning);
        }
        rates
    }

    /// What a row of the bill costs, by nothing but multiplication.
    fn cost_of(&self, row: &BillRow) -> Money {
        let uncached = row.input - row.cached - row.written;
        let tokens = [uncached, row.cached, row.written, row.output - row.reasoning, row.reasoning];
        let parts = self.rates().into_iter().zip(tokens).map(|(rate, tokens)| {
            let tokens = Decimal::from_i128_with_scale(tokens.into(), 6);
            Money::new(decimal(rate)).times(tokens).expect("few digits")
        });
        Money::sum(parts).expect("few digits")
    }
}

fn decimal(text: &str) -> Decimal {
    Money::parse(text).expect("a decimal").dollars()
}

/// A gateway's state with one provider that speaks everything, and a price for each model.
fn configured(cases: &[Case]) -> SharedState {
    let models: Vec<&str> = cases.iter().map(|case| case.model.as_str()).collect();
    let shared = state(Protocol::OpenAiChat, "http://upstream.test/v1", &models);
    let mut state = tollgate_gateway::State::clone(&shared.load_full());
    state.router = state.router.each_provider(|provider| {
        let at = |protocol| Endpoint::new(protocol, provider.endpoints[0].base_url.clone());
        provider.endpoints = Protocol::ALL.into_iter().map(at).collect();
    });
    let name: std::sync::Arc<str> = "upstream".into();
    let credential = || Credential::Bearer(tollgate_core::Secret::new("the provider's"));
    state.credentials =
        Protocol::ALL.into_iter().map(|p| ((name.clone(), p), credential())).collect();
    state.catalogue = cases.iter().fold(Catalogue::empty(), |catalogue, case| {
        catalogue.with_price("upstream", &case.model, case.price())
    });
    shared.replace(state);
    shared
}

/// Sends all at once. Returns the provider's bill.
async fn play(cases: &[Case], books: Books) -> Vec<BillRow> {
    let sim = Sim::new().with_bill();
    let options = Options { books, ..one_attempt() };
    let gateway = stack(configured(cases), Readiness::ready(), options, sim.clone());
    let clients = cases.iter().map(|case| case.send(gateway.clone()));
    futures_util::future::join_all(clients).await;
    sim.bill()
}

/// The bill by model; each is there once.
fn by_model(bill: &[BillRow]) -> HashMap<&str, &BillRow> {
    let rows: HashMap<_, _> = bill.iter().map(|row| (row.model.as_str(), row)).collect();
    assert_eq!(rows.len(), bill.len(), "each request was billed once");
    rows
}

/// The charges by model; each is there once.
fn charged(charges: &[Charge]) -> HashMap<&str, &Charge> {
    let ids: HashSet<_> = charges.iter().map(|charge| (charge.call, charge.attempt)).collect();
    assert_eq!(ids.len(), charges.len(), "no attempt is charged twice");
    let asked = |charge: &Charge| charge.asked.as_deref().is_some();
    assert!(charges.iter().all(asked), "each charge knows what was asked for");
    let by_model: HashMap<_, _> =
        charges.iter().filter_map(|charge| Some((charge.asked.as_deref()?, charge))).collect();
    assert_eq!(by_model.len(), charges.len(), "each call has one attempt");
    by_model
}

/// What is wrong with one charge, by the bill.
fn judge(case: &Case, charge: &Charge, row: Option<&BillRow>) -> Result<(), String> {
    let exact = charge.usage.quality == Quality::Exact;
    match (case.situation.2, row) {
        (Free, None) if charge.tells_usage() => Err("usage of what was not sold".into()),
        (Free, None) => same("cost", charge.cost, Some(Money::ZERO)),
        (Exact, Some(row)) if exact && row.completed && charge.ending == Ending::Complete => {
            agree(&charge.usage, row)?;
            same("cost", charge.cost, Some(case.cost_of(row)))
        }
        (Flagged, Some(row)) if !exact && charge.ending != Ending::Complete => doubted(charge, row),
        (expected, _) => Err(format!("not {expected:?}")),
    }
}

/// What was told is what was billed.
fn agree(usage: &Usage, row: &BillRow) -> Result<(), String> {
    let written = usage.write.iter().map(|(_, tokens)| tokens.total()).sum();
    same("input", usage.prompt_total(), row.input)?;
    same("cached", usage.read.total(), row.cached)?;
    same("written", written, row.written)?;
    same("output", usage.output_total(), row.output)?;
    same("reasoning", usage.reasoning.unwrap_or(0), row.reasoning)
}

/// What was not told is marked, and not nothing where something was sold.
fn doubted(charge: &Charge, row: &BillRow) -> Result<(), String> {
    let usage = &charge.usage;
    let streamed = charge.stream && row.output > 0;
    match usage.quality {
        Quality::Estimated | Quality::Partial => {}
        quality => return Err(format!("{quality:?}")),
    }
    if usage.prompt_total() == 0 || (streamed && usage.output_total() == 0) {
        return Err("used nothing".into());
    }
    match charge.cost {
        Some(cost) if !cost.is_zero() => Ok(()),
        cost => Err(format!("costs {cost:?}")),
    }
}

fn same<T: PartialEq + Copy + std::fmt::Debug>(
    what: &str,
    ours: T,
    theirs: T,
) -> Result<(), String> {
    match ours == theirs {
        true => Ok(()),
        false => Err(format!("{what}: {ours:?} is not {theirs:?}")),
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_charged_once_and_as_it_was_billed() {
    let (cases, ledger) = (cases(), MemoryLedger::new());
    let bill = play(&cases, Books::Memory(ledger.clone())).await;
    let charges = ledger.charges();
    let (rows, charged) = (by_model(&bill), charged(&charges));
    assert_eq!(charged.len(), cases.len(), "nothing is missing");
    let mut wrong = Vec::new();
    for case in &cases {
        let (charge, row) = (charged[case.model.as_str()], rows.get(case.model.as_str()));
        if let Err(why) = judge(case, charge, row.copied()) {
            wrong.push(format!(
                "{case:?}: {why}\n  {:?} {:?}\n  {row:?}",
                charge.ending, charge.usage
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What is summed of a group: calls, attempts, those of unknown cost, those estimated; input,
/// output, cached, written and reasoning tokens.
type Counts = [u64; 9];

/// Sums by a name.
type Sums = BTreeMap<String, (Money, Counts)>;

fn add(sums: &mut Sums, name: String, usd: Money, counts: Counts) {
    let sum = sums.entry(name).or_insert((Money::ZERO, [0; 9]));
    sum.0 = sum.0.plus(usd).expect("few digits");
    sum.1.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

/// What the ledger's charges sum up to.
fn summed(charges: &[Charge], name: impl Fn(&Charge) -> Option<String>) -> Sums {
    let mut sums = Sums::new();
    for charge in charges {
        let usage = &charge.usage;
        let written = usage.write.iter().map(|(_, tokens)| tokens.total()).sum();
        let doubted = !matches!(usage.quality, Quality::Exact | Quality::Absent);
        let counts = [
            u64::from(charge.attempt == 1),
            1,
            u64::from(charge.cost.is_none()),
            u64::from(doubted),
            usage.prompt_total() + usage.tool_in.unwrap_or(0),
            usage.output_total(),
            usage.read.total(),
            written,
            usage.reasoning.unwrap_or(0),
        ];
        let name = name(charge).expect("each charge has a name");
        add(&mut sums, name, charge.cost.unwrap_or_default(), counts);
    }
    sums
}

/// What the store says they do.
fn told(store: &SqliteStore, by: SpendBy) -> Sums {
    let mut sums = Sums::new();
    for row in store.spend(by, Range::all()).expect("readable") {
        let SpendRow { calls, attempts, unknown, estimated, input_tokens, .. } = row;
        let counts = [
            calls,
            attempts,
            unknown,
            estimated,
            input_tokens,
            row.output_tokens,
            row.cached_tokens,
            row.cache_write_tokens,
            row.reasoning_tokens,
        ];
        add(&mut sums, row.name, row.usd, counts);
    }
    sums
}

#[tokio::test(start_paused = true)]
async fn spend_of_the_store_is_the_ledgers_sum_and_the_bills() {
    let (cases, ledger) = (cases(), MemoryLedger::new());
    play(&cases, Books::Memory(ledger.clone())).await;
    let dir = tempfile::tempdir().expect("writable");
    let store = SqliteStore::open(dir.path().join("tollgate.db"), Default::default());
    let store = store.expect("writable");
    let bill = play(&cases, Books::Store(Metrics::new(store.clone()))).await;
    assert!(store.flush(Duration::from_secs(30)), "on the disk");

    let charges = ledger.charges();
    let model = |charge: &Charge| {
        charge.target.as_ref().map(|target| format!("{}/{}", target.provider, target.model))
    };
    let key = |charge: &Charge| charge.principal.as_ref().map(|payer| payer.name.to_string());
    assert_eq!(told(&store, SpendBy::Model), summed(&charges, model));
    assert_eq!(told(&store, SpendBy::Key), summed(&charges, key));
    let provider = |charge: &Charge| charge.target.as_ref().map(|t| t.provider.to_string());
    assert_eq!(told(&store, SpendBy::Provider), summed(&charges, provider));
    as_billed(&cases, &by_model(&bill), &told(&store, SpendBy::Model));
}

/// Each model whose answer was taken whole has spent what was billed.
fn as_billed(cases: &[Case], bill: &HashMap<&str, &BillRow>, spent: &Sums) {
    for case in cases.iter().filter(|case| case.situation.2 == Exact) {
        let row = bill[case.model.as_str()];
        let (usd, counts) = spent[&format!("upstream/{}", case.model)];
        let billed = [1, 1, 0, 0, row.input, row.output, row.cached, row.written, row.reasoning];
        assert_eq!((usd, counts), (case.cost_of(row), billed), "{case:?}");
    }
}
