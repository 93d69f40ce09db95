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
    /// [`Family::wants`] and the member that tells an error, as it can be remembered.
    pub(super) fn wants(&self) -> fn(&str) -> bool {
        match self.shape {
            Shape::Chat => |key| wanted(&Chat, key),
            Shape::Responses => |key| wanted(&Responses, key),
            Shape::Realtime => |key| wanted(&Realtime, key),
            Shape::Messages => |key| wanted(&Messages, key),
            Shape::Generate => |key| wanted(&Generate, key),
            Shape::Converse => |key| wanted(&Converse, key),
            Shape::Cohere => |key| wanted(&Cohere, key),
            Shape::Images => |key| wanted(&Images, key),
            Shape::Media => |key| wanted(&Media, key),
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

fn wanted(family: &impl Family, key: &str) -> bool {
    key == "error" || family.wants(key.as_bytes())
}
