//! How a name leads to a model, and when it must not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use tollgate_catalog::{Catalogue, FoundBy, Origin, Status};

fn found(provider: &str, name: &str) -> Option<(String, FoundBy)> {
    let found = Catalogue::builtin().find(provider, name)?;
    Some((found.model.id.to_string(), found.by))
}

#[track_caller]
fn leads(provider: &str, name: &str, id: &str, by: FoundBy) {
    assert_eq!(found(provider, name), Some((id.to_owned(), by)), "{provider} {name}");
}

#[test]
fn each_rule_finds_what_the_ones_before_it_did_not() {
    leads("openai", "gpt-4o", "gpt-4o", FoundBy::Exact);
    leads("anthropic", "claude-opus-4-20250514", "claude-opus-4-0", FoundBy::Alias);
    leads("openai", "openai/gpt-4o", "gpt-4o", FoundBy::Prefix);
    leads("google", "models/gemini-2.5-flash", "gemini-2.5-flash", FoundBy::Prefix);
    leads("anthropic", "claude-haiku-5.5", "claude-haiku-5-5", FoundBy::Pattern);
    leads("openai", "gpt-5-mini-2027-01-31", "gpt-5-mini", FoundBy::Dated);
    leads("openrouter", "openai/gpt-4o", "openai/gpt-4o", FoundBy::Exact);
}

#[test]
fn a_name_that_only_begins_like_a_model_is_unknown() {
    for name in ["gpt-4o-ultra", "gpt-4", "gpt", "gpt-5-mini-2027-13-31", "", "openai/", "/gpt-4o"]
    {
        let known = Catalogue::builtin().models("openai").any(|model| model.id == name);
        assert_eq!(found("openai", name).is_some(), known, "{name}");
    }
    assert_eq!(found("nobody", "gpt-4o"), None);
    assert_eq!(found("anthropic", "claude-opus-99"), None);
}

#[test]
fn a_successor_is_not_taken_for_its_predecessor() {
    leads("anthropic", "claude-opus-5-5", "claude-opus-5-5", FoundBy::Exact);
    leads("anthropic", "claude-opus-5", "claude-opus-5", FoundBy::Exact);
}

#[test]
fn a_preset_goes_by_its_own_name() {
    leads("gemini", "gemini-2.5-flash", "gemini-2.5-flash", FoundBy::Exact);
    leads("gemini", "gemini/gemini-2.5-flash", "gemini-2.5-flash", FoundBy::Prefix);
    assert!(Catalogue::builtin().models("gemini").count() > 50);
}

#[test]
fn a_dated_id_is_sent_as_given_and_any_other_by_the_models_own() {
    let wire = |name| Catalogue::builtin().find("anthropic", name).unwrap().wire_id;
    assert_eq!(wire("claude-sonnet-4.5"), "claude-sonnet-4-5");
    assert_eq!(wire("claude-haiku-5-5-20261007"), "claude-haiku-5-5-20261007");
    assert_eq!(wire("anthropic/claude-sonnet-4-5"), "claude-sonnet-4-5");
}

#[test]
fn another_name_that_is_pinned_by_a_date_is_sent_as_given() {
    for (provider, name, wire) in [
        ("anthropic", "claude-opus-4-20250514", "claude-opus-4-20250514"),
        ("anthropic", "anthropic/claude-opus-4-20250514", "claude-opus-4-20250514"),
        ("openai", "gpt-5.5-2026-04-24", "gpt-5.5-2026-04-24"),
        ("openai", "gpt-4-0314", "gpt-4-0314"),
        ("mistral", "mistral-small-2506", "mistral-small-2506"),
        ("openai", "gpt-5-1-chat-2027-01-31", "gpt-5-1-chat-2027-01-31"),
        // Nothing is lost where its own id has the same date.
        ("mistral", "mistral-ocr-2503-completion", "mistral-ocr-2503"),
        ("openai", "gpt-5-1", "gpt-5.1"),
        ("anthropic", "claude-opus-4", "claude-opus-4-0"),
        ("xai", "grok-4", "grok-4-0709"),
    ] {
        let found = Catalogue::builtin().find(provider, name).unwrap();
        assert_eq!(found.wire_id, wire, "{provider} {name}");
    }
}

#[test]
fn a_bare_name_goes_to_its_lab_and_else_to_the_first_host_that_was_named() {
    let catalogue = Catalogue::builtin();
    let at = |name, providers: &[&str]| {
        let found = catalogue.find_anywhere(name, providers)?;
        Some(found.model.provider.to_string())
    };
    assert_eq!(at("gemini-2.5-flash", &[]).as_deref(), Some("google"));
    assert_eq!(at("gemini-2.5-flash", &["vertex", "gemini"]).as_deref(), Some("google"));
    assert_eq!(at("gemini-2.5-flash", &["vertex"]).as_deref(), Some("vertex"));
    assert_eq!(at("gpt-oss-120b", &["cerebras", "groq"]).as_deref(), Some("cerebras"));
    assert_eq!(at("gpt-99", &[]), None);
}

#[test]
fn what_is_known_of_a_model_becomes_its_capabilities() {
    let caps = |name| Catalogue::builtin().find("anthropic", name).unwrap().model.caps();
    let haiku = caps("claude-haiku-5-5");
    assert_eq!(haiku.context_window, Some(1_000_000));
    assert_eq!(haiku.max_output_tokens, Some(128_000));
    assert_eq!((haiku.tools, haiku.image_in, haiku.pdf_in), (Some(true), Some(true), Some(true)));
    assert_eq!(haiku.audio_in, None, "nobody says");
}

#[test]
fn retired_models_stay_for_old_usage() {
    let found = Catalogue::builtin().find("google", "gemini-3-pro-preview").unwrap();
    assert_eq!(found.model.status, Status::Retired);
    assert!(found.model.is_priced());
}

#[test]
fn a_file_goes_over_the_built_in_models_one_by_one() {
    let file = r#"{"schema": "tollgate-prices/1", "priced_at": "2027-02-01", "models": [
        {"provider": "openai", "id": "gpt-4o", "rates": {"input": "2"}},
        {"provider": "openai", "id": "gpt-99", "aliases": ["next"], "match": ["^gpt-99-"],
         "rates": {"input": "9"}},
        {"provider": "acme", "id": "one", "rates": {"input": "1"}}]}"#;
    let catalogue = Catalogue::builtin().with_file(file).unwrap();
    let found = |provider: &str, name: &str| {
        let found = catalogue.find(provider, name)?;
        Some((found.model.id.to_string(), found.by, found.origin))
    };
    let own = |id: &str, by| Some((id.to_owned(), by, Origin::File));
    assert_eq!(found("openai", "gpt-4o"), own("gpt-4o", FoundBy::Exact));
    assert_eq!(found("openai", "next"), own("gpt-99", FoundBy::Alias));
    assert_eq!(found("openai", "gpt-99-turbo"), own("gpt-99", FoundBy::Pattern));
    assert_eq!(found("acme", "acme/one"), own("one", FoundBy::Prefix));
    let untouched = found("openai", "gpt-4o-mini").unwrap();
    assert_eq!(untouched.2, Origin::Builtin);
    assert!(catalogue.providers().any(|provider| provider == "acme"));
    assert!(catalogue.version().ends_with(" + 2027-02-01"));
}

#[test]
fn a_file_with_a_fault_is_not_taken_at_all() {
    let with = |models: &str| {
        let file = format!(r#"{{"schema": "tollgate-prices/1", "models": [{models}]}}"#);
        Catalogue::builtin().with_file(&file).unwrap_err().to_string()
    };
    assert_eq!(
        with(r#"{"provider": "a", "id": "b"}, {"provider": "a", "id": "b"}"#),
        "model a/b: is there twice"
    );
    assert_eq!(
        with(r#"{"provider": "a", "id": "b", "match": ["b"]}"#),
        "model a/b: match: \"b\" does not begin with ^"
    );
    assert_eq!(
        with(r#"{"provider": "a", "id": "b", "off_peak": {"schedule": "night", "rates": {}}}"#),
        "model a/b: off_peak.schedule: \"night\" is not defined"
    );
    assert_eq!(
        with(
            r#"{"provider": "a", "id": "b", "aliases": ["x"]}, {"provider": "a", "id": "c", "aliases": ["x"]}"#
        ),
        "model a/c: aliases: \"x\" is b already"
    );
}

#[test]
fn litellms_map_is_taken_as_it_is() {
    let map = r#"{"gpt-4o": {"litellm_provider": "openai", "mode": "chat",
        "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05}}"#;
    let catalogue = Catalogue::empty().with_file(map).unwrap();
    let amounts = catalogue.find("openai", "gpt-4o").unwrap().model.amounts();
    assert_eq!(amounts[0].1.to_string(), "2.5");
    assert_eq!(amounts[1].1.to_string(), "10");
}
