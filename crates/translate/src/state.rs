//! Rules every encoder shares: what another server keeps, and how much may be put out.

use tollgate_core::{Protocol, Refusal};

use crate::{
    codec::Onto,
    model::{Conversation, Field},
    openai,
    warning::{Code, Report},
};

/// Refuses what refers to a server of another protocol.
///
/// Errors: the field, with what to send instead.
pub(crate) fn refuse(
    c: &Conversation,
    target: Protocol,
    report: &mut Report,
) -> Result<(), Refusal> {
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
