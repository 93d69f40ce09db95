//! Models of servers on the user's own machine.

use http::Request;
use http_body_util::Full;
use tollgate_gateway::{Discovery, Leaf};
use tollgate_testkit::{Answer, Upstream};
use tollgate_tests::CLIENT_KEY;

use crate::gateway::{ask, chat_for, state, wrong};

#[tokio::test]
async fn models_of_a_local_server_are_listed_and_bare_names_go_to_it() {
    let far = Upstream::always(Answer::json(200, "{}"));
    let (far_at, _first) = far.clone().serve().await.unwrap();
    let local = Upstream::choose(|request| match request.uri.path() {
        "/v1/models" => Answer::json(200, r#"{"data":[{"id":"qwen3:8b"},{"id":"org/gpt-oss"}]}"#),
        _ => Answer::json(200, "{}"),
    });
    let (local_at, _second) = local.clone().serve().await.unwrap();
    let state = state(&format!(
        "[providers.openai]\napi_key = \"k\"\nbase_url = \"http://{far_at}/v1\"\n\
         [providers.ollama]\nbase_url = \"http://{local_at}/v1\"\n"
    ));
    Discovery::new(state.clone(), Leaf::new(state.clone())).refresh().await;

    let list = Request::get("/v1/models").header("authorization", format!("Bearer {CLIENT_KEY}"));
    let listed = ask(&state, list.body(Full::default()).unwrap()).await.text;
    assert!(listed.contains("\"ollama/qwen3:8b\""), "{listed}");
    assert!(listed.contains("\"ollama/org/gpt-oss\""), "{listed}");

    for (asked, target) in [
        ("qwen3:8b", "ollama/qwen3:8b"),
        ("org/gpt-oss", "ollama/org/gpt-oss"),
        ("ollama/another", "ollama/another"),
        ("gpt-5", "openai/gpt-5"),
    ] {
        let seen = ask(&state, chat_for(asked)).await;
        assert_eq!(seen.headers["x-tollgate-target"], target);
    }
    assert_eq!(far.received().len(), 1);
    let sent = local.received();
    assert_eq!((sent.len(), &sent[1].json()["model"]), (4, &"qwen3:8b".into()));
}

#[test]
fn who_speaks_no_openai_protocol_cannot_be_asked() {
    let text = "[providers.x]\nkind = \"anthropic-compatible\"\nbase_url = \"http://h\"\ndiscover = true\n";
    let message = wrong(text);
    assert!(message.starts_with("gateway.toml:4: `providers.x.discover`: "), "{message}");
}
