use crate::{Date, model::Text};

/// When peak rates hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schedule {
    /// What models call it.
    pub name: Text,
    /// Half-open windows of the UTC day, in minutes since midnight.
    pub peak: Vec<(u16, u16)>,
    /// UTC weekdays with a peak, Monday first.
    pub days: [bool; 7],
    /// Dates without one.
    pub holidays: Vec<Date>,
    /// Hours the calendar of the holidays is ahead of UTC.
    pub holidays_ahead: i8,
    /// Unix seconds; before that there was no off-peak.
    pub valid_from: u64,
}

impl Schedule {
    /// A schedule of this name that is always peak.
    pub fn new(name: impl Into<Text>) -> Self {
        Self {
            name: name.into(),
            peak: vec![(0, 24 * 60)],
            days: [true; 7],
            holidays: Vec::new(),
            holidays_ahead: 0,
            valid_from: 0,
        }
    }

    /// Whether peak rates hold at this second.
    pub fn is_peak(&self, unix_seconds: u64) -> bool {
        if unix_seconds < self.valid_from {
            return true;
        }
        let ahead = i64::from(self.holidays_ahead) * 3600;
        let day = Date::of(unix_seconds);
        let minute = (unix_seconds % 86_400) / 60;
        self.days[usize::from(day.weekday())]
            && !self.holidays.contains(&Date::of(unix_seconds.saturating_add_signed(ahead)))
            && self.peak.iter().any(|(a, b)| (u64::from(*a)..u64::from(*b)).contains(&minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::date::unix_seconds;

    #[test]
    fn a_holiday_is_a_day_of_its_own_calendar() {
        let mut schedule = Schedule::new("shop");
        schedule.holidays = vec!["2026-10-01".parse().unwrap()];
        schedule.holidays_ahead = 8;
        let peak = |text| schedule.is_peak(unix_seconds(text).unwrap());
        assert!(peak("2026-09-30T15:59:59Z") && !peak("2026-09-30T16:00:00Z"));
        assert!(!peak("2026-10-01T15:59:59Z") && peak("2026-10-01T16:00:00Z"));
    }

    #[test]
    fn windows_are_half_open_and_before_the_schedule_all_is_peak() {
        let mut schedule = Schedule::new("shop");
        schedule.peak = vec![(60, 240)];
        schedule.days[6] = false;
        schedule.valid_from = unix_seconds("2026-01-01T00:00:00Z").unwrap();
        let peak = |text| schedule.is_peak(unix_seconds(text).unwrap());
        assert!(!peak("2026-11-23T00:59:59Z") && peak("2026-11-23T01:00:00Z"));
        assert!(peak("2026-11-23T03:59:59Z") && !peak("2026-11-23T04:00:00Z"));
        assert!(!peak("2026-11-22T02:00:00Z"), "a Sunday");
        assert!(peak("2025-11-23T12:00:00Z"));
    }
}
