//! What Chat Completions and Responses share.

use tollgate_core::{Protocol, Usage};

use crate::{
    ids,
    json::{Bad, Fields, Json, Node, Object, Raw},
    model::{
        CacheHint, CacheRequest, Conversation, Identity, Native, Opaque, OpaqueKind, Part, Tier,
        Vendor,
    },
};

/// Fields both protocols have, carried from one to the other as they are.
const SHARED: [&str; 2] = ["moderation", "prompt_cache_retention"];

/// Whether a native field is carried as it is.
pub(crate) fn is_shared(source: Protocol, target: Protocol, name: &str) -> bool {
    is_openai(source) && is_openai(target) && SHARED.contains(&name)
}

pub(crate) fn is_openai(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::OpenAiChat | Protocol::OpenAiResponses)
}

/// The content of a message or a result, and whether it was one plain string; `part` reads a part.
pub(crate) fn content<'a>(
    node: Node<'a>,
    part: fn(Node<'a>) -> Result<Part, Bad>,
) -> Result<(bool, Vec<Part>), Bad> {
    if let Some(text) = node.string() {
        return Ok((true, vec![Part::text(text)]));
    }
    if !node.is_array() {
        return Err(Bad::new("content", "must be a string or an array of parts"));
    }
    let parts = node
        .elements()
        .enumerate()
        .map(|(i, node)| part(node).map_err(|bad| bad.under(format!("content[{i}]"))));
    Ok((false, parts.collect::<Result<_, _>>()?))
}

/// Takes the fields `names` as native ones.
pub(crate) fn natives(body: &mut Fields<'_>, names: &[&'static str], out: &mut Vec<Native>) {
    for name in names {
        if let Some(value) = body.raw(name) {
            out.push(Native { name, value, essential: false });
        }
    }
}

/// The native fields that are carried to `target`.
pub(crate) fn carried(
    conversation: &Conversation,
    target: Protocol,
) -> impl Iterator<Item = &Native> {
    let source = conversation.source;
    let carried =
        move |native: &&Native| source == target || is_shared(source, target, native.name);
    conversation.native.iter().filter(carried)
}

pub(crate) fn tier(word: &str) -> Option<Tier> {
    Some(match word {
        "auto" => Tier::Auto,
        "default" => Tier::Standard,
        "flex" => Tier::Flex,
        "scale" => Tier::Scale,
        "priority" => Tier::Priority,
        "fast" => Tier::Fast,
        _ => return None,
    })
}

/// The word for a tier; nothing where it is the default anyway.
pub(crate) fn tier_word(tier: Tier, source: Protocol) -> Option<&'static str> {
    Some(match tier {
        Tier::Auto if is_openai(source) => "auto",
        Tier::Auto => return None,
        Tier::Standard => "default",
        Tier::Flex => "flex",
        Tier::Scale => "scale",
        Tier::Priority => "priority",
        Tier::Fast => "fast",
    })
}

pub(crate) fn cache_request(body: &mut Fields<'_>) -> Result<CacheRequest, Bad> {
    let mut cache =
        CacheRequest { key: body.string("prompt_cache_key")?, ..CacheRequest::default() };
    if let Some(mut options) = body.fields("prompt_cache_options")? {
        cache.auto = options.string("mode")?.map(|mode| mode == "implicit");
        cache.ttl = options.string("ttl")?;
    }
    Ok(cache)
}

pub(crate) fn put_cache<'a>(body: &mut Object<'a>, conversation: &'a Conversation) {
    let cache = &conversation.cache;
    if let Some(key) = &cache.key {
        body.put("prompt_cache_key", key);
    }
    let mode = cache.auto.map(|auto| if auto { "implicit" } else { "explicit" });
    let ttl = cache.ttl.as_ref().filter(|_| is_openai(conversation.source));
    let options = Object::new().maybe("mode", mode).maybe("ttl", ttl);
    if !options.is_empty() {
        body.put("prompt_cache_options", options);
    }
}

pub(crate) fn identity(body: &mut Fields<'_>) -> Result<Identity, Bad> {
    Ok(Identity {
        end_user: body.string("user")?,
        safety_id: body.string("safety_identifier")?,
        metadata: body.raw("metadata"),
    })
}

pub(crate) fn put_identity<'a>(body: &mut Object<'a>, conversation: &'a Conversation) {
    let identity = &conversation.identity;
    if is_openai(conversation.source) {
        let named = [("user", &identity.end_user), ("safety_identifier", &identity.safety_id)];
        for (name, value) in named {
            if let Some(value) = value {
                body.put(name, value);
            }
        }
    } else if let Some(user) = identity.user() {
        body.put("safety_identifier", safety_identifier(user));
    }
    if let Some(metadata) = &identity.metadata {
        body.put("metadata", metadata);
    }
}

/// At most 64 characters: longer ones become their digest.
fn safety_identifier(user: &str) -> Json<'_> {
    match user.chars().count() {
        ..=64 => user.into(),
        _ => ids::hex(&[user], 32).into(),
    }
}

/// The hint of a content part, in OpenAI's own or in Anthropic's words.
pub(crate) fn cache_hint(part: &mut Fields<'_>) -> Option<CacheHint> {
    let own = part.take("prompt_cache_breakpoint").map(|_| CacheHint::default());
    let other = part
        .take("cache_control")
        .map(|node| CacheHint { ttl: node.get("ttl").and_then(Node::string) });
    other.or(own)
}

pub(crate) fn put_hint<'a>(part: Object<'a>, hint: Option<&CacheHint>) -> Object<'a> {
    part.maybe("prompt_cache_breakpoint", hint.map(|_| Object::new().with("mode", "explicit")))
}

/// Encrypted reasoning as OpenAI gave it, of a text that stood beside it.
pub(crate) fn encrypted(payload: String, id: Option<String>, text: &str) -> Opaque {
    Opaque {
        item_id: id.unwrap_or_default(),
        digest: ids::digest(text),
        ..Opaque::new(Vendor::OpenAi, OpaqueKind::Encrypted, payload)
    }
}

/// The names in which the two protocols say the same of usage.
pub(crate) struct UsageNames {
    pub(crate) input: &'static str,
    pub(crate) output: &'static str,
    pub(crate) input_details: &'static str,
    pub(crate) output_details: &'static str,
}

/// Usage in OpenAI's terms: inclusive numbers, details always there.
pub(crate) fn put_usage<'a>(usage: &Usage, names: &UsageNames) -> Object<'a> {
    let input = usage.prompt_total().saturating_add(usage.tool_in.unwrap_or(0));
    let output = usage.output_total();
    let written: u64 = usage.write.iter().map(|(_, tokens)| tokens.total()).sum();
    let audio = [usage.prompt.audio, usage.read.audio].into_iter().flatten().reduce(|a, b| a + b);
    let input_details = Object::new()
        .with("cached_tokens", usage.read.total())
        .with("cache_write_tokens", written)
        .maybe("audio_tokens", audio);
    let output_details = Object::new()
        .with("reasoning_tokens", usage.reasoning.unwrap_or(0))
        .maybe("audio_tokens", usage.output.audio)
        .maybe("accepted_prediction_tokens", usage.prediction.map(|p| p.accepted))
        .maybe("rejected_prediction_tokens", usage.prediction.map(|p| p.rejected));
    Object::new()
        .with(names.input, input)
        .with(names.input_details, input_details)
        .with(names.output, output)
        .with(names.output_details, output_details)
        .with("total_tokens", input.saturating_add(output))
}

/// The names of the tools an `allowed_tools` choice lists.
pub(crate) fn allowed_names(list: Node<'_>) -> Vec<String> {
    let name = |tool: Node<'_>| {
        let inner = ["function", "custom"].into_iter().find_map(|kind| tool.get(kind));
        inner.unwrap_or(tool).get("name")?.string()
    };
    list.elements().filter_map(name).collect()
}

/// Where the user is, as one flat object without its type.
pub(crate) fn location(node: Option<Node<'_>>) -> Option<Raw> {
    let mut location = node?.fields()?;
    location.take("type");
    let rest = location.extra();
    let mut object = Object::new();
    for (key, value) in &rest.0 {
        object.put(key.as_ref(), value);
    }
    (!object.is_empty()).then(|| Json::from(object).into())
}
