use tollgate_catalog::{Ability, Catalogue, Document, Model};
use tollgate_core::{Class, Skip};
use tollgate_route::{Alias, Router};

use crate::support::*;

/// `p/blind` sees and hears nothing and knows no tools, `p/small` takes 2,000 tokens, `p/able` can
/// everything, of `p/unknown` nobody knows anything.
fn limited() -> Router {
    let able = |model: &str, can: bool, context: Option<u64>| {
        let mut model = Model::new("p", model.to_owned());
        let all = [
            Ability::Tools,
            Ability::Vision,
            Ability::Pdf,
            Ability::AudioIn,
            Ability::VideoIn,
            Ability::StructuredOutput,
        ];
        all.iter().for_each(|ability| model.abilities.set(*ability, can));
        model.limits.context = context;
        model.limits.max_output = Some(1000);
        model
    };
    let mut document = Document::default();
    document.models = vec![
        able("blind", false, None),
        able("small", true, Some(2000)),
        able("able", true, Some(1_000_000)),
    ];
    Router::new([provider("p", &[CHAT, RESPONSES, MESSAGES, GEMINI])])
        .catalogue(Catalogue::empty().with(document).unwrap())
        .aliases([
            ("any", Alias::new(["p/blind", "p/small", "p/able", "p/unknown"])),
            ("fast", Alias::new(["p/blind", "p/able"])),
            ("tight", Alias::new(["p/small", "p/able"])),
        ])
}

#[test]
fn who_lacks_what_the_request_has_is_skipped_with_the_reason() {
    for (protocol, rest, lacks) in [
        (CHAT, r#""tools":[{"type":"function"}]"#, "tools"),
        (CHAT, r#""response_format":{"type":"json_schema"}"#, "a JSON schema"),
        (RESPONSES, r#""text":{"format":{"type":"json_schema"}}"#, "a JSON schema"),
        (CHAT, r#""messages":[{"role":"user","content":[{"type":"image_url"}]}]"#, "images"),
        (CHAT, r#""messages":[{"role":"user","content":[{"type":"input_audio"}]}]"#, "audio"),
        (RESPONSES, r#""input":[{"role":"user","content":[{"type":"input_image"}]}]"#, "images"),
        (RESPONSES, r#""input":[{"role":"user","content":[{"type":"input_file"}]}]"#, "documents"),
        (MESSAGES, r#""messages":[{"role":"user","content":[{"type":"image"}]}]"#, "images"),
        (
            GEMINI,
            r#""contents":[{"parts":[{"inlineData":{"mimeType":"video/mp4","data":""}}]}]"#,
            "video",
        ),
    ] {
        let body = match protocol == GEMINI {
            true => format!("{{{rest}}}"),
            false => format!(r#"{{"model":"fast",{rest}}}"#),
        };
        let plan = Request::new(protocol, body).plan(&limited()).unwrap();
        assert_eq!(plan.skipped.len(), 1, "{protocol} {rest}");
        assert_eq!(plan.skipped[0].why, Skip::Lacks(lacks));
        assert_eq!(&*plan.first().unwrap().model, "able");
    }
}

#[test]
fn what_nobody_knows_of_a_model_is_nothing_against_it() {
    let body = r#"{"model":"any","tools":[{}],"messages":[{"content":[{"type":"image_url"}]}]}"#;
    let asked = Request::new(CHAT, body).targets(&limited());
    assert_eq!(asked, ["p/small", "p/able", "p/unknown"]);
}

#[test]
fn json_without_a_schema_needs_no_ability() {
    let body = r#"{"model":"p/blind","response_format":{"type":"json_object"}}"#;
    assert_eq!(Request::new(CHAT, body).first(&limited()), "p/blind");
}

#[test]
fn a_long_prompt_or_answer_goes_to_who_has_room_for_it() {
    let text = "word ".repeat(2000);
    let long = format!(r#"{{"model":"tight","messages":[{{"content":"{text}"}}]}}"#);
    let plan = Request::new(CHAT, long).plan(&limited()).unwrap();
    assert!(matches!(plan.skipped[0].why, Skip::Window { needs: 2500..2600, has: 2000 }));
    let output = r#"{"model":"any","max_tokens":1500}"#;
    let plan = Request::new(CHAT, output).plan(&limited()).unwrap();
    assert_eq!(plan.skipped.len(), 3);
    assert_eq!(plan.skipped[0].why, Skip::Output { asked: 1500, has: 1000 });
}

#[test]
fn nobody_is_refused_for_a_guess() {
    let text = "word ".repeat(2000);
    for model in ["p/small", "alone"] {
        let router = limited().aliases([("alone", Alias::new(["p/small", "p/small"]))]);
        let body = format!(
            r#"{{"model":"{model}","max_tokens":5000,"messages":[{{"content":"{text}"}}]}}"#
        );
        assert_eq!(Request::new(CHAT, body).first(&router), "p/small");
    }
}

#[test]
fn media_do_not_count_as_text() {
    let data = "QUJD".repeat(10_000);
    let body = format!(
        r#"{{"model":"tight","messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}]}}"#
    );
    assert_eq!(Request::new(CHAT, body).first(&limited()), "p/small");
}

#[test]
fn who_has_nobody_is_told_why() {
    let tools = r#"{"model":"p/blind","tools":[{}]}"#;
    let refusal = Request::new(CHAT, tools).refusal(&limited());
    assert_eq!((refusal.class, refusal.param.as_deref()), (Class::InvalidRequest, Some("tools")));
    assert!(refusal.message.contains("`p/blind`: does not take tools"), "{}", refusal.message);
    let router = limited().aliases([("two", Alias::new(["p/blind", "p/blind"]))]);
    let image = r#"{"model":"two","messages":[{"content":[{"type":"image_url"}]}]}"#;
    let refusal = Request::new(CHAT, image).refusal(&router);
    assert_eq!(refusal.code, Some("no_fit_target"));
    assert!(refusal.message.contains("does not take images"), "{}", refusal.message);
}

#[test]
fn an_only_target_refuses_sounds_itself_and_is_not_sent_pictures_it_cannot_see() {
    let part =
        |kind| format!(r#"{{"model":"p/blind","messages":[{{"content":[{{"type":"{kind}"}}]}}]}}"#);
    assert_eq!(Request::new(CHAT, part("input_audio")).first(&limited()), "p/blind");
    let refusal = Request::new(CHAT, part("image_url")).refusal(&limited());
    assert!(refusal.message.contains("does not take images"), "{}", refusal.message);
}

#[test]
fn what_no_protocol_of_the_target_can_say_is_not_translated() {
    let router = Router::new([provider("a", &[MESSAGES]), provider("g", &[GEMINI])])
        .catalogue(Catalogue::empty())
        .translates(true)
        .aliases([("any", Alias::new(["a/m", "g/m"]))]);
    let audio = r#"{"model":"any","messages":[{"content":[{"type":"input_audio"}]}]}"#;
    let plan = Request::new(CHAT, audio).plan(&router).unwrap();
    assert_eq!(plan.skipped[0].why, Skip::Lacks("audio"));
    let stateful = r#"{"model":"any","input":"x","previous_response_id":"resp_1"}"#;
    let refusal = Request::new(RESPONSES, stateful).refusal(&router);
    assert!(refusal.message.contains("state"), "{}", refusal.message);
}
