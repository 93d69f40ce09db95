//! `price`: what an answer cost, read as the meter reads it.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
    path::Path,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::IgnoredAny};
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
        other => Profile::of(other.parse()?, provider),
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
    /// What was used of tools, where neither the answer nor the context says it.
    #[serde(default)]
    fees: BTreeMap<String, Uses>,
    /// The tier that served, where neither says it.
    variant: Option<String>,
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

#[derive(Deserialize)]
struct Uses {
    qty: u64,
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

/// Prices each line. One that cannot be priced says why in its place, and fails the whole at its end.
fn lines(catalogue: &Catalogue) -> Result<(), Failed> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut bad = 0;
    for (number, line) in io::stdin().lock().split(b'\n').enumerate() {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let priced = serde_json::from_slice::<Case<'_>>(&line).map_err(Failed::from);
        match priced.and_then(|case| Ok((case.price(catalogue)?, case.id))) {
            Ok((priced, id)) => serde_json::to_writer(&mut out, &priced.view(Some(&id)))?,
            Err(error) => {
                bad += 1;
                let error = format!("line {}: {error}", number + 1);
                serde_json::to_writer(&mut out, &Wrong { id: id(&line), error })?;
            }
        }
        out.write_all(b"\n")?;
    }
    out.flush()?;
    match bad {
        0 => Ok(()),
        bad => Err(format!("lines that cannot be priced: {bad}").into()),
    }
}

/// What stands in the place of a price.
#[derive(Serialize)]
struct Wrong {
    id: Option<String>,
    error: String,
}

/// The id of a line that may be anything.
fn id(line: &[u8]) -> Option<String> {
    let id = member(line, "id").and_then(tollgate_wire::json::string)?;
    Some(id.into_owned())
}

impl Case<'_> {
    fn price(&self, catalogue: &Catalogue) -> Result<Priced, Failed> {
        let usage = self.usage()?;
        let occasion = self.occasion(&usage);
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

    /// Uses of tools that only the line's fees tell.
    fn uses(&self, usage: &Usage) -> BTreeMap<String, u64> {
        let fees = self.fees.iter().filter(|_| usage.tools.is_empty());
        let uses = fees.map(|(fee, uses)| {
            let kind = fee.strip_suffix("_per_1k").or_else(|| fee.strip_suffix("_per_session"));
            Some((kind?.to_owned(), uses.qty))
        });
        uses.flatten().collect()
    }

    fn occasion(&self, usage: &Usage) -> Occasion {
        let said = &self.context;
        let searches = said.web_search_calls.or(said.grounding_queries_billed);
        let told = [("web_search", searches), ("maps", said.maps_prompts_billed)];
        let told: BTreeMap<String, u64> =
            told.into_iter().filter_map(|(name, n)| Some((name.to_owned(), n?))).collect();
        let uses = if told.is_empty() { self.uses(usage) } else { told };
        // A batch and Anthropic's speed are no tiers, and told elsewhere.
        let tier = self.variant.clone().filter(|tier| !matches!(&**tier, "batch" | "fast"));
        Occasion {
            completed_at: said
                .completed_at
                .as_ref()
                .or(self.at.as_ref())
                .and_then(|at| unix_seconds(at).ok()),
            batch: said.batch,
            requested_tier: said.requested_service_tier.clone(),
            served_tier: said.service_tier.clone().or(tier),
            residency: said.data_residency.clone(),
            uses,
            ..Occasion::default()
        }
    }
}
