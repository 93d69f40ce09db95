use tollgate_core::{Class, Plan, Protocol, Skip};
use tollgate_route::{Alias, DataPolicy, Router};

use crate::support::*;

/// Four providers that speak everything, and OpenRouter.
fn open() -> Router {
    let all = &Protocol::ALL[..];
    let own = provider("own", all).data(DataPolicy::OWN);
    Router::new([
        provider("openai", all),
        provider("groq", all),
        own,
        provider("openrouter", &[CHAT, RESPONSES, MESSAGES]),
    ])
    .aliases([
        ("fast", Alias::new(["openai/gpt-5-mini", "groq/llama-3.1-8b-instant", "own/m"])),
        ("mixed", Alias::new(["openai/gpt-5-mini", "openrouter/openai/gpt-5-mini"])),
        ("relayed", Alias::new(["openrouter/openai/gpt-5-mini", "openrouter/x/y"])),
    ])
    .random(numbers(1))
}

fn wishing(protocol: Protocol, model: &str, wishes: &str) -> Request {
    match protocol == GEMINI {
        true => {
            Request::to(&format!("/v1beta/models/{model}:generateContent"), format!("{{{wishes}}}"))
        }
        false => Request::new(protocol, format!(r#"{{"model":"{model}",{wishes}}}"#)),
    }
}

fn asked(wishes: &str) -> Vec<String> {
    wishing(CHAT, "fast", wishes).targets(&open())
}

fn skips(wishes: &str) -> Vec<Skip> {
    let plan = wishing(CHAT, "fast", wishes).plan(&open()).unwrap();
    plan.skipped.into_iter().map(|skipped| skipped.why).collect()
}

#[test]
fn they_are_heard_in_each_protocol_and_taken_out_of_the_body() {
    for protocol in Protocol::ALL {
        let request = wishing(protocol, "fast", r#""provider":{"only":["groq"]}"#);
        let plan = request.plan(&open()).unwrap();
        assert_eq!(request.targets(&open()), ["groq/llama-3.1-8b-instant"], "{protocol}");
        assert_eq!(plan.removes, ["provider", "models"]);
        let plain = wishing(protocol, "fast", r#""x":1"#).plan(&open()).unwrap();
        assert!(plain.removes.is_empty());
    }
}

#[test]
fn each_bounds_or_orders_the_targets() {
    let (o, g, w) = ("openai/gpt-5-mini", "groq/llama-3.1-8b-instant", "own/m");
    for (wishes, expected) in [
        (r#""provider":{"order":["own","Groq"]}"#, &[w, g, o][..]),
        (r#""provider":{"order":["own/m"],"allow_fallbacks":false}"#, &[w]),
        (r#""provider":{"allow_fallbacks":false}"#, &[o]),
        (r#""provider":{"only":["own","openai"]}"#, &[o, w]),
        (r#""provider":{"ignore":["groq/llama-3.1-8b-instant"]}"#, &[o, w]),
        (r#""provider":{"routing":"cost"}"#, &[g, o, w]),
        (r#""provider":{"sort":"price"}"#, &[g, o, w]),
        (r#""provider":{"max_price":{"prompt":0.1}}"#, &[g]),
        (r#""provider":{"max_price":{"completion":"0.5"}}"#, &[g]),
        (r#""provider":{"data_collection":"deny"}"#, &[w]),
        (r#""provider":{"zdr":true}"#, &[w]),
        (r#""models":["own/n","groq/llama-3.1-8b-instant"]"#, &[o, g, w, "own/n"]),
        (r#""provider":{"fallback":["own/n"]}"#, &[o, g, w, "own/n"]),
        (r#""provider":{"require_parameters":true}"#, &[o, g, w]),
        (r#""provider":null,"models":null"#, &[o, g, w]),
    ] {
        assert_eq!(asked(wishes), expected, "{wishes}");
    }
}

#[test]
fn who_is_left_out_is_so_for_a_reason() {
    assert_eq!(skips(r#""provider":{"only":["own","openai"]}"#), [Skip::Unwanted("only")]);
    assert_eq!(skips(r#""provider":{"zdr":true}"#), [Skip::DataPolicy, Skip::DataPolicy]);
    let dear = skips(r#""provider":{"max_price":{"prompt":0.1}}"#);
    assert_eq!(dear, [Skip::TooDear("input", "0.25".into()), Skip::PriceUnknown]);
    let alone = skips(r#""provider":{"allow_fallbacks":false}"#);
    assert_eq!(alone, [Skip::Unwanted("allow_fallbacks"), Skip::Unwanted("allow_fallbacks")]);
}

#[test]
fn wishes_nobody_can_grant_are_refused_with_the_reason() {
    for (wishes, class, param) in [
        (r#""provider":{"max_price":{"prompt":0}}"#, Class::NotFound, "provider.max_price"),
        (r#""provider":{"only":["anthropic"]}"#, Class::InvalidRequest, "provider.only[0]"),
        (r#""provider":{"ignore":["openai","own","groq"]}"#, Class::NotFound, "provider.ignore"),
        (r#""provider":{"only":"groq"}"#, Class::InvalidRequest, "provider.only"),
        (r#""provider":{"fallbacks":["x"]}"#, Class::InvalidRequest, "provider.fallbacks"),
        (r#""provider":{"fallback":["nobody/x"]}"#, Class::InvalidRequest, "provider.fallback[0]"),
        (r#""models":["own/n","nobody/x"]"#, Class::InvalidRequest, "models[1]"),
    ] {
        let refusal = wishing(CHAT, "fast", wishes).refusal(&open());
        assert_eq!((refusal.class, refusal.param.as_deref()), (class, Some(param)), "{wishes}");
    }
}

#[test]
fn a_header_is_as_good_and_leaves_the_body_alone() {
    let body = r#""provider":{"only":["openai"]},"models":"whatever""#;
    let request = wishing(CHAT, "fast", body).wishing(r#"{"provider":{"only":["groq"]}}"#);
    let plan = request.plan(&open()).unwrap();
    assert_eq!(request.targets(&open()), ["groq/llama-3.1-8b-instant"]);
    assert!(plan.removes.is_empty());
    let refusal = wishing(CHAT, "fast", body).wishing("{").refusal(&open());
    assert!(refusal.message.contains("x-tollgate-route"), "{}", refusal.message);
}

/// What OpenRouter gets in the members of the body.
fn members(plan: &Plan) -> Vec<String> {
    let relayed = plan.chosen.iter().filter(|step| &*step.target.kind == "openrouter");
    relayed
        .flat_map(|step| step.target.members.iter())
        .map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value)))
        .collect()
}

#[test]
fn openrouter_gets_what_is_its_business() {
    for (model, wishes, kept) in [
        // Somebody else is asked too: its own words, and names that are nobody's here.
        (
            "mixed",
            r#""provider":{"sort":"price","quantizations":["fp8"],"routing":"cost"}"#,
            &[r#"provider={"sort":"price","quantizations":["fp8"]}"#][..],
        ),
        (
            "mixed",
            r#""provider":{"order":["openai","deepinfra"]},"models":["groq/x","x/y"]"#,
            &[r#"provider={"order":["deepinfra"]}"#, r#"models=["x/y"]"#],
        ),
        ("mixed", r#""provider":{"routing":"cost"}"#, &[]),
        // It alone: all but our own words.
        (
            "openrouter/x/y",
            r#""provider":{"only":["openai"],"fallback":["openrouter/z"]}"#,
            &[r#"provider={"only":["openai"]}"#, r#"provider={"only":["openai"]}"#],
        ),
    ] {
        let plan = wishing(CHAT, model, wishes).plan(&open()).unwrap();
        assert_eq!(members(&plan), kept, "{model} {wishes}");
        assert!(!plan.removes.is_empty());
        let others = plan.chosen.iter().filter(|step| &*step.target.kind != "openrouter");
        assert!(others.into_iter().all(|step| step.target.members.is_empty()));
    }
}

#[test]
fn who_is_not_told_how_to_handle_data_is_not_asked() {
    let denies = r#"{"provider":{"data_collection":"deny"}}"#;
    let told = wishing(CHAT, "relayed", r#""provider":{"data_collection":"deny"}"#);
    assert_eq!(told.targets(&open()).len(), 2);
    let untold = wishing(CHAT, "relayed", r#""x":1"#).wishing(denies).refusal(&open());
    assert_eq!((untold.class, untold.param.as_deref()), (Class::NotFound, Some("provider")));
}

#[test]
fn where_only_openrouter_is_asked_its_wishes_keep_every_byte() {
    for wishes in [
        r#""provider":{"order":["deepinfra","openai"],"zdr":true,"unheard_of":1}"#,
        r#""models":["x/y","z/w"]"#,
    ] {
        for model in ["openrouter/x/y", "relayed"] {
            let plan = wishing(CHAT, model, wishes).plan(&open()).unwrap();
            assert!(plan.removes.is_empty() && members(&plan).is_empty(), "{model} {wishes}");
        }
    }
}
