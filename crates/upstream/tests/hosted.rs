//! Hosts with paths, bodies and credentials of their own.

#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use tollgate_core::{
    Body, Cause, Class, Failure, Protocol, Refusal, Secret, Sent, Shown, Target, Transport,
};
use tollgate_testkit::{Answer, Upstream as Fake};
use tollgate_upstream::{
    AwsKeys, GoogleAccount, GoogleToken, InvalidAccount, Proxies, SigV4, Upstream, UpstreamBody,
};
use tower::ServiceExt;

/// Made for this test; opens nothing.
const KEY: &str = include_str!("fixtures/rsa.pem");

fn target(addr: SocketAddr, protocol: Protocol, transport: Transport) -> Arc<Target> {
    let mut target = Target::new("fake", protocol, "m", format!("http://{addr}").parse().unwrap());
    target.transport = transport;
    Arc::new(target)
}

fn vertex(addr: SocketAddr) -> Arc<Target> {
    let transport = Transport::VertexAnthropic { project: "p".into(), location: "l".into() };
    target(addr, Protocol::AnthropicMessages, transport)
}

fn bedrock(addr: SocketAddr) -> Arc<Target> {
    let transport = Transport::BedrockInvoke { region: "eu-west-1".into() };
    target(addr, Protocol::AnthropicMessages, transport)
}

async fn ask(upstream: &Upstream, path: &str, target: Arc<Target>) -> Response<UpstreamBody> {
    // A body nobody has read: the leaf alone reads it.
    let body = Full::from("{\"model\":\"x\",\"stream\":true,\"max_tokens\":1}");
    let request = Request::post(path).header("content-type", "application/json");
    upstream.clone().oneshot(request.extension(target).body(body).unwrap()).await.unwrap()
}

async fn text(answer: Response<UpstreamBody>) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn azures_deployments_are_asked_at_their_paths() {
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let transport = Transport::AzureDeployments { api_version: "2024-10-21".into() };
    let target = target(addr, Protocol::OpenAiChat, transport);
    let request = Request::post("/openai/v1/chat/completions").extension(target);
    let request = request.body(Body::from("{\"model\":\"m\"}")).unwrap();
    Upstream::new().oneshot(request).await.unwrap();
    let seen = &fake.received()[0];
    assert_eq!(seen.uri, "/openai/deployments/m/chat/completions?api-version=2024-10-21");
    assert_eq!(seen.body(), "{\"model\":\"m\"}");
}

#[tokio::test]
async fn a_request_to_bedrock_is_wrapped_and_then_signed() {
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let keys = AwsKeys::new("AKID", Secret::new("hidden"));
    let signer = Arc::new(SigV4::bedrock(keys, "eu-west-1"));
    let upstream = Upstream::builder().signer("fake", signer).build();
    assert!(ask(&upstream, "/v1/messages", bedrock(addr)).await.status().is_success());
    let seen = &fake.received()[0];
    assert_eq!(seen.uri, "/model/m/invoke-with-response-stream");
    assert_eq!(seen.body(), "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":1}");
    let shown = seen.headers["authorization"].to_str().unwrap();
    assert!(shown.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{shown}");
    assert!(shown.contains("/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;"));
    assert!(seen.headers.contains_key("x-amz-date"));
}

#[tokio::test]
async fn counting_tokens_at_bedrock_is_refused_without_asking() {
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let answer = ask(&Upstream::new(), "/v1/messages/count_tokens", bedrock(addr)).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(answer.extensions().get::<Refusal>().is_some() && fake.received().is_empty());
}

fn account(token_service: SocketAddr) -> GoogleAccount {
    let file = serde_json::json!({
        "type": "service_account",
        "client_email": "gateway@p.iam.gserviceaccount.com",
        "private_key": KEY,
        "token_uri": format!("http://{token_service}/token"),
    });
    GoogleAccount::from_json(&file.to_string()).unwrap()
}

fn direct() -> Upstream {
    Upstream::builder().proxy(Proxies::none()).build()
}

#[tokio::test]
async fn vertex_is_shown_a_token_that_is_fetched_once() {
    let tokens = Fake::always(Answer::json(200, "{\"access_token\":\"t1\",\"expires_in\":3599}"));
    let (token_service, _guard) = tokens.clone().serve().await.unwrap();
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let signer = Arc::new(GoogleToken::new(account(token_service), direct()));
    let upstream = Upstream::builder().signer("fake", signer).build();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let upstream = upstream.clone();
        asking.spawn(async move { ask(&upstream, "/v1/messages", vertex(addr)).await.status() });
    }
    assert_eq!(asking.join_all().await, [StatusCode::OK; 4]);
    assert_eq!(tokens.received().len(), 1);
    let answer = ask(&upstream, "/v1/messages", vertex(addr)).await;
    let Shown(secret) = answer.extensions().get().unwrap();
    assert_eq!(secret.expose(), "t1", "whoever masks echoes is told");
    let seen = &fake.received()[0];
    assert_eq!(seen.headers["authorization"], "Bearer t1");
    let models = "/v1/projects/p/locations/l/publishers/anthropic/models";
    assert_eq!(seen.uri, format!("{models}/m:streamRawPredict").as_str());
    assert!(
        seen.body().starts_with(b"{\"anthropic_version\":\"vertex-2023-10-16\",\"stream\":true")
    );
    assert_assertion(&tokens.received()[0].body(), &format!("http://{token_service}/token"));
}

/// The token service was sent what the account's key signed.
fn assert_assertion(form: &Bytes, audience: &str) {
    let form = String::from_utf8(form.to_vec()).unwrap();
    let (kind, assertion) = form.split_once("&assertion=").unwrap();
    assert_eq!(kind, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant%2Dtype%3Ajwt%2Dbearer");
    let assertion = assertion.replace("%2E", ".").replace("%2D", "-").replace("%5F", "_");
    let (text, signature) = assertion.rsplit_once('.').unwrap();
    let der = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(text.as_bytes(), &signature).expect("signed by the account");
    let claims = URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "gateway@p.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], audience);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
}

#[tokio::test]
async fn a_token_about_to_end_is_renewed_and_an_old_one_serves_while_it_cannot_be() {
    let tokens = Fake::queue([
        Answer::json(200, "{\"access_token\":\"t1\",\"expires_in\":60}"),
        Answer::json(500, "{}"),
        Answer::json(200, "{\"access_token\":\"t2\",\"expires_in\":3600}"),
    ]);
    let (token_service, _guard) = tokens.clone().serve().await.unwrap();
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let signer = Arc::new(GoogleToken::new(account(token_service), direct()));
    let upstream = Upstream::builder().signer("fake", signer).build();
    for expected in ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"] {
        ask(&upstream, "/v1/messages", vertex(addr)).await;
        assert_eq!(fake.received().pop().unwrap().headers["authorization"], expected);
    }
    assert_eq!(tokens.received().len(), 3);
}

#[tokio::test]
async fn without_a_token_the_upstream_is_not_asked() {
    let tokens = Fake::always(Answer::json(403, "{\"error\":\"secret reason\"}"));
    let (token_service, _guard) = tokens.serve().await.unwrap();
    let fake = Fake::always(Answer::json(200, "{}"));
    let (addr, _guard) = fake.clone().serve().await.unwrap();
    let signer = Arc::new(GoogleToken::new(account(token_service), direct()));
    let upstream = Upstream::builder().signer("fake", signer).build();
    let answer = ask(&upstream, "/v1/messages", vertex(addr)).await;
    let failure = answer.extensions().get::<Failure>().expect("a failure").clone();
    assert_eq!((failure.class, failure.cause), (Class::Auth, Cause::Credential));
    assert_eq!((failure.sent, failure.code), (Sent::No, Some("upstream_token")));
    assert!(!text(answer).await.contains("secret") && fake.received().is_empty());
}

#[test]
fn accounts_are_read_strictly_and_never_shown() {
    let shown = format!("{:?}", account("127.0.0.1:1".parse().unwrap()));
    assert_eq!(shown, "GoogleAccount(\"gateway@p.iam.gserviceaccount.com\")");
    for (text, expected) in [
        ("{", InvalidAccount::Malformed),
        ("{}", InvalidAccount::Missing("type")),
        ("{\"type\":\"external_account\"}", InvalidAccount::Kind),
        (
            "{\"type\":\"service_account\",\"client_email\":\"a\",\"private_key\":\"x\"}",
            InvalidAccount::Key,
        ),
        (
            "{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\"}",
            InvalidAccount::Missing("refresh_token"),
        ),
    ] {
        assert_eq!(GoogleAccount::from_json(text).err(), Some(expected));
    }
}
