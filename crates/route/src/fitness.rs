//! Whether a target can take a request at all.

use tollgate_core::{Operation, Protocol, Skip, Target};
use tollgate_wire::content::Medium;

use crate::facts::Facts;

/// Says why a target cannot take the request, as far as that is certain. What nobody knows of a
/// model is nothing against it.
pub(crate) fn unfit(target: &Target, facts: &Facts<'_>) -> Option<Skip> {
    plainly_unfit(target, facts).or_else(|| {
        let generates = facts.ask.call.operation == Operation::Generate;
        let lacks = |medium: &Medium| {
            lacks(target, *medium, target.protocol == facts.ask.call.protocol)
                && facts.holds(*medium)
        };
        let all = [Medium::Audio, Medium::Video, Medium::Documents];
        all.iter()
            .find(|medium| generates && lacks(medium))
            .map(|medium| Skip::Lacks(name(*medium)))
    })
}

/// The same, as far as there is little to be read for it: what few requests have few models lack,
/// and an upstream that is the only choice says so itself.
pub(crate) fn plainly_unfit(target: &Target, facts: &Facts<'_>) -> Option<Skip> {
    let call = facts.ask.call;
    if call.operation != Operation::Generate {
        return None;
    }
    let (caps, needs) = (&target.caps, call.needs);
    let native = target.protocol == call.protocol;
    if needs.state && !native {
        return Some(Skip::State);
    }
    if needs.tools && caps.tools == Some(false) {
        return Some(Skip::Lacks("tools"));
    }
    // Who translates asks for it in words.
    if needs.schema && !caps.structured_output && native {
        return Some(Skip::Lacks("a JSON schema"));
    }
    if call.candidates > 1 && caps.n_gt_1 == Some(false) {
        return Some(Skip::Lacks("several answers"));
    }
    let blind = caps.image_in == Some(false) && facts.holds(Medium::Images);
    blind.then(|| Skip::Lacks(name(Medium::Images)))
}

/// Whether a target could not take a medium, if the request held it.
fn lacks(target: &Target, medium: Medium, native: bool) -> bool {
    let (caps, protocol) = (&target.caps, target.protocol);
    // What the protocol has no words for nobody can translate.
    let (able, said) = match medium {
        Medium::Audio => {
            (caps.audio_in, [Protocol::OpenAiChat, Protocol::Gemini].contains(&protocol))
        }
        Medium::Video => (caps.video_in, protocol == Protocol::Gemini),
        Medium::Documents => (caps.pdf_in, true),
        Medium::Images => (caps.image_in, true),
        Medium::Reasoning => (None, true),
    };
    able == Some(false) || !(native || said)
}

fn name(medium: Medium) -> &'static str {
    match medium {
        Medium::Images => "images",
        Medium::Audio => "audio",
        Medium::Video => "video",
        Medium::Documents => "documents",
        Medium::Reasoning => "reasoning",
    }
}

/// Says why a target likely cannot take the request: what is only estimated, or what a request can
/// ask the upstream to extend.
pub(crate) fn doubt(target: &Target, facts: &Facts<'_>) -> Option<Skip> {
    let (caps, asked) = (&target.caps, facts.ask.call.output_limit);
    if let Some((asked, has)) = asked.zip(caps.max_output_tokens).filter(|(asked, has)| asked > has)
    {
        return Some(Skip::Output { asked, has });
    }
    let has = caps.context_window?;
    if facts.prompt_at_most().saturating_add(asked.unwrap_or_default()) <= has {
        return None;
    }
    let needs = facts.prompt().saturating_add(asked.unwrap_or_default());
    (needs > has).then_some(Skip::Window { needs, has })
}
