use tollgate_core::Protocol;

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
    /// Gemini's without. `None` for a kind of provider, where configuration must say it.
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
    /// Its name in the catalogue of models and prices; `None` for a kind.
    pub catalogue: Option<&'static str>,
}

impl Preset {
    /// Returns where the provider speaks `protocol`.
    pub fn endpoint(&self, protocol: Protocol) -> Option<&'static Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.protocol == protocol)
    }

    const fn new(name: &'static str, endpoints: &'static [Endpoint]) -> Self {
        Self { name, aliases: &[], endpoints, env: &[], headers: &[], catalogue: None }
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

/// Every preset. A new provider that speaks a known protocol is one entry more.
pub static PRESETS: &[Preset] = &[
    Preset {
        env: &["OPENAI_API_KEY"],
        catalogue: Some("openai"),
        ..Preset::new(
            "openai",
            &[
                openai(Protocol::OpenAiChat, Some("https://api.openai.com/v1")),
                openai(Protocol::OpenAiResponses, Some("https://api.openai.com/v1")),
            ],
        )
    },
    Preset {
        env: &["ANTHROPIC_API_KEY"],
        catalogue: Some("anthropic"),
        ..Preset::new("anthropic", &[anthropic(Some("https://api.anthropic.com"))])
    },
    Preset {
        aliases: &["google"],
        env: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        catalogue: Some("google"),
        ..Preset::new("gemini", &[gemini(Some("https://generativelanguage.googleapis.com"))])
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
            for endpoint in preset.endpoints {
                let url = endpoint.base_url.map(|url| url.parse::<Uri>().unwrap());
                assert_eq!(url.is_some(), preset.catalogue.is_some(), "{}", preset.name);
                assert!(url.is_none_or(|url| url.scheme_str() == Some("https")));
                if let Auth::Header(name) = endpoint.auth {
                    http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                }
            }
        }
    }
}
