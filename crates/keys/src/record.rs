use std::{sync::Arc, time::SystemTime};

use tollgate_core::{Class, Principal, Refusal};

use crate::KeyHash;

/// What is known of a key: who holds it, and whether it may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord {
    /// Who is asking when this key is presented.
    pub principal: Arc<Principal>,
    /// Switched off: every request is refused.
    pub disabled: bool,
    /// From then on every request is refused; `None` for a key that stays.
    pub expires_at: Option<SystemTime>,
}

impl KeyRecord {
    /// Returns the record of a key that may be used, for ever.
    pub fn new(principal: impl Into<Arc<Principal>>) -> Self {
        Self { principal: principal.into(), disabled: false, expires_at: None }
    }

    /// Switches the key off, or on again. Default: on.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// Sets when the key ends. Default: never.
    pub fn expires_at(mut self, at: Option<SystemTime>) -> Self {
        self.expires_at = at;
        self
    }

    /// Says whether the key may be used at `now`.
    ///
    /// Errors: it is disabled (code `api_key_disabled`) or has expired (`api_key_expired`).
    pub fn usable(&self, now: SystemTime) -> Result<(), Refusal> {
        if self.disabled {
            return Err(
                Refusal::new(Class::Auth, "the API key is disabled").code("api_key_disabled")
            );
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(
                Refusal::new(Class::Auth, "the API key has expired").code("api_key_expired")
            );
        }
        Ok(())
    }
}

/// Where keys are looked up.
///
/// Asked on every request, before its body is read: an implementation answers from a snapshot in
/// memory and does no I/O.
pub trait KeyStore: Send + Sync {
    /// Returns the record of the key with this hash.
    fn lookup(&self, hash: &KeyHash) -> Option<Arc<KeyRecord>>;
}

impl<F> KeyStore for F
where
    F: Fn(&KeyHash) -> Option<Arc<KeyRecord>> + Send + Sync,
{
    fn lookup(&self, hash: &KeyHash) -> Option<Arc<KeyRecord>> {
        self(hash)
    }
}

impl<T: KeyStore + ?Sized> KeyStore for Arc<T> {
    fn lookup(&self, hash: &KeyHash) -> Option<Arc<KeyRecord>> {
        (**self).lookup(hash)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tollgate_core::KeyId;

    use super::*;

    #[test]
    fn a_key_ends_at_its_last_instant() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let record = KeyRecord::new(Principal::new(KeyId::new("k"), "k")).expires_at(Some(now));
        assert!(record.usable(now - Duration::from_nanos(1)).is_ok());
        assert_eq!(record.usable(now).unwrap_err().code, Some("api_key_expired"));
        let disabled = record.disabled(true);
        assert_eq!(disabled.usable(now).unwrap_err().code, Some("api_key_disabled"));
    }
}
