//! Medians and percentiles.

use std::time::Duration;

/// Returns the value below which `share` (0 to 1) of the values lie; 0 of none.
pub(crate) fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or_default()
}

/// Returns the middle value; 0 of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(values.into_iter().collect(), 0.5)
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_middle_and_the_ends() {
        let values = || vec![5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(values()), 3.0);
        assert_eq!((percentile(values(), 0.0), percentile(values(), 1.0)), (1.0, 5.0));
        assert_eq!(median([]), 0.0);
    }
}
