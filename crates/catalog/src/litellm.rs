use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tollgate_core::{Decimal, Money};

use crate::{
    Ability, Component, Document, Mode, Model, PriceFileError, Rates, Tier, Variant,
    document::amount, model::Text,
};

/// Their keys of token prices, USD per token.
const RATES: [(&str, Component); 14] = [
    ("input_cost_per_token", Component::Input),
    ("output_cost_per_token", Component::Output),
    ("cache_read_input_token_cost", Component::CacheRead),
    ("cache_creation_input_token_cost", Component::CacheWrite),
    ("output_cost_per_reasoning_token", Component::Reasoning),
    ("input_cost_per_audio_token", Component::AudioIn),
    ("output_cost_per_audio_token", Component::AudioOut),
    ("input_cost_per_image_token", Component::ImageIn),
    ("output_cost_per_image_token", Component::ImageOut),
    ("input_cost_per_video_token", Component::VideoIn),
    ("output_cost_per_video_token", Component::VideoOut),
    ("cache_read_input_audio_token_cost", Component::CacheReadAudio),
    ("cache_read_input_image_token_cost", Component::CacheReadImage),
    ("citation_cost_per_token", Component::Citation),
];

/// Their keys of other units, USD per one.
const UNITS: [(&str, &str); 15] = [
    ("input_cost_per_second", "second_in"),
    ("output_cost_per_second", "second_out"),
    ("input_cost_per_audio_per_second", "audio_second_in"),
    ("input_cost_per_character", "character_in"),
    ("input_cost_per_image", "image_in_each"),
    ("output_cost_per_image", "image_out_each"),
    ("input_cost_per_query", "query"),
    ("input_cost_per_request", "request"),
    ("cost_per_second", "second_in"),
    ("input_cost_per_video_per_second", "video_second_in"),
    ("output_cost_per_video_per_second", "video_second_out"),
    ("output_cost_per_character", "character_out"),
    ("input_cost_per_pixel", "pixel_in"),
    ("ocr_cost_per_page", "page"),
    ("annotation_cost_per_page", "page_annotated"),
];

/// Their keys of tools, ours, and how many uses ours is for.
const FEES: [(&str, &str, u32); 3] = [
    ("google_maps_grounding_cost_per_query", "maps_grounding_per_1k", 1000),
    ("code_interpreter_cost_per_session", "code_interpreter_per_session", 1),
    ("file_search_cost_per_1k_calls", "file_search_per_1k", 1),
];

/// Their keys of factors, and ours.
const UPLIFTS: [(&str, &str); 3] = [
    ("regional_processing_uplift_multiplier_eu", "data_residency:eu"),
    ("regional_processing_uplift_multiplier_us", "data_residency:us"),
    ("regional_endpoint_uplift_multiplier", "regional_endpoint"),
];

const ABILITIES: [(&str, Ability); 10] = [
    ("supports_function_calling", Ability::Tools),
    ("supports_vision", Ability::Vision),
    ("supports_pdf_input", Ability::Pdf),
    ("supports_audio_input", Ability::AudioIn),
    ("supports_audio_output", Ability::AudioOut),
    ("supports_video_input", Ability::VideoIn),
    ("supports_reasoning", Ability::Reasoning),
    ("supports_response_schema", Ability::StructuredOutput),
    ("supports_prompt_caching", Ability::PromptCaching),
    ("supports_web_search", Ability::WebSearch),
];

/// Their provider, ours, and the prefixes their ids carry.
const PROVIDERS: [(&str, &str, &[&str]); 29] = [
    ("text-completion-openai", "openai", &[]),
    ("gemini", "google", &["gemini/"]),
    ("azure_text", "azure", &["azure/"]),
    ("azure_ai", "azure-ai", &["azure_ai/"]),
    ("bedrock_converse", "bedrock", &["bedrock/"]),
    ("bedrock_mantle", "bedrock-mantle", &["bedrock_mantle/"]),
    ("codestral", "mistral", &["codestral/"]),
    ("text-completion-codestral", "mistral", &["text-completion-codestral/"]),
    ("cohere_chat", "cohere", &["cohere_chat/", "cohere/"]),
    ("together_ai", "together", &["together_ai/"]),
    ("fireworks_ai", "fireworks", &["fireworks_ai/"]),
    ("fireworks_ai-embedding-models", "fireworks", &["fireworks_ai/"]),
    ("moonshot", "moonshotai", &["moonshot/"]),
    ("dashscope", "alibaba", &["dashscope/"]),
    ("jina_ai", "jina", &["jina_ai/"]),
    ("vertex_ai", "vertex", &["vertex_ai/"]),
    ("vertex_ai-language-models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-anthropic_models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-chat-models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-code-chat-models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-vision-models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-embedding-models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-image-models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-video-models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-llama_models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-mistral_models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-deepseek_models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-qwen_models", "vertex", &["vertex_ai/"]),
    ("vertex_ai-openai_models", "vertex", &["vertex_ai/"]),
];

type Result<T> = std::result::Result<T, PriceFileError>;
type Entry<'a> = BTreeMap<String, &'a RawValue>;

/// Reads LiteLLM's map of models. Entries that price nothing are left out; of two for one model the
/// one that says more is taken.
pub(crate) fn read(json: &str) -> Result<Document> {
    let map: BTreeMap<String, &RawValue> =
        serde_json::from_str(json).map_err(PriceFileError::new)?;
    let mut models: BTreeMap<(Text, Text), (usize, Model)> = BTreeMap::new();
    for (name, entry) in map.iter().filter(|(name, _)| *name != "sample_spec") {
        let entry: Entry<'_> = serde_json::from_str(entry.get())
            .map_err(|problem| PriceFileError::new(problem).of(name))?;
        // The map also holds what is no model.
        if !entry.contains_key("litellm_provider") && !entry.keys().any(|key| key.contains("cost"))
        {
            continue;
        }
        let model = model(name, &entry).map_err(|problem| problem.of(name))?;
        let key = (model.provider.clone(), model.id.clone());
        let more = models.get(&key).is_none_or(|(said, _)| *said < entry.len());
        if more && model.is_priced() {
            models.insert(key, (entry.len(), model));
        }
    }
    let models = models.into_values().map(|(_, model)| model).collect();
    Ok(Document { models, ..Document::default() })
}

fn model(name: &str, entry: &Entry<'_>) -> Result<Model> {
    let theirs = text(entry, "litellm_provider")
        .ok_or_else(|| PriceFileError::at("litellm_provider", "is missing"))?;
    let (provider, id) = key(&theirs, name);
    let mut model = Model::new(provider, id);
    model.mode = mode(text(entry, "mode").as_deref());
    model.sources.push("litellm".into());
    limits(&mut model, entry);
    for (key, value) in entry {
        if value.get() != "null" {
            price(&mut model, key, value)?;
        }
    }
    for (key, ability) in ABILITIES {
        let known = entry.get(key).and_then(|value| value.get().parse().ok());
        known.into_iter().for_each(|has: bool| model.abilities.set(ability, has));
    }
    Ok(model)
}

fn key(theirs: &str, name: &str) -> (String, String) {
    let known = PROVIDERS.iter().find(|(t, ..)| *t == theirs);
    let provider = known.map_or(theirs, |(_, ours, _)| ours);
    let own = format!("{theirs}/");
    let prefixes = known.map_or(&[][..], |(.., prefixes)| prefixes);
    let id = prefixes
        .iter()
        .copied()
        .chain([own.as_str()])
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    (provider.to_owned(), id.to_owned())
}

fn text(entry: &Entry<'_>, key: &str) -> Option<String> {
    serde_json::from_str(entry.get(key)?.get()).ok()
}

fn mode(theirs: Option<&str>) -> Mode {
    match theirs {
        Some("image_generation" | "image_edit") => Mode::Image,
        Some("video_generation") => Mode::Video,
        Some("audio_transcription") => Mode::Transcription,
        Some("audio_speech") => Mode::Speech,
        other => other.and_then(Mode::named).unwrap_or_default(),
    }
}

fn limits(model: &mut Model, entry: &Entry<'_>) {
    let number = |key: &str| entry.get(key)?.get().trim_matches('"').parse().ok();
    model.limits.max_input = number("max_input_tokens");
    model.limits.context = number("max_input_tokens").or_else(|| number("max_tokens"));
    model.limits.max_output = number("max_output_tokens");
    model.limits.dimensions = number("output_vector_size");
}

fn price(model: &mut Model, key: &str, value: &RawValue) -> Result<()> {
    if let Some((_, unit)) = UNITS.iter().find(|(theirs, _)| *theirs == key) {
        model.unit_prices.push(((*unit).into(), number(key, value)?));
        return Ok(());
    }
    match key {
        "search_context_cost_per_query" => return searches(model, key, value),
        "tiered_pricing" => return ranges(model, key, value),
        _ => {}
    }
    if let Some((_, fee, factor)) = FEES.iter().find(|(theirs, ..)| *theirs == key) {
        model.fees.push(((*fee).into(), times(key, value, *factor)?));
        return Ok(());
    }
    if let Some((_, name)) = UPLIFTS.iter().find(|(theirs, _)| *theirs == key) {
        model.modifiers.push(((*name).into(), number(key, value)?));
        return Ok(());
    }
    let Some(slot) = Slot::of(key) else { return Ok(()) };
    slot.put(model, key, value)
}

/// What a search costs by the size of its context, or one price for all.
fn searches(model: &mut Model, key: &str, value: &RawValue) -> Result<()> {
    let sizes: Entry<'_> = object(key, value)?;
    let mut prices = Vec::new();
    for (size, value) in &sizes {
        let size = size.strip_prefix("search_context_size_").unwrap_or(size);
        prices.push((size.to_owned(), times(key, value, 1000)?));
    }
    match prices.first() {
        Some((_, first)) if prices.iter().all(|(_, price)| price == first) => {
            model.fees.push(("web_search_per_1k".into(), *first));
        }
        _ => model.fees.extend(
            prices
                .into_iter()
                .map(|(size, price)| (format!("web_search_per_1k_{size}").into(), price)),
        ),
    }
    Ok(())
}

/// Prices by range of the prompt's size: the first is the base, each other a tier.
fn ranges(model: &mut Model, key: &str, value: &RawValue) -> Result<()> {
    let ranges: Vec<Entry<'_>> = object(key, value)?;
    for range in &ranges {
        let bounds: Vec<serde_json::Number> = match range.get("range") {
            Some(bounds) => object(key, bounds)?,
            None => Vec::new(),
        };
        // Some write their bounds with a point.
        let least = bounds.first().map(ToString::to_string).unwrap_or_default();
        let least = least.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0);
        for (key, value) in range {
            if let Some(slot) = Slot::of(key) {
                Slot { threshold: Some(least).filter(|at| *at > 0), ..slot }
                    .put(model, key, value)?;
            }
        }
    }
    Ok(())
}

fn object<'a, T: serde::Deserialize<'a>>(key: &str, value: &'a RawValue) -> Result<T> {
    serde_json::from_str(value.get()).map_err(|problem| PriceFileError::at(key, problem))
}

/// Where a key of theirs belongs:
/// `input_cost_per_token[_above_1hr][_above_200k_tokens][_priority]`.
struct Slot {
    component: Component,
    threshold: Option<u64>,
    variant: Option<&'static str>,
}

impl Slot {
    fn of(key: &str) -> Option<Self> {
        const VARIANTS: [(&str, &str); 4] = [
            ("_batches", "batch"),
            ("_flex", "flex"),
            ("_priority", "priority"),
            ("_ultrafast", "ultrafast"),
        ];
        let ends = |(suffix, name): &(&str, &'static str)| Some((key.strip_suffix(suffix)?, *name));
        let (key, variant) = VARIANTS
            .iter()
            .find_map(ends)
            .map_or((key, None), |(rest, variant)| (rest, Some(variant)));
        let (key, threshold) =
            match key.strip_suffix("_tokens").and_then(|k| k.rsplit_once("_above_")) {
                Some((rest, size)) => (rest, Some(threshold(size)?)),
                None => (key, None),
            };
        let component = |key: &str| RATES.iter().find(|(t, _)| *t == key).map(|(_, c)| *c);
        let component = match key.rsplit_once("_above_") {
            Some((rest, "1hr")) if component(rest).is_some() => Component::CacheWrite1h,
            Some((rest, "12hr")) if component(rest).is_some() => Component::CacheWrite12h,
            _ => component(key)?,
        };
        Some(Self { component, threshold, variant })
    }

    fn put(&self, model: &mut Model, key: &str, value: &RawValue) -> Result<()> {
        let rate = dusted(times(key, value, 1_000_000)?);
        let is_write = self.component.name().starts_with("cache_write");
        // A write of price zero is one that is not billed apart; it is not a free one.
        if !(is_write && rate.is_zero()) {
            self.rates(model).set(self.component, rate);
        }
        Ok(())
    }

    fn rates<'a>(&self, model: &'a mut Model) -> &'a mut Rates {
        let (rates, tiers) = match self.variant {
            None => (&mut model.rates, &mut model.tiers),
            Some(name) => {
                let variant = variant(&mut model.variants, name);
                (&mut variant.rates, &mut variant.tiers)
            }
        };
        let Some(threshold) = self.threshold else { return rates };
        let inclusive = model.provider == "xai";
        let at = tiers.iter().position(|tier| tier.threshold == threshold).unwrap_or_else(|| {
            tiers.push(Tier { threshold, inclusive, rates: Rates::new(), derived: Vec::new() });
            tiers.len() - 1
        });
        &mut tiers[at].rates
    }
}

fn variant<'a>(variants: &'a mut Vec<Variant>, name: &'static str) -> &'a mut Variant {
    let at = variants.iter().position(|v| v.name == name).unwrap_or_else(|| {
        variants.push(Variant { name: name.into(), rates: Rates::new(), tiers: Vec::new() });
        variants.len() - 1
    });
    &mut variants[at]
}

fn threshold(size: &str) -> Option<u64> {
    match size.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u64>().ok()?.checked_mul(1000),
        None => size.parse().ok(),
    }
}

fn number(key: &str, value: &RawValue) -> Result<Decimal> {
    amount(value, || key.to_owned())
}

fn times(key: &str, value: &RawValue, factor: u32) -> Result<Decimal> {
    let money = Money::new(number(key, value)?).times(Decimal::from(factor));
    Ok(money.map_err(|problem| PriceFileError::at(key, problem))?.dollars())
}

/// Rates of more than nine significant digits were computed in floats: the dust is rounded off at
/// the eighth.
fn dusted(rate: Decimal) -> Decimal {
    let digits = rate.normalize().mantissa().unsigned_abs().checked_ilog10().map_or(0, |n| n + 1);
    if digits <= 9 { rate } else { rate.round_sf(8).unwrap_or(rate).normalize() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(json: &str) -> Model {
        let mut models = read(json).unwrap().models;
        assert_eq!(models.len(), 1);
        models.remove(0)
    }

    #[test]
    fn token_prices_become_rates_per_million_without_float_dust() {
        let model = only(
            r#"{"gemini/one": {"litellm_provider": "gemini", "mode": "chat",
                "input_cost_per_token": 1.5000000000000002e-07,
                "output_cost_per_token": 0.0000006,
                "input_cost_per_token_above_200k_tokens": 3e-07,
                "cache_creation_input_token_cost": 0,
                "cache_creation_input_token_cost_above_1hr": 6e-06,
                "input_cost_per_token_batches": 7.5e-08,
                "output_cost_per_token_above_272k_tokens_priority": 2e-06,
                "max_input_tokens": 1000, "supports_vision": true}}"#,
        );
        assert_eq!((&*model.provider, &*model.id), ("google", "one"));
        let amounts: Vec<_> =
            model.amounts().into_iter().map(|(path, rate)| format!("{path}={rate}")).collect();
        assert_eq!(
            amounts,
            [
                "rates.input=0.15",
                "rates.output=0.6",
                "rates.cache_write_1h=6",
                "rates>200000.input=0.3",
                "variants.batch.input=0.075",
                "variants.priority>272000.output=2",
            ]
        );
        assert_eq!(model.abilities.knows(Ability::Vision), Some(true));
        assert_eq!(model.limits.max_input, Some(1000));
    }

    #[test]
    fn tools_ranges_and_uplifts_are_taken_and_the_fuller_of_two_entries() {
        let model = only(
            r#"{"cohere_chat/one": {"litellm_provider": "cohere_chat", "input_cost_per_token": 9},
                "one": {"litellm_provider": "cohere",
                "search_context_cost_per_query": {"search_context_size_low": 0.01,
                    "search_context_size_high": 0.010},
                "regional_processing_uplift_multiplier_eu": 1.1,
                "tiered_pricing": [
                    {"range": [0, 32000.0], "input_cost_per_token": 1e-06},
                    {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-06}]}}"#,
        );
        assert_eq!(model.fee("web_search_per_1k"), Some(Decimal::TEN));
        assert_eq!(model.modifier("data_residency:eu"), Some(Decimal::new(11, 1)));
        assert_eq!(model.rates.get(Component::Input), Some(Decimal::ONE));
        assert_eq!(model.tiers[0].threshold, 32_000);
        assert_eq!(model.tiers[0].rates.get(Component::Input), Some(Decimal::TWO));
    }

    #[test]
    fn an_unknown_provider_keeps_its_name_and_a_fault_names_model_and_field() {
        let model = only(
            r#"{"acme/one": {"litellm_provider": "acme", "input_cost_per_token": "1e-6"},
                "sample_spec": {}}"#,
        );
        assert_eq!((&*model.provider, &*model.id), ("acme", "one"));
        let error =
            read(r#"{"two": {"litellm_provider": "acme", "input_cost_per_token": "cheap"}}"#)
                .unwrap_err();
        assert_eq!((error.model(), error.field()), (Some("two"), Some("input_cost_per_token")));
        let error = read(r#"{"two": {"input_cost_per_token": 1}}"#).unwrap_err();
        assert_eq!(error.field(), Some("litellm_provider"));
    }
}
