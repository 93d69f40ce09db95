use std::fmt;

use tollgate_core::Decimal;

/// A class of tokens with a price of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Component {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    CacheWrite5m,
    CacheWrite1h,
    CacheWrite30m,
    CacheWrite12h,
    Reasoning,
    Citation,
    AudioIn,
    AudioOut,
    ImageIn,
    ImageOut,
    VideoIn,
    VideoOut,
    CacheReadAudio,
    CacheReadImage,
}

/// Each component with its name in price files and its letter in the built-in data.
const ALL: [(Component, &str, char); 18] = [
    (Component::Input, "input", 'i'),
    (Component::Output, "output", 'o'),
    (Component::CacheRead, "cache_read", 'r'),
    (Component::CacheWrite, "cache_write", 'w'),
    (Component::CacheWrite5m, "cache_write_5m", 'f'),
    (Component::CacheWrite1h, "cache_write_1h", 'h'),
    (Component::CacheWrite30m, "cache_write_30m", 'm'),
    (Component::CacheWrite12h, "cache_write_12h", 'd'),
    (Component::Reasoning, "reasoning", 't'),
    (Component::Citation, "citation", 'c'),
    (Component::AudioIn, "audio_in", 'a'),
    (Component::AudioOut, "audio_out", 'A'),
    (Component::ImageIn, "image_in", 'p'),
    (Component::ImageOut, "image_out", 'P'),
    (Component::VideoIn, "video_in", 'v'),
    (Component::VideoOut, "video_out", 'V'),
    (Component::CacheReadAudio, "cache_read_audio", 'x'),
    (Component::CacheReadImage, "cache_read_image", 'y'),
];

impl Component {
    /// All there are, in the order of the declaration.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(component, ..)| *component)
    }

    /// The name in price files and bills, `cache_read`.
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// The component of this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, n, _)| *n == name).map(|(component, ..)| *component)
    }

    pub(crate) fn letter(self) -> char {
        ALL[self as usize].2
    }

    pub(crate) fn lettered(letter: char) -> Option<Self> {
        ALL.iter().find(|(.., l)| *l == letter).map(|(component, ..)| *component)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What classes of tokens cost, in USD per 1,000,000.
///
/// A component that is not listed has no price of its own; see [`Rates::priced_as`] for what it
/// costs then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates(Vec<(Component, Decimal)>);

impl Rates {
    /// No prices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what a million tokens of `component` cost.
    pub fn set(&mut self, component: Component, rate: Decimal) {
        match self.0.binary_search_by_key(&component, |(c, _)| *c) {
            Ok(at) => self.0[at].1 = rate,
            Err(at) => self.0.insert(at, (component, rate)),
        }
    }

    /// The listed price.
    pub fn get(&self, component: Component) -> Option<Decimal> {
        let at = self.0.binary_search_by_key(&component, |(c, _)| *c).ok()?;
        Some(self.0[at].1)
    }

    /// The component whose price `component` is billed at: itself, or the next in its chain that is
    /// listed. `None`: nothing is known about it, which never means it is free.
    ///
    /// Modality in → `input`; modality out, `reasoning`, `citation` → `output`; reads →
    /// `cache_read` → `input`; writes of any lifetime → `cache_write` → `input`. A write of unknown
    /// lifetime ([`Component::CacheWrite`]) takes the first listed of `cache_write`,
    /// `cache_write_5m`, `cache_write_30m`, `input`.
    pub fn priced_as(&self, component: Component) -> Option<(Component, Decimal)> {
        use Component as C;
        let chain: &[C] = match component {
            C::Input | C::Output => &[],
            C::AudioIn | C::ImageIn | C::VideoIn | C::CacheRead => &[C::Input],
            C::AudioOut | C::ImageOut | C::VideoOut | C::Reasoning | C::Citation => &[C::Output],
            C::CacheReadAudio | C::CacheReadImage => &[C::CacheRead, C::Input],
            C::CacheWrite => &[C::CacheWrite5m, C::CacheWrite30m, C::Input],
            C::CacheWrite5m | C::CacheWrite1h | C::CacheWrite30m | C::CacheWrite12h => {
                &[C::CacheWrite, C::Input]
            }
        };
        std::iter::once(&component)
            .chain(chain)
            .find_map(|candidate| Some((*candidate, self.get(*candidate)?)))
    }

    /// Every listed component with its price.
    pub fn iter(&self) -> impl Iterator<Item = (Component, Decimal)> {
        self.0.iter().copied()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over every price listed in `other`.
    pub(crate) fn overlay(&mut self, other: &Self) {
        if self.is_empty() {
            return self.clone_from(other);
        }
        for (component, rate) in other.iter() {
            self.set(component, rate);
        }
    }
}

impl FromIterator<(Component, Decimal)> for Rates {
    fn from_iter<I: IntoIterator<Item = (Component, Decimal)>>(rates: I) -> Self {
        let mut all = Self::new();
        for (component, rate) in rates {
            all.set(component, rate);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_component_stands_at_its_own_place() {
        for (at, component) in Component::all().enumerate() {
            assert_eq!(component as usize, at);
            assert_eq!(Component::named(component.name()), Some(component));
            assert_eq!(Component::lettered(component.letter()), Some(component));
        }
    }

    #[test]
    fn an_unlisted_component_is_priced_along_its_chain() {
        let mut rates: Rates = [(Component::Input, Decimal::ONE)].into_iter().collect();
        let billed = |rates: &Rates, c| rates.priced_as(c).map(|(c, _)| c);
        assert_eq!(billed(&rates, Component::CacheReadAudio), Some(Component::Input));
        assert_eq!(billed(&rates, Component::CacheWrite), Some(Component::Input));
        assert_eq!(billed(&rates, Component::Reasoning), None);
        rates.set(Component::CacheWrite30m, Decimal::TWO);
        assert_eq!(billed(&rates, Component::CacheWrite), Some(Component::CacheWrite30m));
        assert_eq!(billed(&rates, Component::CacheWrite12h), Some(Component::Input));
    }
}
