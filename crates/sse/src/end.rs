use std::fmt;

/// How a body ended. Said exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It was read to its end.
    Complete,
    /// It ended in an error, or within an event.
    Failed,
    /// Nobody wanted the rest.
    Dropped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        })
    }
}
