//! Rules every encoder shares: what another server keeps, and how much may be put out.

use tollgate_core::{Protocol, Refusal};

use crate::{
    codec::{Onto, codec},
    fetch, lost,
    model::{Conversation, Field, Media, MediaKind, Source},
    openai,
    shape::{Shape, shape},
    warning::{Code, Report},
};

/// Reports what `target` does not carry, and returns the turns that are written for it.
///
/// Errors: something the model must see cannot be carried.
pub(crate) fn admitted<'a>(
    c: &'a Conversation,
    target: Protocol,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Shape<'a>, Refusal> {
    lost::report(c, target, report)?;
    refuse(c, target, report)?;
    admit(c, target, onto, report)?;
    shape(c, target, report)
}

/// Refuses what refers to a server of another protocol.
///
/// Errors: the field, with what to send instead.
fn refuse(c: &Conversation, target: Protocol, report: &mut Report) -> Result<(), Refusal> {
    if c.source == target {
        return Ok(());
    }
    let state = &c.state;
    let whole = "is kept by another provider than the one that serves this model; send the whole conversation instead";
    let kept = [
        (state.previous_response.is_some(), Field::PreviousResponse, whole),
        (state.conversation.is_some(), Field::ServerConversation, whole),
        (
            state.prompt.is_some(),
            Field::Prompt,
            "is kept by another provider than the one that serves this model; send its text instead",
        ),
        (
            state.background == Some(true),
            Field::Background,
            "cannot be served by this model's provider; wait for the answer or stream it",
        ),
        (
            c.cache.content_ref.is_some(),
            Field::CachedContent,
            "is kept by another provider than the one that serves this model; send its content instead",
        ),
    ];
    for (given, field, why) in kept {
        if given {
            return Err(report.refuse(field, why));
        }
    }
    Ok(())
}

/// Refuses media the model cannot take, or its provider cannot fetch.
///
/// Errors: the place of the first.
fn admit(
    c: &Conversation,
    target: Protocol,
    onto: &Onto<'_>,
    report: &Report,
) -> Result<(), Refusal> {
    if c.source == target {
        return Ok(());
    }
    for item in &c.items {
        let (place, parts) = fetch::parts(item);
        for media in parts.iter().filter_map(fetch::as_media) {
            let kind = media.kind.as_str();
            if takes(media, onto) == Some(false) {
                return Err(report
                    .refuse_place(place, &format!("holds {kind}, which this model cannot take")));
            }
            let fetched = codec(target).fetches(media.kind, onto.caps);
            if matches!(media.source, Source::Url(_)) && !fetched {
                let why = format!(
                    "holds {kind} by URL, which this model's provider cannot fetch; send the data itself"
                );
                return Err(report.refuse_place(place, &why));
            }
        }
    }
    Ok(())
}

fn takes(media: &Media, onto: &Onto<'_>) -> Option<bool> {
    let pdf = matches!(&media.source, Source::Base64 { mime, .. } if mime == "application/pdf");
    match media.kind {
        MediaKind::Image => onto.caps.image_in,
        MediaKind::Audio => onto.caps.audio_in,
        MediaKind::Video => onto.caps.video_in,
        MediaKind::Document if pdf => onto.caps.pdf_in,
        MediaKind::Document => None,
    }
}

/// A knob the model has; reported and left out where it has not.
pub(crate) fn knob<'a, T>(
    value: Option<&'a T>,
    has: Option<bool>,
    field: Field,
    report: &mut Report,
) -> Option<&'a T> {
    if has == Some(false) {
        report.unless_absent(value, field);
        return None;
    }
    value
}

/// The output limit, not above what the model can put out.
pub(crate) fn limit(c: &Conversation, onto: &Onto<'_>, report: &mut Report) -> Option<u64> {
    let limit = c.output_limit?;
    match onto.caps.max_output_tokens {
        Some(most) if limit > most => {
            report.field(Code::Clamped, Field::OutputLimit);
            Some(most)
        }
        _ => Some(limit),
    }
}

/// Refuses more than one alternative where the protocol has no word for it.
///
/// Errors: more than one was asked for.
pub(crate) fn one_candidate(c: &Conversation, report: &Report) -> Result<(), Refusal> {
    match c.candidates {
        Some(n) if n > 1 => {
            Err(report.refuse(Field::Candidates, "must be 1: this model gives one answer"))
        }
        _ => Ok(()),
    }
}

/// Reports what only OpenAI's protocols have of identity, caching and storage.
pub(crate) fn drop_openai(c: &Conversation, report: &mut Report) {
    report.unless_absent(c.cache.key.as_ref(), Field::CacheKey);
    report.unless_absent(c.identity.metadata.as_ref(), Field::Metadata);
    report.unless_absent(c.state.store.as_ref().filter(|store| **store), Field::Store);
    report.unless_absent(c.verbosity.as_ref(), Field::Verbosity);
    if openai::is_openai(c.source)
        && c.include.iter().any(|include| include != "reasoning.encrypted_content")
    {
        report.field(Code::DroppedField, Field::Include);
    }
}
