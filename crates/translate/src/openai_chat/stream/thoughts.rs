//! Reasoning that arrives in fragments, in one of three members or in two of them at once.

use sha2::{Digest, Sha256};

use super::decode::{Choice, Kind};
use crate::{
    ids,
    json::{Fields, Node},
    model::{Opaque, OpaqueKind, Vendor},
    openai_chat::reasoning,
    stream::{Delta, Event, Flow, Head, Sink},
    warning::Code,
};

/// What is known of the reasoning of a choice.
#[derive(Debug, Default)]
pub(super) struct Thoughts {
    /// The text of the open block so far.
    digest: Sha256,
    is_empty: bool,
    /// Where that text comes from.
    told: Told,
    /// The open block has its signature.
    signed: bool,
    /// Signatures of calls that have not begun.
    early: Vec<(String, Opaque)>,
}

/// Where the text of a block comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    /// `reasoning_content` or `reasoning`; what details repeat of it is not told again.
    #[default]
    Plain,
    /// `reasoning_details` of a kind and an index.
    Detail { summary: bool, index: Option<u64> },
}

/// One of the details of a chunk.
struct Detail<'a> {
    node: Node<'a>,
    kind: String,
}

impl<'a> Detail<'a> {
    fn read(node: Node<'a>) -> Self {
        Self { node, kind: node.get("type").and_then(Node::string).unwrap_or_default() }
    }

    fn member(&self, name: &str) -> Option<String> {
        self.node.get(name).and_then(Node::string).filter(|text| !text.is_empty())
    }

    fn text(&self) -> Option<String> {
        match self.kind.as_str() {
            "reasoning.text" => self.member("text"),
            "reasoning.summary" => self.member("summary"),
            _ => None,
        }
    }

    fn vendor(&self) -> Option<Vendor> {
        reasoning::vendor(&self.member("format")?)
    }
}

impl Thoughts {
    fn begin(&mut self, told: Told) {
        *self = Self {
            told,
            is_empty: true,
            early: std::mem::take(&mut self.early),
            ..Self::default()
        };
    }

    fn follow(&mut self, text: &str) {
        self.is_empty &= text.is_empty();
        self.digest.update(text.as_bytes());
    }

    fn digest(&self) -> [u8; 8] {
        let mut out = [0; 8];
        if !self.is_empty {
            out.copy_from_slice(&self.digest.clone().finalize()[..8]);
        }
        out
    }
}

impl Choice {
    /// Reads what a chunk says of reasoning.
    pub(super) fn reason(&mut self, fields: &mut Fields<'_>, out: &mut dyn Sink) -> Flow {
        let text = fields.take("reasoning_content").and_then(Node::str);
        // Some servers put an object here.
        let other = fields.take("reasoning").and_then(Node::str);
        let text = text.filter(|text| !text.is_empty()).or(other);
        let details = fields.take("reasoning_details");
        let details: Vec<_> =
            details.into_iter().flat_map(Node::elements).map(Detail::read).collect();
        let repeats = details.iter().any(|detail| detail.text().is_some());
        if let Some(text) = text.filter(|text| !text.is_empty() && !repeats) {
            self.think(&text, out)?;
        }
        details.into_iter().try_for_each(|detail| self.detail(&detail, out))
    }

    /// Plain text of reasoning.
    pub(super) fn think(&mut self, text: &str, out: &mut dyn Sink) -> Flow {
        let open = self.is_thinking().filter(|_| !self.thoughts.signed);
        let block = match open {
            Some(block) => block,
            None => self.begin_thinking(Told::Plain, out)?,
        };
        self.more(block, text, out)
    }

    fn begin_thinking(
        &mut self,
        told: Told,
        out: &mut dyn Sink,
    ) -> Result<u64, Box<tollgate_wire::Fault>> {
        self.thoughts.begin(told);
        let raw = !matches!(told, Told::Detail { summary: true, .. });
        let block = self.begin(Kind::Reasoning, Head::Reasoning { raw }, out)?;
        self.tell(block, Delta::Section, out)?;
        Ok(block)
    }

    fn more(&mut self, block: u64, text: &str, out: &mut dyn Sink) -> Flow {
        self.thoughts.follow(text);
        self.tell(block, Delta::Text(text.into()), out)
    }

    fn detail(&mut self, detail: &Detail<'_>, out: &mut dyn Sink) -> Flow {
        match detail.kind.as_str() {
            "reasoning.text" | "reasoning.summary" => self.readable(detail, out),
            "reasoning.encrypted" => self.encrypted(detail, out),
            _ => Ok(()),
        }
    }

    fn readable(&mut self, detail: &Detail<'_>, out: &mut dyn Sink) -> Flow {
        let told = Told::Detail {
            summary: detail.kind == "reasoning.summary",
            index: detail.node.get("index").and_then(Node::u64),
        };
        if let Some(text) = detail.text() {
            self.detailed(told, &text, out)?;
        }
        let Some((payload, vendor)) = detail.member("signature").zip(detail.vendor()) else {
            return Ok(());
        };
        let kind = match vendor {
            Vendor::Google => OpaqueKind::Thought,
            _ => OpaqueKind::Thinking,
        };
        let opaque = Opaque::new(vendor, kind, payload);
        match self.is_thinking().filter(|_| !self.thoughts.signed) {
            Some(block) => self.seal(block, opaque, out),
            // The text it belongs to has ended: nobody could check it.
            None => {
                out.event(Event::Lost(Code::SignatureDropped, "choices.delta.reasoning_details"))
            }
        }
    }

    /// Text of a detail, in the block and the section it belongs to.
    fn detailed(&mut self, told: Told, text: &str, out: &mut dyn Sink) -> Flow {
        let open = self.is_thinking().filter(|_| !self.thoughts.signed);
        let before = self.thoughts.told;
        let block = match (open, before, told) {
            (Some(_), Told::Plain, _) => return Ok(()),
            // The same once more, after something else was said.
            (None, Told::Plain, _) if self.thoughts.digest() == ids::digest(text) => {
                return Ok(());
            }
            (Some(block), before, told) if before == told => block,
            (
                Some(block),
                Told::Detail { summary: true, .. },
                Told::Detail { summary: true, .. },
            ) => {
                self.thoughts.told = told;
                self.thoughts.follow("\n\n");
                self.tell(block, Delta::Section, out)?;
                block
            }
            _ => self.begin_thinking(told, out)?,
        };
        self.more(block, text, out)
    }

    fn seal(&mut self, block: u64, mut opaque: Opaque, out: &mut dyn Sink) -> Flow {
        opaque.digest = self.thoughts.digest();
        self.thoughts.signed = true;
        self.tell(block, Delta::Opaque(opaque), out)
    }

    fn encrypted(&mut self, detail: &Detail<'_>, out: &mut dyn Sink) -> Flow {
        let Some((data, vendor)) = detail.member("data").zip(detail.vendor()) else {
            return Ok(());
        };
        let id = detail.member("id");
        if vendor == Vendor::OpenAi {
            let mut opaque = Opaque::new(vendor, OpaqueKind::Encrypted, data);
            opaque.item_id = id.unwrap_or_default();
            let open = self.is_thinking().filter(|_| !self.thoughts.signed);
            return match open {
                Some(block) => self.seal(block, opaque, out),
                None => self.alone(opaque, out),
            };
        }
        if let Some(id) = id {
            let opaque = Opaque::new(vendor, OpaqueKind::Call, data);
            return match self.sign_call(&id, opaque.clone(), out) {
                Some(flow) => flow,
                None => {
                    self.thoughts.early.push((id, opaque));
                    Ok(())
                }
            };
        }
        let kind =
            if vendor == Vendor::Anthropic { OpaqueKind::Redacted } else { OpaqueKind::Thought };
        self.alone(Opaque::new(vendor, kind, data), out)
    }

    /// Reasoning nobody can read.
    fn alone(&mut self, opaque: Opaque, out: &mut dyn Sink) -> Flow {
        self.thoughts.begin(Told::Plain);
        let block = self.begin(Kind::Reasoning, Head::Reasoning { raw: false }, out)?;
        self.seal(block, opaque, out)
    }

    /// Hands signatures that came before their calls to them.
    pub(super) fn leftovers(&mut self, out: &mut dyn Sink) -> Flow {
        for (id, opaque) in std::mem::take(&mut self.thoughts.early) {
            if let Some(flow) = self.sign_call(&id, opaque.clone(), out) {
                flow?;
                continue;
            }
            let kind = OpaqueKind::Thought;
            self.alone(Opaque { kind, ..opaque }, out)?;
        }
        Ok(())
    }
}
