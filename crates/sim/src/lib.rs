//! Simulated LLM providers: a service that answers like OpenAI, Anthropic and Gemini.
//!
//! [`Sim`] speaks Chat Completions, Responses, Messages and generateContent, each with streams,
//! tools, thinking, structured output, token counts, model lists and errors in the provider's own
//! shape, and embeddings where the provider has them. It needs no key and no network, and the same
//! request always gives the same text.
//!
//! ```
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use tollgate_sim::Sim;
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let request = Request::post("/v1/chat/completions")
//!     .body(Full::from(r#"{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}"#))
//!     .unwrap();
//! let response = Sim::new().oneshot(request).await.unwrap();
//! let body = response.into_body().collect().await.unwrap().to_bytes();
//! assert!(std::str::from_utf8(&body).unwrap().contains("You said: hi"));
//! # }
//! ```
//!
//! # Choosing what it does
//!
//! By the model's name: `sim-tools`, `sim-parallel-tools`, `sim-thinking`, `sim-structured`,
//! `sim-cached`, `sim-slow`, `sim-context-length`, `sim-error-<class>` (`sim-error-rate_limit`,
//! every class of [`tollgate_core::Class`]). Any other name, `sim-text` too, echoes the prompt.
//!
//! By markers in the last user message, several if you like:
//!
//! | marker | effect |
//! | --- | --- |
//! | `[[sim:say:TEXT]]`, `[[sim:bytes:N]]` | says TEXT, or N bytes |
//! | `[[sim:events:N]]` | says its text in exactly N deltas |
//! | `[[sim:tool]]`, `[[sim:parallel-tools]]` | calls the first, or every, offered tool |
//! | `[[sim:steps:N]]` | calls the first tool, and again after its results, N times in all |
//! | `[[sim:call:NAME]]`, `[[sim:call:NAME:{…}]]` | calls the tool NAME, if it is offered, with these arguments |
//! | `[[sim:thinking]]`, `[[sim:structured]]` | thinks first; answers JSON |
//! | `[[sim:refuse]]` | refuses in the protocol's own way |
//! | `[[sim:cached:N]]`, `[[sim:cache-write:N]]` | counts N more tokens as read or written |
//! | `[[sim:error:CLASS]]`, `[[sim:garbage]]` | fails before the answer; sends HTML with status 200 |
//! | `[[sim:delay:200ms]]`, `[[sim:pace:1s]]` | waits before the head; before each event |
//! | `[[sim:cut:N]]`, `[[sim:reset:N]]`, `[[sim:stall:N]]` | after N events ends, breaks, or stays silent |
//! | `[[sim:error-in-stream:N:CLASS]]` | after N events sends the protocol's error event |
//!
//! Breaking markers act on streams alone. A request that forces a tool, asks for a schema or turns
//! thinking on gets that without any marker; one that ends in tool results gets a text quoting them.
//!
//! # Being as strict as the real ones
//!
//! With [`Sim::strict`] a request is refused where the provider itself would refuse it, in its own
//! words: members it does not know, calls without answers and answers without calls, signatures it
//! never gave, sampling the model does not take.
//!
//! # Counting
//!
//! Every four bytes are a token (rounded up per piece): input counts the JSON text of messages,
//! system prompt and tools. With [`Sim::with_bill`] each answer leaves a [`BillRow`].

mod act;
mod anthropic;
mod ask;
mod bill;
mod body;
mod chat;
mod dialect;
mod embed;
mod feed;
mod future;
mod gemini;
mod json;
mod openai;
mod place;
mod responses;
mod said;
mod schema;
mod serve;
mod service;
mod sign;
mod strict;

pub use self::{
    bill::BillRow,
    body::{Broken, SimBody},
    future::SimFuture,
    service::Sim,
};
