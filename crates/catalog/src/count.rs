use std::{borrow::Cow, collections::BTreeMap};

use tollgate_core::{Decimal, InTokens, Money, Ttl, Usage};

use crate::{Catalogue, Component, Model, Occasion, Per};

/// Groq bills at least so many seconds of audio per request.
const GROQ_SECONDS: Decimal = Decimal::from_parts(10, 0, 0, false, 0);

/// A quantity with its price.
pub(crate) struct Counted {
    pub(crate) name: Cow<'static, str>,
    pub(crate) quantity: Decimal,
    pub(crate) rate: Decimal,
}

/// Whether all of it was used by other models inside it: nothing is left for the model itself.
pub(crate) fn is_all_others(usage: &Usage) -> bool {
    let own = [usage.prompt_total(), usage.output_total(), usage.tool_in.unwrap_or(0)];
    let uses_nothing = usage.tools.is_empty() && usage.units.is_empty();
    !usage.extra.is_empty() && uses_nothing && own == [0; 3]
}

/// Hands out the tokens by the component they would be billed as if each were listed.
pub(crate) fn tokens(usage: &Usage, mut each: impl FnMut(Component, u64)) {
    use Component as C;
    let mut part = |component, count: Option<u64>| {
        if let Some(count) = count {
            each(component, count);
        }
    };
    let (prompt, read, output) = (&usage.prompt, &usage.read, &usage.output);
    part(C::Input, prompt.text);
    part(C::Input, prompt.document);
    part(C::ImageIn, prompt.image);
    part(C::AudioIn, prompt.audio);
    part(C::VideoIn, prompt.video);
    part(C::Input, usage.tool_in);
    part(C::CacheRead, read.text);
    part(C::CacheRead, read.document);
    part(C::CacheRead, read.video);
    part(C::CacheReadImage, read.image);
    part(C::CacheReadAudio, read.audio);
    for (ttl, tokens) in &usage.write {
        let InTokens { text, image, audio, video, document } = *tokens;
        for count in [text, image, audio, video, document] {
            part(write(*ttl), count);
        }
    }
    part(C::Output, output.text);
    part(C::ImageOut, output.image);
    part(C::AudioOut, output.audio);
    part(C::VideoOut, output.video);
    part(C::Reasoning, usage.reasoning);
    part(C::Citation, usage.citation);
}

fn write(ttl: Ttl) -> Component {
    match ttl {
        Ttl::M5 => Component::CacheWrite5m,
        Ttl::M30 => Component::CacheWrite30m,
        Ttl::H1 => Component::CacheWrite1h,
        Ttl::H12 => Component::CacheWrite12h,
        Ttl::Unknown => Component::CacheWrite,
    }
}

/// Whether anything that could be billed was told; a zero is told.
pub(crate) fn is_told(usage: &Usage) -> bool {
    let mut told = false;
    tokens(usage, |_, _| told = true);
    told || !(usage.tools.is_empty() && usage.units.is_empty() && usage.extra.is_empty())
}

/// A quantity of other units at the model's price for them; `None` where there is none.
pub(crate) fn unit(model: &Model, kind: &str, amount: &str, free: bool) -> Option<Counted> {
    let quantity = Money::parse(amount).ok().filter(|q| *q >= Money::ZERO)?.dollars();
    let is_audio = matches!(kind, "audio_seconds" | "seconds");
    let least = is_audio && model.provider == "groq" && !quantity.is_zero();
    let quantity = if least { quantity.max(GROQ_SECONDS) } else { quantity };
    let listed: &[&'static str] = match kind {
        "audio_seconds" | "seconds" => &["audio_second_in", "audio_second", "second_in"],
        "characters" => &["character_in"],
        "pages" => &["page"],
        "annotated_pages" => &["page_annotated"],
        "search_units" | "queries" => &["query"],
        "images" => &["image_out_each"],
        "images_in" => &["image_in_each"],
        "video_seconds" => &["second_out", "video_second_out"],
        "requests" => &["request"],
        _ => &[],
    };
    let priced = |name: &str| model.unit_price(name);
    if let Some((name, rate)) = listed.iter().find_map(|name| Some((*name, priced(name)?))) {
        return Some(Counted { name: name.into(), quantity, rate });
    }
    if free {
        return Some(Counted { name: kind.to_owned().into(), quantity, rate: Decimal::ZERO });
    }
    let rate = priced(kind)?;
    Some(Counted { name: kind.to_owned().into(), quantity, rate })
}

/// Uses of tools by the name fees go by: what was billed where that is known, else what was counted.
pub(crate) fn uses(model: &Model, usage: &Usage, occasion: &Occasion) -> Vec<(String, u64)> {
    let mut uses: BTreeMap<String, u64> = BTreeMap::new();
    for (kind, count) in &usage.tools {
        let name = fee_name(kind);
        let count = if name == "web_search" { searches(model, *count) } else { *count };
        uses.insert(name.to_owned(), count);
    }
    for (kind, count) in &occasion.uses {
        if kind == "web_search" {
            uses.remove("web_search_preview");
        }
        uses.insert(fee_name(kind).to_owned(), *count);
    }
    uses.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// What of a number of search queries is billed: Gemini before 3 bills a grounded prompt, however
/// many queries it took.
fn searches(model: &Model, queries: u64) -> u64 {
    let google = matches!(&*model.provider, "google" | "vertex");
    let per_prompt = google
        && model.search_unit.is_none()
        && model.fee("web_search_per_1k").is_some_and(|fee| fee >= Decimal::from(35));
    if per_prompt { queries.min(1) } else { queries }
}

fn fee_name(kind: &str) -> &str {
    match kind {
        "maps" => "maps_grounding",
        "code_exec" => "code_execution",
        other => other,
    }
}

/// What a use costs: as the model lists it, else as the provider does.
pub(crate) fn fee(catalogue: &Catalogue, model: &Model, kind: &str) -> Option<(Decimal, Per)> {
    let keys = || {
        let kinds = [Some(kind), listed_as(kind)].into_iter().flatten();
        kinds.flat_map(fee_keys).flatten()
    };
    let by_model = keys().find_map(|(name, per)| Some((model.fee(&name)?, per)));
    by_model.or_else(|| {
        keys().find_map(|(name, per)| Some((catalogue.tool_fee(&model.provider, &name)?, per)))
    })
}

/// The other name under which a use is listed where it is not under its own: who lists no preview of
/// web search charges for it as for web search, and what answers of xAI count is listed under the
/// names of its products.
fn listed_as(kind: &str) -> Option<&'static str> {
    match kind {
        "web_search_preview" => Some("web_search"),
        "code_interpreter" => Some("code_execution"),
        "file_search" => Some("collections_search"),
        "document_search" => Some("attachment_search"),
        _ => None,
    }
}

/// The names a use may be listed by: `request_low` is `request_per_1k_low`.
pub(crate) fn fee_keys(kind: &str) -> [Option<(String, Per)>; 3] {
    let sized = kind
        .rsplit_once('_')
        .filter(|(_, size)| matches!(*size, "low" | "medium" | "high"))
        .map(|(stem, size)| (format!("{stem}_per_1k_{size}"), Per::ThousandUses));
    [
        sized,
        Some((format!("{kind}_per_1k"), Per::ThousandUses)),
        Some((format!("{kind}_per_session"), Per::Session)),
    ]
}
