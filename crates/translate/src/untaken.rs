//! Media a model cannot take, left out where the policy says so.

use tollgate_core::Protocol;

use crate::{
    Onto,
    codec::codec,
    fetch::parts,
    model::{Conversation, Item, Media, Message, Part, Place, Role},
    warning::{Code, Report},
};

/// The same conversation with a word in the place of each medium that cannot be written for `onto`.
pub(crate) fn left_out(
    conversation: &Conversation,
    to: Protocol,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Conversation {
    let mut rest = conversation.clone();
    for item in &mut rest.items {
        let place = parts(item).0;
        let parts = match item {
            Item::Message(message) => &mut message.parts,
            Item::ToolResult(result) => &mut result.parts,
            Item::Opaque { .. } => continue,
        };
        for part in parts {
            let Part::Media(media) = part else { continue };
            if !is_taken(media, conversation.source, to, onto, place) {
                *part = Part::text(format!("[{} omitted]", media.kind.as_str()));
                report.place(Code::MediaDropped, place);
            }
        }
    }
    rest
}

/// Whether a conversation of this medium alone can be written.
fn is_taken(media: &Media, source: Protocol, to: Protocol, onto: &Onto<'_>, place: Place) -> bool {
    let mut alone = Conversation::new(source, onto.model);
    let message = Message::new(Role::User, vec![Part::Media(media.clone())]);
    alone.items.push(Item::Message(Message { place, ..message }));
    codec(to).encode_request(&alone, onto, &mut Report::new(codec(source))).is_ok()
}

#[cfg(test)]
mod tests {
    use tollgate_core::Caps;

    use crate::{Incoming, Onto, Policy, Translator};

    const BODY: &[u8] = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[
        {"type":"text","text":"what is said?"},
        {"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}},
        {"type":"image_url","image_url":{"url":"https://e.org/a.png"}}]}]}"#;

    #[test]
    fn only_what_the_model_cannot_take_is_left_out_and_told() {
        use tollgate_core::Protocol::{AnthropicMessages, OpenAiChat};
        let (caps, translator) = (Caps::default(), Translator::new(OpenAiChat, AnthropicMessages));
        let onto = Onto::new("m", &caps);
        assert!(translator.request(&Incoming::new(BODY), &onto).is_err(), "refused by default");
        let policy = Policy { drop_media: true, ..Policy::default() };
        let lenient = translator.clone().policy(policy);
        let (sent, exchange) = lenient.request(&Incoming::new(BODY), &onto).unwrap();
        let sent = String::from_utf8(sent.body).unwrap();
        assert!(sent.contains("[audio omitted]") && sent.contains("a.png"), "{sent}");
        let told = exchange.warnings().header().unwrap();
        assert_eq!(told, "media_dropped:/messages/0");
        let strict = translator.policy(Policy { strict: true, ..policy });
        assert!(strict.request(&Incoming::new(BODY), &onto).is_err());
    }
}
