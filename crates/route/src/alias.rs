use std::{fmt, str::FromStr};

/// In which order targets are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// As they are listed; the deployments of one target by load.
    #[default]
    Priority,
    /// By chance, in proportion to their weights.
    Weighted,
    /// The cheapest for this very request first.
    Cost,
    /// The one that likely answers fastest first.
    Latency,
    /// The less busy of two taken by chance first.
    Load,
    /// By cost, speed and load together.
    Balanced,
}

impl Order {
    /// Every order, in the order of declaration.
    pub const ALL: [Self; 6] =
        [Self::Priority, Self::Weighted, Self::Cost, Self::Latency, Self::Load, Self::Balanced];

    /// Returns the name in configuration and wishes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Weighted => "weighted",
            Self::Cost => "cost",
            Self::Latency => "latency",
            Self::Load => "load",
            Self::Balanced => "balanced",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name is no order's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOrder(pub String);

impl fmt::Display for UnknownOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown order `{}`; one of", self.0)?;
        Order::ALL.iter().try_for_each(|order| write!(f, " `{order}`"))
    }
}

impl std::error::Error for UnknownOrder {}

impl FromStr for Order {
    type Err = UnknownOrder;

    fn from_str(name: &str) -> Result<Self, UnknownOrder> {
        let mut all = Self::ALL.into_iter();
        all.find(|order| order.as_str() == name).ok_or_else(|| UnknownOrder(name.to_owned()))
    }
}

/// A target of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AliasTarget {
    /// `provider/model`. In an alias with a `*`, a `*` here is what that stood for.
    pub name: String,
    /// Its share beside the alias' other targets; 0: only where nobody else answers. Default 1.
    pub weight: u32,
}

impl AliasTarget {
    /// Returns a target of weight 1.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), weight: 1 }
    }

    /// Sets its share. Default: 1.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }
}

impl<T: Into<String>> From<T> for AliasTarget {
    fn from(name: T) -> Self {
        Self::new(name)
    }
}

/// What a name of one's own means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alias {
    /// The targets, each one place in the order.
    pub targets: Vec<AliasTarget>,
    /// In which order they are asked.
    pub order: Order,
}

impl Alias {
    /// Returns an alias for `targets`, asked as they are listed.
    pub fn new<I>(targets: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<AliasTarget>,
    {
        let targets = targets.into_iter().map(Into::into).collect();
        Self { targets, order: Order::default() }
    }

    /// Sets in which order they are asked. Default: as they are listed.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }
}

/// What the `*` of `pattern` stands for in `name`; `None` where it does not match.
pub(crate) fn star<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let (head, tail) = pattern.split_once('*')?;
    name.strip_prefix(head)?.strip_suffix(tail).filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_parse_back() {
        for order in Order::ALL {
            assert_eq!(order.as_str().parse(), Ok(order));
        }
        assert!("fast".parse::<Order>().unwrap_err().to_string().contains("`latency`"));
    }

    #[test]
    fn a_star_stands_for_at_least_a_letter() {
        assert_eq!(star("openai/*", "openai/gpt-5"), Some("gpt-5"));
        assert_eq!(star("*", "a/b"), Some("a/b"));
        assert_eq!(star("*-mini", "gpt-5-mini"), Some("gpt-5"));
        assert_eq!(star("openai/*", "openai/"), None);
        assert_eq!(star("a*a", "a"), None);
        assert_eq!(star("fast", "fast"), None);
    }
}
