use std::{fmt, sync::Arc};

use http::HeaderValue;

/// A credential. It has no way to be printed.
///
/// `Debug` shows dots, there is no `Display` and no serialisation. [`Secret::expose`] is the one
/// way to the text, named so that a search finds each use.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a credential, without the white space around it.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().trim().into())
    }

    /// Returns the credential itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the credential behind `prefix` as a header value marked sensitive.
    ///
    /// `None` if it has bytes no header can carry.
    pub fn header(&self, prefix: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from([prefix, &self.0].concat()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret the upstream was shown that nobody further out knew, such as an access token fetched on
/// the way: a fact on the response, for whoever masks echoes. Whoever masks takes it off.
#[derive(Clone, Debug)]
pub struct Shown(pub Secret);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nothing_of_itself() {
        let secret = Secret::new(" sk-live-123\n");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let header = secret.header("Bearer ").unwrap();
        assert!(header.is_sensitive());
        assert_eq!(format!("{header:?}"), "Sensitive");
        assert_eq!(header.as_bytes(), b"Bearer sk-live-123");
    }

    #[test]
    fn refuses_bytes_no_header_can_carry() {
        assert!(Secret::new("a\nb").header("").is_none());
    }
}
