//! What Tollgate's own tests are made of. Only ever a dev-dependency.
//!
//! * [`Script`] is a body that plays bytes with any timing, cut and ending; its [`Probe`] says how
//!   much was taken and how it ended.
//! * [`Upstream`] is a service that records what it is asked and answers from a list or a closure;
//!   [`Upstream::serve`] puts it behind a loopback port.
//! * [`Wire`] writes raw bytes on a connection, for what a well-behaved server cannot send:
//!   [`WireServer`] over TCP, [`WireConnector`] in memory.
//! * [`recordings`] reads recorded provider traffic.
//! * [`shared_trial`] makes a test of what only some machines have, so that its absence shows.
//! * [`body_contract`], [`wrapper_contract`] and [`end_contract`] are what every body must keep.
//!
//! A crate that testkit depends on (`tollgate-core`) uses it from its `tests/` folder only: inline
//! tests would see two copies of their own types.
//!
//! ```
//! use http::Request;
//! use http_body_util::{BodyExt, Full};
//! use tollgate_testkit::{Answer, Script, Upstream};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let upstream = Upstream::queue([Answer::sse(Script::new("data: 1\n\n").split_every(3))]);
//! let request = Request::post("/v1/responses").body(Full::from("{}")).unwrap();
//! let response = upstream.clone().oneshot(request).await.unwrap();
//!
//! assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data: 1\n\n");
//! assert_eq!(upstream.received()[0].body(), "{}");
//! # }
//! ```

mod connector;
mod contract;
mod recording;
mod script;
mod shared;
mod upstream;
mod wire;

pub use self::{
    connector::{Pipe, WireConnector},
    contract::{EndCounter, Transcript, body_contract, end_contract, transcript, wrapper_contract},
    recording::{RecordedRequest, RecordedResponse, Recording, recordings},
    script::{Ended, Probe, Reset, Script, ScriptBody},
    shared::{Absent, shared_dir, shared_trial},
    upstream::{Answer, AnswerFuture, Received, ServeGuard, Upstream},
    wire::{Connection, Wire, WireServer, refused_addr},
};
