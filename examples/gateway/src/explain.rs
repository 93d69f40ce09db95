//! `explain`: who would answer a request, and why.

use std::{
    io::{self, Read},
    sync::Arc,
};

use http::Request;
use tollgate_core::{Body, Call, Principal, Protocol, Refusal};
use tollgate_keys::MemoryKeys;
use tollgate_route::{Ask, WISHES};
use tollgate_wire::Inspect;

use crate::{Failed, cli, demo::Demo, run, store};

/// Explains the request on standard input. Asks nobody.
pub(crate) fn run(asked: &cli::Explain, options: &cli::Options) -> Result<(), Failed> {
    let mut body = Vec::new();
    io::stdin().read_to_end(&mut body)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = runtime.block_on(explained(asked, options, body))?;
    print!("{text}");
    Ok(())
}

async fn explained(
    asked: &cli::Explain,
    options: &cli::Options,
    body: Vec<u8>,
) -> Result<String, Failed> {
    let mut config = run::config(options)?;
    Demo::default().fill(&mut config).await?;
    let who = asked.key.as_deref().map(|key| principal(key, &config, options)).transpose()?;
    let state = config.state(Arc::new(MemoryKeys::new()));
    let request = request(asked, body)?;
    let request = Inspect::new().call(request).await.map_err(|refused| {
        match refused.extensions().get::<Refusal>() {
            Some(refusal) => refusal.message.to_string(),
            None => String::from_utf8_lossy(refused.body()).into_owned(),
        }
    })?;
    let Some(call) = request.extensions().get::<Call>() else {
        return Err("this is no request for a model".into());
    };
    let mut ask = Ask::of(call, &request);
    if let Some(who) = &who {
        ask = ask.principal(who);
    }
    let limits = who.as_ref().map(|who| format!("may ask for: {}\n", patterns(who)));
    Ok(format!("{}{}", limits.unwrap_or_default(), state.router.explain(&ask)))
}

/// The request as a client would send it.
fn request(asked: &cli::Explain, body: Vec<u8>) -> Result<Request<Body>, Failed> {
    let path = match (asked.protocol, &asked.model) {
        (Protocol::OpenAiResponses, _) => "/v1/responses".to_owned(),
        (Protocol::AnthropicMessages, _) => "/v1/messages".to_owned(),
        (Protocol::Gemini, Some(model)) => format!("/v1beta/models/{model}:generateContent"),
        (Protocol::Gemini, None) => return Err("`--model` says what Gemini's path names".into()),
        _ => "/v1/chat/completions".to_owned(),
    };
    let request = Request::post(path).header("content-type", "application/json");
    let request = match &asked.route {
        Some(wishes) => request.header(WISHES, wishes),
        None => request,
    };
    Ok(request.body(Body::from(body))?)
}

/// Whose key is called so: in the file, else in the store.
fn principal(
    key: &str,
    config: &tollgate_gateway::Config,
    options: &cli::Options,
) -> Result<Arc<Principal>, Failed> {
    let called = |who: &Principal| &*who.name == key || who.key.as_str() == key;
    let own = config.keys.records().into_iter().map(|record| record.principal.clone());
    if let Some(own) = own.into_iter().find(|who| called(who)) {
        return Ok(own);
    }
    let stored = store::open(&config.store, &options.data_dir)?.list()?;
    let found = stored.into_iter().map(|record| record.principal).find(|who| called(who));
    found.ok_or_else(|| format!("no key `{key}`").into())
}

fn patterns(who: &Principal) -> String {
    who.models.patterns().map_or_else(|| "everything".to_owned(), |patterns| patterns.join(", "))
}
