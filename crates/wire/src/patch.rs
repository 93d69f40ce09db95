//! Changes to the top-level members of a body that leave every other byte as it is.
//!
//! ```
//! use bytes::Bytes;
//! use tollgate_wire::patch;
//!
//! let body = Bytes::from(r#"{"model": "m", "provider": {}, "messages": []}"#).into();
//! let body = patch::remove(&body, "provider").unwrap();
//! let body = patch::set(&body, "max_tokens", Bytes::from("100")).unwrap();
//! assert_eq!(body.joined(), r#"{"max_tokens":100,"model": "m", "messages": []}"#);
//! ```

use bytes::Bytes;
use tollgate_core::Frames;

use crate::json::{Malformed, Member, Scanner};

/// Gives the member `key` the JSON text `value`: in its place where it is there, else as the first.
///
/// Errors: the body is no balanced JSON object.
pub fn set(body: &Frames, key: &str, value: Bytes) -> Result<Frames, Malformed> {
    let (start, members) = scan(body)?;
    if let Some(member) = members.iter().rev().find(|member| member.key == key) {
        return Ok(body.splice(member.value.clone(), value));
    }
    let mut text = serde_json::Value::from(key).to_string().into_bytes();
    text.push(b':');
    text.extend_from_slice(&value);
    if !members.is_empty() {
        text.push(b',');
    }
    Ok(body.splice(start + 1..start + 1, text.into()))
}

/// Removes every member `key`, with the comma that divided it from its neighbour.
///
/// Errors: the body is no balanced JSON object.
pub fn remove(body: &Frames, key: &str) -> Result<Frames, Malformed> {
    let (_, members) = scan(body)?;
    let mut body = body.clone();
    for (i, member) in members.iter().enumerate().rev().filter(|(_, m)| m.key == key) {
        // What lies behind is still where it was: the later ones went first.
        let before = i.checked_sub(1).map(|i| members[i].value.end);
        let after = members[i + 1..].iter().find(|m| m.key != key).map(|m| m.at);
        let range = match (after, before) {
            (Some(_), _) => member.at..members[i + 1].at,
            (None, Some(before)) => before..member.value.end,
            (None, None) => member.at..member.value.end,
        };
        body = body.splice(range, Bytes::new());
    }
    Ok(body)
}

/// The offset of the opening brace, and all members.
fn scan(body: &Frames) -> Result<(usize, Vec<Member>), Malformed> {
    let mut scanner = Scanner::new(|_| true);
    body.as_slice().iter().try_for_each(|frame| scanner.feed(frame))?;
    let members = scanner.finish()?;
    let mut bytes = body.as_slice().iter().flat_map(|frame| frame.iter());
    let start = bytes.position(|byte| !byte.is_ascii_whitespace()).unwrap_or_default();
    match body.slice(start..start + 1).as_ref() {
        b"{" => Ok((start, members)),
        _ => Err(Malformed { at: start }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn removed(text: &'static str, key: &str) -> String {
        let body = remove(&Bytes::from_static(text.as_bytes()).into(), key).unwrap();
        String::from_utf8(body.joined().to_vec()).unwrap()
    }

    #[test]
    fn removes_first_middle_last_only_and_repeated_members() {
        for (text, expected) in [
            (r#"{"x":1, "a":2}"#, r#"{"a":2}"#),
            (r#"{"a":1, "x":[{}] , "b":2}"#, r#"{"a":1, "b":2}"#),
            (r#"{"a":1 , "x":2 }"#, r#"{"a":1 }"#),
            (r#"{ "x" : 2 }"#, "{  }"),
            (r#"{"x":1,"x":2}"#, "{}"),
            (r#"{"x":1,"a":0,"x":2}"#, r#"{"a":0}"#),
            (r#"{"a":0,"x":1,"x":2}"#, r#"{"a":0}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
        ] {
            assert_eq!(removed(text, "x"), expected, "{text}");
        }
    }

    #[test]
    fn sets_in_place_or_in_front() {
        let set = |text: &'static str| {
            let body = set(&Bytes::from_static(text.as_bytes()).into(), "k", "9".into()).unwrap();
            String::from_utf8(body.joined().to_vec()).unwrap()
        };
        assert_eq!(set(r#"{"a":1, "k" : {"k":2} }"#), r#"{"a":1, "k" : 9 }"#);
        assert_eq!(set(" {} "), r#" {"k":9} "#);
        assert_eq!(set(r#"{"a":1}"#), r#"{"k":9,"a":1}"#);
        assert!(super::set(&Bytes::from_static(b"[]").into(), "k", "9".into()).is_err());
    }

    proptest! {
        #[test]
        fn only_the_named_member_changes(
            keys in prop::collection::vec("[abx]", 0..6),
            pretty in any::<bool>(),
        ) {
            let map: serde_json::Map<String, Value> =
                keys.iter().enumerate().map(|(i, k)| (k.clone(), Value::from(i))).collect();
            let value = Value::Object(map.clone());
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let body: Frames = Bytes::from(text).into();
            let read = |body: Frames| serde_json::from_slice::<Value>(&body.joined()).unwrap();
            let mut without = map.clone();
            without.shift_remove("x");
            prop_assert_eq!(read(remove(&body, "x").unwrap()), Value::Object(without));
            let mut with = map;
            with.insert("x".into(), Value::from("new"));
            prop_assert_eq!(read(set(&body, "x", "\"new\"".into()).unwrap()), Value::Object(with));
        }
    }
}
