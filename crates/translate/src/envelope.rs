//! What carries one provider's opaque values through another protocol's slot, and back.
//!
//! Base64 of `TGS1`, origin, kind, the model family and the item id each after its length, the
//! digest of the text, the scope, the payload. No secret, no state: whoever sends it back has sent
//! everything.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::model::{Opaque, OpaqueKind, Vendor};

const MAGIC: &[u8] = b"TGS1";

/// Wraps a value for a slot that is not its vendor's.
pub(crate) fn wrap(opaque: &Opaque) -> String {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([vendor_byte(opaque.vendor), kind_byte(opaque.kind)]);
    push(&mut bytes, &opaque.family);
    push(&mut bytes, &opaque.item_id);
    bytes.extend(opaque.digest);
    bytes.extend(opaque.scope);
    bytes.extend(opaque.payload.as_bytes());
    STANDARD.encode(bytes)
}

/// Reads a slot: what was wrapped here, or `None` for a native value.
pub(crate) fn unwrap(slot: &str) -> Option<Opaque> {
    // Cheap first: the magic in base64, as far as whole letters go.
    if !slot.starts_with("VEdTM") {
        return None;
    }
    let bytes = STANDARD.decode(slot).ok()?;
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let [vendor, kind] = *take::<2>(&mut rest)?;
    let family = pull(&mut rest)?;
    let item_id = pull(&mut rest)?;
    let digest = *take::<8>(&mut rest)?;
    let scope = *take::<8>(&mut rest)?;
    let payload = String::from_utf8(rest.to_vec()).ok()?;
    let (vendor, kind) = (vendor_of(vendor)?, kind_of(kind)?);
    Some(Opaque { vendor, kind, payload, family, item_id, digest, scope })
}

/// Reads a slot of `vendor`'s own protocol, whose native values are of `kind`.
pub(crate) fn read(slot: String, vendor: Vendor, kind: OpaqueKind) -> Opaque {
    unwrap(&slot).unwrap_or_else(|| Opaque::new(vendor, kind, slot))
}

/// Writes a slot of `vendor`'s own protocol: its own values bare, others wrapped.
pub(crate) fn write(opaque: &Opaque, vendor: Vendor) -> String {
    if opaque.vendor == vendor { opaque.payload.clone() } else { wrap(opaque) }
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text);
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(head)
}

fn pull(rest: &mut &[u8]) -> Option<String> {
    let len = usize::from(u16::from_be_bytes(*take::<2>(rest)?));
    let (text, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    String::from_utf8(text.to_vec()).ok()
}

fn vendor_byte(vendor: Vendor) -> u8 {
    match vendor {
        Vendor::OpenAi => 1,
        Vendor::Anthropic => 2,
        Vendor::Google => 3,
    }
}

fn vendor_of(byte: u8) -> Option<Vendor> {
    [Vendor::OpenAi, Vendor::Anthropic, Vendor::Google]
        .into_iter()
        .find(|v| vendor_byte(*v) == byte)
}

const KINDS: [OpaqueKind; 5] = [
    OpaqueKind::Thinking,
    OpaqueKind::Redacted,
    OpaqueKind::Thought,
    OpaqueKind::Encrypted,
    OpaqueKind::Call,
];

fn kind_byte(kind: OpaqueKind) -> u8 {
    KINDS.iter().zip(1..).find(|(each, _)| **each == kind).map_or(0, |(_, byte)| byte)
}

fn kind_of(byte: u8) -> Option<OpaqueKind> {
    KINDS.get(usize::from(byte).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opaque() -> impl Strategy<Value = Opaque> {
        let vendor =
            prop_oneof![Just(Vendor::OpenAi), Just(Vendor::Anthropic), Just(Vendor::Google)];
        let kind = proptest::sample::select(KINDS.to_vec());
        let text = ".{0,40}";
        (vendor, kind, text, text, text, any::<[u8; 8]>(), any::<[u8; 8]>()).prop_map(
            |(vendor, kind, payload, family, item_id, digest, scope)| Opaque {
                vendor,
                kind,
                payload,
                family,
                item_id,
                digest,
                scope,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_wrapped_comes_back(opaque in opaque()) {
            prop_assert_eq!(unwrap(&wrap(&opaque)), Some(opaque));
        }

        #[test]
        fn no_slot_makes_it_panic(slot in "(VEdTM)?[A-Za-z0-9+/=]{0,80}") {
            let _ = unwrap(&slot);
        }
    }

    #[test]
    fn native_values_stay_bare() {
        let opaque = read("EqQB".to_owned(), Vendor::Anthropic, OpaqueKind::Thinking);
        assert_eq!(write(&opaque, Vendor::Anthropic), "EqQB");
        assert_eq!(unwrap(&write(&opaque, Vendor::Google)), Some(opaque));
    }
}
