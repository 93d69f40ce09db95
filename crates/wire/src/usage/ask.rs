use bytes::Bytes;
use tollgate_core::Frames;

use super::profile::{Asking, Profile, Shape};
use crate::{
    json::{self, Malformed, Object, Scanner},
    patch,
    words::Word,
};

static USAGE: Word = Word::new("\"usage\"");

/// What became of a request so that its answer tells usage.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request's body.
    pub body: Frames,
    /// Usage was asked for in the client's stead: the trailing chunk it brings
    /// ([`is_extra_usage_chunk`]) is not to reach the client.
    pub strip: bool,
    /// The client wants the cost in the answer's usage, and this host does not put it there:
    /// [`with_cost`](super::with_cost) does.
    pub cost: bool,
}

/// Asks for usage where the client did not and the host does not tell it anyway.
///
/// A Chat stream gets `stream_options.include_usage`, at hosts that take it. OpenRouter's
/// `usage.include`, which other hosts refuse, is taken out of requests to them and remembered in
/// [`Asked::cost`]; it also asks for usage in the stream, which is then not the gateway's to strip.
/// All other bytes stay, and requests in other protocols stay altogether.
///
/// Errors: the body is no balanced JSON object.
pub fn ask(body: &Frames, profile: Profile) -> Result<Asked, Malformed> {
    if !matches!(profile.shape, Shape::Chat | Shape::Responses) {
        return Ok(Asked { body: body.clone(), strip: false, cost: false });
    }
    let wishes = Wishes::read(body)?;
    let own = matches!(profile.asking, Asking::OptionOrInclude | Asking::Include);
    let cost = wishes.cost && !own;
    let body = if wishes.usage && !own { patch::remove(body, "usage")? } else { body.clone() };
    let asks = matches!(profile.asking, Asking::Option | Asking::OptionOrInclude);
    if !(asks && wishes.stream) || wishes.asked {
        return Ok(Asked { body, strip: false, cost });
    }
    let body = patch::set(&body, "stream_options", wishes.options())?;
    Ok(Asked { body, strip: !wishes.cost, cost })
}

/// What a request says about usage.
#[derive(Default)]
struct Wishes {
    stream: bool,
    asked: bool,
    /// It has a `usage` member.
    usage: bool,
    cost: bool,
    stream_options: Bytes,
}

impl Wishes {
    fn read(body: &Frames) -> Result<Self, Malformed> {
        let mut scanner =
            Scanner::new(|key: &str| matches!(key, "stream" | "stream_options" | "usage"));
        body.as_slice().iter().try_for_each(|frame| scanner.feed(frame))?;
        let mut wishes = Self::default();
        for member in scanner.finish()? {
            let value = body.slice(member.value);
            match member.key.as_str() {
                "stream" => wishes.stream = json::boolean(&value) == Some(true),
                "stream_options" => {
                    wishes.asked = says_true(&value, "include_usage");
                    wishes.stream_options = value;
                }
                _ => {
                    wishes.usage = true;
                    wishes.cost = says_true(&value, "include");
                }
            }
        }
        Ok(wishes)
    }

    /// The client's own options and ours.
    fn options(&self) -> Bytes {
        const ASKING: &str = r#"{"include_usage":true}"#;
        if !self.stream_options.starts_with(b"{") {
            return Bytes::from_static(ASKING.as_bytes());
        }
        let options = Frames::from(self.stream_options.clone());
        let set = patch::set(&options, "include_usage", Bytes::from_static(b"true"));
        set.map_or_else(|_| Bytes::from_static(ASKING.as_bytes()), |options| options.joined())
    }
}

fn says_true(object: &[u8], key: &str) -> bool {
    json::member(object, key).and_then(json::boolean) == Some(true)
}

/// Whether a Chat chunk is the one that only tells usage: no choices, and usage that is not null.
///
/// ```
/// use tollgate_wire::usage::is_extra_usage_chunk;
///
/// assert!(is_extra_usage_chunk(br#"{"choices":[],"usage":{"total_tokens":9}}"#));
/// assert!(!is_extra_usage_chunk(br#"{"choices":[],"prompt_filter_results":[{}],"usage":null}"#));
/// ```
pub fn is_extra_usage_chunk(data: &[u8]) -> bool {
    if !USAGE.says_something(data) {
        return false;
    }
    let (mut empty, mut told) = (false, false);
    for (key, value) in Object::new(data).map_while(Result::ok) {
        match key.as_ref() {
            "choices" => empty = json::is_blank(value),
            "usage" => told = value.starts_with(b"{"),
            _ => {}
        }
    }
    empty && told
}

#[cfg(test)]
mod tests {
    use tollgate_core::Protocol;

    use super::*;

    fn asked(provider: &str, body: &'static str) -> (String, bool, bool) {
        let frames = Frames::new(body.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect());
        let asked = ask(&frames, Profile::of(Protocol::OpenAiChat, provider)).unwrap();
        let body = String::from_utf8(asked.body.joined().to_vec()).unwrap();
        (body, asked.strip, asked.cost)
    }

    #[test]
    fn asks_in_the_clients_stead_and_says_so() {
        for (body, expected) in [
            (
                r#"{"model":"m","stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
            ),
            (
                r#"{"stream":true, "stream_options": {"include_obfuscation":false}}"#,
                r#"{"stream":true, "stream_options": {"include_usage":true,"include_obfuscation":false}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{ "include_usage": false }}"#,
                r#"{"stream":true,"stream_options":{ "include_usage": true }}"#,
            ),
            (
                r#"{"stream":true,"stream_options":null}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
        ] {
            assert_eq!(asked("openai", body), (expected.to_owned(), true, false));
        }
    }

    #[test]
    fn leaves_every_byte_where_there_is_nothing_to_ask() {
        for (provider, body) in [
            ("openai", r#"{"model":"m"}"#),
            ("openai", r#"{"stream":false}"#),
            ("openai", r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
            ("mistral", r#"{"stream":true}"#),
            ("perplexity", r#"{"stream":true}"#),
            ("openrouter", r#"{"usage":{"include":true}}"#),
        ] {
            assert_eq!(asked(provider, body), (body.to_owned(), false, false), "{provider}");
        }
        let body = Frames::from(Bytes::from_static(br#"{"stream":true}"#));
        let profile = Profile::of(Protocol::OpenAiChat, "openai").without_asking();
        assert_eq!(ask(&body, profile).unwrap().body.joined(), body.joined());
    }

    #[test]
    fn openrouters_own_member_goes_to_nobody_else() {
        let json = asked("openai", r#"{"usage":{"include":true},"model":"m"}"#);
        assert_eq!(json, (r#"{"model":"m"}"#.to_owned(), false, true));
        let (body, strip, cost) = asked("groq", r#"{"stream":true,"usage":{"include":true}}"#);
        assert_eq!(body, r#"{"stream_options":{"include_usage":true},"stream":true}"#);
        assert!(!strip && cost);
        let (body, strip, cost) = asked("groq", r#"{"usage":{"include":false}}"#);
        assert_eq!((body.as_str(), strip, cost), ("{}", false, false));
    }

    #[test]
    fn openrouter_is_asked_for_what_the_client_did_not_ask() {
        let (body, strip, cost) = asked("openrouter", r#"{"stream":true}"#);
        assert_eq!(body, r#"{"stream_options":{"include_usage":true},"stream":true}"#);
        assert!(strip && !cost);
        let both =
            r#"{"stream_options":{"include_usage":true},"stream":true,"usage":{"include":true}}"#;
        assert_eq!(asked("openrouter", both), (both.to_owned(), false, false));
        let body = Frames::from(Bytes::from_static(br#"{"stream":true,"usage":{"include":true}}"#));
        for provider in ["openrouter", "openai"] {
            let asked = ask(&body, Profile::of(Protocol::OpenAiResponses, provider)).unwrap();
            let expected = if provider == "openai" {
                r#"{"stream":true}"#
            } else {
                r#"{"stream":true,"usage":{"include":true}}"#
            };
            assert_eq!((asked.body.joined(), asked.cost), (expected.into(), provider == "openai"));
        }
    }

    #[test]
    fn other_protocols_are_left_alone() {
        let body = Frames::from(Bytes::from_static(b"no JSON at all"));
        let asked = ask(&body, Profile::of(Protocol::Gemini, "gemini")).unwrap();
        assert_eq!(asked.body.joined(), "no JSON at all");
        assert!(ask(&body, Profile::of(Protocol::OpenAiChat, "openai")).is_err());
    }

    #[test]
    fn only_the_chunk_without_choices_is_extra() {
        for chunk in [
            r#"{"choices":[{"delta":{}}],"usage":{"total_tokens":1}}"#,
            r#"{"choices":[],"usage":null}"#,
            r#"{"usage":{"total_tokens":1}}"#,
            r#"{"choices":[],"x":{"usage":{"total_tokens":1}}}"#,
            "[DONE]",
        ] {
            assert!(!is_extra_usage_chunk(chunk.as_bytes()), "{chunk}");
        }
    }
}
