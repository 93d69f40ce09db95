//! Usage as real providers tell it, and the golden cases of what is charged for it.
//!
//! Recordings and cases stand in `$TOLLGATE_SHARED`, by default beside the workspace. Without them
//! every test is listed as ignored; with `CI=true` their absence is a failure.

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use libtest_mimic::{Arguments, Failed};
use serde_json::{Value, json};
use tollgate_catalog::{Catalogue, Occasion, price, unix_seconds};
use tollgate_core::{Frames, InTokens, OutTokens, Protocol, Quality, Ttl, Usage};
use tollgate_testkit::{Recording, shared_trial};
use tollgate_wire::{
    Event,
    usage::{Forwarded, Profile, Reader, Sent, is_extra_usage_chunk},
};

type Quantities = BTreeMap<String, u64>;

// ---- golden cases -------------------------------------------------------------------------------

/// What a case charges, before any fallback of rates.
fn components(usage: &Usage) -> Vec<(&'static str, u64)> {
    let InTokens { text, image, audio, video, document } = usage.prompt;
    let mut parts = vec![
        ("input", text),
        ("input", usage.tool_in),
        ("image_in", image),
        ("image_in", document),
        ("audio_in", audio),
        ("video_in", video),
        ("cache_read", usage.read.text),
        ("cache_read_image", usage.read.image),
        ("cache_read_audio", usage.read.audio),
        ("cache_read", usage.read.video),
        ("cache_read", usage.read.document),
    ];
    parts.extend(usage.write.iter().map(|(ttl, tokens)| (written(*ttl), Some(tokens.total()))));
    let OutTokens { text, image, audio, video } = usage.output;
    parts.extend([("output", text), ("image_out", image), ("audio_out", audio)]);
    parts.extend([("video_out", video), ("reasoning", usage.reasoning)]);
    parts.push(("citation", usage.citation));
    parts.into_iter().map(|(name, count)| (name, count.unwrap_or(0))).collect()
}

fn written(ttl: Ttl) -> &'static str {
    match ttl {
        Ttl::M5 => "cache_write_5m",
        Ttl::M30 => "cache_write_30m",
        Ttl::H1 => "cache_write_1h",
        Ttl::H12 => "cache_write_12h",
        Ttl::Unknown => "cache_write_unknown",
    }
}

/// The rates that stand in for one that a model does not have, nearest first.
fn fallback(component: &str) -> &'static [&'static str] {
    match component {
        "cache_write_unknown" => &["cache_write", "cache_write_5m", "cache_write_30m", "input"],
        c if c.starts_with("cache_write") => &["cache_write", "input"],
        c if c.starts_with("cache_read_") => &["cache_read", "input"],
        "reasoning" | "citation" => &["output"],
        c if c.ends_with("_out") => &["output"],
        _ => &["input"],
    }
}

/// Quantities by the component whose rate counts.
fn billable(usage: &Usage, rates: &Value) -> Quantities {
    let mut sums = Quantities::new();
    for (component, count) in components(usage).into_iter().filter(|(_, count)| *count > 0) {
        let has = |name: &str| rates.get(name).is_some();
        let chain = std::iter::once(component).chain(fallback(component).iter().copied());
        let rated = chain.clone().find(|name| has(name)).or(chain.last());
        *sums.entry(rated.expect("a chain has a first").to_owned()).or_default() += count;
    }
    sums
}

fn profile(case: &Value) -> Profile {
    let provider = case["provider"].as_str().expect("a provider");
    match case["protocol"].as_str().expect("a protocol") {
        "openai-responses" => Profile::of(Protocol::OpenAiResponses, provider),
        "anthropic-messages" => Profile::of(Protocol::AnthropicMessages, provider),
        "gemini-generate-content" => Profile::of(Protocol::Gemini, provider),
        "bedrock-converse" => Profile::converse(),
        "cohere-v2" => Profile::cohere(),
        "openai-images" => Profile::images(),
        "openai-transcription" | "units" => Profile::media(),
        _ => Profile::of(Protocol::OpenAiChat, provider),
    }
}

fn read_case(case: &Value) -> Usage {
    let mut reader = Reader::new(profile(case));
    if let Some(events) = case["events"].as_array() {
        for event in events {
            reader.event(Event { name: None, data: event.to_string().as_bytes() });
        }
        return reader.finish(true);
    }
    let whole = ["usage", "usageMetadata", "meta", "usage_info"]
        .into_iter()
        .find_map(|key| Some(json!({ key: case.get(key)? })))
        .unwrap_or_else(|| case["response"].clone());
    reader.answer(whole.to_string().as_bytes());
    reader.finish(true)
}

fn quantities(value: &Value) -> Quantities {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, count)| (name.clone(), count.as_u64().expect("a count"))).collect()
}

/// The rates a case names for another model (`MODEL:component`).
fn rates_of(case: &Value, model: &str) -> Value {
    let prefix = format!("{model}:");
    let rates = case["rates_usd_per_mtok"].as_object().into_iter().flatten();
    rates
        .filter_map(|(name, rate)| Some((name.strip_prefix(&prefix)?.to_owned(), rate.clone())))
        .collect()
}

fn golden_case(case: &Value) -> Result<(), String> {
    let usage = read_case(case);
    if usage.quality != Quality::Exact {
        return Err(format!("{:?}: {usage:?}", usage.quality));
    }
    let charged = billable(&usage, &case["rates_usd_per_mtok"]);
    if charged != quantities(&case["billable"]) {
        return Err(format!("{charged:?}, expected {}", case["billable"]));
    }
    served(case, &usage)?;
    others(case, &usage)?;
    fees(case, &usage)?;
    units(case, &usage)?;
    reported(case, &usage)
}

/// What changes the price stands where each protocol puts it.
fn served(case: &Value, usage: &Usage) -> Result<(), String> {
    let served = &usage.served;
    for (pointers, read) in [
        (&["/response/model", "/events/0/message/model"][..], &served.model),
        (
            &[
                "/response/service_tier",
                "/usage/service_tier",
                "/usageMetadata/serviceTier",
                "/events/0/message/usage/service_tier",
            ],
            &served.tier,
        ),
        (&["/usageMetadata/trafficType"], &served.traffic),
        (&["/usage/speed"], &served.speed),
        (&["/usage/inference_geo"], &served.geo),
    ] {
        let expected = pointers.iter().find_map(|pointer| case.pointer(pointer)?.as_str());
        if expected.is_some() && read.as_deref() != expected {
            return Err(format!("{read:?}, expected {expected:?}"));
        }
    }
    let batch = case.pointer("/usage/service_tier").is_some_and(|tier| tier == "batch");
    if served.batch == batch { Ok(()) } else { Err("batch".to_owned()) }
}

fn others(case: &Value, usage: &Usage) -> Result<(), String> {
    let expected: Vec<_> = case["billable_other_models"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|other| (other["model"].as_str().expect("a model"), quantities(&other["billable"])))
        .collect();
    let read: Vec<_> = usage
        .extra
        .iter()
        .map(|(model, extra)| (model.as_str(), billable(extra, &rates_of(case, model))))
        .collect();
    if read == expected { Ok(()) } else { Err(format!("other models: {read:?}")) }
}

/// Fees whose count is on the wire. What the context says is not.
fn fees(case: &Value, usage: &Usage) -> Result<(), String> {
    let told_elsewhere = case["context"].as_object().is_some_and(|context| {
        context.keys().any(|key| key.ends_with("_billed") || key.ends_with("_calls"))
    });
    for (fee, charge) in case["fees"].as_object().into_iter().flatten() {
        let kind = fee.replace("_per_1k", "");
        let read = usage.tools.get(&kind).copied();
        let expected = charge["qty"].as_u64();
        if !told_elsewhere && read != expected && on_the_wire(case) {
            return Err(format!("{kind}: {read:?}, expected {expected:?}"));
        }
    }
    Ok(())
}

/// A case without any counter of tools charges for what its maker knew.
fn on_the_wire(case: &Value) -> bool {
    let text = case.to_string();
    ["server_tool_use", "num_search_queries", "search_context_size", "_call\""]
        .iter()
        .any(|counter| text.contains(counter))
}

fn units(case: &Value, usage: &Usage) -> Result<(), String> {
    for (unit, charge) in case["units"].as_object().into_iter().flatten() {
        let kind = match unit.as_str() {
            "audio_second_in" => "audio_seconds",
            "query" => "search_units",
            "page" => "pages",
            other => return Err(format!("unknown unit {other}")),
        };
        let read = usage.units.get(kind).and_then(|amount| amount.parse::<u64>().ok());
        // Groq charges for ten seconds at least.
        let least = if case["provider"] == "groq" { 10 } else { 0 };
        if read.map(|amount| amount.max(least)) != charge["qty"].as_u64() {
            return Err(format!("{kind}: {read:?}, expected {}", charge["qty"]));
        }
    }
    Ok(())
}

/// Reported money keeps its text; ticks are 10^-10 of a dollar.
fn reported(case: &Value, usage: &Usage) -> Result<(), String> {
    let Some(expected) = case["reported_cost_usd"].as_str() else { return Ok(()) };
    let cost = usage.reported.cost.as_deref().unwrap_or_default();
    let same = match usage.reported.cost_unit.as_deref() {
        Some("usd_ticks") => {
            let padded = format!("{cost:0>11}");
            let (dollars, rest) = padded.split_at(padded.len() - 10);
            format!("{dollars}.{rest}").trim_end_matches('0') == expected
        }
        Some("usd") => cost == expected,
        _ => false,
    };
    let upstream = case["upstream_cost_usd"].as_str();
    if same && usage.reported.upstream_cost.as_deref() == upstream {
        return Ok(());
    }
    Err(format!("reported {:?}, expected {expected}", usage.reported))
}

fn cases(path: &Path) -> Result<Vec<Value>, Failed> {
    let text = fs::read_to_string(path)?;
    Ok(text.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect())
}

fn golden(path: &Path) -> Result<(), Failed> {
    let cases = cases(path)?;
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case["id"], golden_case(case).err()?)))
        .collect();
    if wrong.is_empty() && cases.len() > 100 { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// What the wire does not carry.
fn occasion(case: &Value) -> Occasion {
    let context = &case["context"];
    let text = |key: &str| context[key].as_str().map(str::to_owned);
    let at = context["completed_at"].as_str().or(case["at"].as_str()).expect("a time");
    let searches = ["web_search_calls", "grounding_queries_billed"];
    let searches = searches.into_iter().find_map(|key| context[key].as_u64());
    let known = case.pointer("/fees/web_search_per_1k/qty").and_then(Value::as_u64);
    let searches = searches.or(known.filter(|_| !on_the_wire(case)));
    let uses = [("web_search", searches), ("maps", context["maps_prompts_billed"].as_u64())];
    let uses = uses.into_iter().filter_map(|(kind, count)| Some((kind.to_owned(), count?)));
    // Converse tells the tier beside the usage, which is all that the case holds.
    let bedrock = case["provider"] == "bedrock";
    let served = case["variant"].as_str().filter(|_| bedrock);
    Occasion {
        completed_at: unix_seconds(at).ok(),
        batch: context["batch"] == true,
        requested_tier: text("requested_service_tier"),
        served_tier: served.map(str::to_owned),
        residency: text("data_residency"),
        uses: uses.collect(),
        ..Occasion::default()
    }
}

/// From the wire object to the money, exactly.
fn priced(path: &Path) -> Result<(), Failed> {
    let catalogue = Catalogue::builtin();
    let mut wrong = Vec::new();
    for case in &cases(path)? {
        let (usage, occasion) = (read_case(case), occasion(case));
        let [provider, model] =
            ["provider", "model"].map(|key| case[key].as_str().expect("a name"));
        let priced = price(&catalogue, provider, model, &usage, &occasion);
        let total = priced.total.map(|total| total.to_string());
        if total.as_deref() != case["total_usd"].as_str() {
            wrong.push(format!("{}: {total:?}, expected {}", case["id"], case["total_usd"]));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

// ---- recordings ---------------------------------------------------------------------------------

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

fn recorded_profile(recording: &Recording) -> Profile {
    let provider = recording.provider.as_str();
    match recording.protocol.as_str() {
        "openai-responses" => Profile::of(Protocol::OpenAiResponses, provider),
        "anthropic-messages" => Profile::of(Protocol::AnthropicMessages, provider),
        "gemini" | "gemini-embeddings" => Profile::of(Protocol::Gemini, provider),
        "bedrock-converse" => Profile::converse(),
        _ => Profile::of(Protocol::OpenAiChat, provider),
    }
}

/// The data of each event.
fn events(raw: &str) -> Vec<String> {
    let (mut events, mut data) = (Vec::new(), Vec::new());
    for line in raw.lines().chain([""]) {
        if line.is_empty() && !data.is_empty() {
            events.push(std::mem::take(&mut data).join("\n"));
        }
        if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        }
    }
    events
}

/// The payloads of a binary event stream: length, header length, checksum, headers, payload,
/// checksum.
fn payloads(mut bytes: &[u8]) -> Vec<String> {
    let word = |at: &[u8]| u32::from_be_bytes(at.try_into().expect("four bytes")) as usize;
    let mut payloads = Vec::new();
    while bytes.len() > 16 {
        let (whole, headers) = (word(&bytes[..4]), word(&bytes[4..8]));
        payloads.push(String::from_utf8_lossy(&bytes[12 + headers..whole - 4]).into_owned());
        bytes = &bytes[whole..];
    }
    payloads
}

/// What an answer came in: events, or one JSON text.
enum Came {
    Events(Vec<String>),
    Whole(Bytes),
}

impl Came {
    fn of(recording: &Recording) -> Self {
        let body = recording.response.body();
        match (recording.stream, body.first()) {
            (true, Some(b'[')) => {
                let elements: Vec<Value> = serde_json::from_slice(&body).expect("an array");
                Self::Events(elements.iter().map(Value::to_string).collect())
            }
            (true, Some(b'{')) | (false, _) => Self::Whole(body),
            (true, Some(0)) => Self::Events(payloads(&body)),
            (true, _) => Self::Events(events(&String::from_utf8_lossy(&body))),
        }
    }

    fn read(&self, profile: Profile) -> Usage {
        let mut reader = Reader::new(profile);
        match self {
            Self::Whole(text) => reader.answer(text),
            Self::Events(events) => {
                for data in events {
                    reader.event(Event { name: None, data: data.as_bytes() });
                }
            }
        }
        reader.finish(true)
    }

    /// Every JSON text in it.
    fn values(&self) -> Vec<Value> {
        let parse = |text: &[u8]| serde_json::from_slice(text).ok();
        match self {
            Self::Whole(text) => parse(text).into_iter().collect(),
            Self::Events(events) => events.iter().filter_map(|e| parse(e.as_bytes())).collect(),
        }
    }
}

/// What an independent reader takes from the wire: prompt, cached reads, cache writes, output and
/// reasoning. Everything inclusive.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    prompt: u64,
    read: u64,
    write: u64,
    output: u64,
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

impl Seen {
    fn chat(values: &[Value], provider: &str) -> Option<Self> {
        let told = |v: &Value| {
            let top = v.get("usage").filter(|usage| usage.is_object());
            top.or(v.pointer("/x_groq/usage")).cloned()
        };
        let usage = values.iter().filter_map(told).next_back()?;
        let (prompt, completion) =
            (number(&usage, "/prompt_tokens"), number(&usage, "/completion_tokens"));
        let reasoning = number(&usage, "/completion_tokens_details/reasoning_tokens");
        let total = number(&usage, "/total_tokens");
        let output = match provider {
            "google" => total - prompt,
            "xai" if total > prompt + completion => completion + reasoning,
            "vercel-gateway" => completion + reasoning,
            _ => completion,
        };
        let prompt = match (provider, usage.get("prompt_tokens")) {
            (_, None) => total,
            ("mistral", _) => total - completion,
            _ => prompt,
        };
        Some(Self {
            prompt,
            read: number(&usage, "/prompt_tokens_details/cached_tokens")
                .max(number(&usage, "/cached_tokens"))
                .max(number(&usage, "/num_cached_tokens")),
            write: number(&usage, "/prompt_tokens_details/cache_write_tokens"),
            output,
        })
    }

    fn responses(values: &[Value]) -> Option<Self> {
        let told = |v: &Value| {
            let response = v.get("response").unwrap_or(v);
            response.get("usage").filter(|usage| usage.get("input_tokens").is_some()).cloned()
        };
        let usage = values.iter().filter_map(told).next_back()?;
        Some(Self {
            prompt: number(&usage, "/input_tokens"),
            read: number(&usage, "/input_tokens_details/cached_tokens"),
            write: number(&usage, "/input_tokens_details/cache_write_tokens"),
            output: number(&usage, "/output_tokens"),
        })
    }

    fn messages(values: &[Value]) -> Option<Self> {
        let told = |v: &Value| v.get("usage").or(v.pointer("/message/usage")).cloned();
        let reports: Vec<Value> = values.iter().filter_map(told).filter(Value::is_object).collect();
        let latest = |pointer: &str| {
            let counts = reports.iter().rev().map(|report| number(report, pointer));
            counts.into_iter().find(|count| *count > 0).unwrap_or(0)
        };
        let last = reports.last()?;
        let mut seen = Self {
            prompt: 0,
            read: latest("/cache_read_input_tokens"),
            write: latest("/cache_creation_input_tokens"),
            output: number(last, "/output_tokens"),
        };
        let mut input = latest("/input_tokens");
        for pass in last["iterations"].as_array().into_iter().flatten() {
            if pass["type"] == "compaction" {
                input += number(pass, "/input_tokens");
                seen.read += number(pass, "/cache_read_input_tokens");
                seen.write += number(pass, "/cache_creation_input_tokens");
                seen.output += number(pass, "/output_tokens");
            }
        }
        seen.prompt = input + seen.read + seen.write;
        Some(seen)
    }

    fn gemini(values: &[Value]) -> Option<Self> {
        let usage = values.iter().filter_map(|v| v.get("usageMetadata")).next_back()?;
        Some(Self {
            prompt: number(usage, "/promptTokenCount"),
            read: number(usage, "/cachedContentTokenCount"),
            write: 0,
            output: number(usage, "/candidatesTokenCount") + number(usage, "/thoughtsTokenCount"),
        })
    }

    fn converse(values: &[Value]) -> Option<Self> {
        let usage = values.iter().filter_map(|v| v.get("usage")).next_back()?;
        let (read, write) =
            (number(usage, "/cacheReadInputTokens"), number(usage, "/cacheWriteInputTokens"));
        Some(Self {
            prompt: number(usage, "/inputTokens") + read + write,
            read,
            write,
            output: number(usage, "/outputTokens"),
        })
    }

    fn of(recording: &Recording, came: &Came) -> Option<Self> {
        let values = came.values();
        match recording.protocol.as_str() {
            "openai-responses" => Self::responses(&values),
            "anthropic-messages" => Self::messages(&values),
            "gemini" | "gemini-embeddings" => Self::gemini(&values),
            "bedrock-converse" => Self::converse(&values),
            _ => Self::chat(&values, &recording.provider),
        }
    }

    /// The same of what was read, compound models and all.
    fn read(usage: &Usage) -> Self {
        let write = |usage: &Usage| usage.write.iter().map(|(_, t)| t.total()).sum::<u64>();
        // An advisor is another model beside the answer; a compound's models are the answer.
        let whole = usage.prompt.text == Some(0) && usage.output.text == Some(0);
        let extra = usage.extra.iter().map(|(_, extra)| extra).filter(|_| whole);
        extra.chain([usage]).fold(Self::default(), |sum, usage| Self {
            prompt: sum.prompt + usage.prompt_total(),
            read: sum.read + usage.read.total(),
            write: sum.write + write(usage),
            output: sum.output + usage.output_total(),
        })
    }
}

fn recorded(recording: &Recording) -> Result<(), String> {
    if recording.response.status != 200 {
        return Ok(());
    }
    let came = Came::of(recording);
    let usage = came.read(recorded_profile(recording));
    let expected = Seen::of(recording, &came);
    let inconsistent = INCONSISTENT.iter().any(|(id, _)| *id == recording.id);
    let quality = match expected {
        _ if inconsistent => Quality::Inconsistent,
        None => Quality::Absent,
        Some(_) => Quality::Exact,
    };
    if usage.quality != quality {
        return Err(format!("{:?}, expected {quality:?}: {:?}", usage.quality, usage.raw));
    }
    let seen = Seen::read(&usage);
    if !inconsistent && seen != expected.unwrap_or_default() {
        return Err(format!("{seen:?} of {:?}", usage.raw));
    }
    frames(recording, &came, &usage)
}

/// An answer in frames is read as the same answer in one piece.
fn frames(recording: &Recording, came: &Came, usage: &Usage) -> Result<(), String> {
    let Came::Whole(text) = came else { return Ok(()) };
    let frames = Frames::new(text.chunks(61).map(Bytes::copy_from_slice).collect());
    let mut reader = Reader::new(recorded_profile(recording));
    reader.answer_frames(&frames);
    match reader.finish(true) == *usage {
        true => Ok(()),
        false => Err("in frames it is another".to_owned()),
    }
}

/// Only chunks without choices are taken for extra ones.
fn extra_chunks(recording: &Recording) -> Result<(), String> {
    let Came::Events(events) = Came::of(recording) else { return Ok(()) };
    for data in events {
        let Ok(chunk) = serde_json::from_str::<Value>(&data) else { continue };
        let choices = chunk["choices"].as_array();
        let extra = choices.is_some_and(Vec::is_empty) && chunk["usage"].is_object();
        if is_extra_usage_chunk(data.as_bytes()) != extra {
            return Err(format!("extra: {}, expected {extra}: {data}", !extra));
        }
    }
    Ok(())
}

// ---- estimates ----------------------------------------------------------------------------------

/// Visible text and reasoning of a stream, as serde finds them.
#[derive(Debug, Default)]
struct Said {
    text: String,
    reasoning: String,
}

impl Said {
    fn add(&mut self, reasons: bool, value: &Value) {
        let to = if reasons { &mut self.reasoning } else { &mut self.text };
        to.push_str(value.as_str().unwrap_or_default());
    }

    fn chat(&mut self, chunk: &Value) {
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let delta = &choice["delta"];
            self.add(false, &delta["content"]);
            self.add(false, &delta["refusal"]);
            let reasoning = &delta["reasoning_content"];
            self.add(true, if reasoning.is_string() { reasoning } else { &delta["reasoning"] });
            for part in delta["content"].as_array().into_iter().flatten() {
                self.add(false, &part["text"]);
                for thought in part["thinking"].as_array().into_iter().flatten() {
                    self.add(true, &thought["text"]);
                }
            }
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                self.add(false, &call["function"]["name"]);
                self.add(false, &call["function"]["arguments"]);
            }
        }
    }

    fn responses(&mut self, event: &Value) {
        let kind = event["type"].as_str().unwrap_or_default();
        self.add(kind.contains("reasoning"), &event["delta"]);
    }

    fn messages(&mut self, event: &Value) {
        let delta = &event["delta"];
        self.add(false, &delta["text"]);
        self.add(false, &delta["partial_json"]);
        self.add(true, &delta["thinking"]);
    }

    fn gemini(&mut self, event: &Value) {
        let candidates = event["candidates"].as_array().into_iter().flatten();
        let parts = candidates.filter_map(|candidate| candidate["content"]["parts"].as_array());
        for part in parts.flatten() {
            self.add(part["thought"] == true, &part["text"]);
        }
    }

    fn tokens(&self) -> u64 {
        [&self.text, &self.reasoning].into_iter().map(|text| tokens(text)).sum()
    }
}

fn tokens(text: &str) -> u64 {
    let wide = text.chars().filter(|c| *c >= '\u{3000}');
    let narrow = text.chars().filter(|c| *c < '\u{3000}').map(char::len_utf8).sum::<usize>();
    wide.count() as u64 + (narrow as u64 * 2).div_ceil(7)
}

fn spoken(recording: &Recording) -> Option<Protocol> {
    Some(match recording.protocol.as_str() {
        "openai-responses" => Protocol::OpenAiResponses,
        "anthropic-messages" => Protocol::AnthropicMessages,
        "gemini" => Protocol::Gemini,
        "openai-chat" => Protocol::OpenAiChat,
        other if other.starts_with("other-openai-compatible") => Protocol::OpenAiChat,
        _ => return None,
    })
}

/// A stream that breaks off is charged for the text that went by.
fn estimates(recording: &Recording) -> Result<(), String> {
    let (Some(protocol), Came::Events(events)) = (spoken(recording), Came::of(recording)) else {
        return Ok(());
    };
    let (mut forwarded, mut said) = (Forwarded::new(protocol), Said::default());
    for data in &events {
        forwarded.event(Event { name: None, data: data.as_bytes() });
        let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
        match protocol {
            Protocol::OpenAiResponses => said.responses(&event),
            Protocol::AnthropicMessages => said.messages(&event),
            Protocol::Gemini => said.gemini(&event),
            _ => said.chat(&event),
        }
    }
    // Calls come as objects there, of which every byte counts.
    let objects = ["functionCall", "executableCode"];
    let calls = protocol == Protocol::Gemini
        && objects.iter().any(|object| events.iter().any(|data| data.contains(object)));
    let usage = forwarded.estimate(Usage::default(), &Sent::default());
    let (estimated, expected) = (usage.output_total(), said.tokens());
    match estimated == expected || (calls && estimated > expected) {
        true => Ok(()),
        false => Err(format!("{estimated}, expected {expected}: {said:?}")),
    }
}

const FOLDERS: [&str; 8] = [
    "openai-chat",
    "other-openai-compatible",
    "openai-embeddings",
    "openai-responses",
    "anthropic-messages",
    "gemini",
    "gemini-embeddings",
    "bedrock-converse",
];

type Check = fn(&Recording) -> Result<(), String>;

const CHECKS: [(&str, Check); 3] = [
    ("estimates_count_the_text_that_went_by", estimates),
    ("usage_is_what_an_independent_reader_finds", recorded),
    ("only_the_chunk_without_choices_is_extra", extra_chunks),
];

fn run(folder: &Path, check: Check) -> Result<(), Failed> {
    let mut wrong = Vec::new();
    for file in fs::read_dir(folder)?.filter_map(Result::ok) {
        let recording = Recording::read(&file.path());
        if let Err(why) = check(&recording) {
            wrong.push(format!("{}: {why}", recording.id));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn main() {
    const CASES: &str = "prices/golden.jsonl";
    let mut trials = vec![
        shared_trial(CASES, "golden::every_case_is_read_as_it_is_charged", golden),
        shared_trial(CASES, "golden::every_case_comes_to_its_total_in_the_catalogue", priced),
    ];
    for name in FOLDERS {
        for (sentence, check) in CHECKS {
            let inside = format!("fixtures/recorded/{name}");
            trials.push(shared_trial(&inside, &format!("{name}::{sentence}"), move |folder| {
                run(folder, check)
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
