//! What the gateway says of itself when it starts.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use tollgate_core::{Protocol, Secret};
use tollgate_gateway::{Config, Source};
use tollgate_route::Provider;

/// What a configuration means, a line per thing.
pub(crate) fn summary(config: &Config) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "listen      {}", config.server.listen);
    let _ = writeln!(text, "providers   {}", source(config.source));
    for provider in &config.providers {
        let _ = writeln!(text, "  {:<12} {}", provider.name, speaks(provider));
    }
    for (name, alias) in &config.aliases {
        let targets: Vec<_> = alias.targets.iter().map(|target| &*target.name).collect();
        let _ = writeln!(text, "model       {name} = {} ({})", targets.join(", "), alias.order);
    }
    let _ = writeln!(text, "keys        {} in the file", config.keys.len());
    text
}

fn source(source: Source) -> &'static str {
    match source {
        Source::File => "from the file",
        Source::Environment => "from keys in the environment",
        Source::Simulated => "simulated",
    }
}

fn speaks(provider: &Provider) -> String {
    let protocols = provider.endpoints.iter().map(|endpoint| endpoint.protocol.as_str());
    protocols.collect::<Vec<_>>().join(", ")
}

/// Where the gateway is, its first key if it was just made, and how to try it.
pub(crate) fn started(
    config: &Config,
    address: SocketAddr,
    key: Option<&Secret>,
    keys: &Path,
) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("tollgate {version} on {scheme}://{address}\n\n");
    let base = format!("{scheme}://{}", reached(address));
    text.push_str(&providers(config));
    match key {
        Some(key) => {
            let _ =
                writeln!(text, "Your key, shown this once (its hash is in {}):\n", keys.display());
            let _ = writeln!(text, "  {}\n", key.expose());
        }
        None => {
            text.push_str(
                "Client keys: those you have; `tollgate keys create NAME` makes another.\n\n",
            );
        }
    }
    let _ = writeln!(text, "Base URLs");
    for (client, path) in
        [("OpenAI", "/openai/v1"), ("Anthropic", "/anthropic"), ("Gemini", "/gemini")]
    {
        let _ = writeln!(text, "  {client:<10} {base}{path}");
    }
    text.push('\n');
    let shown = key.map_or("$TOLLGATE_KEY", Secret::expose);
    text.push_str(&curls(config, &base, shown));
    text
}

/// Where somebody on this machine reaches what listens on `address`: every address is none to call.
fn reached(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn providers(config: &Config) -> String {
    let names: Vec<_> = config.providers.iter().map(|p| &*p.name).collect();
    match config.source {
        Source::Simulated => format!(
            "Simulated providers ({}): set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY for real ones.\n\n",
            names.join(", ")
        ),
        _ => format!("Providers: {}.\n\n", names.join(", ")),
    }
}

/// Two ready lines per protocol that some provider speaks: whole, and streamed. `key` may be a
/// variable of the shell's.
fn curls(config: &Config, base: &str, key: &str) -> String {
    let mut text = String::new();
    for example in &EXAMPLES {
        let speaks = |p: &&Provider| p.endpoints.iter().any(|e| e.protocol == example.protocol);
        let Some(provider) = config.providers.iter().find(speaks) else { continue };
        let model = format!("{}/{}", provider.name, example.model);
        let whole = (example.path, example.body.to_owned());
        let streamed = match example.stream_path {
            Some(path) => (path, example.body.to_owned()),
            None => (example.path, example.body.replacen('{', "{\"stream\":true,", 1)),
        };
        for (path, body) in [whole, streamed] {
            let (path, body) = (path.replace("MODEL", &model), body.replace("MODEL", &model));
            let _ = writeln!(
                text,
                "curl -N '{base}{path}' -H \"authorization: Bearer {key}\" -H 'content-type: application/json' -d '{body}'"
            );
        }
        text.push('\n');
    }
    text
}

struct Example {
    protocol: Protocol,
    path: &'static str,
    /// Where the stream has a path of its own; else a member of the body asks for it.
    stream_path: Option<&'static str>,
    model: &'static str,
    body: &'static str,
}

const EXAMPLES: [Example; 4] = [
    Example {
        protocol: Protocol::OpenAiChat,
        path: "/v1/chat/completions",
        stream_path: None,
        model: "gpt-5",
        body: r#"{"model":"MODEL","messages":[{"role":"user","content":"Hello"}]}"#,
    },
    Example {
        protocol: Protocol::OpenAiResponses,
        path: "/v1/responses",
        stream_path: None,
        model: "gpt-5",
        body: r#"{"model":"MODEL","input":"Hello"}"#,
    },
    Example {
        protocol: Protocol::AnthropicMessages,
        path: "/v1/messages",
        stream_path: None,
        model: "claude-sonnet-4-5",
        body: r#"{"model":"MODEL","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}"#,
    },
    Example {
        protocol: Protocol::Gemini,
        path: "/v1beta/models/MODEL:generateContent",
        stream_path: Some("/v1beta/models/MODEL:streamGenerateContent?alt=sse"),
        model: "gemini-2.5-flash",
        body: r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#,
    },
];
