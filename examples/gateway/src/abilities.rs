//! What models take, as translation must know it.

use std::{collections::HashMap, sync::Arc};

use tollgate_catalog::Catalogue;
use tollgate_core::{AllowedModels, Caps, Protocol, Target};

/// What somebody says of a model's abilities: changes what is known of it.
pub type Said = Arc<dyn Fn(&mut Caps) + Send + Sync>;

/// What the configuration says of models, by provider, over what the catalogue knows.
#[derive(Clone, Default)]
pub struct Abilities(HashMap<Arc<str>, Vec<(AllowedModels, Said)>>);

impl Abilities {
    /// Adds what is said of the models of `provider` whose names fit `pattern`. What is said later
    /// goes before.
    pub fn say(&mut self, provider: impl Into<Arc<str>>, pattern: &str, said: Said) {
        let models = AllowedModels::only([pattern]);
        self.0.entry(provider.into()).or_default().push((models, said));
    }

    /// Changes what the catalogue knows of a target's model to what is said of it.
    pub(crate) fn tell(&self, target: &Target, caps: &mut Caps) {
        if target.protocol == Protocol::OpenAiChat {
            // Servers that only speak the same protocol know neither the role nor the newer limit.
            let own = ["openai", "azure"].contains(&Catalogue::provider_key(&target.kind));
            caps.developer_role = Some(own);
        }
        for (models, said) in self.0.get(&target.provider).into_iter().flatten() {
            if models.allows(&target.model) {
                said(caps);
            }
        }
    }
}

impl std::fmt::Debug for Abilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::Thinking;

    use super::*;

    fn target(kind: &str, protocol: Protocol, model: &str) -> Target {
        let mut target = Target::new("mine", protocol, model, "http://h/v1".parse().unwrap());
        target.kind = kind.into();
        target
    }

    #[test]
    fn the_catalogue_knows_and_the_file_knows_better() {
        let catalogue = Catalogue::builtin();
        let mut abilities = Abilities::default();
        abilities.say("mine", "claude-*", Arc::new(|caps| caps.thinking = Some(Thinking::None)));
        abilities.say("other", "*", Arc::new(|caps| caps.prefill = false));
        let claude = target("anthropic", Protocol::AnthropicMessages, "claude-sonnet-4-5");
        let of = |target: &Target| {
            let mut caps = catalogue.caps(&target.kind, &target.model);
            abilities.tell(target, &mut caps);
            caps
        };
        let caps = of(&claude);
        assert_eq!((caps.thinking, caps.prefill), (Some(Thinking::None), true));
        assert_eq!(caps.max_output_tokens, Some(64_000), "of the catalogue");
        let gpt = target("openai", Protocol::OpenAiChat, "gpt-5");
        assert_eq!(of(&gpt).developer_role, Some(true));
        let local = target("ollama", Protocol::OpenAiChat, "llama");
        assert_eq!(of(&local).developer_role, Some(false));
    }
}
