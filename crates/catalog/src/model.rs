use std::borrow::Cow;

use tollgate_core::{Caps, Decimal, Thinking};

use crate::{Date, Rates};

/// Text that is borrowed from the built-in data or owned by a loaded file.
pub(crate) type Text = Cow<'static, str>;

/// Prices or factors by name.
pub(crate) type Prices = Vec<(Text, Decimal)>;

/// One model at one provider: how it is called, what it takes, what it costs.
///
/// What is absent is unknown or does not apply; it is never zero.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Model {
    /// The catalogue's key of the provider, `openai`.
    pub provider: Text,
    /// What goes on the wire. At Azure the base model's name, not the deployment's.
    pub id: Text,
    /// What people call it.
    pub name: Option<Text>,
    /// Other exact ids. Empty for a model of the built-in data, whose aliases are indexed apart.
    pub aliases: Vec<Text>,
    /// Anchored patterns of further ids. Empty for a model of the built-in data.
    pub patterns: Vec<Text>,
    /// What it does.
    pub mode: Mode,
    /// Whether it is still offered.
    pub status: Status,
    /// The last day it is or was offered.
    pub shutdown: Option<Date>,
    /// How much it takes.
    pub limits: Limits,
    /// What it can and cannot do.
    pub abilities: Abilities,
    /// USD per million tokens: standard tier, now. The peak price where there is an off-peak one.
    pub rates: Rates,
    /// Dearer rates for long prompts.
    pub tiers: Vec<Tier>,
    /// Rates of other service tiers.
    pub variants: Vec<Variant>,
    /// Factors on all token rates, never on fees: (`data_residency:eu`, 1.1).
    pub modifiers: Prices,
    /// Cheaper rates at certain times.
    pub off_peak: Option<OffPeak>,
    /// Prices of tools by name, `web_search_per_1k`: per thousand uses, or each (`_per_session`).
    pub fees: Prices,
    /// An allowance of searches shared by a group of models; the account's, not a call's.
    pub free_search: Option<FreeSearch>,
    /// What a grounding fee is for, `query`; else each grounded prompt or use.
    pub search_unit: Option<Text>,
    /// Prices per one unit by name, `audio_second_in`.
    pub unit_prices: Prices,
    /// Since when `rates` hold.
    pub effective_from: Option<Date>,
    /// What it cost before.
    pub history: Vec<Period>,
    /// What it will cost.
    pub upcoming: Vec<Period>,
    /// Collections that carry it.
    pub sources: Vec<Text>,
    /// The last day somebody read the provider's page.
    pub page_checked: Option<Date>,
    /// That page.
    pub page: Option<Text>,
    /// Components the sources disagree on, by path: `tier>272000:input`.
    pub disputed: Vec<Text>,
    /// Components known to an outdated source only and scaled with the input rate.
    pub scaled: Vec<Text>,
}

/// What a model does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum Mode {
    #[default]
    Chat,
    Responses,
    Completion,
    Embedding,
    Rerank,
    Image,
    Video,
    Transcription,
    Speech,
    Realtime,
    Moderation,
    Ocr,
    Search,
}

/// Whether a model is still offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It is.
    #[default]
    Active,
    /// It is, and its end is announced or advised.
    Deprecated,
    /// No longer; kept so that old usage can be priced.
    Retired,
}

/// How much a model takes, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Input and output together.
    pub context: Option<u64>,
    /// The prompt alone.
    pub max_input: Option<u64>,
    /// The answer, reasoning included.
    pub max_output: Option<u64>,
    /// The length of an embedding.
    pub dimensions: Option<u64>,
    /// The shortest prefix that is cached.
    pub cache_min_tokens: Option<u64>,
}

/// Something a model may be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum Ability {
    Tools,
    Vision,
    Pdf,
    AudioIn,
    AudioOut,
    VideoIn,
    Reasoning,
    StructuredOutput,
    PromptCaching,
    WebSearch,
    ComputerUse,
}

/// What is known about a model's abilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    has: u16,
    lacks: u16,
}

/// Rates that hold for the whole request once its prompt passes a size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tier {
    /// In prompt tokens, cached ones included.
    pub threshold: u64,
    /// Whether a prompt of exactly that size pays these rates.
    pub inclusive: bool,
    /// Overlay on the rates below the threshold.
    pub rates: Rates,
    /// Components computed by ratio because no source lists them.
    pub derived: Vec<Text>,
}

/// Rates of a service tier other than the standard one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variant {
    /// `batch`, `flex`, `priority`, `ultrafast`, `fast`, `thinking`.
    pub name: Text,
    /// Overlay on the standard rates.
    pub rates: Rates,
    /// The variant's own tiers, laid over that again.
    pub tiers: Vec<Tier>,
}

/// Rates of a time of the day or the week.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffPeak {
    /// The name of the schedule in the same file.
    pub schedule: Text,
    /// Overlay on the rates outside the peak.
    pub rates: Rates,
}

/// So many searches are free.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FreeSearch {
    /// Models with the same word share the allowance.
    pub group: Text,
    /// How many.
    pub count: u64,
    /// `day` or `month`.
    pub per: Text,
}

/// What a model cost, or will cost, for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Period {
    /// The first day; `None`: always before.
    pub from: Option<Date>,
    /// The first day no more; `None`: until further notice.
    pub until: Option<Date>,
    /// Instead of the model's rates.
    pub rates: Rates,
    /// Instead of the model's tiers.
    pub tiers: Vec<Tier>,
}

impl Model {
    /// A model nothing is known about.
    pub fn new(provider: impl Into<Cow<'static, str>>, id: impl Into<Cow<'static, str>>) -> Self {
        Self {
            provider: provider.into(),
            id: id.into(),
            name: None,
            aliases: Vec::new(),
            patterns: Vec::new(),
            mode: Mode::Chat,
            status: Status::Active,
            shutdown: None,
            limits: Limits::default(),
            abilities: Abilities::default(),
            rates: Rates::new(),
            tiers: Vec::new(),
            variants: Vec::new(),
            modifiers: Vec::new(),
            off_peak: None,
            fees: Vec::new(),
            free_search: None,
            search_unit: None,
            unit_prices: Vec::new(),
            effective_from: None,
            history: Vec::new(),
            upcoming: Vec::new(),
            sources: Vec::new(),
            page_checked: None,
            page: None,
            disputed: Vec::new(),
            scaled: Vec::new(),
        }
    }

    /// The rates of this service tier, if it has some of its own.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// The price of a tool, `web_search_per_1k`.
    pub fn fee(&self, name: &str) -> Option<Decimal> {
        listed(&self.fees, name)
    }

    /// The price of one unit, `page`.
    pub fn unit_price(&self, name: &str) -> Option<Decimal> {
        listed(&self.unit_prices, name)
    }

    /// The factor of a modifier, `inference_geo:us`.
    pub fn modifier(&self, name: &str) -> Option<Decimal> {
        listed(&self.modifiers, name)
    }

    /// Whether any price is known.
    pub fn is_priced(&self) -> bool {
        !(self.rates.is_empty() && self.unit_prices.is_empty() && self.fees.is_empty())
    }

    /// What routing and translation ask of a model. What the catalogue does not know keeps the
    /// default of [`Caps`].
    ///
    /// ```
    /// use tollgate_catalog::Catalogue;
    ///
    /// let found = Catalogue::builtin().find("openai", "gpt-4o").unwrap();
    /// let caps = found.model.caps();
    /// assert_eq!((caps.context_window, caps.max_output_tokens), (Some(128_000), Some(16_384)));
    /// assert_eq!((caps.tools, caps.image_in), (Some(true), Some(true)));
    /// ```
    pub fn caps(&self) -> Caps {
        let can = |ability| self.abilities.knows(ability);
        let mut caps = Caps::default();
        caps.context_window = self.limits.context;
        caps.max_output_tokens = self.limits.max_output;
        if let Some(most) = self.limits.max_output.filter(|most| *most > 0) {
            caps.default_max_output_tokens = caps.default_max_output_tokens.min(most);
        }
        crate::habits::apply(&self.id, &mut caps);
        if can(Ability::Reasoning) == Some(false) {
            caps.thinking = Some(Thinking::None);
        }
        caps.structured_output = can(Ability::StructuredOutput).unwrap_or(caps.structured_output);
        caps.tools = can(Ability::Tools);
        caps.image_in = can(Ability::Vision);
        caps.pdf_in = can(Ability::Pdf);
        caps.audio_in = can(Ability::AudioIn);
        caps.video_in = can(Ability::VideoIn);
        caps.server_web_search = can(Ability::WebSearch);
        caps
    }

    /// Every price with its path, `variants.batch.tiers>272000.input`: what a refresh compares.
    pub fn amounts(&self) -> Vec<(String, Decimal)> {
        let mut all = Vec::new();
        collect(&mut all, "rates", &self.rates, &self.tiers);
        for variant in &self.variants {
            let path = format!("variants.{}", variant.name);
            collect(&mut all, &path, &variant.rates, &variant.tiers);
        }
        if let Some(off_peak) = &self.off_peak {
            collect(&mut all, "off_peak", &off_peak.rates, &[]);
        }
        for period in &self.upcoming {
            let from = period.from.map(|date| date.to_string()).unwrap_or_default();
            collect(&mut all, &format!("upcoming.{from}"), &period.rates, &period.tiers);
        }
        let groups = [
            ("modifiers", &self.modifiers),
            ("fees", &self.fees),
            ("unit_prices", &self.unit_prices),
        ];
        for (group, prices) in groups {
            all.extend(prices.iter().map(|(name, price)| (format!("{group}.{name}"), *price)));
        }
        all
    }
}

fn collect(all: &mut Vec<(String, Decimal)>, path: &str, rates: &Rates, tiers: &[Tier]) {
    all.extend(rates.iter().map(|(component, rate)| (format!("{path}.{component}"), rate)));
    for tier in tiers {
        let path = format!("{path}>{}", tier.threshold);
        all.extend(
            tier.rates.iter().map(|(component, rate)| (format!("{path}.{component}"), rate)),
        );
    }
}

fn listed(prices: &[(Text, Decimal)], name: &str) -> Option<Decimal> {
    prices.iter().find(|(n, _)| n == name).map(|(_, price)| *price)
}

impl Tier {
    /// Whether a prompt of this size pays these rates.
    pub fn applies(&self, prompt: u64) -> bool {
        prompt > self.threshold || (self.inclusive && prompt == self.threshold)
    }
}

impl Period {
    /// Whether the day falls into it.
    pub fn holds(&self, day: Date) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day < until)
    }
}

impl Abilities {
    /// Whether the model has it; `None` where nobody says.
    pub fn knows(self, ability: Ability) -> Option<bool> {
        let bit = 1 << ability as u16;
        (self.has & bit != 0).then_some(true).or((self.lacks & bit != 0).then_some(false))
    }

    /// Notes that the model has it or not.
    pub fn set(&mut self, ability: Ability, has: bool) {
        let bit = 1 << ability as u16;
        let (on, off) =
            if has { (&mut self.has, &mut self.lacks) } else { (&mut self.lacks, &mut self.has) };
        *on |= bit;
        *off &= !bit;
    }
}

const ABILITIES: [(Ability, &str, char); 11] = [
    (Ability::Tools, "tools", 't'),
    (Ability::Vision, "vision", 'v'),
    (Ability::Pdf, "pdf", 'p'),
    (Ability::AudioIn, "audio_in", 'a'),
    (Ability::AudioOut, "audio_out", 'A'),
    (Ability::VideoIn, "video_in", 'm'),
    (Ability::Reasoning, "reasoning", 'r'),
    (Ability::StructuredOutput, "structured_output", 's'),
    (Ability::PromptCaching, "prompt_caching", 'c'),
    (Ability::WebSearch, "web_search", 'w'),
    (Ability::ComputerUse, "computer_use", 'u'),
];

impl Ability {
    /// The name in price files.
    pub fn name(self) -> &'static str {
        ABILITIES[self as usize].1
    }

    /// The ability of this name.
    pub fn named(name: &str) -> Option<Self> {
        ABILITIES.iter().find(|(_, n, _)| *n == name).map(|(ability, ..)| *ability)
    }

    pub(crate) fn letters() -> impl Iterator<Item = (Self, char)> {
        ABILITIES.iter().map(|(ability, _, letter)| (*ability, *letter))
    }
}

const MODES: [(Mode, &str); 13] = [
    (Mode::Chat, "chat"),
    (Mode::Responses, "responses"),
    (Mode::Completion, "completion"),
    (Mode::Embedding, "embedding"),
    (Mode::Rerank, "rerank"),
    (Mode::Image, "image"),
    (Mode::Video, "video"),
    (Mode::Transcription, "transcription"),
    (Mode::Speech, "speech"),
    (Mode::Realtime, "realtime"),
    (Mode::Moderation, "moderation"),
    (Mode::Ocr, "ocr"),
    (Mode::Search, "search"),
];

impl Mode {
    /// The name in price files.
    pub fn name(self) -> &'static str {
        MODES[self as usize].1
    }

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        MODES.iter().find(|(_, n)| *n == name).map(|(mode, _)| *mode)
    }
}

impl Status {
    /// The name in price files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        }
    }

    /// The status of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Active, Self::Deprecated, Self::Retired].into_iter().find(|s| s.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_in_the_order_of_their_types() {
        assert!(ABILITIES.iter().enumerate().all(|(at, (ability, ..))| *ability as usize == at));
        assert!(MODES.iter().enumerate().all(|(at, (mode, _))| *mode as usize == at));
    }

    #[test]
    fn what_nobody_says_of_a_model_stays_unknown() {
        let mut model = Model::new("acme", "one");
        assert_eq!(model.caps(), Caps::default());
        model.abilities.set(Ability::Vision, false);
        model.abilities.set(Ability::Reasoning, false);
        model.abilities.set(Ability::Tools, true);
        model.limits.max_output = Some(4096);
        let caps = model.caps();
        assert_eq!((caps.image_in, caps.tools, caps.audio_in), (Some(false), Some(true), None));
        assert_eq!(caps.thinking, Some(Thinking::None));
        assert_eq!(caps.default_max_output_tokens, 4096);
    }

    #[test]
    fn an_exclusive_threshold_begins_one_token_later() {
        let tier = |inclusive| Tier {
            threshold: 200,
            inclusive,
            rates: Rates::new(),
            derived: Vec::new(),
        };
        assert_eq!([199, 200, 201].map(|n| tier(false).applies(n)), [false, false, true]);
        assert_eq!([199, 200, 201].map(|n| tier(true).applies(n)), [false, true, true]);
    }
}
