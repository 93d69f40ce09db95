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

/// How one family of protocols tells usage: where it stands and how its parts merge.
///
/// Events and whole answers are read alike, member by member of their top level.
pub(super) trait Family: fmt::Debug + Sync {
    /// Whether an event could tell anything. Looks for words only; what it finds may be nested.
    fn may_tell(&self, data: &[u8]) -> bool;

    /// Says which top-level members of a whole answer are read.
    fn wanted(&self) -> fn(&str) -> bool;

    /// Reads a top-level member of an event or an answer.
    fn member(&self, key: &str, value: &[u8], told: &mut Told);

    /// Makes what was told disjoint; `None` where nothing was.
    fn draft(&self, profile: &Profile, told: &Told) -> Option<Draft>;
}

impl Profile {
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
