//! A gateway of one's own: one client key, OpenAI and Anthropic behind it, each in its own protocol.
//!
//! ```sh
//! TOLLGATE_KEY=choose-one OPENAI_API_KEY=sk-... ANTHROPIC_API_KEY=sk-... cargo run -p own-gateway
//! ```

use std::sync::Arc;

use axum::Router;
use http::HeaderName;
use tollgate::{
    ServiceBuilderExt,
    core::{Call, Class, KeyId, Plan, Principal, Protocol, Refusal, Secret, Target},
    keys::{Credential, KeyHash, KeyRecord, MemoryKeys},
    upstream::Upstream,
};
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let key = std::env::var("TOLLGATE_KEY").expect("TOLLGATE_KEY is the key clients show");
    axum::serve(listener, gateway(&key, "https://api.openai.com/v1", "https://api.anthropic.com"))
        .await
}

fn gateway(key: &str, openai: &'static str, anthropic: &'static str) -> Router {
    let keys = MemoryKeys::new();
    let owner = Principal::new(KeyId::new("me"), "me");
    keys.insert(KeyHash::of(&Secret::new(key)), KeyRecord::new(owner));

    let stack = ServiceBuilder::new()
        .client_keys(keys)
        .route_to(move |call: &Call, _: Option<&Principal>| route(call, openai, anthropic))
        .honest_streams()
        .deadlines()
        .credentials(credential)
        .service(Upstream::new());
    Router::new().fallback_service(stack)
}

fn route(call: &Call, openai: &'static str, anthropic: &'static str) -> Result<Plan, Refusal> {
    let (provider, base_url) = match call.protocol {
        Protocol::AnthropicMessages => ("anthropic", anthropic),
        Protocol::OpenAiChat | Protocol::OpenAiResponses => ("openai", openai),
        other => return Err(Refusal::new(Class::NotFound, format!("nobody here speaks {other}"))),
    };
    let model = call.model.as_deref().unwrap_or_default();
    let target = Target::new(provider, call.protocol, model, http::Uri::from_static(base_url));
    Ok(Plan::one(Arc::new(target), "by protocol"))
}

fn credential(target: &Target) -> Option<Credential> {
    match &*target.provider {
        "openai" => Some(Credential::Bearer(secret("OPENAI_API_KEY")?)),
        _ => {
            let header = HeaderName::from_static("x-api-key");
            Some(Credential::Header(header, secret("ANTHROPIC_API_KEY")?))
        }
    }
}

fn secret(variable: &str) -> Option<Secret> {
    std::env::var(variable).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn status(key: &str, path: &str, body: &'static str) -> u16 {
        let closed = "http://127.0.0.1:1";
        let request = Request::post(path).header("authorization", format!("Bearer {key}"));
        let request = request.body(Body::from(body)).unwrap();
        gateway("mine", closed, closed).oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn knows_its_key_its_providers_and_its_credentials() {
        let ask = r#"{"model":"m","messages":[]}"#;
        assert_eq!(status("wrong", "/v1/chat/completions", ask).await, 401);
        assert_eq!(status("mine", "/v1beta/models/m:generateContent", "{}").await, 404);
        // Whether or not the environment has a key, nobody answers at a closed port.
        assert_eq!(status("mine", "/v1/chat/completions", ask).await, 502);
    }
}
