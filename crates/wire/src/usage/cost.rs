use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::fields::decimal;
use crate::json::{self, Object};

/// Puts `"cost": …` into the usage of a Chat or Responses answer, or of an event of one: as JSON
/// text, or as the lines of an SSE event. A `cost` that is there is replaced.
///
/// Every other byte stays. Where there is no usage object, or `cost` is no decimal number, all do.
///
/// ```
/// use bytes::Bytes;
/// use tollgate_wire::usage::with_cost;
///
/// let event = Bytes::from("data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n");
/// let expected = "data: {\"choices\":[],\"usage\":{\"cost\":0.0125,\"total_tokens\":9}}\n\n";
/// assert_eq!(with_cost(&event, "0.0125"), expected);
/// ```
pub fn with_cost(bytes: &Bytes, cost: &str) -> Bytes {
    let (Some(at), Some(cost)) = (place(bytes), decimal(Some(cost.as_bytes()))) else {
        return bytes.clone();
    };
    let (range, text) = match at {
        Place::Value(range) => (range, cost),
        Place::First(at) => (at..at, format!("\"cost\":{cost},")),
        Place::Only(at) => (at..at, format!("\"cost\":{cost}")),
    };
    let mut out = BytesMut::with_capacity(bytes.len() + text.len());
    out.extend_from_slice(&bytes[..range.start]);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(&bytes[range.end..]);
    out.freeze()
}

/// Where the cost belongs.
enum Place {
    /// In the place of another.
    Value(Range<usize>),
    /// Before other members.
    First(usize),
    /// Into an empty object.
    Only(usize),
}

fn place(bytes: &[u8]) -> Option<Place> {
    let start = memchr::memchr(b'{', bytes)?;
    let root = &bytes[start..];
    let usage = usage(root).or_else(|| usage(json::member(root, "response")?))?;
    let at = offset(bytes, usage);
    if let Some(cost) = json::member(usage, "cost") {
        let at = offset(bytes, cost);
        return Some(Place::Value(at..at + cost.len()));
    }
    Some(if json::is_blank(usage) { Place::Only(at + 1) } else { Place::First(at + 1) })
}

fn usage(object: &[u8]) -> Option<&[u8]> {
    let mut members = Object::new(object).map_while(Result::ok);
    let (_, usage) = members.find(|(key, _)| key == "usage")?;
    usage.starts_with(b"{").then_some(usage)
}

/// Where `part`, a piece of `whole`, begins in it.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(text: &'static str, cost: &str) -> String {
        String::from_utf8(with_cost(&Bytes::from(text), cost).to_vec()).unwrap()
    }

    #[test]
    fn only_the_cost_is_added_or_replaced() {
        for (text, expected) in [
            (r#"{"id":1, "usage": {"a":1} }"#, r#"{"id":1, "usage": {"cost":0.5,"a":1} }"#),
            (r#"{"usage":{ }}"#, r#"{"usage":{"cost":0.5 }}"#),
            (r#"{"usage":{"a":1,"cost": 0.1 ,"b":2}}"#, r#"{"usage":{"a":1,"cost": 0.5 ,"b":2}}"#),
            (
                r#"{"type":"response.completed","response":{"usage":{"a":1}}}"#,
                r#"{"type":"response.completed","response":{"usage":{"cost":0.5,"a":1}}}"#,
            ),
        ] {
            assert_eq!(spliced(text, "0.5"), expected);
        }
    }

    #[test]
    fn what_has_no_usage_stays() {
        for text in [r#"{"usage":null}"#, r#"{"x":{"usage":{}}}"#, "data: [DONE]\n\n", ": ping\n\n"]
        {
            assert_eq!(spliced(text, "0.5"), text);
        }
        assert_eq!(spliced(r#"{"usage":{}}"#, "a lot"), r#"{"usage":{}}"#);
    }
}
