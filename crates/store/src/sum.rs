use std::{fmt, str::FromStr};

use tollgate_core::{Decimal, Money};

/// As many decimal places as an amount can have.
const PLACES: u32 = 28;
const ONE: i128 = 10i128.pow(PLACES);
const PICO: i128 = 10i128.pow(12);

/// An exact sum of amounts, wider than any amount: what is added is never rounded.
///
/// Worth `whole + parts / 10^28` dollars, with `0 <= parts < 10^28`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    whole: i128,
    parts: i128,
}

impl Sum {
    pub(crate) fn of_pico(pico: i64) -> Self {
        let pico = i128::from(pico);
        Self { whole: pico.div_euclid(PICO), parts: pico.rem_euclid(PICO) * (ONE / PICO) }
    }

    pub(crate) fn add(&mut self, other: Self) {
        let parts = self.parts + other.parts;
        // Both were less than one: there is no need to divide.
        let carry = i128::from(parts >= ONE);
        self.whole = self.whole.saturating_add(other.whole).saturating_add(carry);
        self.parts = parts - carry * ONE;
    }

    /// The sum in pico-dollars, where that is exact and a counter holds it.
    pub(crate) fn pico(self) -> Option<i64> {
        let step = ONE / PICO;
        let parts = (self.parts % step == 0).then_some(self.parts / step)?;
        i64::try_from(self.whole.checked_mul(PICO)?.checked_add(parts)?).ok()
    }

    /// The sum as an amount: exact where its digits fit into one, else rounded to those that do.
    pub(crate) fn money(self) -> Money {
        (0..=PLACES).rev().find_map(|scale| self.rounded(scale)).map_or_else(
            || Money::new(if self.whole < 0 { Decimal::MIN } else { Decimal::MAX }),
            Money::new,
        )
    }

    /// Half to even at `scale` places, if that fits.
    fn rounded(self, scale: u32) -> Option<Decimal> {
        let step = 10i128.pow(PLACES - scale);
        let (kept, rest) = (self.parts / step, self.parts % step);
        let mut mantissa = self.whole.checked_mul(10i128.pow(scale))?.checked_add(kept)?;
        if rest * 2 > step || (rest * 2 == step && mantissa % 2 != 0) {
            mantissa += 1;
        }
        // A sum of few digits needs no rounding; one of too many is asked again with fewer.
        let (mut mantissa, mut scale) = (mantissa, scale);
        while scale > 0 && mantissa % 10 == 0 {
            (mantissa, scale) = (mantissa / 10, scale - 1);
        }
        Decimal::try_from_i128_with_scale(mantissa, scale).ok()
    }
}

impl From<Money> for Sum {
    fn from(amount: Money) -> Self {
        let (mantissa, scale) = (amount.dollars().mantissa(), amount.dollars().scale());
        let one = 10i128.pow(scale);
        let whole = mantissa.div_euclid(one);
        Self { whole, parts: (mantissa - whole * one) * 10i128.pow(PLACES - scale) }
    }
}

/// A plain decimal, all digits: `-0.5`, `12`.
impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = match self {
            Self { whole, parts } if *whole < 0 && *parts > 0 => (whole + 1, ONE - parts),
            Self { whole, parts } => (*whole, *parts),
        };
        let sign = if self.whole < 0 { "-" } else { "" };
        write!(f, "{sign}{}", whole.unsigned_abs())?;
        if parts == 0 {
            return Ok(());
        }
        let digits = format!("{parts:028}");
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

/// The text is not a sum as `Display` writes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotASum;

impl FromStr for Sum {
    type Err = NotASum;

    fn from_str(text: &str) -> Result<Self, NotASum> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, parts) = digits.split_once('.').unwrap_or((digits, "0"));
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<i128>().ok()).flatten().ok_or(NotASum)
        };
        let short = PLACES.checked_sub(u32::try_from(parts.len()).map_err(|_| NotASum)?);
        let (whole, parts) = (number(whole)?, number(parts)? * 10i128.pow(short.ok_or(NotASum)?));
        Ok(match (negative, parts) {
            (false, _) => Self { whole, parts },
            (true, 0) => Self { whole: -whole, parts },
            (true, _) => Self { whole: -whole - 1, parts: ONE - parts },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    fn sum<'a>(amounts: impl IntoIterator<Item = &'a str>) -> Sum {
        let mut sum = Sum::default();
        amounts.into_iter().for_each(|amount| sum.add(money(amount).into()));
        sum
    }

    #[test]
    fn adds_what_no_single_amount_can_hold() {
        let wide = sum(["79228162514264337593543950335", "1e-28", "1e-28"]);
        assert_eq!(wide.to_string(), "79228162514264337593543950335.0000000000000000000000000002");
        assert_eq!(wide.money(), money("79228162514264337593543950335"));
        assert_eq!(sum(["79228162514264337593543950335", "1"]).money(), Money::new(Decimal::MAX));
    }

    #[test]
    fn pico_is_told_only_where_it_is_exact() {
        assert_eq!(sum(["0.000000000001"]).pico(), Some(1));
        assert_eq!(sum(["-0.000000000001"]).pico(), Some(-1));
        assert_eq!(sum(["0.0000000000001"]).pico(), None);
        assert_eq!(sum(["9223372.036854775807"]).pico(), Some(i64::MAX));
        assert_eq!(sum(["9223372.036854775808"]).pico(), None);
        assert_eq!(Sum::of_pico(-1).to_string(), "-0.000000000001");
    }

    #[test]
    fn rounds_half_to_even_only_where_digits_do_not_fit() {
        let whole = "1000000000000000000000000000";
        assert_eq!(sum([whole, "0.25"]).money(), money("1000000000000000000000000000.2"));
        assert_eq!(sum([whole, "0.35"]).money(), money("1000000000000000000000000000.4"));
    }

    #[test]
    fn refuses_what_is_no_sum() {
        for text in ["", "-", ".5", "1.", "1e5", "+1", "1.00000000000000000000000000001"] {
            assert_eq!(text.parse::<Sum>(), Err(NotASum), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn sums_are_exact_to_the_last_digit(
            amounts in prop::collection::vec((any::<i64>(), 0u32..=14), 0..40),
        ) {
            let amounts: Vec<Money> =
                amounts.into_iter().map(|(m, s)| Money::new(Decimal::new(m / 1_000_000, s))).collect();
            let mut total = Sum::default();
            amounts.iter().for_each(|amount| total.add((*amount).into()));
            prop_assert_eq!(total.money(), Money::sum(amounts)?);
            prop_assert_eq!(total.to_string().parse::<Sum>().unwrap(), total);
        }

        #[test]
        fn pico_and_decimal_are_the_same_sum(pico in any::<i64>()) {
            let amount = Money::new(Decimal::from_i128_with_scale(pico.into(), 12));
            prop_assert_eq!(Sum::from(amount), Sum::of_pico(pico));
            prop_assert_eq!(Sum::of_pico(pico).pico(), Some(pico));
            prop_assert_eq!(Sum::of_pico(pico).money(), amount);
        }
    }
}
