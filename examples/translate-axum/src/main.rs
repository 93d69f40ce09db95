//! An app that speaks OpenAI's Chat Completions, and through one layer answers the clients of
//! Anthropic, Gemini and OpenAI's Responses.

use axum::{Json, Router, ServiceExt, body::Body, extract::Request, routing::post};
use serde_json::{Value, json};
use tollgate_core::Protocol;
use tollgate_translate::TranslateLayer;
use tower::Layer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/v1/chat/completions", post(complete));
    // Around the router, not inside it: the layer changes the path.
    let app = TranslateLayer::to(Protocol::OpenAiChat).layer(app);
    let app = tower::ServiceExt::<Request>::map_response(app, |answer| answer.map(Body::new));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3001").await?;
    axum::serve(listener, ServiceExt::<Request>::into_make_service(app)).await
}

async fn complete(Json(asked): Json<Value>) -> Json<Value> {
    let said = asked["messages"].as_array().and_then(|all| all.last()?["content"].as_str());
    let text = format!("You said: {}", said.unwrap_or("nothing"));
    Json(json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": asked["model"],
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }))
}
