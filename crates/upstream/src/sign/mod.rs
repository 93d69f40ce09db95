//! What proves to an upstream who pays, where a key in a header is not enough.

#[cfg(feature = "bedrock")]
mod aws;
#[cfg(feature = "vertex")]
mod google;

use std::{fmt, pin::Pin, sync::Arc};

use http::Request;
use tollgate_core::{Failure, Frames};

#[cfg(feature = "bedrock")]
pub use self::aws::{AwsKeys, SigV4};
#[cfg(feature = "vertex")]
pub use self::google::{GoogleAccount, GoogleToken, InvalidAccount};

/// The future of [`Signer::sign`].
pub type Signing = Pin<Box<dyn Future<Output = Result<Request<Frames>, Failure>> + Send>>;

/// Signs requests as they are about to be sent: on their last URI, headers and body.
///
/// A signer adds headers and changes nothing else. Those that hold a secret are marked sensitive;
/// one that an upstream could echo is left in the extensions as [`Shown`](tollgate_core::Shown),
/// which travels on with the answer. Dropping the future leaves nothing behind.
///
/// Errors: a [`Failure`] with [`Cause::Credential`](tollgate_core::Cause::Credential); nothing is
/// sent then.
pub trait Signer: fmt::Debug + Send + Sync {
    /// Signs one request.
    fn sign(&self, request: Request<Frames>) -> Signing;
}

impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn sign(&self, request: Request<Frames>) -> Signing {
        (**self).sign(request)
    }
}
