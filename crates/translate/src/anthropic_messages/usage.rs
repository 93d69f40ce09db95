//! Usage as a client reads it: here input excludes what was read from or written to a cache.

use tollgate_core::{Ttl, Usage};

use crate::json::{Json, Object};

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
