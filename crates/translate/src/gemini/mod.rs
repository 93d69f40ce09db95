//! Gemini generateContent.

mod answer;
mod count;
mod embed;
mod forget;
mod grounding;
mod parts;
mod read;
mod stream;
mod table;
mod thinking;
mod tools;
mod turns;
mod usage;
mod write;

use tollgate_core::{Caps, Protocol, Refusal};
use tollgate_wire::{Fault, ModelCard, segment};

use crate::{
    answers,
    codec::{Asked, Codec, Incoming, Onto, Outgoing},
    embed::{EmbedAnswer, EmbedRequest},
    forget::changed,
    json::Node,
    model::{Answer, Conversation, Field, MediaKind, Place, Vendor},
    names::Rule,
    stream::{DecodeStream, EncodeStream},
    table::Row,
    warning::Report,
};

/// What tool names may look like.
const NAMES: Rule = Rule { longest: 128, gemini: true, namespaces: false, custom: false };

/// The codec of Gemini generateContent.
#[derive(Clone, Copy, Debug)]
pub struct Gemini;

impl Codec for Gemini {
    fn protocol(&self) -> Protocol {
        Protocol::Gemini
    }

    fn vendor(&self) -> Vendor {
        Vendor::Google
    }

    fn field(&self, field: Field) -> &'static str {
        match field {
            Field::Items => "contents",
            Field::Tools => "tools",
            Field::ToolChoice | Field::ParallelTools => "toolConfig.functionCallingConfig",
            Field::OutputLimit => "generationConfig.maxOutputTokens",
            Field::Temperature => "generationConfig.temperature",
            Field::TopP => "generationConfig.topP",
            Field::TopK => "generationConfig.topK",
            Field::FrequencyPenalty => "generationConfig.frequencyPenalty",
            Field::PresencePenalty => "generationConfig.presencePenalty",
            Field::Seed => "generationConfig.seed",
            Field::LogitBias => "generationConfig.logitBias",
            Field::Stop => "generationConfig.stopSequences",
            Field::Candidates => "generationConfig.candidateCount",
            Field::Format => "generationConfig.responseMimeType",
            Field::Verbosity => "generationConfig.verbosity",
            Field::Reasoning => "generationConfig.thinkingConfig",
            Field::CacheAuto | Field::CacheKey | Field::CachedContent => "cachedContent",
            Field::EndUser | Field::Metadata => "labels",
            Field::Tier => "serviceTier",
            Field::PreviousResponse | Field::ServerConversation | Field::Prompt => "cachedContent",
            Field::Store => "store",
            Field::Background => "background",
            Field::Logprobs => "generationConfig.responseLogprobs",
            Field::Include => "include",
            Field::Stream => "stream",
        }
    }

    fn place(&self, place: Place) -> String {
        match place {
            Place::Item(at) => format!("contents[{at}]"),
            Place::Instructions => "systemInstruction".to_owned(),
        }
    }

    fn fetches(&self, kind: MediaKind, caps: &Caps) -> bool {
        match kind {
            MediaKind::Image => caps.fetches_https_images == Some(true),
            _ => caps.fetches_https_files == Some(true),
        }
    }

    fn dispositions(&self) -> &'static [Row] {
        table::ROWS
    }

    fn decode_request(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal> {
        Ok(read::conversation(incoming)?)
    }

    fn without_reasoning(&self, body: &[u8]) -> Option<Vec<u8>> {
        changed(body, forget::forget)
    }

    fn encode_request(
        &self,
        conversation: &Conversation,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<Outgoing, Refusal> {
        write::request(conversation, onto, report)
    }

    fn decode_answer(&self, body: &[u8], seed: &str) -> Result<Answer, Fault> {
        answer::read(body, seed)
    }

    fn encode_answer(
        &self,
        answer: &Answer,
        asked: &Asked,
        report: &mut Report,
    ) -> Result<Vec<u8>, Fault> {
        answer::write(answer, asked, report)
    }

    fn decode_stream(&self, seed: &str) -> Box<dyn DecodeStream> {
        Box::new(stream::GeminiReader::new(seed))
    }

    fn encode_stream(&self, asked: &Asked, _source: Protocol) -> Box<dyn EncodeStream> {
        Box::new(stream::GeminiWriter::new(asked))
    }

    fn decode_count(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal> {
        Ok(count::read(incoming)?)
    }

    fn encode_count(
        &self,
        conversation: &Conversation,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<Outgoing, Refusal> {
        count::write(conversation, onto, report)
    }

    fn decode_counted(&self, body: &[u8]) -> Result<u64, Fault> {
        let count = Node::parse(body).ok().and_then(|node| node.get("totalTokens")?.u64());
        count.ok_or_else(|| answers::unreadable(body))
    }

    fn encode_counted(&self, tokens: u64) -> Vec<u8> {
        format!("{{\"totalTokens\":{tokens}}}").into_bytes()
    }

    fn decode_embed(&self, incoming: &Incoming<'_>) -> Result<EmbedRequest, Refusal> {
        Ok(embed::read_request(incoming)?)
    }

    fn encode_embed(
        &self,
        request: &EmbedRequest,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<Outgoing, Refusal> {
        embed::write_request(request, onto, report)
    }

    fn decode_embedded(&self, body: &[u8]) -> Result<EmbedAnswer, Fault> {
        embed::read_answer(body)
    }

    fn encode_embedded(&self, answer: &EmbedAnswer, request: &EmbedRequest) -> Vec<u8> {
        embed::write_answer(answer, request)
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelCard>, Fault> {
        let models = Node::parse(body).ok().and_then(|node| node.get("models"));
        let models =
            models.filter(|list| list.is_array()).ok_or_else(|| answers::unreadable(body))?;
        Ok(models.elements().filter_map(card).collect())
    }
}

/// The path at which a model is asked for `verb`.
fn path(onto: &Onto<'_>, verb: &str) -> Result<String, Refusal> {
    Ok(format!("/v1beta/models/{}:{verb}", segment::each(onto.model)?))
}

fn card(node: Node<'_>) -> Option<ModelCard> {
    let name = node.get("name")?.string()?;
    Some(ModelCard {
        id: name.strip_prefix("models/").unwrap_or(&name).to_owned(),
        owner: "google".to_owned(),
        display_name: node.get("displayName").and_then(Node::string),
        created: 0,
        max_input_tokens: node.get("inputTokenLimit").and_then(Node::u64),
        max_output_tokens: node.get("outputTokenLimit").and_then(Node::u64),
    })
}
