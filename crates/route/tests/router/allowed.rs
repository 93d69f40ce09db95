use proptest::prelude::*;
use tollgate_core::{Class, Skip};
use tollgate_route::{Alias, Order, Router};

use crate::support::*;

fn aliased() -> Router {
    router().aliases([("fast", Alias::new(["openai/gpt-5-mini", "groq/llama-3.1-8b-instant"]))])
}

#[test]
fn canonical_names_are_aliases_or_provider_and_model() {
    let router = aliased();
    let canonical = |asked| router.canonical(asked, CHAT).into_owned();
    assert_eq!(canonical("gpt-5"), "openai/gpt-5");
    assert_eq!(canonical("google/flash"), "gemini/flash");
    assert_eq!(canonical("fast"), "fast");
    assert_eq!(canonical("nobody/x"), "nobody/x");
}

#[test]
fn who_may_use_the_alias_may_use_its_targets() {
    let asked = Request::of(CHAT, "fast").by(&["fast"]).targets(&aliased());
    assert_eq!(asked, ["openai/gpt-5-mini", "groq/llama-3.1-8b-instant"]);
}

#[test]
fn who_may_not_gets_only_the_targets_the_list_covers() {
    let plan = Request::of(CHAT, "fast").by(&["groq/*"]).plan(&aliased()).unwrap();
    assert_eq!(plan.chosen.len(), 1);
    assert_eq!(plan.skipped[0].why, Skip::NotAllowed);
    for (asked, models) in [("fast", &["x"][..]), ("openai/gpt-5", &["groq/*"])] {
        let refusal = Request::of(CHAT, asked).by(models).refusal(&aliased());
        assert_eq!(refusal.class, Class::Permission);
        assert_eq!(refusal.code, Some("model_not_allowed"));
        assert_eq!(refusal.param.as_deref(), Some("model"));
    }
}

#[test]
fn either_spelling_of_a_model_is_covered() {
    for list in ["anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"] {
        let request = Request::of(MESSAGES, "claude-sonnet-4.5").by(&[list]);
        assert_eq!(request.first(&router()), "anthropic/claude-sonnet-4-5");
    }
}

#[test]
fn wishes_are_bound_by_the_list() {
    let body = r#"{"model":"openai/gpt-5","models":["groq/llama-3.1-8b-instant","openai/gpt-5-mini"],
        "provider":{"fallback":["fast"]}}"#;
    let request = Request::new(CHAT, body).by(&["openai/*"]);
    assert_eq!(request.targets(&aliased()), ["openai/gpt-5", "openai/gpt-5-mini"]);
    let request = Request::new(CHAT, body).by(&["openai/gpt-5", "fast"]);
    let expected = ["openai/gpt-5", "openai/gpt-5-mini", "groq/llama-3.1-8b-instant"];
    assert_eq!(request.targets(&aliased()), expected);
}

proptest! {
    #[test]
    fn never_a_target_the_key_may_not_use(
        list in prop::collection::vec(
            prop::sample::select(vec![
                "openai/*", "groq/*", "openai/gpt-5", "openai/gpt-5-mini", "fast", "nothing",
            ]),
            0..4,
        ),
        asked in prop::sample::select(vec!["fast", "openai/gpt-5", "gpt-5-mini"]),
        wished in prop::collection::vec(
            prop::sample::select(vec!["fast", "openai/gpt-5", "groq/x", "gpt-5-mini"]),
            0..3,
        ),
        order in prop::sample::select(Order::ALL.to_vec()),
    ) {
        let wished: Vec<_> = wished.iter().map(|name| format!("{name:?}")).collect();
        let body = format!(
            r#"{{"model":"{asked}","models":[{}],"provider":{{"routing":"{order}"}}}}"#,
            wished.join(",")
        );
        let request = Request::new(CHAT, body.clone()).by(&list);
        let by_alias = list.contains(&"fast") && body.contains("\"fast\"");
        let alias = ["openai/gpt-5-mini", "groq/llama-3.1-8b-instant"];
        let allowed = tollgate_core::AllowedModels::only(list.iter().copied());
        match request.plan(&aliased()) {
            Ok(plan) => for step in &plan.chosen {
                let name = step.target.name();
                let listed = allowed.allows(&name) || (by_alias && alias.contains(&&*name));
                prop_assert!(listed, "{name} {list:?} {body}");
            },
            Err(refusal) => prop_assert_eq!(refusal.class, Class::Permission),
        }
    }
}
