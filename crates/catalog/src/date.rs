use std::{fmt, str::FromStr};

const DAY: u64 = 86_400;

/// A day of the Gregorian calendar, counted from 1970-01-01. It begins at midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

/// The text is not a date such as `2026-11-22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADate;

impl Date {
    /// The UTC day that holds this second.
    pub fn of(unix_seconds: u64) -> Self {
        Self(i64::try_from(unix_seconds / DAY).unwrap_or(i64::MAX))
    }

    /// The day of this year, month (1–12) and day (1–31), if there is one.
    pub fn new(year: u32, month: u32, day: u32) -> Option<Self> {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (year <= 9999 && (1..=length).contains(&day)).then(|| Self(days(year, month, day)))
    }

    /// 0 for a Monday, 6 for a Sunday.
    pub(crate) fn weekday(self) -> u8 {
        // 1970-01-01 was a Thursday.
        u8::try_from((self.0 + 3).rem_euclid(7)).unwrap_or(0)
    }
}

/// Days since 1970-01-01; years are counted from March, so that the leap day comes last.
fn days(year: u32, month: u32, day: u32) -> i64 {
    let (y, m, d) = (i64::from(year), i64::from(month), i64::from(day));
    let y = if m <= 2 { y - 1 } else { y };
    let of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + of_year - 719_468
}

impl FromStr for Date {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        let number = |range: std::ops::Range<usize>| {
            let digits = text.get(range)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let dashed = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
        let date = || Self::new(number(0..4)?, number(5..7)?, number(8..10)?);
        dashed.then(date).flatten().ok_or(NotADate)
    }
}

/// `2026-11-22`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shifted = self.0 + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (month, turn) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year + turn;
        if !(0..=9999).contains(&year) {
            return write!(f, "{year:04}-{month:02}-{day:02}");
        }
        // Each charge has some: digit by digit takes a tenth of what formatting does.
        let digit = |number: i64| b'0' + (number % 10) as u8;
        let text = [
            digit(year / 1000),
            digit(year / 100),
            digit(year / 10),
            digit(year),
            b'-',
            digit(month / 10),
            digit(month),
            b'-',
            digit(day / 10),
            digit(day),
        ];
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for NotADate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a date such as 2026-11-22")
    }
}

impl std::error::Error for NotADate {}

/// Reads `2026-11-22T02:00:00Z` (UTC, no fraction) as unix seconds.
///
/// # Errors
///
/// [`NotADate`] for any other form.
pub fn unix_seconds(text: &str) -> Result<u64, NotADate> {
    let (date, time) = text.strip_suffix('Z').and_then(|t| t.split_once('T')).ok_or(NotADate)?;
    let Date(days) = date.parse()?;
    let (minutes, seconds) = time.rsplit_once(':').ok_or(NotADate)?;
    let seconds: u64 = seconds.parse().map_err(|_| NotADate)?;
    let days = u64::try_from(days).map_err(|_| NotADate)?;
    Ok(days * DAY + u64::from(minute(minutes)?) * 60 + seconds)
}

/// Reads `01:30` as minutes since midnight.
pub(crate) fn minute(text: &str) -> Result<u16, NotADate> {
    let (hour, minute) = text.split_once(':').ok_or(NotADate)?;
    let (hour, minute): (u16, u16) = hour.parse().ok().zip(minute.parse().ok()).ok_or(NotADate)?;
    let valid = hour <= 24 && minute < 60;
    valid.then_some(hour * 60 + minute).ok_or(NotADate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_days() {
        for (text, seconds) in
            [("1970-01-01", 0), ("2026-11-22", 1_795_305_600), ("2028-02-29", 1_835_395_200)]
        {
            let date: Date = text.parse().unwrap();
            assert_eq!(date, Date::of(seconds), "{text}");
            assert_eq!(date, Date::of(seconds + DAY - 1), "{text}");
            assert_eq!(date.to_string(), text);
        }
        assert!("2026-02-29".parse::<Date>().is_err() && "2026-13-01".parse::<Date>().is_err());
        assert!("2026-1-01".parse::<Date>().is_err() && "2026+11-22".parse::<Date>().is_err());
        assert!("+026-11-22".parse::<Date>().is_err());
    }

    #[test]
    fn every_day_of_eight_centuries_is_printed_as_it_is_read() {
        for day in -200_000..100_000 {
            let date = Date(day);
            assert_eq!(date.to_string().parse(), Ok(date));
        }
    }

    #[test]
    fn knows_sundays() {
        assert_eq!("2026-11-22".parse::<Date>().unwrap().weekday(), 6);
    }

    #[test]
    fn reads_seconds_of_a_timestamp() {
        assert_eq!(unix_seconds("2026-11-22T02:00:05Z"), Ok(1_795_305_600 + 7205));
        assert!(unix_seconds("2026-11-22 02:00:05").is_err());
    }
}
