//! The listener's own certificates.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Where the certificates are, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// The authorities of which clients must show a certificate; absent: clients need none.
    pub client_ca: Option<PathBuf>,
}

/// Encrypts connections. New certificates concern new connections only; clones share them.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<ServerConfig>>);

impl Tls {
    /// Reads the files.
    ///
    /// Errors: a file cannot be read, or what is in them does not fit together.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(config(files)?))))
    }

    /// Puts another one's certificates in force. Connections that are open go on with theirs.
    pub fn replace(&self, with: &Self) {
        self.0.store(with.0.load_full());
    }

    /// Waits for a connection's handshake. `None`: it failed, or took too long.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
        within: Duration,
    ) -> Option<Box<TlsStream<TcpStream>>> {
        let handshake = TlsAcceptor::from(self.0.load_full()).accept(socket);
        match tokio::time::timeout(within, handshake).await {
            Ok(Ok(stream)) => Some(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

fn config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| TlsError::at(&files.key, &e))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::at(&files.cert, &error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path)?),
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|e| TlsError::at(&files.cert, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(|error| TlsError::at(path, &error))?;
    if chain.is_empty() {
        return Err(TlsError::at(path, &"there is no certificate in it"));
    }
    Ok(chain)
}

fn verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::at(path, &error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| TlsError::at(path, &error))
}

/// The certificates cannot be used. The text names the file and never holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    fn at(path: &Path, error: &dyn fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}
