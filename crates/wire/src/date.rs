//! RFC 3339 instants, the way model lists and rate-limit headers write them.

use std::time::{Duration, SystemTime};

const DAY: u64 = 86_400;

/// Writes unix seconds as an instant in UTC.
pub(crate) fn rfc3339(unix: u64) -> String {
    let (year, month, day) = civil(unix / DAY);
    let second = unix % DAY;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Reads an instant since 1970; `None` for anything else. Fractions of a second are kept.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_at_checked(10)?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let time = time.strip_prefix(['T', 't', ' '])?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let seconds = days(year, month, day)? as f64 * DAY as f64 + seconds(clock)? - offset(zone)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

fn seconds(clock: &str) -> Option<f64> {
    let mut parts = clock.splitn(3, ':');
    let hour: u32 = parts.next()?.parse().ok().filter(|h| *h < 24)?;
    let minute: u32 = parts.next()?.parse().ok().filter(|m| *m < 60)?;
    let second: f64 = parts.next()?.parse().ok().filter(|s| (0.0..61.0).contains(s))?;
    Some(f64::from(hour * 3600 + minute * 60) + second)
}

fn offset(zone: &str) -> Option<f64> {
    let sign = match zone.as_bytes().first()? {
        b'Z' | b'z' => return Some(0.0),
        b'-' => -1.0,
        _ => 1.0,
    };
    let (hour, minute) = zone[1..].split_once(':')?;
    let minutes = hour.parse::<u8>().ok()? as f64 * 60.0 + minute.parse::<u8>().ok()? as f64;
    Some(sign * minutes * 60.0)
}

/// The Gregorian date of a day counted from 1970-01-01, by eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil`]; `None` before 1970 or where no such day is.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unix(text: &str) -> Option<f64> {
        let at = parse_rfc3339(text)?.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Some(at.as_secs_f64())
    }

    #[test]
    fn writes_known_instants() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_785_366_570), "2026-07-29T23:09:30Z");
    }

    #[test]
    fn reads_fractions_and_offsets() {
        assert_eq!(unix("1970-01-01T00:00:01.5Z"), Some(1.5));
        assert_eq!(unix("1970-01-01T02:00:00+01:30"), Some(1800.0));
        assert_eq!(unix("2026-07-29T23:09:30Z"), Some(1_785_366_570.0));
    }

    #[test]
    fn refuses_what_is_no_instant() {
        for text in [
            "",
            "2026-07-29",
            "2026-13-01T00:00:00Z",
            "2026-01-01T25:00:00Z",
            "1969-12-31T00:00:00Z",
            "ééééééééé",
        ] {
            assert_eq!(unix(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_it_writes(at in 0_u64..253_402_300_800) {
            prop_assert_eq!(unix(&rfc3339(at)), Some(at as f64));
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = parse_rfc3339(&text);
        }
    }
}
