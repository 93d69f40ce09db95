use proptest::prelude::*;

use super::*;

/// Name, data and whether the event says anything.
type Seen = (Option<String>, Vec<u8>, bool);

/// What comes of feeding `chunks`, and the bytes given back: raw ones and the tail.
fn decode(framing: Framing, chunks: &[&[u8]]) -> (Vec<Seen>, Vec<u8>, &'static str) {
    let mut decoder = Decoder::new(framing);
    let (mut seen, mut raw) = (Vec::new(), Vec::new());
    let mut total = 0;
    for chunk in chunks {
        total += chunk.len() as u64;
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next().unwrap() {
            note(&event, &mut seen, &mut raw);
            assert_eq!(event.data_bytes(), event.data());
        }
        assert!(decoder.position() <= total);
    }
    let tail = match decoder.finish() {
        Tail::Clean => "clean",
        Tail::Event(event) => {
            note(&event, &mut seen, &mut raw);
            "event"
        }
        Tail::Truncated => "truncated",
    };
    if tail != "truncated" {
        assert_eq!(decoder.position(), total);
    }
    seen.retain(|(name, data, _)| name.is_some() || !data.is_empty());
    (seen, raw, tail)
}

fn note(event: &Decoded<'_>, seen: &mut Vec<Seen>, raw: &mut Vec<u8>) {
    let name = event.name().map(str::to_owned);
    seen.push((name, event.data().to_vec(), !event.is_keep_alive()));
    event.raw().for_each(|piece| raw.extend_from_slice(&piece));
}

fn sse(text: &str) -> Vec<Seen> {
    decode(Framing::Sse, &[text.as_bytes()]).0
}

fn event(name: Option<&str>, data: &str) -> Seen {
    (name.map(str::to_owned), data.as_bytes().to_vec(), true)
}

#[test]
fn reads_names_and_data_in_any_line_ending() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["event: a", "data: 1", "", "data:2", "id: 7", "", ""].join(end);
        assert_eq!(sse(&text), [event(Some("a"), "1"), event(None, "2")], "{end:?}");
    }
    assert_eq!(sse("data: 1\r\n\rdata: 2\n\r\n"), [event(None, "1"), event(None, "2")]);
}

#[test]
fn fault_17_a_line_feed_after_a_cut_line_end_is_a_line_of_its_own() {
    let text = "data: 1\r\n\ndata: 2\r\r\ndata: 3\n\r\n";
    let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
    let (seen, _, tail) = decode(Framing::Sse, &bytes);
    assert_eq!(seen, [event(None, "1"), event(None, "2"), event(None, "3")]);
    assert_eq!(tail, "clean");
}

#[test]
fn fault_17_reads_what_the_standard_allows() {
    for (text, expected) in [
        ("\u{feff}data: 1\n\n", vec![event(None, "1")]),
        ("data: 1\n\n\u{feff}data: 2\n\n", vec![event(None, "1")]),
        (": hello\n\n", vec![]),
        (": hello\ndata: 1\n\n", vec![event(None, "1")]),
        ("data: 1\ndata: 2\ndata:  3\n\n", vec![event(None, "1\n2\n 3")]),
        ("data\n\n", vec![]),
        ("data:\n\n", vec![]),
        ("data\ndata\n\n", vec![event(None, "\n")]),
        ("event: ping\n\n", vec![event(Some("ping"), "")]),
        ("retry: 10\nid: 3\n\n", vec![]),
        ("dataset: 1\n\n", vec![]),
        ("data: a\u{2028}b\u{85}c\n\n", vec![event(None, "a\u{2028}b\u{85}c")]),
        ("\n\n\ndata: 1\n\n\n\n", vec![event(None, "1")]),
        ("event: a\nevent: b\ndata: 1\n\n", vec![event(Some("b"), "1")]),
    ] {
        assert_eq!(sse(text), expected, "{text:?}");
    }
}

#[test]
fn a_last_event_without_blank_line_counts_if_it_is_whole() {
    for (text, expected) in [
        ("data: {\"a\":1}", "event"),
        ("data: [DONE]", "event"),
        ("data: [DONE]\n", "event"),
        ("data: {\"a\":1}\r", "event"),
        ("data: {\"a\":", "truncated"),
        ("data: ", "truncated"),
        ("event: message_stop\n", "truncated"),
        ("da", "truncated"),
        (": bye", "clean"),
        ("\n", "clean"),
        ("", "clean"),
        ("data: 1\n\n", "clean"),
    ] {
        assert_eq!(decode(Framing::Sse, &[text.as_bytes()]).2, expected, "{text:?}");
    }
}

#[test]
fn a_carriage_return_at_the_end_of_a_chunk_delays_no_event() {
    let mut decoder = Decoder::new(Framing::Sse);
    decoder.push("data: 1\r\n\r".into());
    assert_eq!(decoder.next().unwrap().unwrap().data(), b"1");
    assert!(decoder.next().unwrap().is_none());
    decoder.push("\n".into());
    assert!(decoder.next().unwrap().is_none());
    assert_eq!(decoder.position(), 11);
    decoder.push("data: 2\r\r".into());
    assert_eq!(decoder.next().unwrap().unwrap().data(), b"2");
}

#[test]
fn an_event_in_one_chunk_is_a_slice_of_it() {
    let chunk = Bytes::from_static(b"data: 1\n\ndata: 22\n\n");
    let mut decoder = Decoder::new(Framing::Sse);
    decoder.push(chunk.clone());
    decoder.next().unwrap();
    let event = decoder.next().unwrap().unwrap();
    assert_eq!(event.data().as_ptr(), chunk[15..].as_ptr());
    assert_eq!(event.data_bytes().as_ptr(), chunk[15..].as_ptr());
    assert_eq!(event.raw().collect::<Vec<_>>(), ["data: 22\n\n"]);
}

#[test]
fn fault_18_an_event_is_limited_only_where_it_is_held() {
    let big = format!("data: {}\n\n", "x".repeat(500));
    let mut decoder = Decoder::new(Framing::Sse).limit(100);
    decoder.push(big.clone().into());
    assert_eq!(decoder.next().unwrap().unwrap().data().len(), 500);
    assert!(decoder.next().unwrap().is_none());
    decoder.push(Bytes::copy_from_slice(&big.as_bytes()[..90]));
    assert_eq!(decoder.next().unwrap_err(), DecodeError::TooLarge { limit: 100 });
}

#[test]
fn slices_count_too_so_that_single_bytes_cannot_fill_memory() {
    let mut decoder = Decoder::new(Framing::Sse).limit(1000);
    let held = (0..).take_while(|_| {
        decoder.push("x".into());
        decoder.next().is_ok()
    });
    assert!(held.count() < 40);
}

#[test]
fn reads_the_elements_of_an_array() {
    let text = br#" [{"a":"]}\"{"} ,
{"b":[{"c":{}}]},{}
] "#;
    let (seen, raw, tail) = decode(Framing::JsonArray, &[text]);
    let data: Vec<_> = seen.iter().map(|e| std::str::from_utf8(&e.1).unwrap()).collect();
    assert_eq!(data, [r#"{"a":"]}\"{"}"#, r#"{"b":[{"c":{}}]}"#, "{}"]);
    assert_eq!((raw.as_slice(), tail), (&text[..text.len() - 3], "clean"));
}

#[test]
fn an_array_is_clean_only_when_closed() {
    for (text, expected) in [
        ("[]", "clean"),
        ("[{}]\n", "clean"),
        ("{\"error\":{}}", "clean"),
        ("[{}", "truncated"),
        ("[{},{\"a\"", "truncated"),
        ("", "truncated"),
    ] {
        assert_eq!(decode(Framing::JsonArray, &[text.as_bytes()]).2, expected, "{text}");
    }
    for text in ["x", "[1]", "<html>", "[{}]x", "[[{}]]", "{}{}"] {
        let mut decoder = Decoder::new(Framing::JsonArray);
        decoder.push(text.into());
        let failed = loop {
            match decoder.next() {
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(error) => break error == DecodeError::Malformed,
            }
        };
        assert!(failed, "{text}");
    }
}

#[test]
fn skipping_finds_the_same_events_as_reading() {
    for (framing, text) in [(Framing::Sse, MIXED), (Framing::JsonArray, ARRAY)] {
        for size in 1..text.len() {
            let (mut reads, mut skips) = (Decoder::new(framing), Decoder::new(framing));
            for chunk in text.as_bytes().chunks(size) {
                reads.push(Bytes::copy_from_slice(chunk));
                skips.push(Bytes::copy_from_slice(chunk));
                while let Some(event) = reads.next().unwrap() {
                    assert_eq!(skips.skip().unwrap(), Some(!event.is_keep_alive()));
                }
                assert_eq!(skips.skip().unwrap(), None);
                assert_eq!(reads.position(), skips.position());
            }
        }
    }
}

const MIXED: &str = "\u{feff}: hi\n\nevent: a\r\ndata: {\"t\":\"é\u{1f600}\"}\r\n\r\ndata: 1\rdata: 2\r\r\
                     retry: 1\n\n\ndata: {}\r\n\n: c\r\n\r\ndata: [DONE]";
const ARRAY: &str = "[{\"a\":\"\\\\\"},\r\n{\"b\":\"]\\\"}é\",\"c\":[{}]}\n,{}]\n";

#[test]
fn fault_16_every_cut_gives_the_same_events() {
    for (framing, text) in [(Framing::Sse, MIXED), (Framing::JsonArray, ARRAY)] {
        let bytes = text.as_bytes();
        let (events, raw, tail) = decode(framing, &[bytes]);
        assert!(events.len() >= 3 && bytes.starts_with(&raw));
        for cut in 0..=bytes.len() {
            let (head, rest) = bytes.split_at(cut);
            let got = decode(framing, &[head, rest]);
            assert_eq!((&got.0, got.2), (&events, tail), "cut at {cut}");
            assert_eq!(got.1.len(), raw.len(), "cut at {cut}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        let got = decode(framing, &single);
        assert_eq!((got.0, got.1, got.2), (events, raw, tail));
    }
}

proptest! {
    #[test]
    fn lines_of_any_kind_decode_alike_however_cut(
        lines in prop::collection::vec(
            prop::sample::select(vec!["", "", ": c", "data: {}", "data", "event: e", "id: 1", "x"]),
            0..30,
        ),
        ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 30),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let text: String = lines.iter().zip(&ends).flat_map(|(line, end)| [*line, *end]).collect();
        let bytes = text.as_bytes();
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.sort_unstable();
        let mut chunks = Vec::new();
        let mut last = 0;
        for cut in at {
            chunks.push(&bytes[last..cut]);
            last = cut;
        }
        chunks.push(&bytes[last..]);
        let whole = decode(Framing::Sse, &[bytes]);
        let cut = decode(Framing::Sse, &chunks);
        prop_assert_eq!((whole.0, whole.2), (cut.0, cut.2));
    }

    #[test]
    fn never_panics_and_never_gives_back_other_bytes(
        bytes in prop::collection::vec(prop::sample::select(b"\r\n:data [{}],\"\\".to_vec()), 0..80),
        size in 1_usize..9,
        array in any::<bool>(),
    ) {
        let framing = if array { Framing::JsonArray } else { Framing::Sse };
        let mut decoder = Decoder::new(framing);
        let mut raw = Vec::new();
        for chunk in bytes.chunks(size) {
            decoder.push(Bytes::copy_from_slice(chunk));
            loop {
                match decoder.next() {
                    Ok(Some(event)) => event.raw().for_each(|piece| raw.extend_from_slice(&piece)),
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
        }
        prop_assert!(bytes.starts_with(&raw));
    }
}

#[test]
fn whole_chunks_are_passed_and_what_follows_is_read_as_if_they_had_been_read() {
    let chunks = [
        (": hello\n\n", false),
        ("data: 1\n\n", true),
        ("event: a\ndata: 2\n\ndata: 3\n\n", true),
        ("data: 4\n", false),
        ("data: 5\n\n", false),
        ("data: 6\r\r", false),
        ("\ndata: 7\n\n", false),
        ("data: 8\n\n", true),
        (": ping\n\n", false),
        ("data: [DONE]\n\n", true),
    ];
    let (mut passing, mut reading) = (Decoder::new(Framing::Sse), Decoder::new(Framing::Sse));
    for (chunk, expected) in chunks {
        let chunk = Bytes::from_static(chunk.as_bytes());
        let passed = passing.pass(&chunk);
        assert_eq!(passed, expected, "{chunk:?}");
        let mut read = Vec::new();
        let decoders = [Some(&mut reading), Some(&mut passing).filter(|_| !passed)];
        for decoder in decoders.into_iter().flatten() {
            decoder.push(chunk.clone());
            let mut says = Vec::new();
            while let Some(said) = decoder.skip().unwrap() {
                says.push(said);
            }
            read.push((says, decoder.position()));
        }
        assert_eq!(read.first().unwrap().1, passing.position(), "{chunk:?}");
        assert!(read.windows(2).all(|both| both[0] == both[1]), "{chunk:?}");
    }
    assert!(!Decoder::new(Framing::Sse).pass(b"data: 1\n\n"), "a mark may stand before it");
    assert!(matches!(passing.finish(), Tail::Clean));
}
