//! Meters the service of an app and prints what each call cost.
//!
//! ```text
//! cargo run -p tollgate-meter --example charges
//! curl localhost:8080/v1/chat/completions -d '{"model":"gpt-4o","messages":[]}'
//! ```

use std::{sync::Arc, thread};

use axum::{Router, http::header::CONTENT_TYPE, routing::post};
use tollgate_catalog::Catalogue;
use tollgate_core::{Protocol, Target};
use tollgate_meter::{Channel, MeterLayer};

/// Stands for a model: it answers in OpenAI's protocol and tells what it used.
async fn model() -> impl axum::response::IntoResponse {
    let answer = r#"{"object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}"#;
    ([(CONTENT_TYPE, "application/json")], answer)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let (ledger, charges) = Channel::new();
    thread::spawn(move || {
        for charge in charges {
            let cost = charge.cost.map_or("unknown".to_owned(), |cost| format!("{cost} USD"));
            let (model, ending) = (charge.asked.unwrap_or_default(), charge.ending.as_str());
            println!("{} {model} {ending}: {cost}", charge.call);
        }
    });

    let host = axum::http::Uri::from_static("https://api.openai.com/v1");
    let target = Target::new("openai", Protocol::OpenAiChat, "gpt-4o", host);
    let meter = MeterLayer::new(ledger, Catalogue::builtin()).target(Arc::new(target));
    let app = Router::new().route("/v1/chat/completions", post(model)).layer(meter);

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 8080)).await?;
    println!("metering http://{}", listener.local_addr()?);
    axum::serve(listener, app).await
}
