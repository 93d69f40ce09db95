//! When an upstream says that asking again makes sense (`protocols/errors.md` §3).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use tollgate_core::Class;

use crate::{Fault, date, said::Said};

/// No hint counts for more than this.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Where a text announces a pause.
const ANNOUNCEMENTS: [&str; 3] = ["retry in ", "try again in ", "retry after "];

/// Classifies what was said as `judge` does, and takes over what headers and body say about asking
/// again.
pub(crate) fn judged(
    said: &Said,
    status: Option<StatusCode>,
    headers: &HeaderMap,
    judge: fn(Option<StatusCode>, &Said) -> Fault,
) -> Fault {
    let mut fault = judge(status, said);
    apply(&mut fault, headers, said);
    fault
}

fn apply(fault: &mut Fault, headers: &HeaderMap, said: &Said) {
    match header(headers, "x-should-retry") {
        Some("false") => fault.retryable = false,
        Some("true") => fault.retryable = true,
        _ => {}
    }
    fault.retry_after = pause(fault.class, headers, said);
}

/// The first valid hint, between nothing and an hour.
fn pause(class: Class, headers: &HeaderMap, said: &Said) -> Option<Duration> {
    let limited = matches!(class, Class::RateLimit | Class::Quota | Class::Overloaded);
    let hint = milliseconds(headers)
        .or_else(|| retry_after(headers))
        .or_else(|| retry_info(&said.error))
        .or_else(|| announced(&said.text).filter(|_| limited))
        .or_else(|| exhausted(headers).filter(|_| limited))?;
    Some(hint.min(LONGEST))
}

fn milliseconds(headers: &HeaderMap) -> Option<Duration> {
    seconds(header(headers, "retry-after-ms")?.parse::<f64>().ok()? / 1000.0)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = header(headers, "retry-after")?;
    match text.parse() {
        Ok(number) => seconds(number),
        Err(_) => until(httpdate::parse_http_date(text).ok()?, headers),
    }
}

/// Google's `RetryInfo.retryDelay`: `"34.5s"` or `{"seconds":34,"nanos":500000000}`.
fn retry_info(error: &Value) -> Option<Duration> {
    let delays = error.get("details")?.as_array()?.iter().filter_map(|d| d.get("retryDelay"));
    delays.into_iter().find_map(|delay| match delay {
        Value::String(text) => go_duration(text),
        Value::Object(parts) => {
            let part = |key| match parts.get(key) {
                Some(Value::String(digits)) => digits.parse().ok(),
                Some(number) => number.as_f64(),
                None => Some(0.0),
            };
            seconds(part("seconds")? + part("nanos")? / 1e9)
        }
        _ => None,
    })
}

fn announced(text: &str) -> Option<Duration> {
    ANNOUNCEMENTS.iter().find_map(|words| {
        let at = text.find(words)? + words.len();
        go_duration(&text[at..])
    })
}

/// The latest reset of the counters that are used up.
fn exhausted(headers: &HeaderMap) -> Option<Duration> {
    let openai = ["requests", "tokens"].into_iter().filter_map(|what| {
        spent(headers, &format!("x-ratelimit-remaining-{what}"))?;
        go_duration(header(headers, &format!("x-ratelimit-reset-{what}"))?)
    });
    let kinds = ["requests", "tokens", "input-tokens", "output-tokens"];
    let anthropic = kinds.into_iter().filter_map(|what| {
        spent(headers, &format!("anthropic-ratelimit-{what}-remaining"))?;
        let reset = header(headers, &format!("anthropic-ratelimit-{what}-reset"))?;
        until(date::parse_rfc3339(reset)?, headers)
    });
    openai.chain(anthropic).max()
}

fn spent(headers: &HeaderMap, name: &str) -> Option<()> {
    (header(headers, name)? == "0").then_some(())
}

/// From the answer's own date, where it has one: two clocks need not agree.
fn until(at: SystemTime, headers: &HeaderMap) -> Option<Duration> {
    let now = header(headers, "date").and_then(|date| httpdate::parse_http_date(date).ok());
    at.duration_since(now.unwrap_or_else(SystemTime::now)).ok()
}

/// Reads `1h2m3.5s`, `120ms`, `20 seconds` from the start of `text`, in units that get smaller.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim_start();
    let mut total = None;
    while let Some((value, behind)) = number(rest) {
        let behind = behind.trim_start();
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let Some(unit) = unit(&behind[..letters]) else { break };
        total = Some(total.unwrap_or(0.0) + value * unit);
        rest = &behind[letters..];
    }
    seconds(total?)
}

fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn unit(word: &str) -> Option<f64> {
    match word.to_ascii_lowercase().as_str() {
        "ms" | "millisecond" | "milliseconds" => Some(0.001),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hour" | "hours" => Some(3600.0),
        "d" | "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

/// `None` for what is negative or no number; what is too long for a `Duration` is the longest.
fn seconds(seconds: f64) -> Option<Duration> {
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The headers that tell a client when to ask again, both rounded up: for the classes in which that
/// helps.
pub(crate) fn write(fault: &Fault, headers: &mut HeaderMap) {
    let Some(after) = told(fault) else { return };
    headers.insert("retry-after", whole_seconds(after).into());
    headers.insert("retry-after-ms", millis(after).into());
}

/// The header by which OpenAI's and Anthropic's clients learn that no waiting helps: a key or an
/// account must change first. Without it Claude Code repeats a 401 for minutes.
pub(crate) fn dissuade(fault: &Fault, headers: &mut HeaderMap) {
    let account = matches!(fault.class, Class::Auth | Class::Permission | Class::Quota);
    if account || fault.is_our_credential() || fault.is_our_quota() {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
}

/// The pause a client is told of.
pub(crate) fn told(fault: &Fault) -> Option<Duration> {
    let helps = matches!(fault.class, Class::RateLimit | Class::Overloaded | Class::Timeout);
    fault.retry_after.filter(|_| helps)
}

fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

fn millis(after: Duration) -> u64 {
    u64::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn hint(headers: &[(&'static str, &'static str)], body: &str) -> Option<Duration> {
        let headers: HeaderMap =
            headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        let said = Said::read(StatusCode::TOO_MANY_REQUESTS, body.as_bytes());
        pause(Class::RateLimit, &headers, &said)
    }

    fn s(seconds: f64) -> Option<Duration> {
        Some(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn what_no_waiting_helps_is_not_to_be_retried() {
        let dissuaded = |fault: &Fault| {
            let mut headers = HeaderMap::new();
            dissuade(fault, &mut headers);
            headers.get("x-should-retry").is_some_and(|word| word == "false")
        };
        for class in Class::ALL {
            let account = matches!(class, Class::Auth | Class::Permission | Class::Quota);
            let fault = Fault::new(class, "why");
            assert_eq!(dissuaded(&fault), account, "{class:?}");
            assert_eq!(dissuaded(&fault.hiding_ours()), account, "{class:?}");
        }
    }

    #[test]
    fn the_first_valid_hint_wins() {
        let body =
            r#"{"error":{"message":"Please retry in 34.07s","details":[{"retryDelay":"5s"}]}}"#;
        assert_eq!(hint(&[("retry-after-ms", "1500.5"), ("retry-after", "9")], body), s(1.5005));
        assert_eq!(hint(&[("retry-after-ms", "x"), ("retry-after", "9.5")], body), s(9.5));
        assert_eq!(hint(&[("retry-after", "-1")], body), s(5.0));
        assert_eq!(hint(&[], &body.replace("retryDelay", "x")), s(34.07));
        assert_eq!(hint(&[], "no"), None);
    }

    #[test]
    fn dates_count_from_the_answers_own_date() {
        let now = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(hint(&[now, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")], ""), s(30.0));
        assert_eq!(hint(&[now, ("retry-after", "Sun, 06 Nov 1994 08:40:07 GMT")], ""), None);
    }

    #[test]
    fn never_longer_than_an_hour() {
        assert_eq!(hint(&[("retry-after", "86400")], ""), s(3600.0));
        assert_eq!(hint(&[("retry-after", "1e300")], ""), s(3600.0));
        assert_eq!(hint(&[("retry-after", "NaN")], ""), None);
    }

    #[test]
    fn reads_the_delay_as_an_object() {
        let body = r#"[{"error":{"details":[{"retryDelay":{"seconds":"2","nanos":500000000}}]}}]"#;
        assert_eq!(hint(&[], body), s(2.5));
    }

    #[test]
    fn reads_pauses_announced_in_words() {
        for (text, expected) in [
            ("Please try again in 6m0s.", 360.0),
            ("try again in 450ms", 0.45),
            ("Try again in 20s. Visit", 20.0),
            ("Please retry after 6 seconds.", 6.0),
        ] {
            assert_eq!(hint(&[], &format!(r#"{{"error":{{"message":"{text}"}}}}"#)), s(expected));
        }
    }

    #[test]
    fn only_used_up_counters_count_and_the_latest_rules() {
        let openai = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "1m3.5s"),
        ];
        assert_eq!(hint(&openai, ""), s(63.5));
        assert_eq!(hint(&openai[..2], ""), s(0.12));
        assert_eq!(hint(&openai[1..2], ""), None);
        let anthropic = [
            ("date", "Thu, 01 Jan 1970 00:00:10 GMT"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "1970-01-01T00:01:00Z"),
            ("anthropic-ratelimit-requests-remaining", "3"),
            ("anthropic-ratelimit-requests-reset", "1970-01-01T00:10:00Z"),
        ];
        assert_eq!(hint(&anthropic, ""), s(50.0));
    }

    #[test]
    fn the_client_is_told_whole_seconds_rounded_up() {
        let mut fault = Fault::new(Class::RateLimit, "slow down");
        fault.retry_after = Some(Duration::from_millis(1200));
        let mut headers = HeaderMap::new();
        write(&fault, &mut headers);
        assert_eq!(headers["retry-after"], "2");
        assert_eq!(headers["retry-after-ms"], "1200");
        fault.retry_after = Some(Duration::from_micros(6_499_200));
        write(&fault, &mut headers);
        assert_eq!(headers["retry-after-ms"], "6500", "not before the time has come");
        fault.class = Class::Quota;
        let mut headers = HeaderMap::new();
        write(&fault, &mut headers);
        assert!(headers.is_empty());
    }
}
