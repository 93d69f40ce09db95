use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use tollgate_core::{Cause, Class, Failure, Sent, Target};
use tollgate_wire::{Caller, credential};
use tower_service::Service;

use super::{
    Credential, Credentials, ResponseBody, ResponseFuture, Unusable,
    mask::{Masking, Masks},
};

/// Service of [`CredentialLayer`](super::CredentialLayer).
pub struct SetCredential<S, C> {
    inner: S,
    credentials: Arc<C>,
    masks: Arc<Masks>,
    target: Option<Arc<Target>>,
}

impl<S, C> SetCredential<S, C> {
    pub(super) fn new(inner: S, credentials: Arc<C>, target: Option<Arc<Target>>) -> Self {
        Self { inner, credentials, masks: Arc::default(), target }
    }
}

impl<S, C: Credentials> SetCredential<S, C> {
    /// Replaces the request's credentials and returns what to mask in the answer.
    fn prepare<B>(&self, request: &mut Request<B>) -> Result<Masking, Unusable> {
        credential::strip(request);
        let known = request.extensions().get::<Arc<Target>>().or(self.target.as_ref());
        let known = known.ok_or(Unusable)?;
        let credential = self.lookup(known)?;
        let mask = self.masks.of(credential.secret(), known.base_url.query());
        if let Some((name, value)) = credential.header()? {
            request.headers_mut().insert(name, value);
        }
        Ok(Masking::new(mask, self.masks.clone()))
    }

    fn lookup(&self, target: &Target) -> Result<Credential, Unusable> {
        match target.credential {
            None => Ok(Credential::None),
            Some(_) => self.credentials.credential(target).ok_or(Unusable),
        }
    }
}

impl<S, C, B, R> Service<Request<B>> for SetCredential<S, C>
where
    S: Service<Request<B>, Response = Response<R>>,
    C: Credentials,
    R: http_body::Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.prepare(&mut request) {
            Ok(masking) => ResponseFuture::calling(self.inner.call(request), masking),
            Err(Unusable) => ResponseFuture::failed(Caller::of(&request).fail(no_credential())),
        }
    }
}

fn no_credential() -> Failure {
    Failure::new(Class::Auth, "the gateway has no credential for the upstream")
        .cause(Cause::Credential)
        .sent(Sent::No)
        .code("upstream_auth")
}

impl<S: Clone, C> Clone for SetCredential<S, C> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            credentials: self.credentials.clone(),
            masks: self.masks.clone(),
            target: self.target.clone(),
        }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for SetCredential<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetCredential")
            .field("inner", &self.inner)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
