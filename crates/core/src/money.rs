use std::{fmt, str::FromStr};

/// An exact decimal number, as [`Money`] holds it: 96 bits of mantissa, at most 28 decimal places.
pub use rust_decimal::Decimal;

/// Ten to this power is what one dollar is in pico-dollars.
const PICO: u32 = 12;

/// What 96 bits hold at most.
const MANTISSA_MAX: i128 = (1 << 96) - 1;

/// An exact amount of USD.
///
/// Nothing is ever rounded: an operation is exact or says [`MoneyError::Overflow`]. There is no way
/// in from a binary float; amounts are parsed from the text they came as. Differences may be
/// negative. The widest cost (2⁴⁰ tokens at a rate of nine decimal places under two modifiers)
/// takes 25 of the 28 digits there are.
///
/// ```
/// use tollgate_core::{Decimal, Money};
///
/// let per_million = Money::parse("0.05").unwrap();
/// let one_token = per_million.times(Decimal::new(1, 6)).unwrap();
/// assert_eq!(one_token.to_string(), "0.00000005");
///
/// let total = Money::sum([one_token, Money::parse("0.0075").unwrap()]).unwrap();
/// assert_eq!(total.to_string(), "0.00750005");
/// assert_eq!(total.pico_up(), Some(7_500_050_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(Decimal);

/// Why an amount could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyError {
    /// The text is not a decimal number.
    Syntax,
    /// The exact result needs more than 28 digits.
    Overflow,
}

impl Money {
    /// No money at all.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Reads a decimal number in plain (`0.0075`) or scientific notation (`7.5e-3`).
    ///
    /// # Errors
    ///
    /// [`MoneyError::Syntax`] for anything that is no number, [`MoneyError::Overflow`] for more
    /// digits than can be held exactly.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        exact(text).map(Self)
    }

    /// The amount of `dollars`.
    pub fn new(dollars: Decimal) -> Self {
        Self(dollars.normalize())
    }

    /// The amount of `pico` pico-dollars (10⁻¹² USD), as counters keep it.
    pub fn from_pico(pico: u64) -> Self {
        Self::new(Decimal::from_i128_with_scale(i128::from(pico), PICO))
    }

    /// The amount as a number of dollars.
    pub fn dollars(self) -> Decimal {
        self.0
    }

    /// Whether this is exactly nothing.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Both together.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Overflow`] when the sum cannot be held exactly.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        let (a, b) = (self.0, other.0);
        let scale = a.scale().max(b.scale());
        let sum = raised(a, scale).zip(raised(b, scale)).and_then(|(a, b)| a.checked_add(b));
        fitted(sum.ok_or(MoneyError::Overflow)?, scale).map(Self)
    }

    /// This less `other`; negative when `other` is more.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Overflow`] when the difference cannot be held exactly.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.plus(Self(-other.0))
    }

    /// This, so many times.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Overflow`] when the product cannot be held exactly.
    pub fn times(self, factor: Decimal) -> Result<Self, MoneyError> {
        // Zeros at the end matter only where there is no place for them.
        if let Some(product) = self.0.mantissa().checked_mul(factor.mantissa()) {
            return fitted(product, self.0.scale() + factor.scale()).map(Self);
        }
        let factor = factor.normalize();
        let product = self.0.mantissa().checked_mul(factor.mantissa());
        fitted(product.ok_or(MoneyError::Overflow)?, self.0.scale() + factor.scale()).map(Self)
    }

    /// The sum of all; nothing when there are none.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Overflow`] when the sum cannot be held exactly.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        let mut amounts = amounts.into_iter();
        let first = amounts.next().unwrap_or_default();
        amounts.try_fold(first, Self::plus)
    }

    /// Returns the amount in pico-dollars (10⁻¹² USD), rounded up.
    ///
    /// Made for counters, once per request: what is rounded twice is no longer exact. `None` for a
    /// negative amount and above 18.4 million USD.
    pub fn pico_up(self) -> Option<u64> {
        let amount = self.0.normalize();
        let mantissa = u128::try_from(amount.mantissa()).ok()?;
        let pico = match amount.scale().checked_sub(PICO) {
            Some(beyond) => mantissa.div_ceil(10u128.pow(beyond)),
            None => mantissa.checked_mul(10u128.pow(PICO - amount.scale()))?,
        };
        u64::try_from(pico).ok()
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::parse(text)
    }
}

/// A plain decimal: no exponent, no trailing zeros (`0.0075`, `12`).
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.normalize();
        // Nearly every amount is short, and wanted as it is.
        match u64::try_from(number.mantissa()) {
            Ok(short) if f.width().or(f.precision()).is_none() && !f.sign_plus() => {
                f.write_str(Digits::of(short, number.scale()).as_str())
            }
            _ => fmt::Display::fmt(&number, f),
        }
    }
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not a decimal number",
            Self::Overflow => "more digits than an exact amount holds",
        })
    }
}

impl std::error::Error for MoneyError {}

/// The digits of a number that is not negative, with its point.
struct Digits {
    text: [u8; Self::MOST],
    from: usize,
}

impl Digits {
    /// Twenty digits and the point, or twenty-eight places and what stands before them.
    const MOST: usize = 32;

    fn of(mut mantissa: u64, scale: u32) -> Self {
        let mut digits = Self { text: [0; Self::MOST], from: Self::MOST };
        (0..scale).for_each(|_| digits.last_of(&mut mantissa));
        if scale > 0 {
            digits.push(b'.');
        }
        digits.last_of(&mut mantissa);
        while mantissa > 0 {
            digits.last_of(&mut mantissa);
        }
        digits
    }

    /// Takes the last digit of a number; a zero where it has none.
    fn last_of(&mut self, number: &mut u64) {
        self.push(b'0' + (*number % 10) as u8);
        *number /= 10;
    }

    fn push(&mut self, byte: u8) {
        self.from -= 1;
        self.text[self.from] = byte;
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.text[self.from..]).unwrap_or_default()
    }
}

fn exact(text: &str) -> Result<Decimal, MoneyError> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => {
            (digits, exponent.parse::<i32>().map_err(|_| MoneyError::Syntax)?)
        }
        None => (text, 0),
    };
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mantissa = mantissa(whole, fraction)?;
    let scale = i32::try_from(fraction.len()).map_err(|_| MoneyError::Overflow)?;
    let scale = scale.checked_sub(exponent).ok_or(MoneyError::Overflow)?;
    let value = scaled(mantissa, scale)?;
    Ok(if negative { -value } else { value })
}

/// The digits on both sides of the point as one number; at least one digit, nothing but digits.
fn mantissa(whole: &str, fraction: &str) -> Result<i128, MoneyError> {
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
        return Err(MoneyError::Syntax);
    }
    // Nearly every amount is short, and 128 bits are slow.
    if whole.len() + fraction.len() <= 18 {
        let short = digits().fold(0i64, |sum, byte| sum * 10 + i64::from(byte - b'0'));
        return Ok(i128::from(short));
    }
    digits()
        .try_fold(0i128, |sum, byte| sum.checked_mul(10)?.checked_add(i128::from(byte - b'0')))
        .ok_or(MoneyError::Overflow)
}

/// `mantissa / 10^scale`, where the scale may be negative.
fn scaled(mantissa: i128, scale: i32) -> Result<Decimal, MoneyError> {
    if mantissa == 0 {
        return Ok(Decimal::ZERO);
    }
    match u32::try_from(scale) {
        Ok(scale) => fitted(mantissa, scale),
        Err(_) => 10i128
            .checked_pow(scale.unsigned_abs())
            .and_then(|power| mantissa.checked_mul(power))
            .ok_or(MoneyError::Overflow)
            .and_then(|mantissa| fitted(mantissa, 0)),
    }
}

/// The mantissa this number has at a larger scale.
fn raised(number: Decimal, scale: u32) -> Option<i128> {
    number.mantissa().checked_mul(10i128.checked_pow(scale - number.scale())?)
}

/// `mantissa / 10^scale` without trailing zeros, if that can be held.
fn fitted(mantissa: i128, scale: u32) -> Result<Decimal, MoneyError> {
    let (mantissa, scale) = match i64::try_from(mantissa) {
        Ok(short) => {
            let (short, scale) = stripped(short, scale);
            (short.into(), scale)
        }
        Err(_) => stripped(mantissa, scale),
    };
    if scale > Decimal::MAX_SCALE || mantissa.abs() > MANTISSA_MAX {
        return Err(MoneyError::Overflow);
    }
    Ok(Decimal::from_i128_with_scale(mantissa, scale))
}

/// Takes zeros off the end of a fraction.
fn stripped<N>(mut mantissa: N, mut scale: u32) -> (N, u32)
where
    N: Copy + From<i8> + PartialEq + std::ops::Rem<Output = N> + std::ops::Div<Output = N>,
{
    while scale > 0 && mantissa % N::from(10) == N::from(0) {
        mantissa = mantissa / N::from(10);
        scale -= 1;
    }
    (mantissa, scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    #[test]
    fn prints_plain_decimals_without_exponent_or_trailing_zeros() {
        for (text, printed) in [
            ("0.0075", "0.0075"),
            ("7.50e-3", "0.0075"),
            ("1.20", "1.2"),
            ("3e-06", "0.000003"),
            ("12.000", "12"),
            ("1E2", "100"),
            ("0.000", "0"),
            ("-0", "0"),
            ("-0.5", "-0.5"),
            (".5", "0.5"),
            ("0e-400", "0"),
        ] {
            assert_eq!(money(text).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in ["", ".", "-", "e5", "1e", "1,5", "0x1", "NaN", "inf", "1 ", "+1", "1_000"] {
            assert_eq!(Money::parse(text), Err(MoneyError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn says_overflow_instead_of_rounding() {
        let most = money("79228162514264337593543950335");
        assert_eq!(most.plus(money("0.1")), Err(MoneyError::Overflow));
        assert_eq!(most.times(Decimal::TWO), Err(MoneyError::Overflow));
        assert_eq!(Money::parse("79228162514264337593543950336"), Err(MoneyError::Overflow));
        assert_eq!(Money::parse("1e400"), Err(MoneyError::Overflow));
        assert_eq!(Money::parse("1e-29"), Err(MoneyError::Overflow));
        assert_eq!(Money::parse("1e-99999999999"), Err(MoneyError::Syntax));
        assert_eq!(money("1e-20").times(Decimal::new(1, 20)), Err(MoneyError::Overflow));
    }

    #[test]
    fn rounds_pico_dollars_up_once() {
        assert_eq!(money("0.000000000001").pico_up(), Some(1));
        assert_eq!(money("0.0000000000011").pico_up(), Some(2));
        assert_eq!(money("1e-28").pico_up(), Some(1));
        assert_eq!(money("0.00000004166666700").pico_up(), Some(41_667));
        assert_eq!(Money::ZERO.pico_up(), Some(0));
        assert_eq!(money("-1").pico_up(), None);
        assert_eq!(money("18446744.073709551615").pico_up(), Some(u64::MAX));
        assert_eq!(money("18446744.073709551616").pico_up(), None);
        assert_eq!(money("79228162514264337593543950335").pico_up(), None);
    }

    #[test]
    fn orders_and_compares_by_amount() {
        assert_eq!(money("1.0"), money("1"));
        assert!(money("0.1") < money("0.11") && money("-1") < Money::ZERO);
        assert_eq!(Money::sum([]), Ok(Money::ZERO));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(mantissa in -(1i128 << 95)..(1i128 << 95), scale in 0u32..=28) {
            let amount = Money::new(Decimal::from_i128_with_scale(mantissa, scale));
            prop_assert_eq!(money(&amount.to_string()), amount);
            let short = Money::new(Decimal::from_i128_with_scale(mantissa >> 64, scale));
            prop_assert_eq!(short.to_string(), short.dollars().to_string());
            prop_assert_eq!(money(format!("{short:>40}").trim_start()), short);
        }

        #[test]
        fn adding_and_taking_away_is_exact(a in any::<i64>(), b in any::<i64>(), x in 0u32..=9, y in 0u32..=9) {
            let (a, b) = (Money::new(Decimal::new(a, x)), Money::new(Decimal::new(b, y)));
            prop_assert_eq!(a.plus(b)?.minus(b)?, a);
            prop_assert_eq!(a.plus(b)?, b.plus(a)?);
        }

        #[test]
        fn products_are_exact(a in any::<i32>(), b in any::<i32>(), x in 0u32..=9, y in 0u32..=9) {
            let product = Money::new(Decimal::new(a.into(), x)).times(Decimal::new(b.into(), y))?;
            let exact = Decimal::from_i128_with_scale(i128::from(a) * i128::from(b), x + y);
            prop_assert_eq!(product, Money::new(exact));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in "[-0-9.eE]{0,40}") {
            let _ = Money::parse(&text);
        }

        #[test]
        fn pico_never_loses_money(pico in any::<u64>(), beyond in 0u32..=7) {
            prop_assert_eq!(Money::from_pico(pico).pico_up(), Some(pico));
            let dust = Money::from_pico(pico).plus(Money::new(Decimal::new(1, 13 + beyond)))?;
            prop_assert_eq!(dust.pico_up(), pico.checked_add(1));
        }
    }
}
