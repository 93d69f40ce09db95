//! Embeddings, both ways.

use base64::{Engine, engine::general_purpose::STANDARD};
use tollgate_core::Protocol;
use tollgate_wire::Fault;

use crate::{
    answers,
    codec::{Incoming, Onto, Outgoing},
    embed::{EmbedAnswer, EmbedRequest},
    json::{Bad, Fields, Json, Node, Number, Object},
    warning::{Code, Report},
};

pub(super) fn read_request(incoming: &Incoming<'_>) -> Result<EmbedRequest, Bad> {
    let body = Node::parse(incoming.body)?.fields();
    let mut body = body.ok_or(Bad::new("", "the body must be a JSON object"))?;
    let model = body.need("model")?;
    let (list, inputs) = inputs(&mut body)?;
    let base64 = match body.string("encoding_format")?.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(Bad::new("encoding_format", "must be `float` or `base64`")),
    };
    Ok(EmbedRequest {
        source: Protocol::OpenAiChat,
        model,
        inputs,
        list,
        base64,
        dimensions: body.u64("dimensions")?,
        user: body.string("user")?,
        native: Vec::new(),
        unknown: body.extra().0.into_iter().map(|(key, _)| key.into_string()).collect(),
    })
}

fn inputs(body: &mut Fields<'_>) -> Result<(bool, Vec<String>), Bad> {
    let bad = |why: &str| Bad::new("input", why);
    let node = body.take("input").ok_or(bad("is required"))?;
    let list = node.is_array();
    let nodes: Vec<_> = if list { node.elements().collect() } else { vec![node] };
    let read = |node: Node<'_>| {
        let text = node
            .string()
            .ok_or(bad("must be texts: lists of tokens cannot be read by this model's provider"))?;
        if text.is_empty() { Err(bad("must not be empty")) } else { Ok(text) }
    };
    let inputs: Vec<_> = nodes.into_iter().map(read).collect::<Result<_, _>>()?;
    if inputs.is_empty() {
        return Err(bad("must not be empty"));
    }
    Ok((list, inputs))
}

pub(super) fn write_request(
    request: &EmbedRequest,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Outgoing {
    for (name, _) in &request.native {
        report.path(Code::DroppedField, name);
    }
    for name in &request.unknown {
        report.path(Code::UnknownField, name);
    }
    let input: Json<'_> = match request.inputs.as_slice() {
        [only] if !request.list => only.into(),
        inputs => inputs.iter().map(Json::from).collect::<Vec<_>>().into(),
    };
    let body = Object::new()
        .with("model", onto.model)
        .with("input", input)
        .maybe("dimensions", request.dimensions)
        .maybe("user", request.user.as_ref());
    Outgoing::new("/v1/embeddings", Json::from(body).to_bytes())
}

pub(super) fn read_answer(body: &[u8]) -> Result<EmbedAnswer, Fault> {
    let read = || {
        let node = Node::parse(body).ok()?;
        let data = node.get("data").filter(|data| data.is_array())?;
        let mut entries: Vec<(u64, Vec<Number>)> = Vec::new();
        for (at, entry) in data.elements().enumerate() {
            let index = entry.get("index").and_then(Node::u64).unwrap_or(at as u64);
            entries.push((index, vector(entry.get("embedding")?)?));
        }
        entries.sort_by_key(|(index, _)| *index);
        Some(EmbedAnswer {
            model: node.get("model").and_then(Node::string).unwrap_or_default(),
            vectors: entries.into_iter().map(|(_, vector)| vector).collect(),
            tokens: node.get("usage").and_then(|usage| usage.get("prompt_tokens")?.u64()),
        })
    };
    read().ok_or_else(|| answers::unreadable(body))
}

fn vector(node: Node<'_>) -> Option<Vec<Number>> {
    let Some(text) = node.str() else {
        return node.elements().map(Node::number).collect();
    };
    let bytes = STANDARD.decode(text.as_ref()).ok()?;
    let number = |bytes: &[u8; 4]| Number::parse(&f32::from_le_bytes(*bytes).to_string());
    let (chunks, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(number).collect()).flatten()
}

pub(super) fn write_answer(answer: &EmbedAnswer, request: &EmbedRequest) -> Vec<u8> {
    let entry = |(at, vector): (usize, &Vec<Number>)| {
        Object::new()
            .with("object", "embedding")
            .with("index", at)
            .with("embedding", write_vector(vector, request.base64))
            .into()
    };
    let data: Vec<Json<'_>> =
        answer.vectors.iter().enumerate().map(|v| entry((v.0, v.1))).collect();
    let model = if answer.model.is_empty() { &request.model } else { &answer.model };
    let tokens = answer.tokens.unwrap_or(0);
    let usage = Object::new().with("prompt_tokens", tokens).with("total_tokens", tokens);
    let body = Object::new()
        .with("object", "list")
        .with("data", data)
        .with("model", model)
        .with("usage", usage);
    Json::from(body).to_bytes()
}

fn write_vector(vector: &[Number], base64: bool) -> Json<'static> {
    if base64 {
        let bytes: Vec<u8> =
            vector.iter().flat_map(|number| (number.as_f64() as f32).to_le_bytes()).collect();
        return STANDARD.encode(bytes).into();
    }
    let text: Vec<_> = vector.iter().map(Number::as_str).collect();
    Json::Raw(format!("[{}]", text.join(",")).into())
}
