//! One layer in an axum app: a stream that breaks off ends in its protocol's own error event.

use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse, routing::post};
use tollgate_sse::SseLayer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/v1/chat/completions", post(cut_off)).layer(SseLayer::new());
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
}

async fn cut_off() -> impl IntoResponse {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n";
    ([(CONTENT_TYPE, "text/event-stream")], event)
}
