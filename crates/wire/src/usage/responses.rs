//! OpenAI Responses.

use std::collections::BTreeMap;

use tollgate_core::{InTokens, OutTokens};

use super::{
    chat::{read_by_modality, retention},
    draft::{Bill, Draft, writes},
    family::Family,
    fields::{either, pick, pick_in, plus, text},
    media,
    profile::{Profile, Reasoning},
    told::{Hosted, Told},
};
use crate::{
    json::{self, Array, Object},
    words::Word,
};

static USAGE: Word = Word::new("\"usage\"");

/// The usage of the response object, which the terminal event holds whole.
#[derive(Debug)]
pub(super) struct Responses;

impl Family for Responses {
    fn may_tell(&self, data: &[u8]) -> bool {
        USAGE.says_something(data)
    }

    fn wants(&self, key: &[u8]) -> bool {
        matches!(
            key,
            b"usage"
                | b"tool_usage"
                | b"tools"
                | b"output"
                | b"model"
                | b"service_tier"
                | b"completed_at"
        )
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        match key {
            b"response" => self.members(value, told),
            b"usage" => {
                told.last.replace(value);
                told.ended |= told.last.get().is_some();
            }
            b"tool_usage" => told.beside.replace(value),
            b"tools" => told.hosted = hosted(value).map(Box::new),
            b"output" => told.counted = items(value),
            b"model" => told.model(value),
            b"service_tier" => told.tier(value),
            b"completed_at" => told.completed_at(value),
            _ => {}
        }
    }

    fn served(&self, event: &[u8], told: &mut Told) {
        if told.wants_model(event) {
            let [response] = pick(event, ["response"]);
            let [model] = pick_in(response, ["model"]);
            model.into_iter().for_each(|model| told.model(model));
        }
    }

    fn draft(&self, profile: &Profile, told: &Told) -> Option<Draft> {
        let object = told.last.get()?;
        let mut draft = draft(profile, object);
        for (kind, uses) in &told.counted {
            let told = draft.usage.tools.contains_key(*kind);
            draft.used(kind, Some(*uses).filter(|_| !told));
        }
        let given = told.hosted.as_deref();
        if let Some(tools) = told.beside.get() {
            hosted_tools(&mut draft, tools, given);
        }
        if given.is_some_and(|given| given.preview) {
            let searches = draft.usage.tools.remove("web_search");
            draft.used("web_search_preview", searches);
        }
        Some(draft)
    }
}

/// Reads a usage object in the names of Responses.
pub(super) fn draft(profile: &Profile, object: &[u8]) -> Draft {
    let mut draft = Draft::default();
    let [input, output, total, in_details, out_details, read, written, rest @ ..] = pick(
        object,
        [
            "input_tokens",
            "output_tokens",
            "total_tokens",
            "input_tokens_details",
            "output_tokens_details",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "server_side_tool_usage_details",
            "server_tool_use_details",
            "server_tool_use",
            "tool_calls_details",
            "cost",
            "cost_in_usd_ticks",
            "is_byok",
            "cost_details",
        ],
    );
    let doubt = &mut draft.doubt;
    let (input, output) = (doubt.count(input), doubt.count(output));
    let (read, written) = (doubt.count(read), doubt.count(written));
    let total = doubt.count(total);
    draft.total(total);
    prompt_side(&mut draft, input, in_details, read, written);
    output_side(&mut draft, profile, input, output, out_details);
    let [xai, details, anthropic, calls, cost, ticks, byok, cost_details] = rest;
    [xai, details, anthropic].into_iter().for_each(|counts| draft.tools(counts));
    invocations(&mut draft, calls);
    draft.bill(profile.cost, Bill { cost, ticks, byok, details: cost_details });
    draft
}

fn prompt_side(
    draft: &mut Draft,
    input: Option<u64>,
    details: Option<&[u8]>,
    read: Option<u64>,
    written: Option<u64>,
) {
    let [cached, write, split, audio, image, per_modality] = pick_in(
        details,
        [
            "cached_tokens",
            "cache_write_tokens",
            "cache_write_tokens_details",
            "audio_tokens",
            "image_tokens",
            "cached_tokens_details",
        ],
    );
    let doubt = &mut draft.doubt;
    let (image, audio) = (doubt.count(image), doubt.count(audio));
    let parts = InTokens { image, audio, ..InTokens::default() };
    let read = either(doubt.count(cached), read);
    let write = either(doubt.count(write), written);
    let write = writes(write, retention(draft, split), &mut draft.doubt);
    let read = read_by_modality(draft, read, per_modality);
    draft.inclusive_prompt(input, parts, read, write);
}

fn output_side(
    draft: &mut Draft,
    profile: &Profile,
    input: Option<u64>,
    output: Option<u64>,
    details: Option<&[u8]>,
) {
    let [reasoning, audio, image] =
        pick_in(details, ["reasoning_tokens", "audio_tokens", "image_tokens"]);
    let doubt = &mut draft.doubt;
    let reasoning = doubt.count(reasoning);
    let (image, audio) = (doubt.count(image), doubt.count(audio));
    let parts = OutTokens { image, audio, ..OutTokens::default() };
    let sum = plus(input, output).unwrap_or(0);
    let beside = reasoning.filter(|reasoning| {
        *reasoning > 0 && draft.usage.reported.total_tokens == Some(sum.saturating_add(*reasoning))
    });
    draft.expect_total(sum.saturating_add(beside.unwrap_or(0)));
    let fits = reasoning.unwrap_or(0) <= output.unwrap_or(0);
    draft.doubt.unless(fits || beside.is_some());
    let inside = profile.reasoning == Reasoning::Inside && beside.is_none() && fits;
    draft.output(output, parts, reasoning, inside);
}

/// `{"search_web":{"invocation":2}}`, as Perplexity counts what its tools did.
fn invocations(draft: &mut Draft, calls: Option<&[u8]>) {
    for (key, value) in Object::new(calls.unwrap_or(b"{}")).map_while(Result::ok) {
        let [uses] = pick(value, ["invocation"]);
        let uses = draft.doubt.count(uses);
        let kind = if key == "search_web" { "web_search" } else { key.as_ref() };
        draft.used(kind, uses);
    }
}

/// Counts the calls that are billed by use. Opening a page or finding in it is free.
fn items(output: &[u8]) -> BTreeMap<&'static str, u64> {
    let (mut searches, mut lookups) = (0, 0);
    for item in Array::new(output).map_while(Result::ok) {
        match json::member(item, "type").and_then(json::string).as_deref() {
            Some("web_search_call") => searches += u64::from(is_search(item)),
            Some("file_search_call") => lookups += 1,
            _ => {}
        }
    }
    BTreeMap::from([("web_search", searches), ("file_search", lookups)])
}

fn is_search(call: &[u8]) -> bool {
    let action = json::member(call, "action").and_then(|action| json::member(action, "type"));
    action.and_then(json::string).is_none_or(|kind| kind == "search")
}

/// Reads the list of tools, where one is in it that decides a price.
fn hosted(tools: &[u8]) -> Option<Hosted> {
    let names = |word: &str| memchr::memmem::find(tools, word.as_bytes()).is_some();
    if !names("\"web_search_preview") && !names("\"image_generation\"") {
        return None;
    }
    let mut hosted = Hosted::default();
    for tool in Array::new(tools).map_while(Result::ok) {
        let [kind, model] = pick(tool, ["type", "model"]);
        match kind.and_then(json::string).as_deref() {
            Some("image_generation") => hosted.image_model = text(model),
            Some(kind) => hosted.preview |= kind.starts_with("web_search_preview"),
            None => {}
        }
    }
    Some(hosted)
}

/// What the response counts itself goes before what we count, also when it is zero.
fn hosted_tools(draft: &mut Draft, tools: &[u8], given: Option<&Hosted>) {
    let image_model = given.and_then(|given| given.image_model.as_deref());
    for (key, value) in Object::new(tools).map_while(Result::ok) {
        let [uses, tokens] = pick(value, ["num_requests", "total_tokens"]);
        if let Some(uses) = draft.doubt.count(uses) {
            draft.usage.tools.remove(key.as_ref());
            draft.used(&key, Some(uses));
        }
        if draft.doubt.count(tokens).is_some_and(|tokens| tokens > 0) {
            let image = media::images(value).usage;
            let name = image_model.filter(|_| key == "image_gen").unwrap_or(&key);
            draft.usage.extra.push((name.to_owned(), *image));
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::{Protocol, Quality, Usage};

    use crate::usage::{Profile, Reader};

    fn read(provider: &str, response: &str) -> Usage {
        let mut reader = Reader::new(Profile::of(Protocol::OpenAiResponses, provider));
        reader.answer(response.as_bytes());
        reader.finish(true)
    }

    const USAGE: &str = r#""usage":{"input_tokens":4,"output_tokens":2,"total_tokens":6}"#;

    #[test]
    fn the_responses_own_count_of_searches_goes_before_ours() {
        let items = r#"[{"type":"web_search_call"},{"type":"web_search_call","action":{"type":"open_page"}},{"type":"file_search_call"}]"#;
        for (tools, expected) in [("{}", Some(1)), (r#"{"web_search":{"num_requests":0}}"#, None)] {
            let usage =
                read("openai", &format!(r#"{{"output":{items},"tool_usage":{tools},{USAGE}}}"#));
            assert_eq!(usage.tools.get("web_search").copied(), expected);
            assert_eq!(usage.tools.get("file_search"), Some(&1));
        }
    }

    #[test]
    fn generated_images_are_another_models() {
        let tools = r#"{"image_gen":{"input_tokens":9,"input_tokens_details":{"image_tokens":4,"text_tokens":5},"output_tokens":7,"total_tokens":16}}"#;
        let usage = read("openai", &format!(r#"{{"tool_usage":{tools},{USAGE}}}"#));
        let [(kind, image)] = usage.extra.as_slice() else { panic!("{:?}", usage.extra) };
        assert_eq!(
            (kind.as_str(), image.prompt.image, image.output.image),
            ("image_gen", Some(4), Some(7))
        );
        assert_eq!(usage.prompt_total(), 4);
    }

    #[test]
    fn an_image_tool_that_names_its_model_is_that_models() {
        let tools =
            r#"[{"type":"function","name":"f"},{"type":"image_generation","model":"gpt-image-1"}]"#;
        let used = r#"{"image_gen":{"input_tokens":9,"output_tokens":7,"total_tokens":16}}"#;
        let usage = read("openai", &format!(r#"{{"tools":{tools},"tool_usage":{used},{USAGE}}}"#));
        assert_eq!(usage.extra[0].0, "gpt-image-1");
    }

    #[test]
    fn searches_of_the_preview_tool_are_counted_as_its() {
        let items = r#"[{"type":"web_search_call"}]"#;
        for (tool, kind) in [
            ("web_search_preview", "web_search_preview"),
            ("web_search_preview_2025_03_11", "web_search_preview"),
            ("web_search", "web_search"),
        ] {
            let tools = format!(r#"[{{"type":"{tool}"}}]"#);
            let usage = read("openai", &format!(r#"{{"output":{items},"tools":{tools},{USAGE}}}"#));
            assert_eq!(usage.tools.into_iter().collect::<Vec<_>>(), [(kind.to_owned(), 1)]);
        }
    }

    #[test]
    fn a_host_that_counts_in_other_names_is_read_by_its_route() {
        let usage = read(
            "perplexity",
            r#"{"usage":{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":2,"total_tokens":12,
                "tool_calls_details":{"search_web":{"invocation":3}},"cost":{"total_cost":4.2e-05}}}"#,
        );
        assert_eq!((usage.prompt.text, usage.read.text), (Some(6), Some(4)));
        assert_eq!(usage.tools.get("web_search"), Some(&3));
        assert_eq!(usage.reported.cost.as_deref(), Some("4.2e-05"));
        assert_eq!(usage.quality, Quality::Exact);
    }

    #[test]
    fn reasoning_larger_than_the_output_is_marked_and_counted_beside_it() {
        let usage = read(
            "openai",
            r#"{"usage":{"input_tokens":1,"output_tokens":2,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":3}}"#,
        );
        assert_eq!((usage.output_total(), usage.quality), (7, Quality::Inconsistent));
    }
}
