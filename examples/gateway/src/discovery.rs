//! Which models the servers on the user's own machine have.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tollgate_core::{Body, BoxError, Protocol, Target};
use tollgate_keys::CredentialLayer;
use tollgate_route::Provider;
use tower::{Layer, Service, ServiceExt};

use crate::state::SharedState;

/// How often they are asked.
const PERIOD: Duration = Duration::from_secs(60);
/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer may be.
const LONGEST: usize = 1 << 20;
/// As many models of one server are remembered.
const MOST: usize = 1000;
/// Longer names are none.
const LONGEST_NAME: usize = 256;

/// Asks the providers that are to be asked for their models, beside the requests that are served.
///
/// What one answers takes the place of what it answered before; while it answers nothing, or
/// something else, what was known stays. Each is asked by itself: one that is silent holds up no
/// other.
#[derive(Clone, Debug)]
pub struct Discovery<L> {
    state: SharedState,
    leaf: L,
}

impl<L, B> Discovery<L>
where
    L: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Returns what asks through `leaf` and tells `state`.
    pub fn new(state: SharedState, leaf: L) -> Self {
        Self { state, leaf }
    }

    /// Asks now, each minute, and whenever `again` is notified. Never ends.
    pub async fn run(self, again: Arc<Notify>) {
        loop {
            self.refresh().await;
            let _ = timeout(PERIOD, again.notified()).await;
        }
    }

    /// Asks each of them once, all at the same time.
    pub async fn refresh(&self) {
        let state = self.state.load_full();
        let asked = state.router.providers().iter().filter(|provider| provider.discover);
        join_all(asked.map(|provider| self.ask(provider))).await;
    }

    async fn ask(&self, provider: &Provider) {
        let name = &*provider.name;
        match timeout(PATIENCE, self.models(provider)).await {
            Ok(Some(models)) => {
                let count = models.len();
                if self.state.learn(provider, &models) {
                    tracing::info!(provider = name, models = count, "the server's models");
                }
            }
            Ok(None) => tracing::debug!(provider = name, "no list of models"),
            Err(_) => tracing::debug!(provider = name, "no list of models in time"),
        }
    }

    /// The models of one provider. `None`: it does not say.
    async fn models(&self, provider: &Provider) -> Option<Vec<Arc<str>>> {
        let request = Request::get("/v1/models").extension(self.target(provider)?);
        let request = request.body(Body::empty()).ok()?;
        let service = CredentialLayer::new(self.state.clone()).layer(self.leaf.clone());
        let Ok(response) = service.oneshot(request).await;
        if !response.status().is_success() {
            return None;
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await.ok()?;
        named(&body.to_bytes())
    }

    /// Where a provider says which models it has.
    fn target(&self, provider: &Provider) -> Option<Arc<Target>> {
        let (board, now) = (&self.state.load().board, Instant::now());
        let target = provider.without_model(Protocol::OpenAiChat, board, now.into_std())?;
        let openai = [Protocol::OpenAiChat, Protocol::OpenAiResponses];
        openai.contains(&target.protocol).then_some(target)
    }
}

/// The names in OpenAI's list of models. `None`: it is none.
fn named(body: &[u8]) -> Option<Vec<Arc<str>>> {
    let List { data } = serde_json::from_slice(body).ok()?;
    let named = data.unwrap_or_default().into_iter().map(|entry| entry.id).filter(|id| is_name(id));
    Some(named.take(MOST).map(Into::into).collect())
}

fn is_name(id: &str) -> bool {
    (1..=LONGEST_NAME).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// A server without models may say `null`.
#[derive(Deserialize)]
struct List {
    data: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;
    use tollgate_core::BoxError;
    use tollgate_keys::MemoryKeys;
    use tollgate_testkit::{Answer, Script, ScriptBody, Upstream};
    use tower::util::BoxCloneSyncService;

    use super::*;
    use crate::{config::Config, state::State};

    fn state() -> SharedState {
        let text = "[providers.ollama]\n[providers.vllm]\napi_key = \"hidden-key\"\n[providers.far]\n\
                    kind = \"openai-compatible\"\nbase_url = \"http://far.test/v1\"\n";
        let config = Config::parse("t.toml", text, false).unwrap();
        SharedState::new(config.state(Arc::new(MemoryKeys::new())))
    }

    /// An upstream as the leaf of a stack.
    fn leaf(
        upstream: &Upstream,
    ) -> BoxCloneSyncService<Request<Body>, Response<ScriptBody>, Infallible> {
        let upstream = upstream.clone();
        let answer = move |request: Request<Body>| {
            let upstream = upstream.clone();
            async move { Ok(upstream.oneshot(request).await.map_err(|_: BoxError| ()).unwrap()) }
        };
        BoxCloneSyncService::new(tower::service_fn(answer))
    }

    fn list(names: &[&str]) -> Answer {
        let data: Vec<_> = names.iter().map(|id| serde_json::json!({ "id": id })).collect();
        Answer::json(200, serde_json::json!({ "object": "list", "data": data }).to_string())
    }

    fn known(state: &SharedState, provider: &str) -> Vec<String> {
        let state = state.load();
        let known = state.router.provider(provider).unwrap().models.iter();
        known.map(ToString::to_string).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn asks_local_servers_and_nobody_else_with_their_credentials() {
        let upstream = Upstream::always(list(&["a", "b"]));
        let state = state();
        Discovery::new(state.clone(), leaf(&upstream)).refresh().await;
        let asked = upstream.received();
        assert_eq!(asked.len(), 2);
        assert!(asked.iter().all(|request| request.method == "GET" && request.uri == "/v1/models"));
        let shown = asked.iter().filter_map(|request| request.headers.get("authorization"));
        assert_eq!(shown.collect::<Vec<_>>(), ["Bearer hidden-key"]);
        assert_eq!(known(&state, "ollama"), ["a", "b"]);
        assert!(known(&state, "far").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_known_stays_until_another_list_comes() {
        let long = format!("{{\"data\":[{}]}}", "{\"id\":\"x\"},".repeat(200_000));
        let answers = [
            list(&["a"]),
            Answer::json(500, "{}"),
            Answer::json(200, "<html>"),
            Answer::json(200, "{\"data\":[{\"name\":\"x\"}]}"),
            Answer::json(200, long),
            Answer::new(http::StatusCode::OK, Script::new("{").stall()),
        ];
        let (state, count) = (state(), answers.len());
        let mut asked = Vec::new();
        for answer in answers {
            let upstream = Upstream::always(answer);
            Discovery::new(state.clone(), leaf(&upstream)).refresh().await;
            asked.push(upstream.received().len());
            assert_eq!(known(&state, "ollama"), ["a"]);
        }
        assert_eq!(asked, vec![2; count]);
        let upstream = Upstream::always(Answer::json(200, "{\"object\":\"list\",\"data\":null}"));
        Discovery::new(state.clone(), leaf(&upstream)).refresh().await;
        assert!(known(&state, "ollama").is_empty(), "it says that it has none");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_silent_holds_up_no_other() {
        let upstream = Upstream::choose(|request| match request.headers.get("authorization") {
            Some(_) => Answer::silence(),
            None => list(&["a"]),
        });
        let state = state();
        let since = Instant::now();
        let discovery = Discovery::new(state.clone(), leaf(&upstream));
        let refreshing = tokio::spawn(async move { discovery.refresh().await });
        sleep(Duration::from_secs(1)).await;
        assert_eq!(known(&state, "ollama"), ["a"]);
        refreshing.await.unwrap();
        assert_eq!(since.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn asks_again_each_minute_and_when_it_is_told() {
        let upstream = Upstream::always(list(&["a"]));
        let again = Arc::new(Notify::new());
        let discovery = Discovery::new(state(), leaf(&upstream));
        tokio::spawn(discovery.run(again.clone()));
        for (after, rounds) in [(1, 1), (58, 1), (2, 2), (60, 3)] {
            sleep(Duration::from_secs(after)).await;
            assert_eq!(upstream.received().len(), 2 * rounds, "{after}");
        }
        again.notify_one();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(upstream.received().len(), 8);
    }

    #[test]
    fn only_so_many_and_only_names_are_remembered() {
        let ids = (0..2 * MOST).map(|n| serde_json::json!({ "id": n.to_string() }));
        let list = serde_json::json!({ "data": ids.collect::<Vec<_>>() }).to_string();
        assert_eq!(named(list.as_bytes()).unwrap().len(), MOST);
        let long = "x".repeat(LONGEST_NAME + 1);
        let list = serde_json::json!({ "data": [{"id": ""}, {"id": "a\nb"}, {"id": long}] });
        assert!(named(list.to_string().as_bytes()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_was_asked_and_is_another_by_now_is_not_told_of() {
        let state = state();
        let asked = state.load().router.provider("ollama").unwrap().clone();
        let other = "[providers.ollama]\nbase_url = \"http://127.0.0.1:1/v1\"\n";
        let other = Config::parse("t.toml", other, false).unwrap();
        let next: State = other.state_after(Arc::new(MemoryKeys::new()), &state.load());
        state.replace(next);
        assert!(!state.learn(&asked, &["a".into()]));
        assert!(known(&state, "ollama").is_empty());
    }
}
