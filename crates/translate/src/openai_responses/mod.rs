//! OpenAI Responses.

mod answer;
mod forget;
mod items;
mod read;
mod stream;
mod table;
mod tools;
mod turns;
mod write;

use tollgate_core::{Caps, Class, Protocol, Refusal};
use tollgate_wire::{Fault, ModelCard};

use crate::{
    answers,
    codec::{Asked, Codec, Incoming, Onto, Outgoing},
    embed::{EmbedAnswer, EmbedRequest},
    forget::changed,
    json::{Node, Raw},
    model::{Answer, Conversation, Field, MediaKind, Place, Vendor},
    names::Rule,
    stream::{DecodeStream, EncodeStream},
    table::Row,
    warning::Report,
};

/// What tool names may look like.
const NAMES: Rule = Rule { longest: 64, gemini: false, namespaces: true, custom: true };

/// The codec of OpenAI Responses.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiResponses;

impl Codec for OpenAiResponses {
    fn protocol(&self) -> Protocol {
        Protocol::OpenAiResponses
    }

    fn vendor(&self) -> Vendor {
        Vendor::OpenAi
    }

    fn field(&self, field: Field) -> &'static str {
        match field {
            Field::Items | Field::CachedContent => "input",
            Field::Tools => "tools",
            Field::ToolChoice => "tool_choice",
            Field::ParallelTools => "parallel_tool_calls",
            Field::OutputLimit => "max_output_tokens",
            Field::Temperature => "temperature",
            Field::TopP => "top_p",
            Field::TopK => "top_k",
            Field::FrequencyPenalty => "frequency_penalty",
            Field::PresencePenalty => "presence_penalty",
            Field::Seed => "seed",
            Field::LogitBias => "logit_bias",
            Field::Stop => "stop",
            Field::Candidates => "n",
            Field::Format => "text.format",
            Field::Verbosity => "text.verbosity",
            Field::Reasoning => "reasoning",
            Field::CacheAuto => "prompt_cache_options",
            Field::CacheKey => "prompt_cache_key",
            Field::EndUser => "safety_identifier",
            Field::Metadata => "metadata",
            Field::Tier => "service_tier",
            Field::PreviousResponse => "previous_response_id",
            Field::ServerConversation => "conversation",
            Field::Prompt => "prompt",
            Field::Store => "store",
            Field::Background => "background",
            Field::Logprobs => "top_logprobs",
            Field::Include => "include",
            Field::Stream => "stream",
        }
    }

    fn place(&self, place: Place) -> String {
        match place {
            Place::Item(at) => format!("input[{at}]"),
            Place::Instructions => "instructions".to_owned(),
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
        Ok(read::conversation(incoming)?)
    }

    fn echo(&self, body: &[u8]) -> Vec<(&'static str, Raw)> {
        answer::echo(body)
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
        Box::new(stream::ResponsesReader::default())
    }

    fn encode_stream(&self, asked: &Asked, source: Protocol) -> Box<dyn EncodeStream> {
        Box::new(stream::ResponsesWriter::new(asked, source))
    }

    fn decode_count(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal> {
        self.decode_request(incoming)
    }

    fn encode_count(
        &self,
        conversation: &Conversation,
        onto: &Onto<'_>,
        report: &mut Report,
    ) -> Result<Outgoing, Refusal> {
        write::count(conversation, onto, report)
    }

    fn decode_counted(&self, body: &[u8]) -> Result<u64, Fault> {
        let count = Node::parse(body).ok().and_then(|node| node.get("input_tokens")?.u64());
        count.ok_or_else(|| answers::unreadable(body))
    }

    fn encode_counted(&self, tokens: u64) -> Vec<u8> {
        format!("{{\"object\":\"response.input_tokens\",\"input_tokens\":{tokens}}}").into_bytes()
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
        answers::openai_models(body)
    }
}

fn no_embeddings() -> Refusal {
    Refusal::new(Class::NotFound, "the Responses protocol has no embeddings").code("not_found")
}
