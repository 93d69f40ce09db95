//! A gateway made of a configuration's text.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tollgate_core::BoxError;
use tollgate_gateway::{Config, Leaf, Options, Readiness, SharedState, stack};
use tollgate_keys::MemoryKeys;
use tollgate_tests::CLIENT_KEY;
use tower::ServiceExt;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;

/// A request of each protocol, for a model of this provider.
pub(crate) fn chat(provider: &str) -> Request<Full<Bytes>> {
    chat_for(&format!("{provider}/m"))
}

pub(crate) fn chat_for(model: &str) -> Request<Full<Bytes>> {
    post("/v1/chat/completions", &format!(r#"{{"model":"{model}","messages":[]}}"#))
}

pub(crate) fn messages(provider: &str) -> Request<Full<Bytes>> {
    let body = format!(r#"{{"model":"{provider}/m","max_tokens":1,"messages":[]}}"#);
    post("/v1/messages", &body)
}

pub(crate) fn contents(provider: &str) -> Request<Full<Bytes>> {
    let path = format!("/v1beta/models/{provider}/m:generateContent");
    post(&path, r#"{"contents":[]}"#)
}

fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("authorization", format!("Bearer {CLIENT_KEY}"));
    let request = request.header("content-type", "application/json");
    request.body(Full::from(body.to_owned())).unwrap()
}

/// The configuration of this text, with the tests' client key.
pub(crate) fn config(text: &str) -> Config {
    let key = format!("[[keys]]\nname = \"test\"\nkey = \"{CLIENT_KEY}\"\n");
    Config::parse("gateway.toml", &format!("{text}\n{key}"), false).unwrap()
}

/// What is wrong with the configuration of this text.
pub(crate) fn wrong(text: &str) -> String {
    Config::parse("gateway.toml", text, false).unwrap_err().to_string()
}

/// What a gateway of this configuration runs on.
pub(crate) fn state(text: &str) -> SharedState {
    SharedState::new(config(text).state(Arc::new(MemoryKeys::new())))
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// Asks a gateway that runs on `state`, through the clients of its own.
pub(crate) async fn ask(state: &SharedState, request: Request<Full<Bytes>>) -> Seen {
    let leaf = Leaf::new(state.clone());
    let gateway = stack(state.clone(), Readiness::ready(), Options::default(), leaf);
    let (head, body) = gateway.oneshot(request).await.unwrap().into_parts();
    let body = body.map_err(Into::<BoxError>::into).collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    Seen { status: head.status, headers: head.headers, text }
}

/// Everything that is logged on this thread while it lives.
pub(crate) struct Logged {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

impl Logged {
    pub(crate) fn start() -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let sink = Sink(text.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || sink.clone())
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[derive(Clone)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
