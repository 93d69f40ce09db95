//! The golden cases: one body each, what must become of it, and why.
//!
//! A case is an object as `tollgate_translate::case` reads it, with the members `expect`, `match`,
//! `absent`, `warnings` and `id_pattern` beside. In what is expected, objects with one member that
//! begins with `$` stand for more than themselves: see [`Matcher::placeholder`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it is a test")]

mod tree;

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use libtest_mimic::{Arguments, Failed, Trial};
use sha2::{Digest, Sha256};
use tollgate_translate::case;
use tree::Tree;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let trials = files.into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Trial::test(name, move || run(&fs::read_to_string(&path).unwrap()))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn run(text: &str) -> Result<(), Failed> {
    let case = Tree::parse(text);
    let mut asked = case.clone();
    asked.map(&mut build_envelopes);
    let text = case::run(&asked.to_string())?;
    let answer = Tree::parse(&text);
    let judged = Judge { case: &case, answer: &answer }.judge();
    judged.map_err(|why| format!("{why}\nanswer: {answer}"))?;
    match asked.get("input").and_then(|input| input.str("sse")) {
        Some(sse) => Ok(split(&asked, sse.as_bytes(), &text)?),
        None => Ok(()),
    }
}

/// However its bytes are cut, a stream is the same.
fn split(case: &Tree, sse: &[u8], whole: &str) -> Result<(), String> {
    // Each byte of a short one, some of a long one.
    let step = sse.len().div_ceil(400).max(1);
    for at in (0..=sse.len()).step_by(step) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let chunks = [hex(&sse[..at]), hex(&sse[at..])].map(Tree::Str).to_vec();
        let input = Tree::Object(vec![("chunks_hex".to_owned(), Tree::Array(chunks))]);
        let Tree::Object(mut members) = case.clone() else { unreachable!() };
        members.retain(|(name, _)| name != "input");
        members.push(("input".to_owned(), input));
        let cut = case::run(&Tree::Object(members).to_string()).map_err(|bad| bad.to_string())?;
        if cut != whole {
            return Err(format!("cut at {at} it is another: {cut}"));
        }
    }
    Ok(())
}

struct Judge<'a> {
    case: &'a Tree,
    answer: &'a Tree,
}

impl Judge<'_> {
    fn judge(&self) -> Result<(), String> {
        let kind = self.case.str("kind").unwrap();
        let expect = self.case.get("expect").unwrap();
        match kind {
            "passthrough" => {
                let raw = self.answer.get("body").unwrap();
                return equal(expect.get("raw").unwrap(), raw);
            }
            "retry_hint" => {
                return equal(expect.get("ms").unwrap(), self.answer.get("ms").unwrap());
            }
            "reject" => {
                let reject = self.answer.get("reject").ok_or("it was not refused")?;
                return self.matcher().compare(expect, reject, "");
            }
            "error" | "sse_parse" => return self.matcher().compare(expect, self.answer, ""),
            "passthrough_stream" => {
                return equal(expect.get("sse").unwrap(), self.answer.get("sse").unwrap());
            }
            "stream" => return self.stream(expect),
            _ => {}
        }
        let wrapped = expect.get("path").and(expect.get("body"));
        if let Some(path) = wrapped.and(expect.get("path")) {
            equal(path, self.answer.get("path").ok_or("there is no path")?)?;
        }
        let body = self.answer.get("body").ok_or("there is no body")?;
        self.matcher().compare(wrapped.unwrap_or(expect), body, "")?;
        self.absent(body)?;
        self.warnings()
    }

    fn stream(&self, expect: &Tree) -> Result<(), String> {
        if expect.get("http").is_some() {
            let http = self.answer.get("http").ok_or("it stayed a stream")?;
            for (name, place) in [
                ("status", http),
                ("body", http),
                ("retryable", self.answer),
                ("fallback", self.answer),
            ] {
                let Some(wanted) = expect.get(name) else { continue };
                let found = place.get(name).ok_or_else(|| format!("there is no {name}"))?;
                self.matcher().compare(wanted, found, name)?;
            }
            return Ok(());
        }
        let events = self.answer.get("events").ok_or("it became a plain answer")?;
        if let Some(wanted) = expect.get("events") {
            let (wanted, found) = (normal(wanted), normal(events));
            self.matcher().compare(&wanted, &found, "/events")?;
        }
        if let Some(terminator) = expect.get("terminator") {
            equal(terminator, self.answer.get("terminator").unwrap())?;
        }
        if let Some(fold) = expect.get("fold") {
            let found = self.answer.get("fold").ok_or("it cannot be folded")?;
            self.matcher().compare(fold, found, "/fold")?;
        }
        self.wire(expect)?;
        self.grammar()?;
        self.warnings()
    }

    /// What the bytes themselves must look like.
    fn wire(&self, expect: &Tree) -> Result<(), String> {
        let bytes = self.answer.str("sse").unwrap();
        let Some(wire) = expect.get("wire") else { return Ok(()) };
        let texts = |name| wire.get(name).map(Tree::elements).unwrap_or_default();
        for text in texts("contains").iter().filter_map(Tree::as_str) {
            if !bytes.contains(text) {
                return Err(format!("{text:?} is not there: {bytes}"));
            }
        }
        for text in texts("not_contains").iter().filter_map(Tree::as_str) {
            if bytes.contains(text) {
                return Err(format!("{text:?} is there: {bytes}"));
            }
        }
        let start = wire.str("each_frame_starts_with").unwrap_or_default();
        match bytes.split("\n\n").find(|frame| !frame.is_empty() && !frame.starts_with(start)) {
            Some(frame) => Err(format!("{frame:?} does not start with {start:?}")),
            None => Ok(()),
        }
    }

    /// The client's events are numbered and named as its protocol wants.
    fn grammar(&self) -> Result<(), String> {
        let events = self.answer.get("events").map(Tree::elements).unwrap_or_default();
        for (at, event) in events.iter().enumerate() {
            let Some(data) = event.get("data") else { continue };
            if event.str("event") != data.str("type") {
                return Err(format!("the name is not the type: {event}"));
            }
            if self.case.str("to") == Some("openai-responses") {
                equal(
                    &Tree::Number(at.to_string()),
                    data.get("sequence_number").ok_or("no number")?,
                )?;
            }
        }
        Ok(())
    }

    fn matcher(&self) -> Matcher {
        let kind = self.case.str("kind").unwrap();
        let exact = match self.case.str("match") {
            Some(word) => word == "exact",
            None => kind.ends_with("request"),
        };
        let pattern = self.case.str("id_pattern").map(str::to_owned);
        Matcher { exact, pattern, ids: BTreeMap::new() }
    }

    fn absent(&self, body: &Tree) -> Result<(), String> {
        for pointer in self.case.get("absent").map(Tree::elements).unwrap_or_default() {
            let Tree::Str(pointer) = pointer else { continue };
            if body.pointer(pointer).is_some() {
                return Err(format!("{pointer} must not be there"));
            }
        }
        Ok(())
    }

    fn warnings(&self) -> Result<(), String> {
        let told = self.answer.get("warnings").map(Tree::elements).unwrap_or_default();
        let told: Vec<_> = told.iter().filter_map(Tree::as_str).collect();
        for wanted in self.case.get("warnings").map(Tree::elements).unwrap_or_default() {
            let wanted = wanted.as_str().unwrap();
            let found = |told: &&str| *told == wanted || told.split(':').next() == Some(wanted);
            if !told.iter().any(found) {
                return Err(format!("no warning {wanted} among {told:?}"));
            }
        }
        Ok(())
    }
}

/// Events as they are compared: pings and empty deltas left out, neighbours of one kind joined.
fn normal(events: &Tree) -> Tree {
    let mut out: Vec<Tree> = Vec::new();
    for event in events.elements().iter().flat_map(single) {
        if event.str("event") == Some("ping") || is_empty_delta(&event) {
            continue;
        }
        let joined = out.last_mut().is_some_and(|last| joined(last, &event));
        if !joined {
            out.push(event);
        }
    }
    Tree::Array(out)
}

/// A chunk with several kinds of deltas as several chunks.
fn single(event: &Tree) -> Vec<Tree> {
    let delta = event.pointer("/choices/0/delta");
    let Some(Tree::Object(members)) = delta else { return vec![event.clone()] };
    let has_role = members.iter().any(|(name, _)| name == "role");
    if members.len() < 2 || has_role {
        return vec![event.clone()];
    }
    let alone = |member: &(String, Tree)| {
        let mut chunk = event.clone();
        *chunk.pointer_mut("/choices/0/delta").unwrap() = Tree::Object(vec![member.clone()]);
        chunk
    };
    members.iter().map(alone).collect()
}

/// Where the texts of deltas stand.
const TEXTS: [&str; 10] = [
    "/data/delta/text",
    "/data/delta/thinking",
    "/data/delta/partial_json",
    "/data/delta",
    "/choices/0/delta/content",
    "/choices/0/delta/reasoning_content",
    "/choices/0/delta/refusal",
    "/choices/0/delta/tool_calls/0/function/arguments",
    "/choices/0/delta/tool_calls/0/custom/input",
    "/candidates/0/content/parts/0/text",
];

fn text_at(event: &Tree) -> Option<(&'static str, &str)> {
    // What says more than its text stands for itself.
    let more = [
        "/choices/0/delta/role",
        "/choices/0/delta/tool_calls/0/id",
        "/candidates/0/finishReason",
        "/candidates/0/content/parts/0/thoughtSignature",
        "/candidates/0/content/parts/1",
    ];
    if more.iter().any(|path| event.pointer(path).is_some()) {
        return None;
    }
    let at = |path: &'static str| Some((path, event.pointer(path)?.as_str()?));
    TEXTS.into_iter().find_map(at)
}

fn is_empty_delta(event: &Tree) -> bool {
    text_at(event).is_some_and(|(_, text)| text.is_empty())
}

/// Adds the text of `event` to `last` if they differ in nothing else that tells them apart.
fn joined(last: &mut Tree, event: &Tree) -> bool {
    let (Some((here, before)), Some((there, more))) = (text_at(last), text_at(event)) else {
        return false;
    };
    let apart = [
        "/event",
        "/data/index",
        "/data/output_index",
        "/data/content_index",
        "/data/summary_index",
        "/choices/0/index",
        "/choices/0/delta/tool_calls/0/index",
        "/candidates/0/index",
        "/candidates/0/content/parts/0/thought",
    ];
    if here != there || apart.iter().any(|path| last.pointer(path) != event.pointer(path)) {
        return false;
    }
    let text = Tree::Str(format!("{before}{more}"));
    *last.pointer_mut(here).unwrap() = text;
    true
}

fn equal(wanted: &Tree, found: &Tree) -> Result<(), String> {
    Matcher { exact: true, pattern: None, ids: BTreeMap::new() }.compare(wanted, found, "")
}

const PLACEHOLDERS: [&str; 9] =
    ["$any", "$re", "$id", "$json", "$oneOf", "$num", "$env", "$contains", "$raw"];

/// Compares what is expected with what was found.
#[derive(Clone)]
struct Matcher {
    exact: bool,
    /// What every `$id` looks like.
    pattern: Option<String>,
    /// The value each name of an `$id` stands for.
    ids: BTreeMap<String, String>,
}

impl Matcher {
    fn compare(&mut self, wanted: &Tree, found: &Tree, at: &str) -> Result<(), String> {
        let stands = |(name, _): &(&str, &Tree)| PLACEHOLDERS.contains(name);
        if let Some((name, value)) = wanted.only_member().filter(stands) {
            return self.placeholder(name, value, found, at);
        }
        let differs = || Err(format!("at {at}: wanted {wanted}, found {found}"));
        match (wanted, found) {
            (Tree::Object(wanted), Tree::Object(_)) => self.members(wanted, found, at),
            (Tree::Array(wanted), Tree::Array(found)) => {
                if wanted.len() != found.len() {
                    return Err(format!("at {at}: {} elements, not {}", found.len(), wanted.len()));
                }
                let mut pairs = wanted.iter().zip(found).enumerate();
                pairs.try_for_each(|(i, (w, f))| self.compare(w, f, &format!("{at}/{i}")))
            }
            (Tree::Number(wanted), Tree::Number(found)) => {
                let value = |text: &str| text.parse::<f64>().unwrap();
                if value(wanted) == value(found) { Ok(()) } else { differs() }
            }
            (wanted, found) if wanted == found => Ok(()),
            _ => differs(),
        }
    }

    fn members(&mut self, wanted: &[(String, Tree)], found: &Tree, at: &str) -> Result<(), String> {
        for (name, value) in wanted {
            let at = format!("{at}/{name}");
            let optional = value.get("$absentOrNull").is_some();
            match found.get(name) {
                Some(Tree::Null) | None if optional => {}
                Some(found) => self.compare(value, found, &at)?,
                None => return Err(format!("at {at}: missing, wanted {value}")),
            }
        }
        let Tree::Object(found) = found else { return Ok(()) };
        let known = |name: &str| wanted.iter().any(|(each, _)| each == name);
        match found.iter().find(|(name, _)| self.exact && !known(name)) {
            Some((name, value)) => Err(format!("at {at}/{name}: not expected, {value}")),
            None => Ok(()),
        }
    }

    /// `$any`, `$re` (a pattern of the whole string), `$id` (equal names, equal values), `$json`
    /// (a string that is this JSON), `$oneOf`, `$num` (a range), `$env` (an envelope with this
    /// inside), `$contains`, `$raw` (a number spelled so).
    fn placeholder(
        &mut self,
        name: &str,
        value: &Tree,
        found: &Tree,
        at: &str,
    ) -> Result<(), String> {
        let text = || found.as_str().ok_or(format!("at {at}: no string but {found}"));
        let fails =
            |why: &str| Err(format!("at {at}: {why}: wanted {name} {value}, found {found}"));
        match name {
            "$any" => Ok(()),
            "$re" if matches(value.as_str().unwrap(), text()?) => Ok(()),
            "$contains" if text()?.contains(value.as_str().unwrap()) => Ok(()),
            "$json" => self.compare(value, &Tree::parse(text()?), at),
            "$raw" if *found == Tree::Number(value.as_str().unwrap().to_owned()) => Ok(()),
            "$oneOf" => {
                let fits = |one: &Tree| {
                    let mut attempt = self.clone();
                    attempt.compare(one, found, at).is_ok().then_some(attempt)
                };
                match value.elements().iter().find_map(fits) {
                    Some(fitting) => {
                        *self = fitting;
                        Ok(())
                    }
                    None => fails("none fits"),
                }
            }
            "$id" => self.id(value.as_str().unwrap(), text()?, at),
            "$env" if is_envelope(value, text()?) => Ok(()),
            "$num" => {
                let bound = |i: usize| value.elements()[i].to_string().parse::<f64>().unwrap();
                let number = found.to_string().parse::<f64>().unwrap_or(f64::NAN);
                let inside = (bound(0)..=bound(1)).contains(&number);
                if inside { Ok(()) } else { fails("out of range") }
            }
            _ => fails("does not fit"),
        }
    }

    fn id(&mut self, name: &str, found: &str, at: &str) -> Result<(), String> {
        if found.is_empty() || self.pattern.as_ref().is_some_and(|p| !matches(p, found)) {
            return Err(format!("at {at}: `{found}` is no such id"));
        }
        let taken = self.ids.iter().any(|(other, value)| other != name && value == found);
        let before = self.ids.insert(name.to_owned(), found.to_owned());
        if taken || before.is_some_and(|before| before != found) {
            return Err(format!("at {at}: `{found}` is not the id `{name}`"));
        }
        Ok(())
    }
}

/// Whether a pattern fits the whole text.
fn matches(pattern: &str, text: &str) -> bool {
    regex_lite::Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text)
}

const KINDS: [&str; 5] = ["thinking", "redacted", "thought-sig", "encrypted", "call-sig"];
const ORIGINS: [&str; 3] = ["openai", "anthropic", "gemini"];

fn digest(of: &Tree) -> [u8; 8] {
    let Some(text) = of.str("text") else { return [0; 8] };
    Sha256::digest(text.as_bytes())[..8].try_into().unwrap()
}

fn number(names: &[&str], name: Option<&str>) -> u8 {
    names.iter().zip(1..).find(|(each, _)| Some(**each) == name).unwrap().1
}

/// The envelope a description stands for.
fn envelope(of: &Tree) -> String {
    let mut bytes = b"TGS1".to_vec();
    bytes.push(number(&ORIGINS, of.str("origin")));
    bytes.push(number(&KINDS, of.str("kind")));
    bytes.extend([0; 4]);
    bytes.extend(digest(of));
    bytes.extend([0; 8]);
    bytes.extend(of.str("payload").unwrap().as_bytes());
    STANDARD.encode(bytes)
}

/// Whether a string is an envelope with what the description says. Names in it do not matter.
fn is_envelope(wanted: &Tree, found: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(found) else { return false };
    let Some(rest) = bytes.strip_prefix(b"TGS1") else { return false };
    let (head, mut rest) = rest.split_at(2);
    for _ in 0..2 {
        let (length, tail) = rest.split_at(2);
        rest = &tail[usize::from(u16::from_be_bytes(length.try_into().unwrap()))..];
    }
    let digested = wanted.str("text").is_none() || rest[..8] == digest(wanted);
    head[0] == number(&ORIGINS, wanted.str("origin"))
        && head[1] == number(&KINDS, wanted.str("kind"))
        && digested
        && rest[16..] == *wanted.str("payload").unwrap().as_bytes()
}

fn build_envelopes(tree: &mut Tree) {
    if let Some(("$env", described)) = tree.only_member() {
        *tree = Tree::Str(envelope(described));
    }
}
