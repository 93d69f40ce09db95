//! Anthropic Messages.

mod answer;
mod blocks;
mod count;
mod forget;
mod media;
mod read;
mod stream;
mod table;
mod thinking;
mod tools;
mod turns;
mod usage;
mod write;

use tollgate_core::{Caps, Class, Protocol, Refusal};
use tollgate_wire::{Fault, ModelCard};

use crate::{
    answers,
    codec::{Asked, Codec, Incoming, Onto, Outgoing},
    date,
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
const NAMES: Rule = Rule { longest: 128, gemini: false, namespaces: false, custom: false };

/// The codec of Anthropic Messages.
#[derive(Clone, Copy, Debug)]
pub struct AnthropicMessages;

impl Codec for AnthropicMessages {
    fn protocol(&self) -> Protocol {
        Protocol::AnthropicMessages
    }

    fn vendor(&self) -> Vendor {
        Vendor::Anthropic
    }

    fn field(&self, field: Field) -> &'static str {
        match field {
            Field::Items | Field::CachedContent => "messages",
            Field::Tools => "tools",
            Field::ToolChoice => "tool_choice",
            Field::ParallelTools => "tool_choice.disable_parallel_tool_use",
            Field::OutputLimit => "max_tokens",
            Field::Temperature => "temperature",
            Field::TopP => "top_p",
            Field::TopK => "top_k",
            Field::FrequencyPenalty => "frequency_penalty",
            Field::PresencePenalty => "presence_penalty",
            Field::Seed => "seed",
            Field::LogitBias => "logit_bias",
            Field::Stop => "stop_sequences",
            Field::Candidates => "n",
            Field::Format => "output_config.format",
            Field::Verbosity => "verbosity",
            Field::Reasoning => "thinking",
            Field::CacheAuto | Field::CacheKey => "cache_control",
            Field::EndUser => "metadata.user_id",
            Field::Metadata => "metadata",
            Field::Tier => "service_tier",
            Field::PreviousResponse => "thread",
            Field::ServerConversation => "thread",
            Field::Prompt => "prompt",
            Field::Store => "store",
            Field::Background => "background",
            Field::Logprobs => "logprobs",
            Field::Include => "include",
            Field::Stream => "stream",
        }
    }

    fn place(&self, place: Place) -> String {
        match place {
            Place::Item(at) => format!("messages[{at}]"),
            Place::Instructions => "system".to_owned(),
        }
    }

    fn fetches(&self, kind: MediaKind, caps: &Caps) -> bool {
        match kind {
            MediaKind::Image => caps.fetches_https_images != Some(false),
            _ => caps.fetches_https_files != Some(false),
        }
    }

    fn dispositions(&self) -> &'static [Row] {
        table::ROWS
    }

    fn decode_request(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal> {
        Ok(read::conversation(incoming, true)?)
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

    fn decode_answer(&self, body: &[u8], _seed: &str) -> Result<Answer, Fault> {
        answer::read(body)
    }

    fn encode_answer(
        &self,
        answer: &Answer,
        asked: &Asked,
        report: &mut Report,
    ) -> Result<Vec<u8>, Fault> {
        answer::write(answer, asked, report)
    }

    fn decode_stream(&self, _seed: &str) -> Box<dyn DecodeStream> {
        Box::new(stream::MessagesReader::default())
    }

    fn encode_stream(&self, asked: &Asked, _source: Protocol) -> Box<dyn EncodeStream> {
        Box::new(stream::MessagesWriter::new(asked))
    }

    fn decode_count(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal> {
        Ok(read::conversation(incoming, false)?)
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
        let count = Node::parse(body).ok().and_then(|node| node.get("input_tokens")?.u64());
        count.ok_or_else(|| answers::unreadable(body))
    }

    fn encode_counted(&self, tokens: u64) -> Vec<u8> {
        format!("{{\"input_tokens\":{tokens}}}").into_bytes()
    }

    fn decode_embed(&self, _incoming: &Incoming<'_>) -> Result<EmbedRequest, Refusal> {
        Err(no_embeddings())
    }

    fn encode_embed(
        &self,
        _request: &EmbedRequest,
        _onto: &Onto<'_>,
        _report: &mut Report,
    ) -> Result<Outgoing, Refusal> {
        Err(no_embeddings())
    }

    fn decode_embedded(&self, body: &[u8]) -> Result<EmbedAnswer, Fault> {
        Err(answers::unreadable(body))
    }

    fn encode_embedded(&self, _answer: &EmbedAnswer, _request: &EmbedRequest) -> Vec<u8> {
        Vec::new()
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelCard>, Fault> {
        let data = Node::parse(body).ok().and_then(|node| node.get("data"));
        let data = data.filter(|data| data.is_array()).ok_or_else(|| answers::unreadable(body))?;
        Ok(data.elements().filter_map(card).collect())
    }
}

fn no_embeddings() -> Refusal {
    Refusal::new(Class::NotFound, "Anthropic's protocol has no embeddings").code("not_found")
}

fn card(node: Node<'_>) -> Option<ModelCard> {
    let created = node.get("created_at").and_then(Node::string);
    Some(ModelCard {
        id: node.get("id")?.string()?,
        owner: "anthropic".to_owned(),
        display_name: node.get("display_name").and_then(Node::string),
        created: created.and_then(|text| date::unix(&text)).unwrap_or(0),
        max_input_tokens: node.get("max_input_tokens").and_then(Node::u64),
        max_output_tokens: node.get("max_tokens").and_then(Node::u64),
    })
}
