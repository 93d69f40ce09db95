//! JSON in few bytes, written member by member. It is turned into text for whoever asks, which is
//! seldom: charges are written all the time.
//!
//! A value is its kind and what belongs to it; numbers are written seven bits at a time, lowest
//! first. A name of our own is its place in [`Name`]. Places and kinds are added, never changed:
//! files hold them.

use std::fmt::{self, Write};

use tollgate_core::{Decimal, Money};

/// What every record in this form begins with. One that begins with a brace is JSON text.
const FORMAT: u8 = 1;
/// Ends the members of an object and the items of an array.
const END: u8 = 0;
/// A name that is not one of ours follows in full.
const STRANGE: u8 = 255;
/// Bytes that most records fit into.
const USUAL: usize = 640;
/// Nothing we write is nested this deep.
const DEPTH: usize = 32;

mod kind {
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const NUMBER: u8 = 3;
    pub(super) const TEXT: u8 = 4;
    /// Decimal places, then the digits: twice the amount without its point, one less if negative.
    pub(super) const AMOUNT: u8 = 5;
    pub(super) const OBJECT: u8 = 6;
    pub(super) const ARRAY: u8 = 7;
}

macro_rules! names {
    ($($name:ident $text:literal)*) => {
        /// The names of members.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(clippy::enum_variant_names, reason = "each is called as its text is")]
        #[repr(u8)]
        pub(crate) enum Name {
            $(#[allow(missing_docs)] $name,)*
        }

        const NAMES: &[&str] = &[$($text),*];
    };
}

names! {
    At "at"
    Key "key"
    KeyName "key_name"
    Team "team"
    Provider "provider"
    Asked "asked"
    Model "model"
    Tags "tags"
    User "user"
    Usd "usd"
    Input "input"
    Output "output"
    Cached "cached"
    Written "written"
    Reasoning "reasoning"
    Quality "quality"
    Ending "ending"
    Took "took"
    Details "details"
    Protocol "protocol"
    Operation "operation"
    Stream "stream"
    Kind "kind"
    Deployment "deployment"
    Status "status"
    HeadMs "head_ms"
    FirstContentMs "first_content_ms"
    Usage "usage"
    Price "price"
    Prompt "prompt"
    Read "read"
    Write "write"
    Ttl "ttl"
    Tokens "tokens"
    ToolIn "tool_in"
    Citation "citation"
    Prediction "prediction"
    Accepted "accepted"
    Rejected "rejected"
    Tools "tools"
    Units "units"
    Extra "extra"
    Served "served"
    ReportedTokens "reported_tokens"
    Byok "byok"
    Method "method"
    Text "text"
    Image "image"
    Audio "audio"
    Video "video"
    Document "document"
    Tier "tier"
    Speed "speed"
    Geo "geo"
    Batch "batch"
    Traffic "traffic"
    CompletedAt "completed_at"
    Lines "lines"
    TotalUsd "total_usd"
    ReportedUsd "reported_usd"
    ReportedUpstreamUsd "reported_upstream_usd"
    Marks "marks"
    Provenance "provenance"
    Component "component"
    Quantity "quantity"
    RateUsd "rate_usd"
    Per "per"
    Factor "factor"
    Version "version"
    Origin "origin"
    FoundBy "found_by"
    DeclaredFree "declared_free"
    EffectiveFrom "effective_from"
    Until "until"
    Variant "variant"
    TierAbove "tier_above"
    OffPeak "off_peak"
    Modifiers "modifiers"
    PageChecked "page_checked"
    Page "page"
    Sources "sources"
    AskedTier "asked_tier"
    IdempotencyKey "idempotency_key"
}

/// What can be written as a value.
pub(crate) trait Value {
    fn write(self, out: &mut Vec<u8>);
}

/// The members of an object.
pub(crate) struct Members<'a>(&'a mut Vec<u8>);

/// Writes a record: an object.
pub(crate) fn record(write: impl FnOnce(&mut Members<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL);
    out.push(FORMAT);
    object(&mut out, write);
    out
}

/// Writes an object. Returns whether it has members.
pub(crate) fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Members<'_>)) -> bool {
    out.push(kind::OBJECT);
    let begin = out.len();
    write(&mut Members(out));
    let filled = out.len() > begin;
    out.push(END);
    filled
}

impl Members<'_> {
    pub(crate) fn put(&mut self, name: Name, value: impl Value) {
        // The end has the first place.
        self.0.push(name as u8 + 1);
        value.write(self.0);
    }

    /// The same with a name that somebody else chose.
    pub(crate) fn put_named(&mut self, name: &str, value: impl Value) {
        self.0.push(STRANGE);
        text(name, self.0);
        value.write(self.0);
    }

    /// Leaves out what was not told.
    pub(crate) fn maybe(&mut self, name: Name, value: Option<impl Value>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Leaves out what is not so.
    pub(crate) fn mark(&mut self, name: Name, is_so: bool) {
        self.maybe(name, is_so.then_some(true));
    }

    /// Leaves out an empty text.
    pub(crate) fn said(&mut self, name: Name, value: &str) {
        self.maybe(name, Some(value).filter(|value| !value.is_empty()));
    }

    /// Leaves out nothing at all.
    pub(crate) fn some(&mut self, name: Name, number: u64) {
        self.maybe(name, Some(number).filter(|number| *number > 0));
    }

    pub(crate) fn object(&mut self, name: Name, write: impl FnOnce(&mut Members<'_>)) {
        self.0.push(name as u8 + 1);
        object(self.0, write);
    }

    /// Leaves out an object without members.
    pub(crate) fn filled(&mut self, name: Name, write: impl FnOnce(&mut Members<'_>)) {
        let length = self.0.len();
        self.0.push(name as u8 + 1);
        if !object(self.0, write) {
            self.0.truncate(length);
        }
    }

    pub(crate) fn list<T>(
        &mut self,
        name: Name,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) {
        self.0.extend([name as u8 + 1, kind::ARRAY]);
        items.into_iter().for_each(|item| write(self.0, item));
        self.0.push(END);
    }
}

fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The same of what few numbers are.
fn wide(mut wide: u128, out: &mut Vec<u8>) {
    while wide > u64::MAX.into() {
        out.push(wide as u8 | 0x80);
        wide >>= 7;
    }
    number(wide as u64, out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    number(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

impl Value for &str {
    fn write(self, out: &mut Vec<u8>) {
        out.push(kind::TEXT);
        text(self, out);
    }
}

impl Value for u64 {
    fn write(self, out: &mut Vec<u8>) {
        out.push(kind::NUMBER);
        number(self, out);
    }
}

impl Value for bool {
    fn write(self, out: &mut Vec<u8>) {
        out.push(if self { kind::TRUE } else { kind::FALSE });
    }
}

impl Value for Money {
    fn write(self, out: &mut Vec<u8>) {
        self.dollars().write(out);
    }
}

impl Value for Decimal {
    fn write(self, out: &mut Vec<u8>) {
        out.extend([kind::AMOUNT, self.scale() as u8]);
        let sign = u128::from(self.is_sign_negative());
        wide(self.mantissa().unsigned_abs() << 1 | sign, out);
    }
}

/// Something that is written as its text.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: fmt::Display> Value for Shown<T> {
    fn write(self, out: &mut Vec<u8>) {
        self.0.to_string().as_str().write(out);
    }
}

/// Returns a record as JSON text; `None` if it is damaged. Text it is already is returned as it is.
///
/// An amount is a text there too: no reader may take it for a binary float.
pub(crate) fn json(record: &[u8]) -> Option<String> {
    match record.split_first()? {
        (b'{', _) => Some(str::from_utf8(record).ok()?.to_owned()),
        (&FORMAT, rest) => {
            let (mut reader, mut out) = (Reader(rest), String::with_capacity(rest.len() * 3));
            reader.value(&mut out, DEPTH)?;
            reader.0.is_empty().then_some(out)
        }
        _ => None,
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u128> {
        let mut number = 0;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        str::from_utf8(text).ok()
    }

    fn amount(&mut self) -> Option<Money> {
        let (scale, digits) = (self.byte()?, self.number()?);
        let mantissa = i128::try_from(digits >> 1).ok()?;
        let mantissa = if digits & 1 == 1 { -mantissa } else { mantissa };
        Decimal::try_from_i128_with_scale(mantissa, scale.into()).ok().map(Money::new)
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Option<()> {
        match self.byte()? {
            kind::FALSE => out.push_str("false"),
            kind::TRUE => out.push_str("true"),
            kind::NUMBER => write!(out, "{}", self.number()?).ok()?,
            kind::TEXT => quote(self.text()?, out),
            kind::AMOUNT => write!(out, "\"{}\"", self.amount()?).ok()?,
            kind::OBJECT => self.items(out, ['{', '}'], depth, Self::member)?,
            kind::ARRAY => self.items(out, ['[', ']'], depth, Self::value)?,
            _ => return None,
        }
        Some(())
    }

    fn items(
        &mut self,
        out: &mut String,
        [open, close]: [char; 2],
        depth: usize,
        item: fn(&mut Self, &mut String, usize) -> Option<()>,
    ) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        out.push(open);
        let begin = out.len();
        while *self.0.first()? != END {
            if out.len() > begin {
                out.push(',');
            }
            item(self, out, depth)?;
        }
        self.byte()?;
        out.push(close);
        Some(())
    }

    fn member(&mut self, out: &mut String, depth: usize) -> Option<()> {
        match self.byte()? {
            STRANGE => quote(self.text()?, out),
            place => quote(NAMES.get(usize::from(place).checked_sub(1)?)?, out),
        }
        out.push(':');
        self.value(out, depth)
    }
}

fn quote(text: &str, out: &mut String) {
    // A text always has a JSON form: there is nothing that could fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_stand_in_their_order_and_empty_objects_are_left_out() {
        let record = record(|all| {
            all.filled(Name::Read, |_| {});
            all.put(Name::Text, "a");
            all.filled(Name::Read, |inner| inner.maybe(Name::Text, None::<u64>));
            all.filled(Name::Served, |inner| inner.mark(Name::Batch, true));
            all.mark(Name::Byok, false);
            all.object(Name::Usage, |_| {});
            all.list(Name::Lines, [1, 2], |out, n: u64| n.write(out));
            all.put(Name::Usd, Decimal::new(-150, 3));
            all.said(Name::Team, "");
            all.some(Name::Cached, 0);
            all.put(Name::Until, Shown(12));
        });
        let expected = r#"{"text":"a","served":{"batch":true},"usage":{},"lines":[1,2],"usd":"-0.15","until":"12"}"#;
        assert_eq!(json(&record).unwrap(), expected);
        assert!(record.len() < 40);
        for cut in 0..record.len() {
            assert_eq!(json(&record[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn text_stays_text_and_what_is_neither_is_nothing() {
        assert_eq!(json(b"{\"a\":1}").unwrap(), "{\"a\":1}");
        assert_eq!(json(b""), None);
        assert_eq!(json(b"\x02"), None);
        let deep: Vec<u8> = [FORMAT].into_iter().chain([kind::ARRAY; 1000]).collect();
        assert_eq!(json(&deep), None);
    }

    #[test]
    fn every_name_has_a_place_before_those_of_others() {
        assert_eq!(NAMES[Name::Sources as usize], "sources");
        assert_eq!(NAMES[Name::AskedTier as usize], "asked_tier");
        assert_eq!(NAMES.len(), Name::IdempotencyKey as usize + 1);
        assert!(NAMES.len() < usize::from(STRANGE) - 1);
    }

    proptest! {
        #[test]
        fn is_read_back_as_it_was(name in ".*", value in ".*", number in any::<u64>()) {
            let record = record(|all| {
                all.put(Name::Text, value.as_str());
                all.put_named(&name, number);
            });
            prop_assume!(name != "text");
            let read: serde_json::Value = serde_json::from_str(&json(&record).unwrap()).unwrap();
            prop_assert_eq!(&read["text"], &value);
            prop_assert_eq!(&read[&name], number);
        }

        #[test]
        fn amounts_keep_their_digits(mantissa in -(1i128 << 95)..1i128 << 95, scale in 0u32..=28) {
            let amount = Decimal::from_i128_with_scale(mantissa, scale);
            let record = record(|all| all.put(Name::Usd, amount));
            let read = json(&record).unwrap();
            prop_assert_eq!(read, format!("{{\"usd\":\"{}\"}}", Money::new(amount)));
        }

        #[test]
        fn nothing_that_is_read_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let record = [&[FORMAT], &*bytes].concat();
            if let Some(text) = json(&record) {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
            }
        }
    }
}
