//! A request without the reasoning it sends back.

use bytes::Bytes;
use http::{Request, header};
use tollgate_core::{Body, Call, Frames};

use crate::{
    codec::codec,
    json::{Json, Node, Object},
};

/// Leaves the reasoning out that a request with a [`Call`] sends back, for an upstream that refused
/// it; `false` if there is none, or the body is not at hand.
///
/// Thinking is switched off where the protocol does not have it without what was thought before. All
/// else stays as it was spelled, but for white space.
///
/// ```
/// use http::Request;
/// use tollgate_core::{Body, Call, Operation, Protocol};
/// use tollgate_translate::forget_reasoning;
///
/// let body = r#"{"messages":[{"role":"assistant","content":"42","reasoning_content":"Six by nine"}]}"#;
/// let mut request = Request::new(Body::from(body));
/// request.extensions_mut().insert(Call::new(Protocol::OpenAiChat, Operation::Generate));
///
/// assert!(forget_reasoning(&mut request));
/// let rest = request.body().frames().unwrap().joined();
/// assert_eq!(rest, r#"{"messages":[{"role":"assistant","content":"42"}]}"#);
/// assert!(!forget_reasoning(&mut request));
/// ```
pub fn forget_reasoning(request: &mut Request<Body>) -> bool {
    let call = request.extensions().get::<Call>();
    let text = request.body().frames().map(Frames::joined);
    let Some((call, text)) = call.zip(text) else { return false };
    let Some(rest) = codec(call.protocol).without_reasoning(&text) else { return false };
    let length = rest.len();
    request.body_mut().set_frames(Frames::new(vec![Bytes::from(rest)]));
    if request.headers().contains_key(header::CONTENT_LENGTH) {
        request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    true
}

/// Changes the object a body is; `None` if it is none, or `change` says that nothing changed.
pub(crate) fn changed(
    body: &[u8],
    change: impl FnOnce(&mut Object<'_>) -> bool,
) -> Option<Vec<u8>> {
    let Json::Object(mut object) = Node::parse(body).ok()?.tree() else { return None };
    change(&mut object).then(|| Json::from(object).to_bytes())
}

impl<'a> Json<'a> {
    fn elements_mut(&mut self) -> Option<&mut Vec<Json<'a>>> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    fn object_mut(&mut self) -> Option<&mut Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }
}

impl<'a> Object<'a> {
    /// The elements of a member that is a list; nothing otherwise.
    pub(crate) fn list_mut(&mut self, name: &str) -> Option<&mut Vec<Json<'a>>> {
        self.get_mut(name)?.elements_mut()
    }

    /// The objects in a member that is a list.
    pub(crate) fn objects_mut(&mut self, name: &str) -> impl Iterator<Item = &mut Object<'a>> {
        self.list_mut(name).into_iter().flatten().filter_map(Json::object_mut)
    }

    /// Keeps those objects of a list that `keep` says yes to; whether any went.
    pub(crate) fn retain(&mut self, name: &str, keep: impl Fn(&Object<'a>) -> bool) -> bool {
        let Some(list) = self.list_mut(name) else { return false };
        let before = list.len();
        list.retain(|each| each.as_object().is_none_or(&keep));
        list.len() < before
    }

    /// Takes out every member of these names; whether there was one.
    pub(crate) fn without(&mut self, names: &[&str]) -> bool {
        let before = self.0.len();
        self.0.retain(|(name, _)| !names.contains(&&**name));
        self.0.len() < before
    }

    /// Whether a member is this word.
    pub(crate) fn says(&self, name: &str, word: &str) -> bool {
        self.get(name).and_then(Json::as_str) == Some(word)
    }
}
