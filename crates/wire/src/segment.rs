//! A model's name as part of a path: it says which model is asked, and nothing else of the URL.
//!
//! ```
//! use tollgate_wire::segment;
//!
//! assert_eq!(segment::each("publishers/google/models/x").unwrap(), "publishers/google/models/x");
//! assert_eq!(segment::each("m:verb?a=b").unwrap(), "m%3Averb%3Fa%3Db");
//! assert_eq!(segment::one("arn:aws/m").unwrap(), "arn%3Aaws%2Fm");
//! assert!(segment::each("../admin").is_err());
//! ```

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use tollgate_core::{Class, Refusal};

/// What a segment may show plainly (RFC 3986 "unreserved", and `@` of Vertex's versions). A colon
/// is none of it: a verb begins there.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// The bytes of a name that fits into every path.
const LONGEST: usize = 4096;

/// Returns a model's name as one segment of a path.
///
/// Errors: no escape makes the name one, because it [breaks out](breaks_out) even so, or it has
/// more than 4096 bytes.
pub fn one(model: &str) -> Result<String, Refusal> {
    checked(model, SEGMENT)
}

/// Returns a model's name as the segments of a path that its slashes divide.
///
/// Errors: as [`one`].
pub fn each(model: &str) -> Result<String, Refusal> {
    checked(model, SEGMENTS)
}

/// Escapes what is no client's (a project, a region) as one segment of a path.
pub fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, SEGMENT)
}

/// Whether a decoded path holds a control character or climbs: a segment `.` or `..`, also one that
/// a backslash divides. Who decodes and normalises it would read another path.
pub fn breaks_out(path: &[u8]) -> bool {
    let climbs = |segment: &[u8]| segment == b"." || segment == b"..";
    let split = |byte: &u8| matches!(byte, b'/' | b'\\');
    path.iter().any(u8::is_ascii_control) || path.contains(&b'.') && path.split(split).any(climbs)
}

fn checked(model: &str, plain: &'static AsciiSet) -> Result<String, Refusal> {
    let why = if breaks_out(model.as_bytes()) {
        "a model's name may not hold `.` or `..` segments or control characters"
    } else if model.len() > LONGEST {
        "the model's name is too long"
    } else {
        return Ok(utf8_percent_encode(model, plain).to_string());
    };
    Err(Refusal::new(Class::InvalidRequest, why).param("model").code("invalid_path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_name_stays_as_it_is() {
        for name in ["gemini-2.5-pro", "claude@20250219", "models/x", "tunedModels/a_b~c", "a..b"] {
            assert_eq!(each(name).unwrap(), name);
        }
    }

    #[test]
    fn what_ends_a_segment_is_escaped() {
        for (name, expected) in [
            ("m:countTokens?x=", "m%3AcountTokens%3Fx%3D"),
            ("m:batchEmbedContents#", "m%3AbatchEmbedContents%23"),
            ("m%2e", "m%252e"),
            ("%2e%2e", "%252e%252e"),
            ("é m\\n", "%C3%A9%20m%5Cn"),
        ] {
            assert_eq!(each(name).unwrap(), expected);
            assert_eq!(one(name).unwrap(), expected);
        }
        assert_eq!(one("a/b").unwrap(), "a%2Fb");
    }

    #[test]
    fn fault_61_a_name_that_climbs_or_breaks_the_line_is_refused() {
        for name in ["..", ".", "../x", "a/../b", "a/.", "..\\x", "m\r\nx: y", "m\0", "m\u{7f}"] {
            for refused in [one(name), each(name)] {
                let refusal = refused.unwrap_err();
                assert_eq!(refusal.class, Class::InvalidRequest, "{name:?}");
                assert_eq!(refusal.param.as_deref(), Some("model"), "{name:?}");
            }
        }
        assert!(each(&"m".repeat(LONGEST + 1)).is_err());
    }
}
