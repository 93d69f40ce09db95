//! Counts as the wire tells them, made disjoint.

use tollgate_core::{InTokens, OutTokens, Reported, Ttl, Usage};

use super::{
    fields::{Doubt, decimal, pick, pick_in, plus},
    profile::Cost,
};
use crate::json;

/// A usage in the making, and whether its numbers contradict each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Boxed: it is large, and goes through many hands.
    pub(super) usage: Box<Usage>,
    pub(super) doubt: Doubt,
}

/// No answer costs as many dollars; a bill of that much is none.
const DOLLARS: f64 = 1e6;

/// So many of xAI's ticks are a dollar.
const TICKS: f64 = 1e10;

/// The members in which a host tells its own bill.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bill<'a> {
    pub(super) cost: Option<&'a [u8]>,
    pub(super) ticks: Option<&'a [u8]>,
    pub(super) byok: Option<&'a [u8]>,
    pub(super) details: Option<&'a [u8]>,
}

impl Bill<'_> {
    fn is_empty(&self) -> bool {
        [self.cost, self.ticks, self.byok, self.details].iter().all(Option::is_none)
    }
}

impl Draft {
    /// Takes a prompt figure that *includes* cached reads and writes. `by_modality` says how much
    /// of the whole is not text; its own text is not looked at.
    ///
    /// The parts must fit into the whole. If they do not, the larger reading counts: caches beside
    /// the prompt.
    pub(super) fn inclusive_prompt(
        &mut self,
        total: Option<u64>,
        by_modality: InTokens,
        read: InTokens,
        write: Vec<(Ttl, InTokens)>,
    ) {
        let cached = write.iter().map(|(_, tokens)| tokens.total()).fold(read.total(), add);
        self.usage.read = read;
        self.usage.write = write;
        let Some(total) = total else { return };
        self.doubt.unless(cached <= total);
        let uncached = total.checked_sub(cached).unwrap_or(total);
        self.usage.prompt = self.uncached(total, uncached, by_modality);
    }

    /// Divides `uncached` tokens by modality. What a modality has in the cache is no part of it;
    /// where the cache does not say what it holds, no modality exceeds what is left.
    fn uncached(&mut self, total: u64, uncached: u64, whole: InTokens) -> InTokens {
        let other = InTokens { text: None, ..whole };
        self.doubt.unless(other.total() <= total);
        let mut left = uncached;
        let mut part = |whole: Option<u64>, read: Option<u64>| {
            let part = whole?.saturating_sub(read.unwrap_or(0)).min(left);
            left -= part;
            Some(part)
        };
        let read = self.usage.read;
        let mut parts = InTokens {
            text: None,
            image: part(whole.image, read.image),
            audio: part(whole.audio, read.audio),
            video: part(whole.video, read.video),
            document: part(whole.document, read.document),
        };
        parts.text = Some(left);
        parts
    }

    /// Takes an output figure. `inside` says that it includes the reasoning; `by_modality` says
    /// how much of it is not text.
    pub(super) fn output(
        &mut self,
        total: Option<u64>,
        by_modality: OutTokens,
        reasoning: Option<u64>,
        inside: bool,
    ) {
        self.usage.reasoning = reasoning;
        let Some(total) = total else { return };
        let hidden = if inside { reasoning.unwrap_or(0) } else { 0 };
        let other = OutTokens { text: None, ..by_modality };
        let text = total.checked_sub(add(hidden, other.total()));
        self.doubt.unless(text.is_some());
        self.usage.output = OutTokens { text: Some(text.unwrap_or(0)), ..other };
    }

    /// Takes the total, to be shown as it was reported.
    pub(super) fn total(&mut self, total: Option<u64>) {
        self.usage.reported.total_tokens = total;
    }

    /// Checks a reported total against what the parts come to.
    pub(super) fn expect_total(&mut self, parts: u64) {
        let total = self.usage.reported.total_tokens;
        self.doubt.unless(total.is_none_or(|total| total == parts));
    }

    /// Counts uses of tools, named as the wire names them but for the ending.
    pub(super) fn tools(&mut self, counts: Option<&[u8]>) {
        let Some(counts) = counts else { return };
        for (key, value) in json::Object::new(counts).map_while(Result::ok) {
            let Some(kind) = tool(&key) else { continue };
            let uses = self.doubt.count(Some(value).filter(|value| !json::is_null(value)));
            self.used(kind, uses);
        }
    }

    /// Notes uses of one tool; none is as good as not told.
    pub(super) fn used(&mut self, kind: &str, uses: Option<u64>) {
        if let Some(uses) = uses.filter(|uses| *uses > 0) {
            self.usage.tools.insert(kind.to_owned(), uses);
        }
    }

    /// Takes what the host says of its own bill.
    pub(super) fn cost(&mut self, kind: Cost, object: &[u8]) {
        let [cost, ticks, byok, details] =
            pick(object, ["cost", "cost_in_usd_ticks", "is_byok", "cost_details"]);
        self.bill(kind, Bill { cost, ticks, byok, details });
    }

    /// The same, where the members were found already.
    pub(super) fn bill(&mut self, kind: Cost, bill: Bill<'_>) {
        if bill.is_empty() {
            return;
        }
        let [upstream] = pick_in(bill.details, ["upstream_inference_cost"]);
        let (cost, unit) = match kind {
            Cost::Dollars => (self.amount(bill.cost, DOLLARS), Some("usd")),
            Cost::Total => {
                let [total] = pick_in(bill.cost, ["total_cost"]);
                (self.amount(total, DOLLARS), Some("usd"))
            }
            Cost::Ticks => (self.amount(bill.ticks, DOLLARS * TICKS), Some("usd_ticks")),
            Cost::Unknown => (decimal(bill.cost), None),
        };
        self.usage.reported = Reported {
            cost_unit: unit.filter(|_| cost.is_some()).map(str::to_owned),
            cost,
            upstream_cost: self.amount(upstream, DOLLARS),
            byok: bill.byok.and_then(json::boolean),
            ..std::mem::take(&mut self.usage.reported)
        };
    }

    /// Reads an amount of money. One below nothing, or of `limit` and more, is doubted and as good
    /// as absent: the table's price counts then.
    fn amount(&mut self, value: Option<&[u8]>, limit: f64) -> Option<String> {
        let text = decimal(value)?;
        // Only to compare; what is kept is the text.
        let is_likely = text.parse().is_ok_and(|amount| (0.0..limit).contains(&amount));
        self.doubt.unless(is_likely);
        is_likely.then_some(text)
    }

    /// Adds the counts of another usage of the same model.
    pub(super) fn add(&mut self, other: &Self) {
        self.doubt.unless(!other.doubt.is_doubted());
        let (usage, other) = (&mut self.usage, &other.usage);
        add_in(&mut usage.prompt, &other.prompt);
        add_in(&mut usage.read, &other.read);
        for (ttl, tokens) in &other.write {
            match usage.write.iter_mut().find(|(of, _)| of == ttl) {
                Some((_, sum)) => add_in(sum, tokens),
                None => usage.write.push((*ttl, *tokens)),
            }
        }
        add_out(&mut usage.output, &other.output);
        usage.reasoning = plus(usage.reasoning, other.reasoning);
        let reported = &mut usage.reported;
        reported.total_tokens = plus(reported.total_tokens, other.reported.total_tokens);
    }
}

/// The kind of a tool by the name of its counter; `None` for a member that counts no uses.
fn tool(key: &str) -> Option<&str> {
    key.strip_suffix("_requests").or_else(|| key.strip_suffix("_calls"))
}

fn add(a: u64, b: u64) -> u64 {
    a.saturating_add(b)
}

fn add_in(sum: &mut InTokens, other: &InTokens) {
    sum.text = plus(sum.text, other.text);
    sum.image = plus(sum.image, other.image);
    sum.audio = plus(sum.audio, other.audio);
    sum.video = plus(sum.video, other.video);
    sum.document = plus(sum.document, other.document);
}

fn add_out(sum: &mut OutTokens, other: &OutTokens) {
    sum.text = plus(sum.text, other.text);
    sum.image = plus(sum.image, other.image);
    sum.audio = plus(sum.audio, other.audio);
    sum.video = plus(sum.video, other.video);
}

/// Tokens of which nothing says that they are anything but text.
pub(super) fn text_in(count: Option<u64>) -> InTokens {
    InTokens { text: count, ..InTokens::default() }
}

/// One cache write, where one is told.
pub(super) fn written(ttl: Ttl, count: Option<u64>) -> Option<(Ttl, InTokens)> {
    count.map(|count| (ttl, text_in(Some(count))))
}

/// Divides the tokens written to a cache by how long they live.
///
/// The split counts instead of the total. What the total has more lives for a time nobody told;
/// what it has less, and a rest beside a split, is a contradiction.
pub(super) fn writes(
    total: Option<u64>,
    split: [(Ttl, Option<u64>); 2],
    doubt: &mut Doubt,
) -> Vec<(Ttl, InTokens)> {
    let told: Vec<_> = split.into_iter().filter_map(|(ttl, count)| written(ttl, count)).collect();
    if told.is_empty() {
        return written(Ttl::Unknown, total).into_iter().collect();
    }
    let sum = told.iter().map(|(_, tokens)| tokens.total()).fold(0, add);
    doubt.unless(total.is_none_or(|total| total == sum));
    let rest = total.and_then(|total| total.checked_sub(sum)).filter(|rest| *rest > 0);
    told.into_iter().chain(written(Ttl::Unknown, rest)).collect()
}
