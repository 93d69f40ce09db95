//! A layer of one's own between Tollgate's: it reads two facts, `Principal` and `Call`, and turns
//! away who asks for more output than their key's owner allows.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use axum::Router;
use http::{Request, Response};
use tollgate::{
    ServiceBuilderExt,
    core::{Body, Call, Class, KeyId, Plan, Principal, Protocol, Refusal, Reply, Secret, Target},
    keys::{KeyHash, KeyRecord, MemoryKeys},
    sim::Sim,
    wire::{Caller, Inspect},
};
use tower::{Layer, Service, ServiceBuilder};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app("my-key", 1000)).await
}

fn app(key: &str, most: u64) -> Router {
    let keys = MemoryKeys::new();
    let mut owner = Principal::new(KeyId::new("me"), "me");
    owner.metadata.insert("max_output_tokens".into(), most.to_string());
    keys.insert(KeyHash::of(&Secret::new(key)), KeyRecord::new(owner));
    let simulated = |_: &Call, _: Option<&Principal>| -> Result<Plan, Refusal> {
        let target =
            Target::new("sim", Protocol::OpenAiChat, "any", http::Uri::from_static("http://sim"));
        Ok(Plan::one(Arc::new(target), "the simulation"))
    };
    let stack = ServiceBuilder::new()
        .client_keys(keys)
        .layer(OutputLimitLayer)
        .route_to(simulated)
        .honest_streams()
        .service(Sim::new());
    Router::new().fallback_service(stack)
}

/// Layer of [`OutputLimit`].
#[derive(Clone, Copy, Debug)]
struct OutputLimitLayer;

impl<S> Layer<S> for OutputLimitLayer {
    type Service = OutputLimit<S>;

    fn layer(&self, inner: S) -> OutputLimit<S> {
        OutputLimit { inner }
    }
}

/// Middleware that refuses calls whose output limit is above that of the caller's key.
#[derive(Clone, Debug)]
struct OutputLimit<S> {
    inner: S,
}

/// In an application a boxed future is fine; a published layer has a named one.
type Boxed<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B> Service<Request<Body>> for OutputLimit<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send,
{
    type Response = Response<Reply<B>>;
    type Error = S::Error;
    type Future = Boxed<Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that is ready is the one to call; its clone waits for its own turn.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            // The body is read once: layers further in find the call in the extensions.
            let request = match Inspect::new().call(request).await {
                Ok(request) => request,
                Err(refused) => return Ok(refused.map(Reply::own)),
            };
            match above_limit(&request) {
                Some(refusal) => Ok(Caller::of(&request).refuse(refusal).map(Reply::own)),
                None => Ok(ready.call(request).await?.map(Reply::inner)),
            }
        })
    }
}

fn above_limit(request: &Request<Body>) -> Option<Refusal> {
    let principal = request.extensions().get::<Arc<Principal>>()?;
    let most: u64 = principal.metadata.get("max_output_tokens")?.parse().ok()?;
    let asked = request.extensions().get::<Call>()?.output_limit?;
    let message = format!("this key may ask for {most} output tokens at most, not {asked}");
    (asked > most).then(|| Refusal::new(Class::Permission, message).param("max_tokens"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(limit: u64) -> (u16, String) {
        let body = format!(
            r#"{{"model":"m","max_tokens":{limit},"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        let request = Request::post("/v1/chat/completions").header("x-api-key", "k");
        let request = request.body(axum::body::Body::from(body)).unwrap();
        let response = app("k", 100).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn refuses_above_the_keys_limit_in_the_callers_protocol() {
        assert_eq!(ask(100).await.0, 200);
        let (status, body) = ask(101).await;
        assert_eq!(status, 403);
        assert!(body.contains(r#""param":"max_tokens""#), "{body}");
    }
}
