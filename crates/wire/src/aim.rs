use std::{borrow::Cow, ops::Range, sync::Arc};

use bytes::Bytes;
use http::{Request, Uri};
use tollgate_core::{Body, Call, Class, Frames, Refusal, Target};

use crate::{Dialect, dialect, json::Malformed, patch, peek::peek};

/// Where the model's name stands in a body of this length: spares the second scan.
#[derive(Clone, Debug)]
pub(crate) struct ModelSpan {
    pub(crate) at: Range<usize>,
    pub(crate) len: usize,
}

/// The members an earlier aim set: they are the former target's and not the next one's.
#[derive(Clone, Debug)]
struct SetBefore(Arc<[(Cow<'static, str>, Bytes)]>);

/// Points a request at a target: sets its model in the body or the path, in the request's own
/// protocol, and the target's own [members](Target::members) in the body, instead of those of the
/// target it was aimed at before. Everything else keeps its bytes.
///
/// A request without a [`Call`], without a body that was read, or whose operation names no model
/// is left as it is.
///
/// Errors: the body does not name its model where its protocol wants it, or is no JSON object.
pub fn aim(request: &mut Request<Body>, target: &Target) -> Result<(), Refusal> {
    let Some(call) = request.extensions().get::<Call>().cloned() else { return Ok(()) };
    if !call.operation.has_model() {
        return Ok(());
    }
    dialect(call.protocol).aim(request, &target.model)?;
    let before = request.extensions().get::<SetBefore>();
    if target.members.is_empty() && before.is_none() {
        return Ok(());
    }
    exchange_members(request, target).map_err(|malformed| {
        let message = format!("the request body is not a JSON object: {malformed}");
        Refusal::new(Class::InvalidRequest, message)
    })
}

/// Takes out what an earlier aim set, and sets what this target wants.
fn exchange_members(request: &mut Request<Body>, target: &Target) -> Result<(), Malformed> {
    let Some(mut frames) = request.body().frames().cloned() else { return Ok(()) };
    if let Some(SetBefore(members)) = request.extensions_mut().remove::<SetBefore>() {
        for (key, _) in members.iter() {
            frames = patch::remove(&frames, key)?;
        }
    }
    for (key, value) in target.members.iter() {
        frames = patch::set(&frames, key, value.clone())?;
    }
    request.body_mut().set_frames(frames);
    if !target.members.is_empty() {
        request.extensions_mut().insert(SetBefore(target.members.clone()));
    }
    Ok(())
}

/// Sets the `model` member at the top of the body: every protocol but Gemini's.
pub(crate) fn aim_body(
    dialect: &dyn Dialect,
    request: &mut Request<Body>,
    model: &str,
) -> Result<(), Refusal> {
    let Some(frames) = request.body().frames() else { return Ok(()) };
    let (at, is_aimed) = match known_span(request, frames) {
        Some((at, written)) => (at, written == model),
        None => {
            let at = peek(dialect, frames).ok().and_then(|peek| peek.model_at);
            let at = at.ok_or_else(no_model)?;
            let text = frames.slice(at.clone());
            (at, crate::json::string(&text).is_some_and(|written| written == model))
        }
    };
    if is_aimed {
        return Ok(());
    }
    let frames = frames.splice(at, quoted(model));
    request.extensions_mut().remove::<ModelSpan>();
    request.body_mut().set_frames(frames);
    Ok(())
}

/// The span found when the request was inspected, and the model that stands there, if the body
/// still says the same.
fn known_span<'a>(request: &'a Request<Body>, frames: &Frames) -> Option<(Range<usize>, &'a str)> {
    let span = request.extensions().get::<ModelSpan>()?;
    let model = request.extensions().get::<Call>()?.model.as_deref()?;
    let written = frames.slice(span.at.clone());
    let same = span.len == frames.len() && crate::json::string(&written)? == model;
    same.then(|| (span.at.clone(), model))
}

pub(crate) fn quoted(model: &str) -> Bytes {
    let plain = model.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'));
    match plain {
        true => ["\"", model, "\""].concat().into(),
        false => serde_json::Value::from(model).to_string().into(),
    }
}

pub(crate) fn no_model() -> Refusal {
    Refusal::new(Class::InvalidRequest, "the request names no `model`").param("model")
}

/// Returns `uri` with another path and the same query. `None` where `path` is none.
pub fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}
