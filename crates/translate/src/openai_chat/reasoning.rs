//! Reasoning as compatible servers and their clients write it: `reasoning_content`, or
//! `reasoning_details` whose `format` says whose values it holds.

use std::collections::HashMap;

use crate::{
    ids,
    json::{Bad, Fields, Json, Node, Object},
    model::{Opaque, OpaqueKind, Part, Reasoning, ToolCall, Vendor},
    openai,
};

const FORMATS: [(Vendor, &str); 3] = [
    (Vendor::OpenAi, "openai-responses-v1"),
    (Vendor::Anthropic, "anthropic-claude-v1"),
    (Vendor::Google, "google-gemini-v1"),
];

fn format(vendor: Vendor) -> &'static str {
    FORMATS.iter().find(|(each, _)| *each == vendor).map_or("", |(_, format)| format)
}

pub(super) fn vendor(format: &str) -> Option<Vendor> {
    FORMATS.iter().find(|(_, each)| *each == format).map(|(vendor, _)| *vendor)
}

/// Takes the reasoning of an assistant message. Signatures of `calls` go to them.
pub(super) fn read(fields: &mut Fields<'_>, calls: &mut [ToolCall]) -> Result<Vec<Part>, Bad> {
    let text = fields.string("reasoning_content")?;
    // Some servers put an object here.
    let other = fields.take("reasoning").and_then(Node::string);
    let details = fields.array("reasoning_details")?;
    if details.is_empty() {
        let text = text.or(other).filter(|text| !text.is_empty());
        return Ok(text.map(unsigned).into_iter().collect());
    }
    let ids = calls.iter().enumerate().map(|(at, call)| (call.id.clone(), at)).collect();
    let mut reader = Details { parts: Vec::new(), open: None, ids };
    details.into_iter().for_each(|node| reader.detail(node, calls));
    Ok(reader.finish())
}

fn unsigned(text: String) -> Part {
    Part::Reasoning(Reasoning { text: vec![text], raw: true, ..Reasoning::default() })
}

struct Details {
    parts: Vec<Part>,
    /// Summaries that wait for their encrypted reasoning.
    open: Option<Reasoning>,
    /// Which call has which id.
    ids: HashMap<String, usize>,
}

impl Details {
    fn detail(&mut self, node: Node<'_>, calls: &mut [ToolCall]) {
        let member = |name: &str| node.get(name).and_then(Node::string);
        let vendor = member("format").and_then(|format| vendor(&format));
        match member("type").as_deref() {
            Some("reasoning.summary") => {
                let text = member("summary").unwrap_or_default();
                self.open.get_or_insert_default().text.push(text);
            }
            Some("reasoning.text") => {
                self.close();
                let text = member("text").unwrap_or_default();
                self.parts.push(signed(text, member("signature"), vendor));
            }
            Some("reasoning.encrypted") => {
                if let (Some(data), Some(vendor)) = (member("data"), vendor) {
                    self.encrypted(data, vendor, member("id"), calls);
                }
            }
            _ => {}
        }
    }

    fn encrypted(
        &mut self,
        data: String,
        vendor: Vendor,
        id: Option<String>,
        calls: &mut [ToolCall],
    ) {
        let call = id.as_ref().and_then(|id| self.ids.get(id)).copied();
        if let Some(call) = call.and_then(|at| calls.get_mut(at)) {
            call.signature = Some(Opaque::new(vendor, OpaqueKind::Call, data));
            return;
        }
        if vendor == Vendor::OpenAi {
            let mut reasoning = self.open.take().unwrap_or_default();
            let opaque = openai::encrypted(data, id, &reasoning.joined());
            reasoning.opaque = Some(opaque);
            self.parts.push(Part::Reasoning(reasoning));
            return;
        }
        self.close();
        let kind =
            if vendor == Vendor::Anthropic { OpaqueKind::Redacted } else { OpaqueKind::Thought };
        let opaque = Some(Opaque::new(vendor, kind, data));
        self.parts.push(Part::Reasoning(Reasoning { opaque, ..Reasoning::default() }));
    }

    fn close(&mut self) {
        self.parts.extend(self.open.take().map(Part::Reasoning));
    }

    fn finish(mut self) -> Vec<Part> {
        self.close();
        self.parts
    }
}

fn signed(text: String, signature: Option<String>, vendor: Option<Vendor>) -> Part {
    let kind = match vendor {
        Some(Vendor::Google) => OpaqueKind::Thought,
        _ => OpaqueKind::Thinking,
    };
    let opaque = signature.filter(|signature| !signature.is_empty()).zip(vendor);
    let opaque = opaque.map(|(signature, vendor)| Opaque {
        digest: ids::digest(&text),
        ..Opaque::new(vendor, kind, signature)
    });
    Part::Reasoning(Reasoning { text: vec![text], raw: true, opaque, ..Reasoning::default() })
}

/// Puts the reasoning among `parts`, and the signatures of calls.
pub(super) fn put<'a>(message: &mut Object<'a>, parts: impl Iterator<Item = &'a Part> + Clone) {
    let texts = parts.clone().filter_map(|part| match part {
        Part::Reasoning(reasoning) if !reasoning.text.is_empty() => Some(reasoning.joined()),
        _ => None,
    });
    let text = texts.collect::<Vec<_>>().join("\n\n");
    if !text.is_empty() {
        message.put("reasoning_content", text);
    }
    let mut details = Vec::new();
    parts.for_each(|part| match part {
        Part::Reasoning(reasoning) => put_details(reasoning, &mut details),
        Part::ToolCall(call) => {
            if let Some(opaque) = &call.signature {
                details.push(encrypted(opaque, Some(&call.id)));
            }
        }
        _ => {}
    });
    if !details.is_empty() {
        let each = details.into_iter().enumerate();
        let each = each.map(|(at, detail)| Json::from(detail.with("index", at)));
        message.put("reasoning_details", each.collect::<Vec<_>>());
    }
}

pub(super) fn put_details<'a>(reasoning: &'a Reasoning, out: &mut Vec<Object<'a>>) {
    match &reasoning.opaque {
        Some(opaque) if opaque.vendor == Vendor::OpenAi => {
            out.extend(reasoning.text.iter().map(|text| summary(text)));
            let id = Some(opaque.item_id.as_str()).filter(|id| !id.is_empty());
            out.push(encrypted(opaque, id));
        }
        Some(opaque) if reasoning.text.is_empty() => out.push(encrypted(opaque, None)),
        None if !reasoning.raw => out.extend(reasoning.text.iter().map(|text| summary(text))),
        opaque => {
            let detail = Object::of("reasoning.text")
                .with("text", reasoning.joined())
                .maybe("signature", opaque.as_ref().map(|opaque| &opaque.payload))
                .maybe("format", opaque.as_ref().map(|opaque| format(opaque.vendor)));
            out.push(detail);
        }
    }
}

fn summary(text: &str) -> Object<'_> {
    Object::of("reasoning.summary").with("summary", text)
}

pub(super) fn encrypted<'a>(opaque: &'a Opaque, id: Option<&'a str>) -> Object<'a> {
    Object::of("reasoning.encrypted")
        .with("data", &opaque.payload)
        .with("format", format(opaque.vendor))
        .maybe("id", id)
}
