//! The rows: which fault, what must be seen, and for which kinds of answer.

use std::pin::Pin;

use crate::{
    breaks, clients, cuts, fallback,
    lane::{
        Kind::{self, Array, Json, Stream},
        Lane,
    },
    logs, silence, translated, wire, wrong,
};

/// One fault.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    /// What the client, and the upstream, must see.
    pub(crate) seen: &'static str,
    pub(crate) kinds: &'static [Kind],
    pub(crate) run: fn(Lane) -> Pin<Box<dyn Future<Output = ()>>>,
}

const ALL: &[Kind] = &[Json, Stream, Array];
const STREAMS: &[Kind] = &[Stream, Array];

macro_rules! row {
    ($number:literal $name:ident $kinds:ident $seen:literal $run:path) => {
        Row {
            number: $number,
            name: stringify!($name),
            seen: $seen,
            kinds: $kinds,
            run: |lane| Box::pin($run(lane)),
        }
    };
}

/// Every row this binary drives, in the order of their numbers.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(1 connect_refused ALL
            "502, code `upstream_connect`; no internal address is told"
            wire::connect_refused),
        row!(5 stale_connection ALL
            "replaced unseen when closed while unused; 502 `upstream_reset`, not repeated, when closed after the request was sent"
            wire::stale_connection),
        row!(6 broken_head ALL
            "502, code `upstream_reset` or `upstream_protocol`"
            wire::broken_head),
        row!(8 stall_before_first_byte ALL
            "504 after 5 minutes; the request to the upstream is dropped"
            silence::before_the_head),
        row!(9 head_then_stall ALL
            "504, for streams at the deadline of first content, which pings do not move; the upstream is let go"
            silence::after_the_head),
        row!(10 error_as_first_event ALL
            "an HTTP error of the upstream's own class"
            breaks::an_error_is_the_first_event),
        row!(11 reset ALL
            "before content 502 `upstream_truncated`, after it whole events and one error event; after a terminal event nothing"
            breaks::reset),
        row!(10 error_in_a_translated_stream STREAMS
            "with an upstream of each other protocol: after content one error event of the client's own"
            translated::an_error_in_the_stream),
        row!(11 reset_of_a_translated_stream STREAMS
            "with an upstream of each other protocol: whole events, then one error event of the client's own"
            translated::reset),
        row!(12 stall_of_a_translated_stream STREAMS
            "with an upstream of each other protocol: one error event after 2 minutes"
            translated::stall),
        row!(14 end_of_a_translated_stream_without_terminal_event STREAMS
            "with an upstream of each other protocol: one error event, nothing that looks finished"
            translated::end_without_terminal_event),
        row!(15 truncated_last_event_of_a_translated_stream STREAMS
            "with an upstream of each other protocol: one error event; what was sent stays"
            translated::truncated_last_event),
        row!(16 translated_stream_split_at_every_offset STREAMS
            "with an upstream of each other protocol: the same, however its bytes are cut"
            translated::split_at_every_offset),
        row!(17 odd_shapes_of_a_translated_stream STREAMS
            "with an upstream of each other protocol: CR, CRLF, BOM, comments, `id` and `retry` change nothing"
            translated::odd_shapes),
        row!(18 endless_event_of_a_translated_stream STREAMS
            "with an upstream of each other protocol: one error event; no more than the limit is held"
            translated::endless_event),
        row!(12 stall_mid_stream ALL
            "keep-alives every 15 seconds where the protocol allows, then after 2 minutes 504 or one error event, code `idle_timeout`"
            silence::within_the_answer),
        row!(12 pings_count_as_life STREAMS
            "events of the protocol move the idle deadline, pings included"
            silence::pings_count_as_life),
        row!(12 comments_do_not_count_as_life STREAMS
            "comments and blanks pass and do not move the idle deadline"
            silence::comments_do_not_count_as_life),
        row!(13 total_limit ALL
            "504, code `total_timeout`, or one error event, code `stream_limit`, however busy the upstream is"
            silence::beyond_the_total),
        row!(14 end_without_terminal_event ALL
            "502, code `upstream_bad_answer`, for streams `upstream_truncated`; after content one error event"
            breaks::end_without_terminal_event),
        row!(15 truncated_last_event STREAMS
            "one error event, code `upstream_truncated`; what was sent stays"
            breaks::truncated_last_event),
        row!(16 split_at_every_offset ALL
            "identical bytes"
            cuts::split_at_every_offset),
        row!(17 odd_shapes STREAMS
            "CR, LF and CRLF, BOM, comments, empty and several data lines, `id` and `retry`: identical bytes"
            cuts::odd_shapes),
        row!(18 endless_event STREAMS
            "502 or one error event, code `event_too_large`; no more than the limit of 16 MiB is held"
            breaks::endless_event),
        row!(19 malformed_json ALL
            "502, code `upstream_bad_answer`; nothing of the raw answer is shown"
            wrong::malformed_json),
        row!(20 client_body_over_the_limit ALL
            "413 (Gemini: 400), nobody is asked"
            wrong::client_body_over_the_limit),
        row!(20 compressed_client_body ALL
            "decoded and sent as it is; one that is not what it says is refused with 400"
            wrong::compressed_client_body),
        row!(20 compressed_client_bomb ALL
            "413 (Gemini: 400) as soon as it decodes to more than the limit, nobody is asked"
            wrong::compressed_client_bomb),
        row!(20 unknown_client_encoding ALL
            "415 naming the encoding and those that are known, nobody is asked"
            wrong::unknown_encoding),
        row!(20 gzip_bomb ALL
            "502 or one error event, code `upstream_too_large`"
            wire::gzip_bomb),
        row!(21 html_with_status_200 ALL
            "502, code `upstream_bad_answer`; nothing of the page is shown"
            wrong::html),
        row!(27 another_target_answers ALL
            "whatever one of two targets does before the first content (25 ways on the wire), the client sees the other's answer alone"
            fallback::before_the_first_content),
        row!(11 no_other_target_after_content STREAMS
            "one error event; the other target is not asked"
            fallback::after_the_first_content),
        row!(28 the_callers_mistake ALL
            "the upstream's 400, 413 or 422; the other target is not asked"
            fallback::the_callers_mistake),
        row!(22 everybody_limits ALL
            "429 with the shortest pause"
            fallback::everybody_limits),
        row!(31 everybody_fails ALL
            "upstreams are asked at most 1.2 times per call"
            fallback::everybody_fails),
        row!(36 slow_reader STREAMS
            "the upstream is read no faster than the client reads; no deadline fires; identical bytes"
            clients::slow_reader),
        row!(37 client_gone_before_first_byte ALL
            "the request to the upstream is dropped at once"
            clients::gone_before_the_first_byte),
        row!(38 client_gone_mid_stream ALL
            "the upstream is let go at once; recorded as cancelled"
            clients::gone_within_the_answer),
        row!(47 log_sink_stuck ALL
            "answers as ever; log lines beyond the queue are dropped and counted"
            logs::stuck_sink),
        row!(64 unknown_fields_and_events ALL
            "identical bytes"
            cuts::unknown_words),
        row!(66 informational_answers ALL
            "waited out"
            wire::informational),
        row!(66 redirect ALL
            "502, code `upstream_redirect`; not followed, the address is not told"
            wire::redirect),
        row!(67 chunk_extensions_and_trailers ALL
            "identical bytes"
            wire::chunk_extensions_and_trailers),
        row!(67 empty_200 ALL
            "502, code `upstream_empty`; where the length was not announced `upstream_bad_answer`, for streams `upstream_truncated`"
            wire::empty_200),
    ]
}
