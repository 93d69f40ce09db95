//! What the file says of a model's abilities.

use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_core::{Caps, Effort, ForcedToolChoice, Sampling, SchemaDialect, Thinking};

use crate::abilities::{Abilities, Said};

/// What a model takes, where it is not what the catalogue knows. What is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Capabilities {
    /// Input and output together.
    #[schemars(extend("x-default" = "the catalogue's", "x-unit" = "tokens"))]
    context_window: Option<u64>,
    /// The answer, reasoning included.
    #[schemars(extend("x-default" = "the catalogue's", "x-unit" = "tokens"))]
    max_output_tokens: Option<u64>,
    /// What is asked for where the protocol wants a limit and the client gave none.
    #[schemars(extend("default" = 8192, "x-unit" = "tokens"))]
    default_max_output_tokens: Option<u64>,
    /// Which sampling knobs it takes: all, temperature or top-p, none.
    #[schemars(extend("x-default" = "as its family is known"))]
    sampling: Option<SamplingWord>,
    /// How thinking is asked for.
    #[schemars(extend("x-default" = "as its family is known, else as its protocol has it"))]
    thinking: Option<ThinkingWord>,
    /// The efforts it knows.
    #[schemars(extend("x-default" = "all"))]
    efforts: Option<Vec<EffortWord>>,
    /// Which words of JSON Schema a Gemini model takes.
    #[schemars(extend("x-default" = "as its family is known"))]
    schema: Option<SchemaWord>,
    /// When a call may be forced.
    #[schemars(extend("x-default" = "as its protocol has it"))]
    forced_tool_choice: Option<ForcingWord>,
    /// Whether the last message may be the assistant's.
    #[schemars(extend("x-default" = "as it is known"))]
    prefill: Option<bool>,
    /// Whether system messages may stand within an Anthropic conversation.
    #[schemars(extend("x-default" = "as it is known"))]
    mid_system: Option<bool>,
    /// Whether the developer role is known, and the newer limit of output.
    #[schemars(extend("x-default" = "as it is known"))]
    developer_role: Option<bool>,
    /// Whether an answer can be made to fit a schema.
    #[schemars(extend("x-default" = "as it is known"))]
    structured_output: Option<bool>,
    /// Whether tools may be strict.
    #[schemars(extend("x-default" = "as it is known"))]
    strict_tools: Option<bool>,
    /// Whether media may stand in the results of tools.
    #[schemars(extend("x-default" = "as it is known"))]
    tool_result_media: Option<bool>,
    /// Whether reasoning that is sent back is bound to what came before it.
    #[schemars(extend("x-default" = "as it is known"))]
    bound_reasoning: Option<bool>,
    /// Whether calls of the current turn must be signed.
    #[schemars(extend("x-default" = "as it is known"))]
    needs_thought_signature: Option<bool>,
    /// Whether it fetches images from the web itself.
    #[schemars(extend("x-default" = "as it is known"))]
    fetches_https_images: Option<bool>,
    /// Whether it fetches files from the web itself.
    #[schemars(extend("x-default" = "as it is known"))]
    fetches_https_files: Option<bool>,
    /// Whether it takes images.
    #[schemars(extend("x-default" = "as it is known"))]
    image_in: Option<bool>,
    /// Whether it takes audio.
    #[schemars(extend("x-default" = "as it is known"))]
    audio_in: Option<bool>,
    /// Whether it takes video.
    #[schemars(extend("x-default" = "as it is known"))]
    video_in: Option<bool>,
    /// Whether it takes PDF.
    #[schemars(extend("x-default" = "as it is known"))]
    pdf_in: Option<bool>,
    /// Whether it calls tools.
    #[schemars(extend("x-default" = "as it is known"))]
    tools: Option<bool>,
    /// Whether it gives several answers at once.
    #[schemars(extend("x-default" = "as it is known"))]
    n_gt_1: Option<bool>,
    /// Whether it tells log probabilities.
    #[schemars(extend("x-default" = "as it is known"))]
    logprobs: Option<bool>,
    /// Whether it takes penalties.
    #[schemars(extend("x-default" = "as it is known"))]
    penalties: Option<bool>,
    /// Whether it takes a seed.
    #[schemars(extend("x-default" = "as it is known"))]
    seed: Option<bool>,
    /// Whether it searches the web.
    #[schemars(extend("x-default" = "as it is known"))]
    server_web_search: Option<bool>,
}

macro_rules! words {
    ($name:ident for $of:ty { $($word:ident => $value:expr),+ $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[schemars(inline)]
        enum $name { $($word),+ }

        impl From<$name> for $of {
            fn from(word: $name) -> Self {
                match word { $($name::$word => $value),+ }
            }
        }
    };
}

words!(SamplingWord for Sampling {
    Full => Self::Full,
    OneOf => Self::OneOf,
    None => Self::None,
});
words!(ThinkingWord for Thinking {
    None => Self::None,
    Budget => Self::Budget,
    Adaptive => Self::Adaptive,
    Level => Self::Level,
});
words!(SchemaWord for SchemaDialect {
    JsonSchema => Self::JsonSchema,
    OpenapiSubset => Self::OpenApiSubset,
});
words!(ForcingWord for ForcedToolChoice {
    Always => Self::Always,
    NotWithThinking => Self::NotWithThinking,
    Never => Self::Never,
});
words!(EffortWord for Effort {
    None => Self::None,
    Minimal => Self::Minimal,
    Low => Self::Low,
    Medium => Self::Medium,
    High => Self::High,
    Xhigh => Self::XHigh,
    Max => Self::Max,
});

/// Sets what was said.
fn set<T: From<U>, U: Clone>(to: &mut T, said: &Option<U>) {
    if let Some(said) = said {
        *to = T::from(said.clone());
    }
}

/// Sets what may be unknown, where something was said.
fn know<T: From<U>, U: Clone>(to: &mut Option<T>, said: &Option<U>) {
    if let Some(said) = said {
        *to = Some(T::from(said.clone()));
    }
}

impl Capabilities {
    fn apply(&self, caps: &mut Caps) {
        know(&mut caps.context_window, &self.context_window);
        know(&mut caps.max_output_tokens, &self.max_output_tokens);
        set(&mut caps.default_max_output_tokens, &self.default_max_output_tokens);
        set(&mut caps.sampling, &self.sampling);
        know(&mut caps.thinking, &self.thinking);
        set(&mut caps.schema, &self.schema);
        know(&mut caps.forced_tool_choice, &self.forced_tool_choice);
        if let Some(efforts) = &self.efforts {
            caps.efforts = Some(efforts.iter().map(|word| Effort::from(*word)).collect());
        }
        self.apply_flags(caps);
    }

    fn apply_flags(&self, caps: &mut Caps) {
        set(&mut caps.prefill, &self.prefill);
        set(&mut caps.mid_system, &self.mid_system);
        know(&mut caps.developer_role, &self.developer_role);
        set(&mut caps.structured_output, &self.structured_output);
        set(&mut caps.strict_tools, &self.strict_tools);
        know(&mut caps.tool_result_media, &self.tool_result_media);
        set(&mut caps.bound_reasoning, &self.bound_reasoning);
        set(&mut caps.needs_thought_signature, &self.needs_thought_signature);
        know(&mut caps.fetches_https_images, &self.fetches_https_images);
        know(&mut caps.fetches_https_files, &self.fetches_https_files);
        know(&mut caps.image_in, &self.image_in);
        know(&mut caps.audio_in, &self.audio_in);
        know(&mut caps.video_in, &self.video_in);
        know(&mut caps.pdf_in, &self.pdf_in);
        know(&mut caps.tools, &self.tools);
        know(&mut caps.n_gt_1, &self.n_gt_1);
        know(&mut caps.logprobs, &self.logprobs);
        know(&mut caps.penalties, &self.penalties);
        know(&mut caps.seed, &self.seed);
        know(&mut caps.server_web_search, &self.server_web_search);
    }
}

/// What the file says, of all providers.
pub(super) fn abilities(providers: &IndexMap<String, super::file::Provider>) -> Abilities {
    let mut abilities = Abilities::default();
    for (name, provider) in providers {
        for (pattern, own) in &provider.capabilities {
            let own = own.clone();
            let said: Said = Arc::new(move |caps: &mut Caps| own.apply(caps));
            abilities.say(name.as_str(), pattern, said);
        }
    }
    abilities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_changes_what_is_known_and_nothing_else() {
        let said = "thinking = \"adaptive\"\nprefill = false\nimage_in = true\n\
                    efforts = [\"low\", \"xhigh\"]\nmax_output_tokens = 7\nsampling = \"one_of\"";
        let own: Capabilities = toml::from_str(said).unwrap();
        let mut caps = Caps::default();
        own.apply(&mut caps);
        let mut expected = Caps::default();
        expected.thinking = Some(Thinking::Adaptive);
        expected.prefill = false;
        expected.image_in = Some(true);
        expected.efforts = Some([Effort::Low, Effort::XHigh].into());
        expected.max_output_tokens = Some(7);
        expected.sampling = Sampling::OneOf;
        assert_eq!(caps, expected);
        let mut caps = Caps::default();
        Capabilities::default().apply(&mut caps);
        assert_eq!(caps, Caps::default());
        assert!(toml::from_str::<Capabilities>("thinkin = \"none\"").is_err());
    }
}
