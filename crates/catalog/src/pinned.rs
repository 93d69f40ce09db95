//! The date a model's name is pinned by.

use std::ops::Range;

use crate::Date;

/// How long a date may be in a name: `2025-05-14`, `20250514`, `03-2025`, `05-20`, then `0528` (a
/// day) or `2411` (a month).
const LENGTHS: [usize; 5] = [10, 8, 7, 5, 4];

/// Returns the date a name is pinned by, wherever in its last part it stands, as it is written.
pub(crate) fn pinned(name: &str) -> Option<&str> {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.match_indices(['-', '@']).find_map(|(at, _)| first(&name[at + 1..]))
}

/// The date that `text` begins with.
fn first(text: &str) -> Option<&str> {
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.');
    LENGTHS.iter().find_map(|length| {
        let (date, rest) = text.split_at_checked(*length)?;
        (!goes_on(rest) && is_date(date)).then_some(date)
    })
}

fn is_date(text: &str) -> bool {
    let number = |range: Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let dashed = |at: usize| text.as_bytes()[at] == b'-';
    let (year, month, day) = match text.len() {
        10 if dashed(4) && dashed(7) => (number(0..4), number(5..7), number(8..10)),
        8 => (number(0..4), number(4..6), number(6..8)),
        7 if dashed(2) => (number(3..7), number(0..2), Some(1)),
        5 if dashed(2) => (Some(2020), number(0..2), number(3..5)),
        4 if matches!(number(0..2), Some(20..)) => {
            (number(0..2).map(|year: u32| 2000 + year), number(2..4), Some(1))
        }
        4 => (Some(2020), number(0..2), number(2..4)),
        _ => return false,
    };
    let date = || Date::new(year.filter(|year| (2015..2040).contains(year))?, month?, day?);
    date().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_found_as_each_lab_writes_it() {
        for (name, date) in [
            ("claude-opus-4-20250514", "20250514"),
            ("claude-sonnet-4-5@20250929", "20250929"),
            ("gpt-5.5-2026-04-24", "2026-04-24"),
            ("google/gemini-3.1-flash-lite-20260507", "20260507"),
            ("anthropic/claude-4.5-haiku-20251001:beta", "20251001"),
            ("gpt-4-0125-preview", "0125"),
            ("gpt-3.5-turbo-16k-0613", "0613"),
            ("mistral-small-2506", "2506"),
            ("command-a-03-2025", "03-2025"),
            ("gemini-2.5-flash-preview-05-20", "05-20"),
        ] {
            assert_eq!(pinned(name), Some(date), "{name}");
        }
    }

    #[test]
    fn versions_and_sizes_are_no_dates() {
        for name in [
            "gpt-5-1",
            "claude-opus-4-0",
            "gpt-4-32k",
            "davinci-002",
            "mixtral-8x22b",
            "mistral-7b-instruct-v0.3",
            "qwen-1330",
            "gpt-5-mini-2027-13-31",
            "2026-01-01/gpt-5",
            "",
        ] {
            assert_eq!(pinned(name), None, "{name}");
        }
    }
}
