//! Whom we trust, and who we are, when TLS is spoken.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
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
        let trusted = Trusted { added: self.authorities.clone(), verifier: OnceLock::new() };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trusted));
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

/// rustls' own verifier, with the authorities read when the first upstream is asked over TLS: whoever
/// has none neither waits for them nor keeps them.
struct Trusted {
    added: Vec<CertificateDer<'static>>,
    verifier: OnceLock<Arc<WebPkiServerVerifier>>,
}

impl Trusted {
    fn verifier(&self) -> &WebPkiServerVerifier {
        self.verifier.get_or_init(|| {
            let mut roots = authorities();
            roots.add_parsable_certificates(self.added.iter().cloned());
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .expect("there is at least Mozilla's list, and no revocation list")
        })
    }
}

impl fmt::Debug for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trusted").field("added", &self.added.len()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier().verify_server_cert(own, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier().verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier().verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
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
