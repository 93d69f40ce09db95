//! OpenAI Chat Completions, with what compatible servers add to it.

mod answer;
mod embed;
mod forget;
mod messages;
mod read;
mod reasoning;
mod stream;
mod table;
mod tools;
mod turns;
mod write;

use tollgate_core::{Caps, Class, Protocol, Refusal};
use tollgate_wire::{Fault, ModelCard};

use crate::{
    codec::{Asked, Codec, Incoming, Onto, Outgoing},
    embed::{EmbedAnswer, EmbedRequest},
    forget::changed,
    json::Node,
    model::{Answer, Conversation, Field, MediaKind, Place, Vendor},
    stream::{DecodeStream, EncodeStream},
    table::Row,
    warning::Report,
};

/// The codec of OpenAI Chat Completions.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiChat;

impl Codec for OpenAiChat {
    fn protocol(&self) -> Protocol {
        Protocol::OpenAiChat
    }

    fn vendor(&self) -> Vendor {
        Vendor::OpenAi
    }

    fn field(&self, field: Field) -> &'static str {
        match field {
            Field::Items | Field::CachedContent => "messages",
            Field::Tools => "tools",
            Field::ToolChoice => "tool_choice",
            Field::ParallelTools => "parallel_tool_calls",
            Field::OutputLimit => "max_completion_tokens",
            Field::Temperature => "temperature",
            Field::TopP => "top_p",
            Field::TopK => "top_k",
            Field::FrequencyPenalty => "frequency_penalty",
            Field::PresencePenalty => "presence_penalty",
            Field::Seed => "seed",
            Field::LogitBias => "logit_bias",
            Field::Stop => "stop",
            Field::Candidates => "n",
            Field::Format => "response_format",
            Field::Verbosity => "verbosity",
            Field::Reasoning => "reasoning_effort",
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
            Field::Logprobs => "logprobs",
            Field::Include => "include",
            Field::Stream => "stream",
        }
    }

    fn place(&self, place: Place) -> String {
        match place {
            Place::Item(at) => format!("messages[{at}]"),
            Place::Instructions => "messages[0]".to_owned(),
        }
    }

    fn fetches(&self, kind: MediaKind, caps: &Caps) -> bool {
        kind == MediaKind::Image && caps.fetches_https_images != Some(false)
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
        Box::new(stream::ChatReader::default())
    }

    fn encode_stream(&self, asked: &Asked, source: Protocol) -> Box<dyn EncodeStream> {
        Box::new(stream::ChatWriter::new(asked, source))
    }

    fn decode_count(&self, incoming: &Incoming<'_>) -> Result<Conversation, Refusal> {
        self.decode_request(incoming)
    }

    fn encode_count(
        &self,
        _conversation: &Conversation,
        _onto: &Onto<'_>,
        _report: &mut Report,
    ) -> Result<Outgoing, Refusal> {
        let why = "this model's protocol cannot count tokens";
        Err(Refusal::new(Class::NotFound, why).code("not_found"))
    }

    fn decode_counted(&self, body: &[u8]) -> Result<u64, Fault> {
        let count = |node: Node<'_>| node.get("usage")?.get("prompt_tokens")?.u64();
        Node::parse(body).ok().and_then(count).ok_or_else(|| crate::answers::unreadable(body))
    }

    fn encode_counted(&self, tokens: u64) -> Vec<u8> {
        format!("{{\"usage\":{{\"prompt_tokens\":{tokens}}}}}").into_bytes()
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
        Ok(embed::write_request(request, onto, report))
    }

    fn decode_embedded(&self, body: &[u8]) -> Result<EmbedAnswer, Fault> {
        embed::read_answer(body)
    }

    fn encode_embedded(&self, answer: &EmbedAnswer, request: &EmbedRequest) -> Vec<u8> {
        embed::write_answer(answer, request)
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelCard>, Fault> {
        crate::answers::openai_models(body)
    }
}
