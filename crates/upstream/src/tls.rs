//! Whom we trust, and who we are, when TLS is spoken.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};

/// What was added to the defaults of TLS.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<Arc<CertifiedKey>>,
}

impl Tls {
    pub(crate) fn trust(&mut self, pem: &[u8]) -> Result<(), InvalidPem> {
        let found = certificates(pem)?;
        let mut roots = RootCertStore::empty();
        for certificate in &found {
            roots.add(certificate.clone()).map_err(|_| InvalidPem::Certificate)?;
        }
        self.authorities.extend(found);
        Ok(())
    }

    pub(crate) fn identify(&mut self, chain: &[u8], key: &[u8]) -> Result<(), InvalidPem> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| InvalidPem::Key)?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| InvalidPem::Key)?;
        let identity = CertifiedKey::new(certificates(chain)?, key);
        identity.keys_match().map_err(|_| InvalidPem::Pair)?;
        self.identity = Some(Arc::new(identity));
        Ok(())
    }

    /// The configuration: the system's authorities, or Mozilla's list where the system has none,
    /// and those added.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut roots = authorities();
        roots.add_parsable_certificates(self.authorities.iter().cloned());
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .with_root_certificates(roots);
        match &self.identity {
            Some(own) => {
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.clone())))
            }
            None => config.with_no_client_auth(),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.len())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        tracing::debug!("no certificate authorities of the system, using Mozilla's");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidPem> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|found| !found.is_empty()).ok_or(InvalidPem::Certificate)
}

/// What was given as certificates or as a key is none. Never holds anything of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPem {
    /// No certificate in PEM, or one that cannot be read.
    Certificate,
    /// No private key in PEM, or of a kind that is not known.
    Key,
    /// The private key is not that of the first certificate.
    Pair,
}

impl fmt::Display for InvalidPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "no readable certificate in PEM",
            Self::Key => "no readable private key in PEM",
            Self::Pair => "the private key does not belong to the first certificate",
        })
    }
}

impl std::error::Error for InvalidPem {}
