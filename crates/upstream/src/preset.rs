use tollgate_core::Protocol;

use crate::Hosting;

/// How a provider wants to be shown a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// In a header of this name, which holds the key alone.
    Header(&'static str),
}

/// Where a provider speaks one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The protocol.
    pub protocol: Protocol,
    /// The base URL as the provider's own SDK takes it: OpenAI's with `/v1`, Anthropic's and
    /// Gemini's without. `None` where configuration must say it, or what it follows from
    /// ([`Hosting`], [`base_url`](crate::transport::base_url)).
    pub base_url: Option<&'static str>,
    /// How it wants to be shown a key.
    pub auth: Auth,
}

/// What is known of a provider, or of a kind of provider.
///
/// ```
/// use tollgate_core::Protocol;
/// use tollgate_upstream::preset;
///
/// let google = preset("google").unwrap();
/// assert_eq!(google.name, "gemini");
/// assert_eq!(google.env, ["GEMINI_API_KEY", "GOOGLE_API_KEY"]);
/// let endpoint = google.endpoint(Protocol::Gemini).unwrap();
/// assert_eq!(endpoint.base_url, Some("https://generativelanguage.googleapis.com"));
/// assert!(preset("nobody").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// The provider's name in configuration and in `provider/model`.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it speaks natively, the preferred protocol first.
    pub endpoints: &'static [Endpoint],
    /// Environment variables that hold its key, the first set one counts.
    pub env: &'static [&'static str],
    /// Headers of requests to it that have none of that name. What a protocol itself demands is
    /// added anyway (see [`required`](crate::headers::required)).
    pub headers: &'static [(&'static str, &'static str)],
    /// Its name in the catalogue of models and prices; `None` for a kind and for who is not in it.
    pub catalogue: Option<&'static str>,
    /// Runs on the user's own machine: it needs no key and costs nothing. One that was given a key
    /// is shown it. Default: `false`.
    pub local: bool,
    /// What else configuration must say of where it is. Default: nothing.
    pub hosting: Hosting,
}

impl Preset {
    /// Returns where the provider speaks `protocol`.
    pub fn endpoint(&self, protocol: Protocol) -> Option<&'static Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.protocol == protocol)
    }

    /// Whether configuration must say where it is: a kind of provider, or one with an address per
    /// customer or region.
    pub fn is_placed(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.base_url.is_none())
    }

    const fn new(name: &'static str, endpoints: &'static [Endpoint]) -> Self {
        Self {
            name,
            aliases: &[],
            endpoints,
            env: &[],
            headers: &[],
            catalogue: None,
            local: false,
            hosting: Hosting::Own,
        }
    }

    /// A provider on the network, which wants a key.
    const fn hosted(
        name: &'static str,
        env: &'static [&'static str],
        catalogue: Option<&'static str>,
        endpoints: &'static [Endpoint],
    ) -> Self {
        Self { env, catalogue, ..Self::new(name, endpoints) }
    }

    /// A server on the user's own machine.
    const fn on_this_machine(name: &'static str, endpoints: &'static [Endpoint]) -> Self {
        Self { local: true, ..Self::new(name, endpoints) }
    }
}

const fn openai(protocol: Protocol, base_url: Option<&'static str>) -> Endpoint {
    Endpoint { protocol, base_url, auth: Auth::Bearer }
}

const fn anthropic(base_url: Option<&'static str>) -> Endpoint {
    Endpoint { protocol: Protocol::AnthropicMessages, base_url, auth: Auth::Header("x-api-key") }
}

const fn gemini(base_url: Option<&'static str>) -> Endpoint {
    Endpoint { protocol: Protocol::Gemini, base_url, auth: Auth::Header("x-goog-api-key") }
}

const fn chat(base_url: &'static str) -> Endpoint {
    openai(Protocol::OpenAiChat, Some(base_url))
}

const fn responses(base_url: &'static str) -> Endpoint {
    openai(Protocol::OpenAiResponses, Some(base_url))
}

const fn messages(base_url: &'static str) -> Endpoint {
    anthropic(Some(base_url))
}

/// Anthropic's protocol where the key is documented as `ANTHROPIC_AUTH_TOKEN` only.
const fn messages_with_token(base_url: &'static str) -> Endpoint {
    Endpoint { auth: Auth::Bearer, ..messages(base_url) }
}

const fn azure(protocol: Protocol) -> Endpoint {
    Endpoint { protocol, base_url: None, auth: Auth::Header("api-key") }
}

/// Where requests are signed instead of showing a key.
const fn signed(protocol: Protocol) -> Endpoint {
    Endpoint { protocol, base_url: None, auth: Auth::None }
}

/// Every preset. A new provider that speaks a known protocol is one entry more.
///
/// `GITHUB_TOKEN` is not among the variables: it lies in many environments for other ends.
pub static PRESETS: &[Preset] = &[
    Preset::hosted(
        "openai",
        &["OPENAI_API_KEY"],
        Some("openai"),
        &[chat("https://api.openai.com/v1"), responses("https://api.openai.com/v1")],
    ),
    Preset::hosted(
        "anthropic",
        &["ANTHROPIC_API_KEY"],
        Some("anthropic"),
        &[messages("https://api.anthropic.com")],
    ),
    Preset {
        aliases: &["google"],
        ..Preset::hosted(
            "gemini",
            &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            Some("google"),
            &[gemini(Some("https://generativelanguage.googleapis.com"))],
        )
    },
    Preset::hosted(
        "mistral",
        &["MISTRAL_API_KEY"],
        Some("mistral"),
        &[chat("https://api.mistral.ai/v1")],
    ),
    Preset::hosted(
        "groq",
        &["GROQ_API_KEY"],
        Some("groq"),
        &[chat("https://api.groq.com/openai/v1")],
    ),
    Preset::hosted(
        "deepseek",
        &["DEEPSEEK_API_KEY"],
        Some("deepseek"),
        &[
            chat("https://api.deepseek.com"),
            responses("https://api.deepseek.com"),
            messages("https://api.deepseek.com/anthropic"),
        ],
    ),
    Preset::hosted(
        "xai",
        &["XAI_API_KEY"],
        Some("xai"),
        &[
            chat("https://api.x.ai/v1"),
            responses("https://api.x.ai/v1"),
            messages("https://api.x.ai"),
        ],
    ),
    Preset::hosted(
        "together",
        &["TOGETHER_API_KEY"],
        Some("together"),
        &[chat("https://api.together.xyz/v1")],
    ),
    Preset::hosted(
        "fireworks",
        &["FIREWORKS_API_KEY"],
        Some("fireworks"),
        &[chat("https://api.fireworks.ai/inference/v1")],
    ),
    Preset::hosted(
        "openrouter",
        &["OPENROUTER_API_KEY"],
        Some("openrouter"),
        &[chat("https://openrouter.ai/api/v1"), responses("https://openrouter.ai/api/v1")],
    ),
    Preset::hosted(
        "perplexity",
        &["PERPLEXITY_API_KEY"],
        Some("perplexity"),
        &[chat("https://api.perplexity.ai")],
    ),
    Preset::hosted(
        "cerebras",
        &["CEREBRAS_API_KEY"],
        Some("cerebras"),
        &[chat("https://api.cerebras.ai/v1")],
    ),
    Preset::hosted(
        "cohere",
        &["COHERE_API_KEY", "CO_API_KEY"],
        Some("cohere"),
        &[chat("https://api.cohere.ai/compatibility/v1")],
    ),
    Preset {
        aliases: &["moonshotai", "kimi"],
        ..Preset::hosted(
            "moonshot",
            &["MOONSHOT_API_KEY"],
            Some("moonshotai"),
            &[
                chat("https://api.moonshot.ai/v1"),
                messages_with_token("https://api.moonshot.ai/anthropic"),
            ],
        )
    },
    Preset {
        aliases: &["z.ai"],
        ..Preset::hosted(
            "zai",
            &["ZAI_API_KEY"],
            Some("zai"),
            &[chat("https://api.z.ai/api/paas/v4"), messages("https://api.z.ai/api/anthropic")],
        )
    },
    Preset::hosted(
        "minimax",
        &["MINIMAX_API_KEY"],
        Some("minimax"),
        &[chat("https://api.minimax.io/v1"), messages("https://api.minimax.io/anthropic")],
    ),
    Preset {
        aliases: &["dashscope", "qwen"],
        ..Preset::hosted(
            "alibaba",
            &["DASHSCOPE_API_KEY"],
            Some("alibaba"),
            &[chat("https://dashscope-intl.aliyuncs.com/compatible-mode/v1")],
        )
    },
    Preset::hosted(
        "nvidia",
        &["NVIDIA_API_KEY"],
        None,
        &[chat("https://integrate.api.nvidia.com/v1")],
    ),
    Preset::hosted(
        "sambanova",
        &["SAMBANOVA_API_KEY"],
        Some("sambanova"),
        &[chat("https://api.sambanova.ai/v1")],
    ),
    Preset::hosted(
        "deepinfra",
        &["DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"],
        Some("deepinfra"),
        &[chat("https://api.deepinfra.com/v1/openai")],
    ),
    Preset::hosted(
        "nebius",
        &["NEBIUS_API_KEY"],
        Some("nebius"),
        &[chat("https://api.tokenfactory.nebius.com/v1")],
    ),
    Preset::hosted(
        "hyperbolic",
        &["HYPERBOLIC_API_KEY"],
        None,
        &[chat("https://api.hyperbolic.xyz/v1")],
    ),
    Preset::hosted(
        "github-models",
        &["GITHUB_MODELS_TOKEN"],
        None,
        &[chat("https://models.github.ai/inference")],
    ),
    Preset {
        hosting: Hosting::Azure,
        ..Preset::hosted(
            "azure",
            &["AZURE_OPENAI_API_KEY"],
            Some("azure"),
            &[azure(Protocol::OpenAiChat), azure(Protocol::OpenAiResponses)],
        )
    },
    Preset {
        hosting: Hosting::Vertex,
        ..Preset::hosted(
            "vertex",
            &[],
            Some("vertex"),
            &[signed(Protocol::Gemini), signed(Protocol::AnthropicMessages)],
        )
    },
    Preset {
        hosting: Hosting::Bedrock,
        ..Preset::hosted("bedrock", &[], Some("bedrock"), &[signed(Protocol::AnthropicMessages)])
    },
    Preset::on_this_machine("ollama", &[chat("http://127.0.0.1:11434/v1")]),
    Preset::on_this_machine("vllm", &[chat("http://127.0.0.1:8000/v1")]),
    Preset {
        aliases: &["lm-studio"],
        ..Preset::on_this_machine("lmstudio", &[chat("http://127.0.0.1:1234/v1")])
    },
    Preset {
        aliases: &["llamacpp"],
        ..Preset::on_this_machine("llama-cpp", &[chat("http://127.0.0.1:8080/v1")])
    },
    Preset::new("openai-compatible", &[openai(Protocol::OpenAiChat, None)]),
    Preset::new("anthropic-compatible", &[anthropic(None)]),
    Preset::new("gemini-compatible", &[gemini(None)]),
];

/// Finds a preset by its name or an alias.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name || preset.aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    #[test]
    fn each_name_means_one_preset() {
        let names: Vec<_> =
            PRESETS.iter().flat_map(|p| p.aliases.iter().chain([&p.name])).collect();
        for name in &names {
            assert_eq!(names.iter().filter(|other| other == &name).count(), 1, "{name}");
        }
    }

    #[test]
    fn every_entry_is_well_formed() {
        for preset in PRESETS {
            assert!(!preset.endpoints.is_empty());
            assert!(
                !preset.env.is_empty() || preset.local || preset.is_placed(),
                "{}",
                preset.name
            );
            for endpoint in preset.endpoints {
                let url = endpoint.base_url.map(|url| url.parse::<Uri>().unwrap());
                assert_eq!(url.is_none(), preset.is_placed(), "{}", preset.name);
                let scheme = if preset.local { "http" } else { "https" };
                assert!(url.is_none_or(|url| url.scheme_str() == Some(scheme)), "{}", preset.name);
                if let Auth::Header(name) = endpoint.auth {
                    http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                }
            }
        }
    }

    #[test]
    fn no_variable_means_two_providers_or_something_else() {
        let variables: Vec<_> = PRESETS.iter().flat_map(|preset| preset.env).collect();
        for variable in &variables {
            assert_eq!(variables.iter().filter(|other| other == &variable).count(), 1);
            assert!(!["GITHUB_TOKEN", "HF_TOKEN"].contains(variable));
        }
    }

    /// Paths as they were recorded at the providers.
    #[test]
    fn base_urls_lead_where_recorded_requests_went() {
        use Protocol::{OpenAiChat as C, OpenAiResponses as R};
        for (name, protocol, path, recorded) in [
            ("alibaba", C, "/v1/chat/completions", "/compatible-mode/v1/chat/completions"),
            ("cerebras", C, "/v1/chat/completions", "/v1/chat/completions"),
            ("deepseek", C, "/v1/chat/completions", "/chat/completions"),
            ("deepseek", R, "/v1/responses", "/responses"),
            ("groq", C, "/v1/chat/completions", "/openai/v1/chat/completions"),
            ("llama-cpp", C, "/v1/chat/completions", "/v1/chat/completions"),
            ("mistral", C, "/v1/chat/completions", "/v1/chat/completions"),
            ("moonshot", C, "/v1/chat/completions", "/v1/chat/completions"),
            ("ollama", C, "/v1/chat/completions", "/v1/chat/completions"),
            ("openrouter", C, "/v1/chat/completions", "/api/v1/chat/completions"),
            ("openrouter", R, "/v1/responses", "/api/v1/responses"),
            ("perplexity", C, "/v1/chat/completions", "/chat/completions"),
            ("xai", R, "/v1/responses", "/v1/responses"),
            ("zai", C, "/v1/chat/completions", "/api/paas/v4/chat/completions"),
        ] {
            let endpoint = preset(name).unwrap().endpoint(protocol).unwrap();
            let base = endpoint.base_url.unwrap().parse().unwrap();
            let url = crate::url::join(&base, protocol, path, None).unwrap();
            assert_eq!(url.path(), recorded, "{name}");
        }
    }
}
