//! What a request itself says about who is to answer it.

use bytes::Bytes;
use http::HeaderName;
use tollgate_core::{Class, Decimal, Frames, Money, Refusal};
use tollgate_wire::json::{self, Array, Object, Scanner};

use crate::{Ask, Order, names::nearest};

/// The header by which a request says who is to answer it. With it the body's members are left
/// alone.
pub const WISHES: HeaderName = HeaderName::from_static("x-tollgate-route");

/// The members of a body that may hold wishes.
pub(crate) const MEMBERS: &[&str] = &["provider", "models"];

/// So many names a list may have.
const MOST: usize = 32;

/// What a request says about who is to answer it: OpenRouter's words, and some of our own.
///
/// ```
/// use tollgate_route::{Order, Wishes};
///
/// let wishes = Wishes::read(br#"{"provider":{"routing":"cost","ignore":["azure"]}}"#).unwrap();
/// assert_eq!((wishes.order, &wishes.ignore[..]), (Some(Order::Cost), &["azure".to_owned()][..]));
///
/// let wrong = Wishes::read(br#"{"provider":{"routing":"cheap"}}"#).unwrap_err();
/// assert_eq!(wrong.param.as_deref(), Some("provider.routing"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Wishes {
    /// `provider.routing`, else `provider.sort`: in which order targets are asked.
    pub order: Option<Order>,
    /// `models`: models to ask after the one the request names.
    pub models: Vec<String>,
    /// `provider.fallback`: models to ask after those.
    pub fallback: Vec<String>,
    /// `provider.order`: providers to ask first, in this order.
    pub first: Vec<String>,
    /// `provider.only`: the only providers that may be asked.
    pub only: Vec<String>,
    /// `provider.ignore`: providers that may not be asked.
    pub ignore: Vec<String>,
    /// `provider.allow_fallbacks: false`: nobody but the first, or those of `order`.
    pub alone: bool,
    /// `provider.max_price`.
    pub max_price: MaxPrice,
    /// `provider.data_collection: "deny"`: nobody who keeps what it is sent to learn from it.
    pub no_collection: bool,
    /// `provider.zdr`: nobody who keeps anything.
    pub zero_retention: bool,
    /// Members nobody here knows, with their JSON: OpenRouter may.
    pub unknown: Vec<String>,
    /// They stand in the body, as they were written: `provider`, `models`.
    pub(crate) written: [Option<Bytes>; 2],
}

/// The dearest a target may be, in USD per million tokens. A price nobody knows is too dear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaxPrice {
    /// Of input.
    pub prompt: Option<Decimal>,
    /// Of output.
    pub completion: Option<Decimal>,
}

impl MaxPrice {
    /// Whether nothing is too dear.
    pub fn is_none(&self) -> bool {
        self.prompt.is_none() && self.completion.is_none()
    }
}

/// Words OpenRouter knows that only OpenRouter can grant, and that change nothing elsewhere.
const ITS_OWN: [&str; 6] = [
    "require_parameters",
    "quantizations",
    "enforce_distillable_text",
    "preferred_min_throughput",
    "preferred_max_latency",
    "experimental",
];

/// Words of ours, which no upstream is to see.
pub(crate) const OURS: [&str; 2] = ["routing", "fallback"];

const KNOWN: [&str; 11] = [
    "routing",
    "fallback",
    "order",
    "only",
    "ignore",
    "allow_fallbacks",
    "max_price",
    "sort",
    "data_collection",
    "zdr",
    "require_parameters",
];

impl Wishes {
    /// Returns the wishes of a request: of its header, else of its body. `None`: it has none.
    ///
    /// Errors: what is wrong, naming the member.
    pub(crate) fn of(ask: &Ask<'_>) -> Result<Option<Self>, Refusal> {
        if let Some(header) = ask.headers.and_then(|headers| headers.get(WISHES)) {
            return Self::read(header.as_bytes()).map(Some).map_err(|refusal| Refusal {
                message: format!("the header `{WISHES}` is wrong: {}", refusal.message),
                ..refusal
            });
        }
        match ask.body.filter(|_| ask.call.needs.wishes) {
            Some(body) => Self::of_body(body).map(Some),
            None => Ok(None),
        }
    }

    fn of_body(body: &Frames) -> Result<Self, Refusal> {
        let mut wishes = Self::default();
        let mut scanner = Scanner::new(|key: &str| MEMBERS.contains(&key));
        let fed = body.as_slice().iter().try_for_each(|frame| scanner.feed(frame));
        let members = fed.and_then(|()| scanner.finish());
        let members = members.map_err(|malformed| wrong("", malformed.to_string()))?;
        for member in members {
            let value = body.slice(member.value.clone());
            wishes.member(&member.key, &value)?;
            wishes.written[usize::from(member.key == "models")] = Some(value);
        }
        Ok(wishes)
    }

    /// Reads wishes: an object with the members `provider` and `models`. Those of `provider` may
    /// also stand in the object itself.
    ///
    /// Errors: a refusal naming the member that is wrong.
    pub fn read(text: &[u8]) -> Result<Self, Refusal> {
        let mut wishes = Self::default();
        let text = text.trim_ascii();
        if !(text.starts_with(b"{") && json::is_valid(text)) {
            return Err(wrong("provider", "must be a JSON object"));
        }
        for (key, value) in Object::new(text).map_while(Result::ok) {
            match &*key {
                "provider" | "models" => wishes.member(&key, value)?,
                _ => wishes.wish(&key, value)?,
            }
        }
        Ok(wishes)
    }

    fn member(&mut self, key: &str, value: &[u8]) -> Result<(), Refusal> {
        if json::is_null(value) {
            return Ok(());
        }
        if key == "models" {
            self.models = names("models", value)?;
            return Ok(());
        }
        if !value.starts_with(b"{") {
            return Err(wrong("provider", "must be an object"));
        }
        Object::new(value).try_for_each(|member| {
            let (key, value) = member.map_err(|m| wrong("provider", m.to_string()))?;
            self.wish(&key, value)
        })
    }

    fn wish(&mut self, key: &str, value: &[u8]) -> Result<(), Refusal> {
        if json::is_null(value) {
            return Ok(());
        }
        let path = || ["provider.", key].concat();
        match key {
            "routing" => self.order = Some(order(value)?),
            "sort" => self.order = self.order.or(sort(value)?),
            "fallback" => self.fallback = names("provider.fallback", value)?,
            "order" => self.first = names("provider.order", value)?,
            "only" => self.only = names("provider.only", value)?,
            "ignore" => self.ignore = names("provider.ignore", value)?,
            "allow_fallbacks" => self.alone = !boolean(&path(), value)?,
            "zdr" => self.zero_retention = boolean(&path(), value)?,
            "data_collection" => self.no_collection = denies(value)?,
            "max_price" => self.max_price = max_price(value)?,
            key if ITS_OWN.contains(&key) => {}
            key => self.unknown.push(key.to_owned()),
        }
        Ok(())
    }

    /// Says that a member is nobody's.
    pub(crate) fn nobodys(member: &str) -> Refusal {
        let near = nearest(member, KNOWN).map(|near| format!("; did you mean `{near}`?"));
        let path = format!("provider.{member}");
        wrong(&path, format!("is not known here{}", near.unwrap_or_default()))
    }
}

/// Says that the member at `path` is wrong.
pub(crate) fn wrong(path: &str, why: impl AsRef<str>) -> Refusal {
    let message = format!("`{path}` {}", why.as_ref());
    Refusal::new(Class::InvalidRequest, message).param(path).code("invalid_route")
}

fn order(value: &[u8]) -> Result<Order, Refusal> {
    let name = json::string(value).ok_or_else(|| wrong("provider.routing", "must be a string"))?;
    name.parse().map_err(|unknown: crate::UnknownOrder| {
        wrong("provider.routing", format!("is wrong: {unknown}"))
    })
}

/// OpenRouter's word for an order, alone or as an object's `by`.
fn sort(value: &[u8]) -> Result<Option<Order>, Refusal> {
    let by = if value.starts_with(b"{") { json::member(value, "by") } else { Some(value) };
    let word = by.filter(|by| !json::is_null(by)).map(|by| json::string(by).unwrap_or_default());
    match word.as_deref() {
        None => Ok(None),
        Some("price") => Ok(Some(Order::Cost)),
        Some("latency" | "throughput") => Ok(Some(Order::Latency)),
        Some(_) => Err(wrong("provider.sort", "must be `price`, `latency` or `throughput`")),
    }
}

fn denies(value: &[u8]) -> Result<bool, Refusal> {
    match json::string(value).as_deref() {
        Some("deny") => Ok(true),
        Some("allow") => Ok(false),
        _ => Err(wrong("provider.data_collection", "must be `allow` or `deny`")),
    }
}

fn boolean(path: &str, value: &[u8]) -> Result<bool, Refusal> {
    json::boolean(value).ok_or_else(|| wrong(path, "must be true or false"))
}

fn names(path: &str, value: &[u8]) -> Result<Vec<String>, Refusal> {
    if !value.starts_with(b"[") {
        return Err(wrong(path, "must be a list of names"));
    }
    let mut names = Vec::new();
    for (i, name) in Array::new(value).map_while(Result::ok).enumerate() {
        let name = json::string(name).filter(|name| !name.is_empty());
        let named = || wrong(&format!("{path}[{i}]"), "must be a string that is not empty");
        names.push(name.ok_or_else(named)?.into_owned());
        if names.len() > MOST {
            return Err(wrong(path, format!("has more than {MOST} names")));
        }
    }
    Ok(names)
}

/// Numbers, or numbers as text. `request` and `image` are OpenRouter's alone.
fn max_price(value: &[u8]) -> Result<MaxPrice, Refusal> {
    if !value.starts_with(b"{") {
        return Err(wrong("provider.max_price", "must be an object"));
    }
    let mut most = MaxPrice::default();
    for (key, value) in Object::new(value).map_while(Result::ok) {
        let path = format!("provider.max_price.{key}");
        let price = || price(value).ok_or_else(|| wrong(&path, "must be an amount of USD"));
        match &*key {
            "prompt" => most.prompt = Some(price()?),
            "completion" => most.completion = Some(price()?),
            "request" | "image" | "audio" => {
                price()?;
            }
            _ => return Err(wrong(&path, "is not known here")),
        }
    }
    Ok(most)
}

fn price(value: &[u8]) -> Option<Decimal> {
    let text = json::string(value);
    let text = text.as_deref().or_else(|| str::from_utf8(value).ok())?;
    Money::parse(text).ok().filter(|price| *price >= Money::ZERO).map(Money::dollars)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wishes, Refusal> {
        Wishes::read(text.as_bytes())
    }

    #[test]
    fn every_word_is_understood() {
        let wishes = read(
            r#"{"models":["a/b"],"provider":{"routing":"latency","sort":"price","fallback":["c"],
            "order":["x"],"only":["x","y"],"ignore":["z"],"allow_fallbacks":false,"zdr":true,
            "max_price":{"prompt":1.5,"completion":"2e0"},"data_collection":"deny",
            "require_parameters":true,"quantizations":["fp8"],"later":1}}"#,
        )
        .unwrap();
        assert_eq!(wishes.order, Some(Order::Latency));
        assert_eq!(
            (&wishes.models[..], &wishes.fallback[..]),
            (&["a/b".into()][..], &["c".into()][..])
        );
        assert_eq!(wishes.max_price.prompt.unwrap().to_string(), "1.5");
        assert!(wishes.alone && wishes.zero_retention && wishes.no_collection);
        assert_eq!(wishes.unknown, ["later"]);
        assert_eq!(
            read(r#"{"provider":{"sort":{"by":"throughput"}}}"#).unwrap().order,
            Some(Order::Latency)
        );
        assert_eq!(
            read(r#"{"provider":{"sort":null,"zdr":null},"models":null}"#).unwrap(),
            Wishes::default()
        );
    }

    #[test]
    fn members_of_provider_may_stand_alone() {
        assert_eq!(read(r#"{"only":["x"]}"#), read(r#"{"provider":{"only":["x"]}}"#));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, param) in [
            ("[]", "provider"),
            (r#"{"provider":"x"}"#, "provider"),
            (r#"{"provider":{"routing":"cheapest"}}"#, "provider.routing"),
            (r#"{"provider":{"sort":"cheapest"}}"#, "provider.sort"),
            (r#"{"provider":{"only":"x"}}"#, "provider.only"),
            (r#"{"provider":{"order":["x",1]}}"#, "provider.order[1]"),
            (r#"{"provider":{"allow_fallbacks":"no"}}"#, "provider.allow_fallbacks"),
            (r#"{"provider":{"max_price":{"prompt":-1}}}"#, "provider.max_price.prompt"),
            (r#"{"provider":{"max_price":{"prompts":1}}}"#, "provider.max_price.prompts"),
            (r#"{"provider":{"data_collection":"no"}}"#, "provider.data_collection"),
            (r#"{"models":{}}"#, "models"),
            (r#"{"models":[""]}"#, "models[0]"),
        ] {
            let refusal = read(text).unwrap_err();
            assert_eq!(
                (refusal.class, refusal.param.as_deref()),
                (Class::InvalidRequest, Some(param))
            );
            assert!(refusal.message.contains(param), "{}", refusal.message);
        }
        let many = format!(r#"{{"models":[{}]}}"#, vec![r#""m""#; MOST + 1].join(","));
        assert_eq!(read(&many).unwrap_err().param.as_deref(), Some("models"));
        assert!(Wishes::nobodys("routin").message.contains("`routing`"));
    }
}
