use std::sync::Arc;

use tollgate_core::{Protocol, Transport};

/// Whose paths a provider is reached at, and what configuration must say for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hosting {
    /// The protocol's own.
    #[default]
    Own,
    /// Azure OpenAI's: a base URL; with an `api_version` the versioned API, without it `v1`.
    Azure,
    /// Vertex AI's: `project` and `location`.
    Vertex,
    /// Amazon Bedrock's: `region`.
    Bedrock,
}

/// What configuration says of where a provider is. Absent members are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Azure's API version.
    pub api_version: Option<Arc<str>>,
    /// Vertex AI's project.
    pub project: Option<Arc<str>>,
    /// Vertex AI's location.
    pub location: Option<Arc<str>>,
    /// Amazon's region.
    pub region: Option<Arc<str>>,
}

impl Hosting {
    /// Returns how `protocol` is carried at `place`.
    ///
    /// Errors: the name of the member that is missing.
    ///
    /// ```
    /// use tollgate_core::{Protocol, Transport};
    /// use tollgate_upstream::{Place, preset};
    ///
    /// let hosting = preset("azure").unwrap().hosting;
    /// let transport = hosting.transport(Protocol::OpenAiChat, &Place::default());
    /// assert_eq!(transport, Ok(Transport::AzureV1));
    /// let hosting = preset("bedrock").unwrap().hosting;
    /// let missing = hosting.transport(Protocol::AnthropicMessages, &Place::default());
    /// assert_eq!(missing, Err("region"));
    /// ```
    pub fn transport(self, protocol: Protocol, place: &Place) -> Result<Transport, &'static str> {
        Ok(match self {
            Self::Own => Transport::Native,
            Self::Azure => match place.api_version.clone() {
                Some(api_version) => Transport::AzureDeployments { api_version },
                None => Transport::AzureV1,
            },
            Self::Vertex => {
                let project = place.project.clone().ok_or("project")?;
                let location = place.location.clone().ok_or("location")?;
                match protocol {
                    Protocol::AnthropicMessages => Transport::VertexAnthropic { project, location },
                    _ => Transport::VertexGemini { project, location },
                }
            }
            Self::Bedrock => {
                Transport::BedrockInvoke { region: place.region.clone().ok_or("region")? }
            }
        })
    }
}
