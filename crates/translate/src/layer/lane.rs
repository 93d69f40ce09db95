use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::Request;
use tollgate_core::{Call, Caps, Operation, Protocol, Target};
use tollgate_wire::{Caller, locate, usage::Profile};

use super::layer::Settings;
use crate::{Kind, Policy, Translator};

/// From whom a call comes and to whom it goes.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// The call as the client made it.
    pub(super) call: Call,
    pub(super) to: Protocol,
    pub(super) target: Option<Arc<Target>>,
    pub(super) caps: Arc<Caps>,
    pub(super) policy: Policy,
}

impl Lane {
    /// The lane of a request with a [`Call`]; `None` where there is nothing to translate.
    pub(super) fn of<B>(settings: &Settings, request: &Request<B>) -> Option<Self> {
        let lane = Self::any(settings, request)?;
        let differs = lane.to != lane.call.protocol && lane.call.operation != Operation::Other;
        differs.then_some(lane)
    }

    fn any<B>(settings: &Settings, request: &Request<B>) -> Option<Self> {
        let extensions = request.extensions();
        let call = extensions.get::<Call>()?;
        let target = extensions.get::<Arc<Target>>();
        let to = target.map(|target| target.protocol).or(settings.to)?;
        let caps = target.map_or(&settings.caps, |target| &target.caps).clone();
        let policy = extensions.get::<Policy>().copied().unwrap_or(settings.policy);
        Some(Self { call: call.clone(), to, target: target.cloned(), caps, policy })
    }

    /// The lane of a call for a stream of server-sent events whose target speaks its protocol;
    /// `None` for any other.
    pub(super) fn of_stream<B>(settings: &Settings, request: &Request<B>) -> Option<Self> {
        let call = request.extensions().get::<Call>()?;
        let asks = call.stream && !call.json_array && call.operation == Operation::Generate;
        let lane = asks.then(|| Self::any(settings, request)).flatten()?;
        (lane.to == lane.call.protocol).then_some(lane)
    }

    /// Whether a request may have to be translated, as far as its head tells.
    pub(super) fn may_differ<B>(settings: &Settings, request: &Request<B>) -> bool {
        let target = request.extensions().get::<Arc<Target>>().map(|target| target.protocol);
        let Some(to) = target.or(settings.to) else { return false };
        if let Some(call) = request.extensions().get::<Call>() {
            return to != call.protocol && call.operation != Operation::Other;
        }
        let located = locate(request.method(), request.uri().path(), request.headers());
        located.is_some_and(|located| located.protocol != to)
    }

    pub(super) fn caller(&self) -> Caller {
        Caller { protocol: self.call.protocol, id: self.call.id }
    }

    /// The upstream's name of the model.
    pub(super) fn model(&self) -> &str {
        match &self.target {
            Some(target) => &target.model,
            None => self.call.model.as_deref().unwrap_or_default(),
        }
    }

    /// Whether what the upstream is shown is our credential, not the client's own.
    pub(super) fn is_ours(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.credential.is_some())
    }

    /// What is asked for; `None` for what is not translated.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self.call.operation {
            Operation::Generate => Some(Kind::Generate),
            Operation::CountTokens => Some(Kind::Count),
            Operation::Embed => Some(Kind::Embed),
            _ => None,
        }
    }

    pub(super) fn translator(&self, kind: Kind) -> Translator {
        let host = self.target.as_ref().map_or("", |target| &target.kind);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Translator::new(self.call.protocol, self.to)
            .kind(kind)
            .policy(self.policy)
            .profile(Profile::of(self.to, host))
            .call(i64::try_from(now.as_secs()).unwrap_or_default(), self.call.id.to_string())
    }
}
