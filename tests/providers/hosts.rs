//! Azure OpenAI, Vertex AI and Amazon Bedrock.

use std::fs;

use http::Request;
use http_body_util::Full;
use tollgate_testkit::{Answer, Received, Upstream};
use tollgate_tests::CLIENT_KEY;

use crate::gateway::{Logged, Seen, ask, chat, contents, messages, state, wrong};

/// Made for tests; opens nothing.
const KEY: &str = include_str!("../../crates/upstream/tests/fixtures/rsa.pem");

/// Shows a canary that must be nowhere but at the upstream.
const SECRET: &str = "canary-of-the-providers-account-0123456789";

/// Asks a gateway of this configuration, in which `URL` is the address of an upstream that answers
/// with what it was sent.
async fn echoed(text: &str, request: Request<Full<bytes::Bytes>>) -> (Received, Seen, String) {
    let logged = Logged::start();
    let upstream = Upstream::choose(|received| {
        let said = serde_json::json!({ "echo": format!("{:?}", received.headers) });
        Answer::json(200, said.to_string()).header("x-echo", header(received))
    });
    let (address, _guard) = upstream.clone().serve().await.unwrap();
    let state = state(&text.replace("URL", &format!("http://{address}")));
    let seen = ask(&state, request).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    (upstream.received().remove(0), seen, logged.text())
}

fn header(received: &Received) -> String {
    let shown = ["x-amz-security-token", "api-key", "authorization"];
    let shown = shown.iter().find_map(|name| received.headers.get(*name));
    shown.map_or("none", |value| value.to_str().unwrap()).to_owned()
}

/// Neither client nor log learns of the account, nor the upstream of the client's key.
fn assert_kept(received: &Received, seen: &Seen, logged: &str) {
    let told = format!("{:?} {} {logged}", seen.headers, seen.text);
    assert!(!told.contains(SECRET), "{told}");
    assert!(!logged.contains(CLIENT_KEY), "{logged}");
    let sent = format!("{} {:?}", received.uri, received.headers);
    assert!(!sent.contains(CLIENT_KEY), "{sent}");
}

#[tokio::test]
async fn azure_is_asked_at_its_v1_api_and_at_deployments_by_version() {
    let table = format!("[providers.azure]\nbase_url = \"URL\"\napi_key = \"{SECRET}\"\n");
    let (received, seen, logged) = echoed(&table, chat("azure")).await;
    assert_eq!(received.uri, "/openai/v1/chat/completions");
    assert_eq!(received.json()["model"], "m");
    assert_eq!(received.headers["api-key"], SECRET);
    assert!(!received.headers.contains_key("authorization"));
    assert_kept(&received, &seen, &logged);

    let table = format!("{table}api_version = \"2024-10-21\"\n");
    let (received, seen, logged) = echoed(&table, chat("azure")).await;
    assert_eq!(received.uri, "/openai/deployments/m/chat/completions?api-version=2024-10-21");
    assert_kept(&received, &seen, &logged);
}

#[tokio::test]
async fn bedrock_is_sent_wrapped_and_signed_requests() {
    let table = format!(
        "[providers.aws]\nkind = \"bedrock\"\nbase_url = \"URL\"\nregion = \"eu-west-1\"\n\
         access_key_id = \"AKID\"\nsecret_access_key = \"{SECRET}\"\n"
    );
    let (received, seen, logged) = echoed(&table, messages("aws")).await;
    assert_eq!(received.uri, "/model/m/invoke");
    assert_eq!(received.json()["anthropic_version"], "bedrock-2023-05-31");
    let shown = received.headers["authorization"].to_str().unwrap();
    assert!(shown.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{shown}");
    assert!(shown.contains("/eu-west-1/bedrock/aws4_request"), "{shown}");
    assert!(received.headers.contains_key("x-amz-date"));
    assert_kept(&received, &seen, &logged);

    let (table, token) =
        (table.replace(SECRET, "another"), format!("session_token = \"{SECRET}\"\n"));
    let (received, seen, logged) = echoed(&format!("{table}{token}"), messages("aws")).await;
    assert_eq!(received.headers["x-amz-security-token"], SECRET);
    let shown = received.headers["authorization"].to_str().unwrap();
    assert!(shown.contains("x-amz-security-token"), "it is signed too: {shown}");
    assert_kept(&received, &seen, &logged);
}

#[tokio::test]
async fn bedrock_is_shown_a_key_where_there_is_one() {
    let table = format!(
        "[providers.bedrock]\nbase_url = \"URL\"\nregion = \"eu-west-1\"\napi_key = \"{SECRET}\"\n"
    );
    let (received, seen, logged) = echoed(&table, messages("bedrock")).await;
    assert_eq!(received.headers["authorization"], format!("Bearer {SECRET}").as_str());
    assert!(!received.headers.contains_key("x-amz-date"), "nothing is signed");
    assert_kept(&received, &seen, &logged);
}

/// A table of Vertex AI, and the service its tokens are of.
async fn vertex(credentials: impl Fn(String) -> String) -> (String, Upstream, impl Drop) {
    let answer = format!("{{\"access_token\":\"{SECRET}\",\"expires_in\":3599}}");
    let tokens = Upstream::always(Answer::json(200, answer));
    let (address, guard) = tokens.clone().serve().await.unwrap();
    let account = serde_json::json!({
        "type": "service_account",
        "client_email": "gateway@p.iam.gserviceaccount.com",
        "private_key": KEY,
        "token_uri": format!("http://{address}/token"),
    });
    let table = format!(
        "[providers.vertex]\nbase_url = \"URL\"\nproject = \"p\"\nlocation = \"europe-west1\"\n\
         credentials = '''{}'''\n",
        credentials(account.to_string())
    );
    (table, tokens, guard)
}

#[tokio::test]
async fn vertex_is_shown_an_accounts_token_in_both_protocols() {
    let (table, tokens, _guard) = vertex(|json| json).await;
    let models = "/projects/p/locations/europe-west1/publishers";
    for (request, path) in [
        (contents("vertex"), format!("/v1beta1{models}/google/models/m:generateContent")),
        (messages("vertex"), format!("/v1{models}/anthropic/models/m:rawPredict")),
    ] {
        let (received, seen, logged) = echoed(&table, request).await;
        assert_eq!(received.uri, path.as_str());
        assert_eq!(received.headers["authorization"], format!("Bearer {SECRET}").as_str());
        assert!(seen.text.contains("Bearer ***"), "it was echoed: {}", seen.text);
        assert!(!received.headers.contains_key("x-goog-api-key"));
        assert_kept(&received, &seen, &logged);
        assert!(!format!("{} {logged}", seen.text).contains("PRIVATE KEY"));
    }
    let asked = tokens.received();
    assert_eq!((asked.len(), asked[0].uri.path()), (2, "/token"), "once for each gateway");
}

#[tokio::test]
async fn an_account_is_read_from_a_file_which_is_watched() {
    let file = format!("{}/account.json", env!("CARGO_TARGET_TMPDIR"));
    let write = |json| {
        fs::write(&file, json).unwrap();
        file.clone()
    };
    let (table, tokens, _guard) = vertex(write).await;
    let (received, ..) = echoed(&table, contents("vertex")).await;
    assert_eq!(received.headers["authorization"], format!("Bearer {SECRET}").as_str());
    assert_eq!(tokens.received().len(), 1);
    assert_eq!(
        crate::gateway::config(&table.replace("URL", "http://h")).files,
        [std::path::PathBuf::from(&file)]
    );
}

#[test]
fn what_a_host_needs_and_has_not_is_named_with_its_line() {
    for (text, expected) in [
        (
            "\n[providers.azure]\napi_key = \"k\"\n",
            "gateway.toml:2: `providers.azure.base_url`: is missing: the resource's address, like \
             `https://NAME.openai.azure.com`",
        ),
        (
            "[providers.azure]\nbase_url = \"https://n.openai.azure.com\"\n",
            "gateway.toml:1: `providers.azure.api_key`: is missing, and AZURE_OPENAI_API_KEY is not set",
        ),
        (
            "[providers.vertex]\nproject = \"p\"\n",
            "gateway.toml:1: `providers.vertex.location`: is missing, and GOOGLE_CLOUD_LOCATION is not \
             set: a region, or `global`",
        ),
        (
            "[providers.vertex]\nproject = \"p\"\nlocation = \"global\"\n\napi_key = \"k\"\n",
            "gateway.toml:5: `providers.vertex.api_key`: has no meaning for `vertex`, which is shown \
             tokens of `credentials`",
        ),
        (
            "[providers.vertex]\nproject = \"p\"\nlocation = \"l\"\ncredentials = \"/no/such/file\"\n",
            "gateway.toml:4: `providers.vertex.credentials`: the file of Google credentials cannot be read",
        ),
        (
            "[providers.aws]\nkind = \"bedrock\"\n",
            "gateway.toml:1: `providers.aws.region`: is missing, and AWS_REGION is not set",
        ),
        (
            "[providers.aws]\nkind = \"bedrock\"\nregion = \"r\"\naccess_key_id = \"i\"\n",
            "gateway.toml:1: `providers.aws.secret_access_key`: is missing",
        ),
        (
            "[providers.openai]\napi_key = \"k\"\nregion = \"r\"\n",
            "gateway.toml:3: `providers.openai.region`: has no meaning for `openai`",
        ),
        (
            "[providers.aws]\nkind = \"bedrock\"\nregion = \"r\"\nprotocols = [\"openai-chat\"]\n",
            "gateway.toml:4: `providers.aws.protocols[0]`: `bedrock` does not speak openai-chat",
        ),
    ] {
        assert_eq!(wrong(text), expected);
    }
}
