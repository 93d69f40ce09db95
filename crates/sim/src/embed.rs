//! Vectors that depend on the text alone.

use crate::ask::Bad;

/// Returns a vector of length 1 in `dimensions` dimensions.
pub(crate) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    let raw: Vec<f32> = (0..dimensions).map(|_| uniform(&mut state)).collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|x| x / length).collect()
}

/// The asked number of dimensions.
pub(crate) fn dimensions(asked: Option<usize>, usual: usize) -> Result<usize, Bad> {
    match asked.unwrap_or(usual) {
        n @ 1..=16_384 => Ok(n),
        n => Err(Bad::Value(format!("dimensions: {n} is not between 1 and 16384"))),
    }
}

/// Xorshift, as a number from -1 to 1.
fn uniform(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_gives_the_same_vector_of_length_one() {
        let vector_of_a = vector("a", 8);
        assert_eq!(vector_of_a, vector("a", 8));
        assert_ne!(vector_of_a, vector("b", 8));
        let length: f32 = vector_of_a.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5);
        assert!(dimensions(Some(0), 8).is_err());
    }
}
