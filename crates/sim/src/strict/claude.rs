//! What a Claude model takes, told by its name.

/// Major and minor version; (0, 0) for what is no Claude.
pub(super) fn version(model: &str) -> (u32, u32) {
    let name = model.rsplit('/').next().unwrap_or(model);
    if !name.starts_with("claude-") {
        return (0, 0);
    }
    let mut numbers = name.split('-').filter(|word| word.len() < 3).flat_map(str::parse);
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// From Claude 4.5 on temperature and top_p exclude each other.
pub(super) fn takes_one_sampling(model: &str) -> bool {
    version(model) >= (4, 5)
}

/// From Claude 4.6 on the last message is the user's.
pub(super) fn takes_no_prefill(model: &str) -> bool {
    version(model) >= (4, 6)
}

/// From Claude 4.7 on the model itself decides how long it thinks and how it samples.
pub(super) fn is_adaptive_only(model: &str) -> bool {
    version(model) >= (4, 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        assert_eq!(version("claude-sonnet-4-5"), (4, 5));
        assert_eq!(version("claude-opus-4-7-20260401"), (4, 7));
        assert_eq!(version("claude-3-7-sonnet-latest"), (3, 7));
        assert_eq!(version("claude-opus-4-20250514"), (4, 0));
        assert_eq!(version("sim-text"), (0, 0));
    }
}
