//! Whether a target can take a request at all.

use tollgate_core::{Caps, Operation, Protocol, Skip, Target};
use tollgate_wire::content::Content;

use crate::facts::Facts;

/// Says why a target cannot take the request, as far as that is certain. What nobody knows of a
/// model is nothing against it.
pub(crate) fn unfit(target: &Target, facts: &Facts<'_>) -> Option<Skip> {
    let call = facts.ask.call;
    if call.operation != Operation::Generate {
        return None;
    }
    let (caps, needs) = (&target.caps, call.needs);
    let native = target.protocol == call.protocol;
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
    if native && !may_lack_media(caps) {
        return None;
    }
    let content = facts.content();
    if (needs.state || content.state) && !native {
        return Some(Skip::State);
    }
    lacks_media(content, target, native).map(Skip::Lacks)
}

fn may_lack_media(caps: &Caps) -> bool {
    [caps.image_in, caps.audio_in, caps.video_in, caps.pdf_in].contains(&Some(false))
}

fn lacks_media(content: Content, target: &Target, native: bool) -> Option<&'static str> {
    let (caps, protocol) = (&target.caps, target.protocol);
    // What the protocol has no words for nobody can translate.
    let says_audio = native || matches!(protocol, Protocol::OpenAiChat | Protocol::Gemini);
    let says_video = native || protocol == Protocol::Gemini;
    let media = [
        (content.images, caps.image_in, true, "images"),
        (content.audio, caps.audio_in, says_audio, "audio"),
        (content.video, caps.video_in, says_video, "video"),
        (content.documents, caps.pdf_in, true, "documents"),
    ];
    let lacks = |(there, able, said, _): &(bool, Option<bool>, bool, _)| {
        *there && (*able == Some(false) || !said)
    };
    media.iter().find(|medium| lacks(medium)).map(|(.., what)| *what)
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
    let needs = facts.prompt().saturating_add(asked.unwrap_or_default());
    (needs > has).then_some(Skip::Window { needs, has })
}
