//! `translate`: what becomes of a body in another protocol.

use std::{
    fs,
    io::{self, BufRead, Read, Write},
    panic,
};

use bytes::BytesMut;
use serde_json::{Map, Value, json, value::RawValue};
use tollgate_core::Protocol;
use tollgate_sse::{Decoder, Framing, Tail};
use tollgate_translate::{Exchange, Incoming, Onto, Translator, case};

use crate::{
    Failed,
    cli::{self, Kind},
};

/// Translates standard input: one body, or a case a line.
pub(crate) fn run(asked: &cli::Translate) -> Result<(), Failed> {
    if asked.case {
        return lines();
    }
    let (Some(from), Some(to)) = (asked.from, asked.to) else {
        return Err("`--from` and `--to` say between which protocols".into());
    };
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    let shown = match (&asked.request, asked.kind) {
        (Some(path), Kind::Response | Kind::Stream) => {
            let exchange = exchange(from, to, &fs::read(path)?, asked)?;
            match asked.kind {
                Kind::Stream => stream(&exchange, text)?,
                _ => answer(&exchange, to, &text),
            }
        }
        _ => outcome(&case::run(&described(from, to, &text, asked)?)?)?,
    };
    shown.print()
}

/// What is written where.
struct Shown {
    text: Vec<u8>,
    warnings: Vec<String>,
    /// The status of an error or a refusal.
    status: Option<u64>,
    is_refused: bool,
}

impl Shown {
    /// The text on standard output, what else there is to say on standard error.
    fn print(&self) -> Result<(), Failed> {
        let mut out = io::stdout().lock();
        out.write_all(&self.text)?;
        if !self.text.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        self.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        match (self.status, self.is_refused) {
            (Some(status), true) => Err(format!("refused with status {status}").into()),
            (Some(status), false) => {
                eprintln!("status: {status}");
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}

/// The body as a case.
fn described(
    from: Protocol,
    to: Protocol,
    text: &[u8],
    asked: &cli::Translate,
) -> Result<String, Failed> {
    let text = std::str::from_utf8(text).map_err(|_| "standard input is no UTF-8")?;
    let raw = || RawValue::from_string(text.trim().to_owned());
    let input = match asked.kind {
        Kind::Request | Kind::Response => {
            raw().map_err(|error| format!("standard input is no JSON: {error}"))?.to_string()
        }
        Kind::Stream => json!({ "sse": text }).to_string(),
        Kind::Error => match raw() {
            Ok(body) if said(&body, "status") && said(&body, "body") => body.to_string(),
            Ok(body) => format!("{{\"status\":{},\"body\":{body}}}", asked.status),
            Err(_) => json!({ "status": asked.status, "body": text }).to_string(),
        },
    };
    let kind = match asked.kind {
        Kind::Request => "request",
        Kind::Response => "response",
        Kind::Stream => "stream",
        Kind::Error => "error",
    };
    let caps = match &asked.caps {
        Some(path) => fs::read_to_string(path)?,
        None => "{}".to_owned(),
    };
    let mut ctx = Map::new();
    if let Some(model) = &asked.model {
        ctx.insert("model".to_owned(), model.as_str().into());
    }
    let ctx = Value::from(ctx);
    // Bodies keep the spelling of their numbers: they are not read into a tree.
    Ok(format!(
        "{{\"id\":\"0\",\"kind\":\"{kind}\",\"from\":\"{from}\",\"to\":\"{to}\",\
         \"caps\":{caps},\"ctx\":{ctx},\"input\":{input}}}"
    ))
}

fn said(body: &RawValue, member: &str) -> bool {
    tollgate_wire::json::member(body.get().as_bytes(), member).is_some()
}

/// What a case's outcome shows.
fn outcome(line: &str) -> Result<Shown, Failed> {
    let member = |of: &str, name: &str| {
        let found = tollgate_wire::json::member(of.as_bytes(), name)?;
        std::str::from_utf8(found).ok().map(str::to_owned)
    };
    let refused = member(line, "reject");
    let of = refused.as_deref().unwrap_or(line);
    let text = match member(of, "body") {
        Some(body) => body.into_bytes(),
        None => {
            let sse = member(of, "sse").ok_or("nothing came of it")?;
            serde_json::from_str::<String>(&sse)?.into_bytes()
        }
    };
    let warnings = member(line, "warnings").map(|list| serde_json::from_str(&list)).transpose()?;
    let status = member(of, "status").and_then(|status| status.parse().ok());
    let warnings = warnings.unwrap_or_default();
    Ok(Shown { text, warnings, status, is_refused: refused.is_some() })
}

/// What the answer to a client's request is translated with. `from` is the upstream's protocol.
fn exchange(
    from: Protocol,
    to: Protocol,
    request: &[u8],
    asked: &cli::Translate,
) -> Result<Exchange, Failed> {
    // Gemini's model and stream stand in the path, which such a file may tell.
    let path = tollgate_wire::json::member(request, "path");
    let path = path.and_then(tollgate_wire::json::string).unwrap_or_default();
    let body = match path.is_empty() {
        true => request,
        false => tollgate_wire::json::member(request, "body").unwrap_or(request),
    };
    let in_path = path.rsplit_once(':').and_then(|(before, _)| before.split_once("models/"));
    let own = tollgate_wire::json::member(body, "model").and_then(tollgate_wire::json::string);
    let own = own.unwrap_or_default();
    let model = asked.model.as_deref().or(in_path.map(|(_, model)| model)).unwrap_or(&own);
    let gemini = to == Protocol::Gemini;
    let incoming = Incoming {
        model: gemini.then_some(model),
        stream: gemini && asked.kind == Kind::Stream,
        batch: false,
        body,
    };
    let caps = match &asked.caps {
        Some(path) => case::caps(&fs::read_to_string(path)?)?,
        None => tollgate_core::Caps::default(),
    };
    let translator = Translator::new(to, from);
    let sent = translator.request(&incoming, &Onto::new(model, &caps));
    let (_, exchange) = sent.map_err(|refusal| format!("--request: {}", refusal.message))?;
    Ok(exchange)
}

fn answer(exchange: &Exchange, client: Protocol, text: &[u8]) -> Shown {
    match exchange.answer(text) {
        Ok((text, warnings)) => {
            let warnings = warnings.iter().map(ToString::to_string).collect();
            Shown { text, warnings, status: None, is_refused: false }
        }
        Err(fault) => {
            let shown = tollgate_translate::render(client, &fault, "0");
            let status = Some(u64::from(shown.status.as_u16()));
            Shown { text: shown.body.to_vec(), warnings: Vec::new(), status, is_refused: false }
        }
    }
}

fn stream(exchange: &Exchange, text: Vec<u8>) -> Result<Shown, Failed> {
    let mut machine = exchange.stream().ok_or("such a request is not answered with a stream")?;
    let mut decoder = Decoder::new(Framing::Sse);
    let mut out = BytesMut::new();
    decoder.push(text.into());
    while let Some(event) = decoder.next()? {
        if !event.is_keep_alive() {
            machine.event(event.name(), event.data(), &mut out);
        }
    }
    if let Tail::Event(event) = decoder.finish() {
        machine.event(event.name(), event.data(), &mut out);
    }
    machine.end(&mut out);
    let warnings = machine.warnings().iter().map(ToString::to_string).collect();
    Ok(Shown { text: out.to_vec(), warnings, status: None, is_refused: false })
}

/// One case a line, one outcome a line. What is no case gets its line too.
fn lines() -> Result<(), Failed> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let done = panic::catch_unwind(|| one(&line));
        let done = done.unwrap_or_else(|_| Err("the translator failed".to_owned()));
        let shown = done.unwrap_or_else(|error| wrong(&line, &error));
        out.write_all(shown.as_bytes())?;
        out.write_all(b"\n")?;
        // Whoever writes the next case may wait for this one.
        out.flush()?;
    }
    Ok(())
}

fn one(line: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    case::run(text).map_err(|error| error.to_string())
}

fn wrong(line: &[u8], error: &str) -> String {
    let id = serde_json::from_slice::<Value>(line).ok().and_then(|case| case.get("id").cloned());
    json!({ "id": id, "error": error }).to_string()
}
