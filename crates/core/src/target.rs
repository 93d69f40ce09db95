use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::Uri;

use crate::{Caps, Protocol};

/// One place that can answer: a model at a deployment of a provider.
///
/// Written by `RouteLayer` (the first) and by `FallbackLayer` (each attempt), who also aim the
/// request at it; travels as `Arc<Target>` in the request's extensions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Target {
    /// The provider's name in configuration, e.g. `openai`.
    pub provider: Arc<str>,
    /// What kind of host it is: the name of a preset, by which its habits and prices are known.
    pub kind: Arc<str>,
    /// The deployment within the provider; the provider's name where it has one.
    pub deployment: Arc<str>,
    /// The protocol the upstream speaks.
    pub protocol: Protocol,
    /// The model in the upstream's own spelling.
    pub model: Arc<str>,
    /// Where it is, as that provider's own SDK takes it (OpenAI's with `/v1`).
    pub base_url: Uri,
    /// The name of the credential to use; `None` for an upstream that wants none.
    pub credential: Option<Arc<str>>,
    /// How the protocol is carried there.
    pub transport: Transport,
    /// What the model at this deployment can do.
    pub caps: Arc<Caps>,
    /// Members its requests have beside what the client sent, each with its value's JSON: wishes of
    /// the caller's that are this upstream's business. Whoever aims a request sets them, and takes
    /// out again those of the target it was aimed at before. Usually none.
    pub members: Arc<[(Cow<'static, str>, Bytes)]>,
}

/// How a protocol is carried where it is not spoken at its own paths.
///
/// Written into the [`Target`] by configuration, read by `Upstream`, which forms path, query and
/// envelope by it. `base_url` is the address of the host in each case; what else a host wants to be
/// told stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// At the protocol's own paths under the base URL.
    #[default]
    Native,
    /// Azure's `v1` API: `/openai/v1/…`, the deployment's name is the model in the body.
    AzureV1,
    /// Azure's versioned API: `/openai/deployments/{model}/…?api-version=…`; the target's model is
    /// the deployment's name.
    AzureDeployments {
        /// The API's version, e.g. `2024-10-21`.
        api_version: Arc<str>,
    },
    /// Anthropic's protocol on Vertex AI: `…/publishers/anthropic/models/{model}:rawPredict`.
    VertexAnthropic {
        /// The project that pays.
        project: Arc<str>,
        /// Where it runs: a region, or `global`.
        location: Arc<str>,
    },
    /// Gemini's protocol on Vertex AI: `…/publishers/google/models/{model}:{verb}`.
    VertexGemini {
        /// The project that pays.
        project: Arc<str>,
        /// Where it runs: a region, or `global`.
        location: Arc<str>,
    },
    /// Anthropic's protocol by Amazon Bedrock's `InvokeModel`: `/model/{model}/invoke`.
    BedrockInvoke {
        /// The region, which is part of the signature.
        region: Arc<str>,
    },
    /// Amazon Bedrock's own paths, e.g. `/model/{model}/converse`: passed through, only signed.
    BedrockConverse {
        /// The region, which is part of the signature.
        region: Arc<str>,
    },
}

impl Target {
    /// Returns a target at its protocol's own paths, with default capabilities, whose kind,
    /// deployment and credential are named like the provider.
    pub fn new(
        provider: impl Into<Arc<str>>,
        protocol: Protocol,
        model: impl Into<Arc<str>>,
        base_url: Uri,
    ) -> Self {
        let provider = provider.into();
        Self {
            kind: provider.clone(),
            deployment: provider.clone(),
            credential: Some(provider.clone()),
            provider,
            protocol,
            model: model.into(),
            base_url,
            transport: Transport::Native,
            caps: Arc::default(),
            members: Arc::default(),
        }
    }

    /// Returns `provider/model`, as `x-tollgate-target` shows it; the provider alone where a
    /// request names no model.
    pub fn name(&self) -> String {
        match &*self.model {
            "" => self.provider.to_string(),
            model => [&*self.provider, "/", model].concat(),
        }
    }
}
