//! Two deployments behind one alias in an axum app: when one fails before it has said anything, the
//! other answers, and the client sees nothing of it.

use std::sync::Arc;

use axum::{Router, routing::get};
use http::Uri;
use tollgate_core::{Board, Call, Class, Plan, PlanStep, Principal, Protocol, Refusal, Target};
use tollgate_fallback::FallbackLayer;
use tollgate_route::RouteLayer;
use tollgate_sse::{DeadlineLayer, SseLayer};
use tollgate_upstream::Upstream;
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let hosts = ["http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"].map(Uri::from_static);
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app(hosts)).await
}

fn app(hosts: [Uri; 2]) -> Router {
    let [west, east] = hosts;
    let target = |name, host| Target::new(name, Protocol::OpenAiChat, "meta-llama/Llama-3.3", host);
    let targets = [target("west", west), target("east", east)].map(Arc::new);
    let resolve = move |call: &Call, _: Option<&Principal>| match call.model.as_deref() {
        Some("llama") => {
            let mut plan = Plan::default();
            plan.chosen = targets.iter().map(|t| PlanStep::new(t.clone(), "as listed")).collect();
            Ok(plan)
        }
        _ => Err(Refusal::new(Class::NotFound, "the model here is `llama`")),
    };
    let llama = ServiceBuilder::new()
        .layer(RouteLayer::new(resolve))
        .layer(SseLayer::new())
        .layer(FallbackLayer::new(Board::new()))
        .layer(DeadlineLayer::new())
        .service(Upstream::new());
    Router::new()
        .route("/", get(|| async { "an app with a model in it" }))
        .route_service("/v1/chat/completions", llama)
}

#[cfg(test)]
mod tests;
