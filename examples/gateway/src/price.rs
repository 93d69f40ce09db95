//! `price`: what an answer cost, read as the meter reads it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
    path::Path,
};

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use tollgate_catalog::{Catalogue, Occasion, Priced, price, unix_seconds};
use tollgate_core::{Protocol, Usage};
use tollgate_sse::{Decoder, Framing, Tail};
use tollgate_wire::{
    Event,
    json::member,
    usage::{Profile, Reader},
};

use crate::{Failed, cli};

/// Prices standard input: one answer, or a case a line.
pub(crate) fn run(asked: &cli::Price, options: &cli::Options) -> Result<(), Failed> {
    let catalogue = catalogue(options)?;
    if asked.jsonl {
        return lines(&catalogue);
    }
    let (Some(provider), Some(model)) = (&asked.provider, &asked.model) else {
        return Err("`--provider` and `--model` say whose price it is".into());
    };
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let mut reader = Reader::new(profile(&asked.protocol, provider)?);
    match asked.stream {
        true => stream(&mut reader, text.into())?,
        false => {
            serde_json::from_slice::<IgnoredAny>(&text)
                .map_err(|error| format!("standard input is no JSON: {error}"))?;
            reader.answer(&wrapped(&text));
        }
    }
    let occasion = occasion_of(asked.request.as_deref())?;
    let priced = price(&catalogue, provider, model, &reader.finish(true), &occasion);
    println!("{}", serde_json::to_string_pretty(&priced.view(None))?);
    Ok(())
}

/// What the configuration says of prices; without one the built-in catalogue.
fn catalogue(options: &cli::Options) -> Result<Catalogue, Failed> {
    match crate::run::file(options) {
        Some(_) => Ok(crate::run::config(options)?.catalogue),
        None => Ok(Catalogue::builtin()),
    }
}

fn profile(protocol: &str, provider: &str) -> Result<Profile, Failed> {
    Ok(match protocol {
        "bedrock-converse" => Profile::converse(),
        "cohere-v2" => Profile::cohere(),
        "openai-images" => Profile::images(),
        "openai-transcription" | "units" => Profile::media(),
        "openai-realtime" => Profile::realtime(),
        "gemini-generate-content" => Profile::of(Protocol::Gemini, provider),
        "openai-embeddings" => Profile::of(Protocol::OpenAiChat, provider),
        other => match other.parse() {
            Ok(protocol) => Profile::of(protocol, provider),
            Err(_) => Profile::of(Protocol::OpenAiChat, provider),
        },
    })
}

/// A bare usage object as an answer that holds it.
fn wrapped(text: &[u8]) -> Vec<u8> {
    const HOLDS: [&str; 6] = ["usage", "usageMetadata", "response", "meta", "usage_info", "x_groq"];
    if text.trim_ascii_start().starts_with(b"[") || HOLDS.iter().any(|k| member(text, k).is_some())
    {
        return text.to_vec();
    }
    let name = match member(text, "promptTokenCount").is_some() {
        true => "usageMetadata",
        false => "usage",
    };
    held(name, text)
}

fn held(name: &str, value: &[u8]) -> Vec<u8> {
    [b"{\"", name.as_bytes(), b"\":", value, b"}"].concat()
}

fn stream(reader: &mut Reader, text: Bytes) -> Result<(), Failed> {
    let framing = match text.trim_ascii_start().starts_with(b"[") {
        true => Framing::JsonArray,
        false => Framing::Sse,
    };
    let mut decoder = Decoder::new(framing);
    decoder.push(text);
    while let Some(event) = decoder.next()? {
        reader.event(event.event());
    }
    if let Tail::Event(event) = decoder.finish() {
        reader.event(event.event());
    }
    Ok(())
}

fn occasion_of(request: Option<&Path>) -> Result<Occasion, Failed> {
    let Some(path) = request else { return Ok(Occasion::default()) };
    let text = std::fs::read(path)?;
    let tier = member(&text, "service_tier").and_then(tollgate_wire::json::string);
    Ok(Occasion { requested_tier: tier.map(|tier| tier.into_owned()), ..Occasion::default() })
}

/// A case: an answer, and what its bytes do not say.
#[derive(Deserialize)]
struct Case<'a> {
    id: String,
    provider: String,
    model: String,
    protocol: String,
    at: Option<String>,
    #[serde(default)]
    context: Context,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, rename = "usageMetadata")]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    usage_info: Option<&'a RawValue>,
    #[serde(borrow)]
    events: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    batch: bool,
    requested_service_tier: Option<String>,
    service_tier: Option<String>,
    data_residency: Option<String>,
    web_search_calls: Option<u64>,
    grounding_queries_billed: Option<u64>,
    maps_prompts_billed: Option<u64>,
    completed_at: Option<String>,
}

fn lines(catalogue: &Catalogue) -> Result<(), Failed> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |error: Failed| format!("line {}: {error}", number + 1);
        let case: Case<'_> = serde_json::from_str(&line).map_err(|error| wrong(error.into()))?;
        let priced = case.price(catalogue).map_err(wrong)?;
        serde_json::to_writer(&mut out, &priced.view(Some(&case.id)))?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

impl Case<'_> {
    fn price(&self, catalogue: &Catalogue) -> Result<Priced, Failed> {
        let usage = self.usage()?;
        let occasion = self.occasion();
        Ok(price(catalogue, &self.provider, &self.model, &usage, &occasion))
    }

    fn usage(&self) -> Result<Usage, Failed> {
        let mut reader = Reader::new(profile(&self.protocol, &self.provider)?);
        let parts = [
            ("usage", self.usage),
            ("usageMetadata", self.usage_metadata),
            ("meta", self.meta),
            ("usage_info", self.usage_info),
        ];
        if let Some(events) = &self.events {
            for event in events {
                reader.event(Event { name: None, data: event.get().as_bytes() });
            }
        } else if let Some(response) = self.response {
            reader.answer(response.get().as_bytes());
        } else if let Some((name, part)) = parts.iter().find_map(|(n, part)| Some((n, (*part)?))) {
            reader.answer(&held(name, part.get().as_bytes()));
        } else {
            return Err("holds neither `usage` nor `response` nor `events`".into());
        }
        Ok(reader.finish(true))
    }

    fn occasion(&self) -> Occasion {
        let said = &self.context;
        let searches = said.web_search_calls.or(said.grounding_queries_billed);
        let told = [("web_search", searches), ("maps", said.maps_prompts_billed)];
        let uses: BTreeMap<String, u64> =
            told.into_iter().filter_map(|(name, n)| Some((name.to_owned(), n?))).collect();
        Occasion {
            completed_at: said
                .completed_at
                .as_ref()
                .or(self.at.as_ref())
                .and_then(|at| unix_seconds(at).ok()),
            batch: said.batch,
            requested_tier: said.requested_service_tier.clone(),
            served_tier: said.service_tier.clone(),
            residency: said.data_residency.clone(),
            uses,
            ..Occasion::default()
        }
    }
}
