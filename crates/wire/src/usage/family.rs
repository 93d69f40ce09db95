use std::fmt;

use super::{
    chat::Chat,
    cohere::Cohere,
    converse::Converse,
    draft::Draft,
    generate::Generate,
    media::{Images, Media},
    messages::Messages,
    profile::{Profile, Shape},
    realtime::Realtime,
    responses::Responses,
    told::Told,
};
use crate::json::Object;

/// How one family of protocols tells usage: where it stands and how its parts merge.
///
/// Events and whole answers are read alike, member by member of their top level.
pub(super) trait Family: fmt::Debug + Sync {
    /// Whether an event could tell anything. Looks for words only; what it finds may be nested.
    fn may_tell(&self, data: &[u8]) -> bool;

    /// Whether a top-level member of a whole answer is read.
    fn wants(&self, key: &[u8]) -> bool;

    /// Reads a top-level member of an event or an answer.
    fn member(&self, key: &[u8], value: &[u8], told: &mut Told);

    /// Reads the members of an object as if they stood at the top level.
    fn members(&self, object: &[u8], told: &mut Told) {
        let mut object = Object::new(object);
        while let Some(Ok((key, value))) = object.member() {
            self.member(&key, value, told);
        }
    }

    /// Reads how it is served off an event that tells no usage: the last one may never come.
    fn served(&self, _event: &[u8], _told: &mut Told) {}

    /// Makes what was told disjoint; `None` where nothing was.
    fn draft(&self, profile: &Profile, told: &Told) -> Option<Draft>;
}

impl Profile {
    /// [`Family::wants`], as it can be remembered.
    pub(super) fn wants(&self) -> fn(&str) -> bool {
        match self.shape {
            Shape::Chat => |key| Chat.wants(key.as_bytes()),
            Shape::Responses => |key| Responses.wants(key.as_bytes()),
            Shape::Realtime => |key| Realtime.wants(key.as_bytes()),
            Shape::Messages => |key| Messages.wants(key.as_bytes()),
            Shape::Generate => |key| Generate.wants(key.as_bytes()),
            Shape::Converse => |key| Converse.wants(key.as_bytes()),
            Shape::Cohere => |key| Cohere.wants(key.as_bytes()),
            Shape::Images => |key| Images.wants(key.as_bytes()),
            Shape::Media => |key| Media.wants(key.as_bytes()),
        }
    }

    pub(super) fn family(&self) -> &'static dyn Family {
        match self.shape {
            Shape::Chat => &Chat,
            Shape::Responses => &Responses,
            Shape::Realtime => &Realtime,
            Shape::Messages => &Messages,
            Shape::Generate => &Generate,
            Shape::Converse => &Converse,
            Shape::Cohere => &Cohere,
            Shape::Images => &Images,
            Shape::Media => &Media,
        }
    }
}
