//! What becomes of each field of each request in each other protocol: the table `docs/translation.md`
//! is made from.

use std::fmt;

use tollgate_core::Protocol;

/// What becomes of a field in another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It is its own protocol's: nothing happens to it.
    Own,
    /// It says the same.
    Carried,
    /// It says nearly the same, and a warning tells where not.
    Approximated,
    /// It is left out, and a warning tells.
    Dropped,
    /// The request is refused.
    Refused,
}

impl Disposition {
    /// Returns the word used in the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "–",
            Self::Carried => "carried",
            Self::Approximated => "approximated",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }

    const fn of(letter: u8) -> Self {
        match letter {
            b'C' => Self::Carried,
            b'A' => Self::Approximated,
            b'D' => Self::Dropped,
            b'R' => Self::Refused,
            _ => Self::Own,
        }
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Fields of one type of a request schema that share a fate.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The type's name in the provider's schema; with `*` at its end any that begins so.
    pub kind: &'static str,
    /// Its fields, dots for nesting; `*`: all that no other row names.
    pub fields: &'static [&'static str],
    to: [Disposition; 4],
    /// Why, or how.
    pub note: &'static str,
}

impl Row {
    /// `to`: a letter for each protocol in the order of [`Protocol::ALL`].
    pub(crate) const fn new(
        kind: &'static str,
        fields: &'static [&'static str],
        to: [u8; 4],
        note: &'static str,
    ) -> Self {
        let [a, b, c, d] = to;
        let to = [Disposition::of(a), Disposition::of(b), Disposition::of(c), Disposition::of(d)];
        Self { kind, fields, to, note }
    }

    /// What becomes of the fields in a protocol.
    pub fn towards(&self, protocol: Protocol) -> Disposition {
        let at = Protocol::ALL.iter().position(|each| *each == protocol);
        at.and_then(|at| self.to.get(at)).copied().unwrap_or(Disposition::Dropped)
    }

    /// Whether the row is about the type.
    pub fn covers(&self, kind: &str) -> bool {
        match self.kind.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => self.kind == kind,
        }
    }
}

/// The row of a field of a type: one that names it, else one for all fields of the type.
pub fn find<'r>(rows: &'r [Row], kind: &str, field: &str) -> Option<&'r Row> {
    let of_kind = || rows.iter().filter(|row| row.covers(kind));
    of_kind()
        .find(|row| row.fields.contains(&field))
        .or_else(|| of_kind().find(|row| row.fields.contains(&"*")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Row; 2] =
        [Row::new("Tool*", &["*"], *b"=CAD", ""), Row::new("ToolA", &["x"], *b"=RRR", "")];

    #[test]
    fn a_named_field_goes_before_all_fields() {
        let found = |kind, field| find(&ROWS, kind, field).map(|row| row.towards(Protocol::Gemini));
        assert_eq!(found("ToolA", "x"), Some(Disposition::Refused));
        assert_eq!(found("ToolA", "y"), Some(Disposition::Dropped));
        assert_eq!(found("Other", "x"), None);
    }
}
