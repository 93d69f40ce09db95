use tollgate_route::Alias;

use crate::support::*;

#[test]
fn an_explanation_has_everything_a_plan_was_made_by() {
    let alias =
        Alias::new(["openai/gpt-5-mini", "groq/nobody-knows", "anthropic/claude-sonnet-4-5"]);
    let router = router().aliases([("fast", alias)]);
    let request =
        Request::new(CHAT, r#"{"model":"fast","provider":{"sort":"price"}}"#).by(&["fast"]);
    let explanation = router.explain(&request.ask());
    assert_eq!(explanation.canonical, "fast");
    assert!(explanation.steps[0].cost.is_some() && explanation.steps[1].cost.is_none());
    let text = explanation.to_string();
    for part in [
        "key: dev\n",
        "order: cost\n",
        "1. openai/gpt-5-mini at openai: by what this request costs there, score 0.00",
        "2. groq/nobody-knows at groq: its price is not known, price unknown\n",
        "-  anthropic/claude-sonnet-4-5: does not speak openai-chat\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_refusal_is_explained_too() {
    let text = router().explain(&Request::of(CHAT, "nobody/x").ask()).to_string();
    assert!(text.contains("refused (not_found): no model `nobody/x` here"), "{text}");
    assert!(text.contains("key: none"), "{text}");
}
