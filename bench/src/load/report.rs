//! The table.

use crate::stats::median;

/// One line: the same measure of both sides, a pair per round.
#[derive(Debug)]
pub(crate) struct Row {
    what: &'static str,
    unit: &'static str,
    rounds: Vec<(f64, f64)>,
    gate: Gate,
}

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gate {
    /// Nothing; the line is there to be read.
    None,
    /// The gateway has at most so many times the bare proxy's.
    Ratio(f64),
    /// The gateway has at most so much.
    AtMost(f64),
    /// The gateway has at most so much more than the bare proxy.
    Above(f64),
}

impl Row {
    /// `rounds` holds the bare proxy's value and the gateway's.
    pub(crate) fn new(
        what: &'static str,
        unit: &'static str,
        rounds: Vec<(f64, f64)>,
        gate: Gate,
    ) -> Self {
        Self { what, unit, rounds, gate }
    }

    fn bare(&self) -> f64 {
        median(self.rounds.iter().map(|(bare, _)| *bare))
    }

    fn gateway(&self) -> f64 {
        median(self.rounds.iter().map(|(_, gateway)| *gateway))
    }

    /// The median of the rounds' ratios: what disturbs the machine disturbs both of a round.
    fn ratio(&self) -> f64 {
        median(self.rounds.iter().map(|(bare, gateway)| gateway / bare))
    }

    fn above(&self) -> f64 {
        median(self.rounds.iter().map(|(bare, gateway)| gateway - bare))
    }

    pub(crate) fn holds(&self) -> bool {
        match self.gate {
            Gate::None => true,
            Gate::Ratio(most) => self.ratio() <= most,
            Gate::AtMost(most) => self.gateway() <= most,
            Gate::Above(most) => self.above() <= most,
        }
    }

    fn verdict(&self) -> String {
        let verdict = if self.holds() { "PASS" } else { "FAIL" };
        match self.gate {
            Gate::None => String::new(),
            Gate::Ratio(most) => format!("{verdict}  ≤ {most} ×"),
            Gate::AtMost(most) => format!("{verdict}  ≤ {most} {}", self.unit),
            Gate::Above(most) => format!("{verdict}  ≤ {most} {} above", self.unit),
        }
    }
}

/// Prints the heading.
pub(crate) fn heading() {
    println!("{:42} {:>10} {:>10}       {:>7}  gate", "", "bare", "gateway", "ratio");
}

/// Prints a line.
pub(crate) fn print(row: &Row) {
    let (bare, gateway, ratio) = (row.bare(), row.gateway(), row.ratio());
    let (what, unit, verdict) = (row.what, row.unit, row.verdict());
    let line = format!("{what:42} {bare:>10.2} {gateway:>10.2} {unit:5} {ratio:>6.2}×  {verdict}");
    println!("{}", line.trim_end());
}
