//! Images, transcriptions, documents: tokens by modality, or units that are no tokens.

use tollgate_core::{InTokens, OutTokens};

use super::{
    chat::read_by_modality,
    draft::Draft,
    family::Family,
    fields::{decimal, pick, pick_in, plus},
    profile::Profile,
    told::Told,
};
use crate::words::Word;

static WORDS: [Word; 3] =
    [Word::new("\"usage\""), Word::new("\"usage_info\""), Word::new("\"meta\"")];

/// Generated images: what is put out is image tokens unless details say otherwise.
#[derive(Debug)]
pub(super) struct Images;

/// Transcriptions and documents.
#[derive(Debug)]
pub(super) struct Media;

fn wants(key: &[u8]) -> bool {
    matches!(key, b"usage" | b"usage_info" | b"meta" | b"model")
}

fn member(key: &[u8], value: &[u8], told: &mut Told) {
    match key {
        b"usage" => told.last.replace(value),
        b"usage_info" | b"meta" => told.beside.replace(value),
        b"model" => told.model(value),
        _ => {}
    }
}

impl Family for Images {
    fn may_tell(&self, data: &[u8]) -> bool {
        WORDS[0].says_something(data)
    }

    fn wants(&self, key: &[u8]) -> bool {
        wants(key)
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        member(key, value, told);
    }

    fn draft(&self, _: &Profile, told: &Told) -> Option<Draft> {
        told.last.get().map(images)
    }
}

impl Family for Media {
    fn may_tell(&self, data: &[u8]) -> bool {
        WORDS.iter().any(|word| word.says_something(data))
    }

    fn wants(&self, key: &[u8]) -> bool {
        wants(key)
    }

    fn member(&self, key: &[u8], value: &[u8], told: &mut Told) {
        member(key, value, told);
    }

    fn draft(&self, _: &Profile, told: &Told) -> Option<Draft> {
        let mut draft = tokens(told.last.get().or(told.beside.get())?).0;
        told.last.get().into_iter().for_each(|usage| units(&mut draft, usage));
        told.beside.get().into_iter().for_each(|usage| units(&mut draft, usage));
        Some(draft)
    }
}

/// Reads the usage of generated images.
pub(super) fn images(object: &[u8]) -> Draft {
    let (mut draft, output) = tokens(object);
    let visible = &mut draft.usage.output;
    if visible.image.is_none() && output.is_some() {
        *visible = OutTokens { image: visible.text, ..OutTokens::default() };
    }
    draft
}

/// Tokens by modality, in the names of the audio and image endpoints and of Realtime; and the
/// output as it is told.
pub(super) fn tokens(object: &[u8]) -> (Draft, Option<u64>) {
    let mut draft = Draft::default();
    let [input, output, total, ins, in_one, outs, out_one] = pick(
        object,
        [
            "input_tokens",
            "output_tokens",
            "total_tokens",
            "input_tokens_details",
            "input_token_details",
            "output_tokens_details",
            "output_token_details",
        ],
    );
    let doubt = &mut draft.doubt;
    let (input, output) = (doubt.count(input), doubt.count(output));
    let total = doubt.count(total);
    draft.total(total);
    let [image, audio, cached, per_modality] = pick_in(
        ins.or(in_one),
        ["image_tokens", "audio_tokens", "cached_tokens", "cached_tokens_details"],
    );
    let doubt = &mut draft.doubt;
    let (image, audio) = (doubt.count(image), doubt.count(audio));
    let cached = doubt.count(cached);
    let read = read_by_modality(&mut draft, cached, per_modality);
    let parts = InTokens { image, audio, ..InTokens::default() };
    draft.inclusive_prompt(input, parts, read, Vec::new());
    put_out(&mut draft, output, outs.or(out_one));
    if let Some(sum) = plus(input, output) {
        draft.expect_total(sum);
    }
    (draft, output)
}

fn put_out(draft: &mut Draft, output: Option<u64>, details: Option<&[u8]>) {
    let [image, audio, reasoning] =
        pick_in(details, ["image_tokens", "audio_tokens", "reasoning_tokens"]);
    let doubt = &mut draft.doubt;
    let (image, audio) = (doubt.count(image), doubt.count(audio));
    let reasoning = doubt.count(reasoning);
    draft.output(output, OutTokens { image, audio, ..OutTokens::default() }, reasoning, true);
}

/// What is billed by another unit than the token, and under which name it is kept.
const UNITS: [(&str, &str); 6] = [
    ("seconds", "audio_seconds"),
    ("characters", "characters"),
    ("pages_processed", "pages"),
    ("search_units", "search_units"),
    ("images", "images"),
    ("classifications", "classifications"),
];

/// Reads units that are no tokens, in the object itself and in its `billed_units`.
pub(super) fn units(draft: &mut Draft, object: &[u8]) {
    let values = pick(object, UNITS.map(|(name, _)| name));
    for ((_, kind), value) in UNITS.iter().zip(values) {
        if let Some(amount) = decimal(value) {
            draft.doubt.unless(!amount.starts_with('-'));
            draft.usage.units.insert((*kind).to_owned(), amount);
        }
    }
    let [billed] = pick(object, ["billed_units"]);
    billed.into_iter().for_each(|billed| units(draft, billed));
}
