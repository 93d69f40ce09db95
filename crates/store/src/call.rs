use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tollgate_core::{CallId, Money};

/// What is known of one call. As JSON the money is a decimal text, or `null` where it is not known.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CallRecord {
    /// The call's identity.
    #[serde(serialize_with = "id")]
    pub id: CallId,
    /// The id of the key that pays; `None` where nobody was asked.
    pub key: Option<String>,
    /// That key's name.
    pub key_name: Option<String>,
    /// The nearest owner of the key.
    pub team: Option<String>,
    /// The model as the client named it.
    pub asked: Option<String>,
    /// The end user.
    pub user: Option<String>,
    /// The key by which the caller tells its retries of one request, each a call of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What the caller wrote on the call.
    pub tags: Vec<String>,
    /// What all attempts cost; `None` as soon as one of them is not known.
    #[serde(serialize_with = "maybe")]
    pub cost_usd: Option<Money>,
    /// The attempts in their order.
    pub attempts: Vec<AttemptRecord>,
}

/// What is known of one attempt.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it began, such as `2026-11-22T09:30:00.125Z`.
    pub at: String,
    /// The provider's name in configuration.
    pub provider: Option<String>,
    /// The model in the provider's spelling.
    pub model: Option<String>,
    /// How it ended: `complete`, `cancelled`, `hedged` or the class of its failure.
    pub ending: String,
    /// How far its usage can be trusted: `exact`, `partial`, `estimated`, `inconsistent`, `absent`.
    pub quality: String,
    /// What it cost.
    #[serde(serialize_with = "maybe")]
    pub cost_usd: Option<Money>,
    /// Everything in the prompt.
    pub input_tokens: u64,
    /// Everything put out.
    pub output_tokens: u64,
    /// Prompt tokens read from a cache.
    pub cached_tokens: u64,
    /// Prompt tokens written to a cache.
    pub cache_write_tokens: u64,
    /// Output tokens of reasoning.
    pub reasoning_tokens: u64,
    /// From begin to end, in milliseconds.
    pub took_ms: u64,
    /// The rest: `protocol`, `operation`, `stream`, `asked_tier`, `status`, `head_ms`, `first_content_ms`, the
    /// parts of the `usage`, and the `price` with its lines and where they are from.
    pub details: Box<RawValue>,
}

fn id<S: Serializer>(id: &CallId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn maybe<S: Serializer>(amount: &Option<Money>, serializer: S) -> Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => serializer.collect_str(amount),
        None => serializer.serialize_none(),
    }
}
