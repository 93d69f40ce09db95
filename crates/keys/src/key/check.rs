//! The decisions, without http around them.

use std::{sync::Arc, time::SystemTime};

use http::{Method, Request};
use tollgate_core::{Call, Class, Operation, Principal, Refusal};
use tollgate_wire::credential;

use super::Canonical;
use crate::{KeyHash, KeyStore};

/// What decides about a request.
pub(super) struct Gate<K, C> {
    pub(super) store: K,
    pub(super) canonical: C,
}

impl<K: KeyStore, C> Gate<K, C> {
    /// Finds out who is asking from the head of a request.
    ///
    /// Errors: no key, or none that may be used. What is known of a key beats "unknown".
    pub(super) fn who<B>(&self, request: &Request<B>) -> Result<Arc<Principal>, Refusal> {
        if let Some(known) = request.extensions().get::<Arc<Principal>>() {
            return Ok(known.clone());
        }
        let mut refusal = None;
        for key in credential::presented(request) {
            match self.store.lookup(&KeyHash::of(&key)) {
                None => _ = refusal.get_or_insert_with(invalid),
                Some(record) => match record.usable(SystemTime::now()) {
                    Ok(()) => return Ok(record.principal.clone()),
                    Err(unusable) => refusal = Some(unusable),
                },
            }
        }
        Err(refusal.unwrap_or_else(missing))
    }
}

impl<K, C: Canonical> Gate<K, C> {
    /// Says whether `principal` may make `call`, by the model it names.
    pub(super) fn may(
        &self,
        principal: &Principal,
        call: &Call,
        method: &Method,
    ) -> Result<(), Refusal> {
        if principal.models.is_all() {
            return Ok(());
        }
        let Some(asked) = &call.model else { return without_model(call.operation, method) };
        if principal.models.allows(&self.canonical.canonical(asked, call.protocol)) {
            return Ok(());
        }
        let message = format!("this API key may not use the model `{asked}`");
        Err(Refusal::new(Class::Permission, message).param("model").code("model_not_allowed"))
    }
}

fn without_model(operation: Operation, method: &Method) -> Result<(), Refusal> {
    let looks = matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    match operation {
        Operation::ListModels | Operation::GetModel => Ok(()),
        Operation::Other if looks => Ok(()),
        Operation::Other => Err(Refusal::new(
            Class::Permission,
            "this API key is restricted to some models and may not send what the gateway does not \
             read",
        )
        .code("model_not_allowed")),
        _ => Err(Refusal::new(Class::InvalidRequest, "the request names no model").param("model")),
    }
}

fn missing() -> Refusal {
    Refusal::new(
        Class::Auth,
        "no API key was given: send it as `Authorization: Bearer KEY`, `x-api-key: KEY`, \
         `x-goog-api-key: KEY` or `api-key: KEY`",
    )
    .code("missing_api_key")
}

fn invalid() -> Refusal {
    Refusal::new(Class::Auth, "the API key is not known here").code("invalid_api_key")
}
