use std::sync::Arc;

use tollgate_core::{Board, Class, Ejection, KeyId, Operation, Principal, Scope};
use tollgate_route::{Alias, Router};

use crate::support::*;

fn aliased() -> Router {
    let mut local = provider("local", &[CHAT]).models(["qwen3:latest", "meta/llama-3"]);
    local.discover = true;
    let mut providers = router().providers().to_vec();
    providers.push(local);
    Router::new(providers).aliases([
        ("fast", Alias::new(["gemini/flash", "local/mini"])),
        ("gpt-*", Alias::new(["groq/openai/gpt-*"])),
        ("gpt-4o*", Alias::new(["openai/gpt-4o*"])),
        ("*", Alias::new(["local/*"])),
    ])
}

#[test]
fn names_mean_targets() {
    for (protocol, asked, target) in [
        // `provider/model`, also by another name of the provider.
        (CHAT, "openai/gpt-5.2", "openai/gpt-5.2"),
        (CHAT, "local/llama/3", "local/llama/3"),
        (GEMINI, "google/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
        // The catalogue's id is what is sent, a dated one as given.
        (MESSAGES, "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
        (MESSAGES, "claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
        (MESSAGES, "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5-20250929"),
        (MESSAGES, "claude-opus-4-20250514", "anthropic/claude-opus-4-20250514"),
        (CHAT, "openai/gpt-4o-2024-08-06", "openai/gpt-4o-2024-08-06"),
        (CHAT, "openai/gpt-5.5-2026-04-24", "openai/gpt-5.5-2026-04-24"),
        (CHAT, "openai/gpt-5-1", "openai/gpt-5.1"),
        (CHAT, "openai/ft:gpt-4o-mini-2024-07-18:me::x", "openai/ft:gpt-4o-mini-2024-07-18:me::x"),
        // Bare names go to the lab, else to who has them.
        (GEMINI, "gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        (CHAT, "qwen3", "local/qwen3"),
        (CHAT, "meta/llama-3", "local/meta/llama-3"),
        // Aliases; patterns by how much they say.
        (CHAT, "fast", "local/mini"),
        (GEMINI, "fast", "gemini/flash"),
        (CHAT, "gpt-oss-20b", "groq/openai/gpt-oss-20b"),
        (CHAT, "gpt-4o-mini", "openai/gpt-4o-mini"),
        (CHAT, "whatever", "local/whatever"),
    ] {
        assert_eq!(Request::of(protocol, asked).first(&aliased()), target, "{protocol} {asked}");
    }
}

#[test]
fn what_nobody_knows_goes_to_who_speaks_the_protocol() {
    let router = router();
    assert_eq!(Request::of(CHAT, "gpt-99").first(&router), "openai/gpt-99");
    assert_eq!(Request::of(GEMINI, "flash").first(&router), "gemini/flash");
}

#[test]
fn refusals_name_what_is_wrong_and_what_is_near() {
    let router = router().aliases([("fast", Alias::new(["openai/gpt-5"]))]);
    let unknown = Request::of(CHAT, "opnai/gpt-5").refusal(&router);
    assert_eq!((unknown.class, unknown.param.as_deref()), (Class::NotFound, Some("model")));
    assert!(unknown.message.contains("did you mean `openai/gpt-5`?"), "{}", unknown.message);
    assert!(unknown.message.contains("`anthropic/…`"), "{}", unknown.message);
    let none = Request::of(CHAT, "zzz/qqq").refusal(&router);
    assert!(!none.message.contains("did you mean"), "{}", none.message);
    let foreign = Request::of(GEMINI, "openai/gpt-5").refusal(&router);
    assert_eq!(foreign.class, Class::InvalidRequest);
    assert_eq!(foreign.message, "provider `openai` does not speak gemini");
    assert_eq!(Request::of(CHAT, "openai/").refusal(&router).class, Class::NotFound);
}

#[test]
fn a_translator_makes_every_provider_reachable() {
    let router = router().translates(true);
    let plan = Request::of(CHAT, "claude-sonnet-4.5").plan(&router).unwrap();
    assert_eq!(plan.first().unwrap().protocol, MESSAGES);
    let plan = Request::of(RESPONSES, "openai/gpt-5").plan(&router).unwrap();
    assert_eq!(plan.first().unwrap().protocol, RESPONSES, "its own protocol goes first");
}

#[test]
fn what_a_protocol_cannot_do_is_not_asked_of_it() {
    let router = router().translates(true);
    let embed = |name| Request::of(CHAT, name).operation(Operation::Embed);
    let refusal = embed("anthropic/claude-sonnet-4-5").refusal(&router);
    assert!(refusal.message.contains("no operation `embed`"), "{}", refusal.message);
    let plan = embed("gemini/gemini-embedding-001").plan(&router).unwrap();
    assert_eq!(plan.first().unwrap().protocol, GEMINI);
    let count = Request::of(MESSAGES, "openai/gpt-5").operation(Operation::CountTokens);
    assert_eq!(count.plan(&router).unwrap().first().unwrap().protocol, RESPONSES);
}

#[test]
fn each_key_is_a_deployment_and_all_of_them_are_asked() {
    let one = provider("openai", &[CHAT]).deployments(["openai#1", "openai#2", "openai#3"]);
    let router = Router::new([one]).random(numbers(7));
    let mut asked = Request::of(CHAT, "openai/gpt-5").targets(&router);
    asked.sort();
    assert_eq!(asked, ["openai#1/gpt-5", "openai#2/gpt-5", "openai#3/gpt-5"]);
    let plan = Request::of(CHAT, "openai/gpt-5").plan(&router).unwrap();
    let target = plan.first().unwrap();
    assert_eq!(target.credential.as_ref(), Some(&target.deployment));
}

#[test]
fn what_was_learned_of_a_provider_stays_while_it_is_where_it_was() {
    let mut before = aliased();
    let local = before.provider("local").unwrap().clone();
    let models = ["new"].map(Arc::from);
    assert!(before.learn(&local, &models) && !before.learn(&local, &models));
    assert_eq!(Request::of(CHAT, "new").first(&before), "local/new");
    let (mut same, mut moved) = (aliased(), aliased());
    same.remember(&before);
    let mut providers = moved.providers().to_vec();
    providers[4].endpoints[0].base_url = http::Uri::from_static("http://elsewhere.test");
    moved = Router::new(providers);
    moved.remember(&before);
    let known = |router: &Router| router.provider("local").unwrap().models.len();
    assert_eq!((known(&same), known(&moved)), (1, 2));
}

#[test]
fn lists_show_what_the_key_may_use() {
    let mut principal = Principal::new(KeyId::new("k"), "k");
    principal.models = tollgate_core::AllowedModels::only(["fast", "local/*"]);
    let listed = aliased().list(Some(&principal)).into_iter().map(|card| card.id);
    let expected = ["fast", "local/qwen3:latest", "local/meta/llama-3"];
    assert_eq!(listed.collect::<Vec<_>>(), expected);
    assert_eq!(aliased().describe("google/x", GEMINI).unwrap().owner, "gemini");
    assert!(router().describe("nobody/x", GEMINI).is_none());
}

#[test]
fn lists_show_what_the_catalogue_has_a_price_for() {
    let router = router().aliases([("gpt-4o*", Alias::new(["openai/gpt-4o*"]))]);
    let ids: Vec<_> = router.list(None).into_iter().map(|card| card.id).collect();
    for id in ["openai/gpt-5.2", "gpt-5.2", "anthropic/claude-sonnet-4-5", "openai/gpt-4o"] {
        assert_eq!(ids.iter().filter(|one| *one == id).count(), 1, "{id}");
    }
    assert!(!ids.iter().any(|id| id == "gpt-4o-mini"), "it is the alias' now");
    assert!(!ids.iter().any(|id| id.contains('*')));
    let mut principal = Principal::new(KeyId::new("k"), "k");
    principal.models = tollgate_core::AllowedModels::only(["anthropic/claude-sonnet-4-5"]);
    let listed = router.list(Some(&principal)).into_iter().map(|card| card.id);
    let expected = ["anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"];
    assert_eq!(listed.collect::<Vec<_>>(), expected);
    assert!(router.describe("gpt-5.2", CHAT).unwrap().max_output_tokens.is_some());
    assert!(router.describe("nope-nope", CHAT).is_none(), "it might be new, but nobody knows");
    assert_eq!(Request::of(CHAT, "nope-nope").first(&router), "openai/nope-nope");
}

#[test]
fn what_names_no_model_goes_to_the_first_deployment_that_is_not_set_aside() {
    let now = std::time::Instant::now();
    let (board, provider) = (Board::new(), provider("openai", &[CHAT]).deployments(["a", "b"]));
    let first = || provider.without_model(CHAT, &board, now).unwrap();
    assert_eq!(&*first().deployment, "a");
    let hour = now + std::time::Duration::from_secs(3600);
    let set_aside = || {
        let ejection = Ejection::new(Class::Auth, now, hour);
        board.of(&first()).eject(Scope::Deployment, ejection);
    };
    set_aside();
    assert_eq!(&*first().deployment, "b");
    set_aside();
    assert_eq!(&*first().deployment, "a", "somebody says that all are");
}
