use std::{cell::OnceCell, hash::Hasher};

use tollgate_catalog::{Catalogue, Component, Occasion, price, rates};
use tollgate_core::{Decimal, InTokens, Money, OutTokens, Target, Usage};
use tollgate_wire::{
    content::{self, Content},
    prompt_bytes,
};

use crate::{Affinity, Ask};

/// Bytes of a request that make a token, roughly.
const TOKEN: u64 = 4;

/// The output reckoned with where the request sets no limit, in tokens.
const OUTPUT: u64 = 1024;

/// What only the request's body tells, read when somebody wants to know and then kept.
pub(crate) struct Facts<'a> {
    pub(crate) ask: &'a Ask<'a>,
    content: OnceCell<Content>,
    prompt: OnceCell<u64>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(ask: &'a Ask<'a>) -> Self {
        Self { ask, content: OnceCell::new(), prompt: OnceCell::new() }
    }

    /// What the messages hold.
    pub(crate) fn content(&self) -> Content {
        let protocol = self.ask.call.protocol;
        let read = || self.ask.body.map(|body| content::content(protocol, body));
        *self.content.get_or_init(|| read().unwrap_or_default())
    }

    /// About how many tokens the prompt has; 0 for a body nobody has read.
    pub(crate) fn prompt(&self) -> u64 {
        *self.prompt.get_or_init(|| self.ask.body.map_or(0, prompt_bytes).div_ceil(TOKEN))
    }

    /// How many tokens the answer may have at this target.
    pub(crate) fn output(&self, target: &Target) -> u64 {
        let usual = OUTPUT.min(target.caps.max_output_tokens.unwrap_or(OUTPUT));
        self.ask.call.output_limit.unwrap_or(usual)
    }

    fn usage(&self, target: &Target) -> Usage {
        let mut usage = Usage::default();
        usage.prompt = InTokens { text: Some(self.prompt()), ..InTokens::default() };
        let output = self.output(target).saturating_mul(u64::from(self.ask.call.candidates));
        usage.output = OutTokens { text: Some(output), ..OutTokens::default() };
        usage
    }

    /// What the call costs at this target, if it is as long as reckoned with. `None`: nobody knows.
    pub(crate) fn cost(&self, target: &Target, catalogue: &Catalogue) -> Option<Money> {
        let usage = self.usage(target);
        price(catalogue, &target.kind, &target.model, &usage, &Occasion::default()).total
    }

    /// What a million tokens of input and of output cost at this target.
    pub(crate) fn rates(&self, target: &Target, catalogue: &Catalogue) -> [Option<Decimal>; 2] {
        let usage = self.usage(target);
        let rates = rates(catalogue, &target.kind, &target.model, &usage, &Occasion::default());
        [Component::Input, Component::Output]
            .map(|component| rates.as_ref().and_then(|rates| rates.get(component)))
    }

    /// What the call goes on from that an upstream keeps, by the name that has there.
    pub(crate) fn state(&self) -> Option<String> {
        let body = self.ask.body.filter(|_| self.ask.call.needs.state)?;
        content::state(self.ask.call.protocol, body)
    }

    /// What calls of this conversation have in common, if there is anything to go by.
    pub(crate) fn affinity(&self, affinity: &Affinity) -> Option<u64> {
        let (call, body) = (self.ask.call, self.ask.body?);
        if let Some(name) = self.state() {
            return Some(affinity.named(&name));
        }
        let mut hasher = affinity.hasher();
        hasher.write(self.ask.principal.map_or("", |who| who.key.as_str()).as_bytes());
        hasher.write_u8(0xff);
        hasher.write(self.ask.model().as_bytes());
        hasher.write_u8(0xff);
        hasher.write(call.protocol.as_str().as_bytes());
        let mut seen = false;
        content::opening(call.protocol, body, &mut |part| {
            seen |= !part.is_empty();
            hasher.write(part);
            hasher.write_u8(0xff);
        });
        seen.then(|| hasher.finish())
    }
}
