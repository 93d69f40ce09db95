//! Embeddings, both ways.

use tollgate_core::{Protocol, Refusal};
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
    let mut body = body.ok_or(Bad::new("", "the body must be a JSON object"))?.camel();
    let batch = body.peek("requests").is_some();
    let requests = body.array("requests")?;
    let mut out = EmbedRequest {
        source: Protocol::Gemini,
        model: incoming.model.unwrap_or_default().to_owned(),
        inputs: Vec::new(),
        list: batch || incoming.batch,
        dimensions: None,
        base64: false,
        user: None,
        native: Vec::new(),
        unknown: Vec::new(),
    };
    if !batch {
        one(body, &mut out)?;
    }
    for (i, node) in requests.into_iter().enumerate() {
        let under = |bad: Bad| bad.under(format!("requests[{i}]"));
        let fields = node.fields().ok_or(Bad::new("", "must be an object")).map_err(under)?;
        one(fields.camel(), &mut out).map_err(under)?;
    }
    if out.inputs.is_empty() {
        return Err(Bad::new("requests", "must hold at least one request"));
    }
    Ok(out)
}

fn one(mut fields: Fields<'_>, out: &mut EmbedRequest) -> Result<(), Bad> {
    if let Some(model) = fields.string("model")?.filter(|_| out.model.is_empty()) {
        out.model = model.trim_start_matches("models/").to_owned();
    }
    let content = fields.take("content").ok_or(Bad::new("content", "is required"))?;
    out.inputs.push(text(content)?);
    out.dimensions = fields.u64("outputDimensionality")?.or(out.dimensions);
    for name in ["taskType", "title"] {
        let given = out.native.iter().any(|(each, _)| *each == name);
        let value = fields.raw(name).filter(|_| !given);
        out.native.extend(value.map(|value| (name, value)));
    }
    out.unknown.extend(fields.extra().0.into_iter().map(|(key, _)| key.into_string()));
    Ok(())
}

fn text(content: Node<'_>) -> Result<String, Bad> {
    let mut lines = Vec::new();
    for part in content.get("parts").into_iter().flat_map(Node::elements) {
        let text = part.get("text").and_then(Node::string);
        lines.push(text.ok_or(Bad::new("content.parts", "must be texts"))?);
    }
    let text = lines.join("\n");
    if text.is_empty() {
        return Err(Bad::new("content", "must not be empty"));
    }
    Ok(text)
}

pub(super) fn write_request(
    request: &EmbedRequest,
    onto: &Onto<'_>,
    report: &mut Report,
) -> Result<Outgoing, Refusal> {
    if request.user.is_some() {
        report.path(Code::DroppedField, "user");
    }
    for name in &request.unknown {
        report.path(Code::UnknownField, name);
    }
    let model = format!("models/{}", onto.model);
    let one = |input: &String| {
        let part = Object::new().with("text", input.clone());
        let content = Object::new().with("parts", vec![Json::from(part)]);
        let mut out = Object::new().with("model", model.clone()).with("content", content);
        if request.source == Protocol::Gemini {
            request.native.iter().for_each(|(name, value)| out.put(*name, value.clone()));
        }
        Json::from(out.maybe("outputDimensionality", request.dimensions))
    };
    let requests: Vec<_> = request.inputs.iter().map(one).collect();
    let body = Json::from(Object::new().with("requests", requests)).to_bytes();
    Ok(Outgoing::new(super::path(onto, "batchEmbedContents")?, body))
}

pub(super) fn read_answer(body: &[u8]) -> Result<EmbedAnswer, Fault> {
    let read = || {
        let node = Node::parse(body).ok()?;
        let vectors = match node.get("embeddings") {
            Some(list) => list.elements().map(values).collect::<Option<_>>()?,
            None => vec![values(node.get("embedding")?)?],
        };
        let usage = node.get("usageMetadata");
        let tokens = usage.and_then(|usage| usage.get("promptTokenCount")?.u64());
        Some(EmbedAnswer { model: String::new(), vectors, tokens })
    };
    read().ok_or_else(|| answers::unreadable(body))
}

fn values(node: Node<'_>) -> Option<Vec<Number>> {
    node.get("values")?.elements().map(Node::number).collect()
}

pub(super) fn write_answer(answer: &EmbedAnswer, request: &EmbedRequest) -> Vec<u8> {
    let one = |vector: &Vec<Number>| {
        let values: Vec<_> =
            vector.iter().map(|number| Json::Raw(number.as_str().to_owned().into())).collect();
        Object::new().with("values", values)
    };
    let body = match answer.vectors.as_slice() {
        [only] if !request.list => Object::new().with("embedding", one(only)),
        vectors => {
            let all: Vec<Json<'_>> = vectors.iter().map(|vector| one(vector).into()).collect();
            Object::new().with("embeddings", all)
        }
    };
    let usage = answer.tokens.map(|tokens| Object::new().with("promptTokenCount", tokens));
    Json::from(body.maybe("usageMetadata", usage)).to_bytes()
}
