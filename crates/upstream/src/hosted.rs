//! Requests whose body or signature takes more than a look at the head.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tollgate_core::{Body, BoxError, Class, Frames, Refusal, Target, Transport};
use tollgate_wire::{Caller, prefix};

use crate::{envelope, service::Settings};

/// As much of a body as is read to wrap or sign it, where nobody has read it before.
const LONGEST: usize = 32 << 20;

/// Whether a request to `target` must be read before it is sent.
pub(crate) fn is_hosted(settings: &Settings, target: &Target) -> bool {
    let wrapped = matches!(
        target.transport,
        Transport::VertexAnthropic { .. } | Transport::BedrockInvoke { .. }
    );
    wrapped || settings.signer(target).is_some()
}

/// Wraps, addresses and signs a request.
pub(crate) async fn prepare(
    settings: Arc<Settings>,
    target: Arc<Target>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Request<Body>, Response<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let mut body = read(body).await.map_err(|refusal| caller.refuse(refusal))?;
    let mut stream = settings.streams(&parts.extensions);
    let path = &parts.uri.path()[prefix(parts.uri.path())..];
    if let Some(wrapped) = envelope::wrap(&target.transport, path, &mut parts.headers, &body) {
        let wrapped = wrapped.map_err(|refusal| caller.refuse(refusal))?;
        (body, stream) = (wrapped.body, wrapped.stream);
    }
    let request = Request::from_parts(parts, body);
    let prepared = settings.prepare(request, &target, stream);
    let prepared = prepared.map_err(|refusal| caller.refuse(refusal))?;
    let signed = match settings.signer(&target) {
        Some(signer) => signer.sign(prepared).await.map_err(|failure| caller.fail(failure))?,
        None => prepared,
    };
    Ok(signed.map(Body::from))
}

async fn read(body: Body) -> Result<Frames, Refusal> {
    if let Some(frames) = body.frames() {
        return Ok(frames.clone());
    }
    match Limited::new(body, LONGEST).collect().await {
        Ok(read) => Ok(read.to_bytes().into()),
        Err(error) => Err(unread(&error)),
    }
}

fn unread(error: &BoxError) -> Refusal {
    if error.is::<LengthLimitError>() {
        return Refusal::new(Class::TooLarge, "the request's body is too large");
    }
    Refusal::new(Class::InvalidRequest, "the request's body broke off").code("body_incomplete")
}
