//! Usage, both ways: here input excludes what was read from or written to a cache.

use tollgate_core::{InTokens, OutTokens, Quality, Ttl, Usage};

use crate::json::{Json, Node, Object};

fn text(count: Option<u64>) -> InTokens {
    InTokens { text: count, ..InTokens::default() }
}

pub(super) fn read(node: Node<'_>) -> Usage {
    let count = |name: &str| node.get(name).and_then(Node::u64);
    let details = node.get("output_tokens_details");
    let reasoning = details.and_then(|details| details.get("thinking_tokens")?.u64());
    let mut usage = Usage::default();
    usage.prompt = text(count("input_tokens"));
    usage.read = text(count("cache_read_input_tokens"));
    usage.write = written(node);
    let output = count("output_tokens").map(|n| n.saturating_sub(reasoning.unwrap_or(0)));
    usage.output = OutTokens { text: output, ..OutTokens::default() };
    usage.reasoning = reasoning;
    if let Some(server) = node.get("server_tool_use").and_then(Node::fields) {
        for (name, value) in &server.extra().0 {
            let kind = name.strip_suffix("_requests").unwrap_or(name);
            usage.tools.extend(value.node().u64().map(|n| (kind.to_owned(), n)));
        }
    }
    usage.quality = Quality::Exact;
    usage
}

/// By lifetime where that is told.
fn written(node: Node<'_>) -> Vec<(Ttl, InTokens)> {
    let total = node.get("cache_creation_input_tokens").and_then(Node::u64);
    let split = node.get("cache_creation").map(|split| {
        let lifetimes =
            [(Ttl::M5, "ephemeral_5m_input_tokens"), (Ttl::H1, "ephemeral_1h_input_tokens")];
        let count = |(ttl, name)| Some((ttl, text(Some(split.get(name)?.u64()?))));
        lifetimes.into_iter().filter_map(count).collect::<Vec<_>>()
    });
    let split = split.unwrap_or_default();
    let told: u64 = split.iter().map(|(_, tokens)| tokens.total()).sum();
    match total {
        Some(total) if told != total => vec![(Ttl::Unknown, text(Some(total)))],
        _ => split,
    }
}

pub(super) fn write<'a>(usage: Option<&Usage>) -> Object<'a> {
    let Some(usage) = usage else {
        return write(Some(&Usage::default()));
    };
    let input = usage.prompt.total().saturating_add(usage.tool_in.unwrap_or(0));
    let by = |ttl| usage.write.iter().filter(|w| w.0 == ttl).map(|w| w.1.total()).sum::<u64>();
    let total: u64 = usage.write.iter().map(|(_, tokens)| tokens.total()).sum();
    let known = usage.write.iter().any(|(ttl, _)| matches!(ttl, Ttl::M5 | Ttl::H1));
    let split = known.then(|| {
        Object::new()
            .with("ephemeral_5m_input_tokens", by(Ttl::M5))
            .with("ephemeral_1h_input_tokens", by(Ttl::H1))
    });
    let details = usage.reasoning.map(|n| Object::new().with("thinking_tokens", n));
    Object::new()
        .with("input_tokens", input)
        .with("cache_creation_input_tokens", total)
        .with("cache_read_input_tokens", usage.read.total())
        .with("cache_creation", split.map_or(Json::Null, Json::from))
        .with("output_tokens", usage.output_total())
        .maybe("output_tokens_details", details)
        .with("server_tool_use", server_tools(usage))
        .with("service_tier", Json::Null)
        .with("inference_geo", Json::Null)
}

/// Both counts, or nothing where neither tool was used.
fn server_tools<'a>(usage: &Usage) -> Json<'a> {
    let count = |kind: &str| usage.tools.get(kind).copied();
    let (search, fetch) = (count("web_search"), count("web_fetch"));
    if search.is_none() && fetch.is_none() {
        return Json::Null;
    }
    Object::new()
        .with("web_search_requests", search.unwrap_or(0))
        .with("web_fetch_requests", fetch.unwrap_or(0))
        .into()
}
