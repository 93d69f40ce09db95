//! Every recorded stream behind the whole gateway, for the official SDKs.
//!
//! Says on standard output where it listens and serves until it is ended. `/{upstream}/…` is a
//! gateway in front of a provider that speaks that protocol and answers with the recording the asked
//! model names; `/cases` lists them all, with what a client must read in each. Without the recordings
//! (`TOLLGATE_SHARED`) the list is empty.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "it is part of a test")]

mod case;
mod expected;

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::{Json, Router, routing::get};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tollgate_core::{Body, Protocol, Target};
use tollgate_gateway::{Readiness, stack};
use tollgate_testkit::{Answer, ScriptBody, Upstream};
use tollgate_tests::{CLIENT_KEY, one_attempt, state};
use tower::{ServiceExt, service_fn};

use self::case::{Case, FOLDERS, cases};

#[tokio::main]
async fn main() {
    let mut app = Router::new();
    let mut listed: Vec<Value> = Vec::new();
    for upstream in Protocol::ALL {
        let of = |folder: &&(&'static str, Protocol)| folder.1 == upstream;
        let cases: Vec<_> = FOLDERS.iter().filter(of).flat_map(|(name, _)| cases(name)).collect();
        for client in Protocol::ALL {
            listed.extend(cases.iter().filter_map(|case| case.told(upstream, client)));
        }
        app = app.nest(&format!("/{upstream}"), gateway(upstream, &cases));
    }
    let manifest = json!({"key": CLIENT_KEY, "cases": listed});
    let app = app.route("/cases", get(move || async move { Json(manifest) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("http://{}", listener.local_addr().expect("it is bound"));
    axum::serve(listener, app).await.expect("it serves until it is ended");
}

/// A gateway in front of a provider that answers with what was recorded.
fn gateway(upstream: Protocol, cases: &[Case]) -> Router {
    let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
    let state = state(upstream, "http://upstream.test", &names);
    let answers: HashMap<String, Answer> =
        cases.iter().map(|case| (case.name.clone(), case.answer.clone())).collect();
    let answers = Arc::new(answers);
    let leaf = service_fn(move |request: Request<Body>| answer(answers.clone(), request));
    Router::new().fallback_service(stack(state, Readiness::ready(), one_attempt(), leaf))
}

async fn answer(
    answers: Arc<HashMap<String, Answer>>,
    request: Request<Body>,
) -> Result<Response<ScriptBody>, Infallible> {
    let target = request.extensions().get::<Arc<Target>>().expect("a routed call has a target");
    let answer = answers.get(&*target.model).expect("each alias is a case").clone();
    Ok(Upstream::always(answer).oneshot(request).await.expect("a recording answers"))
}
