//! Bytes in unusual pieces and shapes, and words nobody knows: all of it passes as it came.

use tollgate_testkit::Script;

use crate::{
    gateway::exchange,
    judge::unchanged,
    lane::{Kind, Lane},
};

pub(crate) async fn split_at_every_offset(lane: Lane) {
    let whole = lane.whole();
    let script = Script::new(whole.clone());
    for at in 1..whole.len() {
        let (seen, _) = exchange(lane, lane.answer(script.clone().cut_at(&[at]))).await;
        unchanged(lane, &seen, &whole);
    }
    let (seen, _) = exchange(lane, lane.answer(script.split_every(1))).await;
    unchanged(lane, &seen, &whole);
}

pub(crate) async fn odd_shapes(lane: Lane) {
    let shapes = match lane.kind {
        Kind::Array => arrays(&lane.whole()),
        _ => streams(lane),
    };
    for shape in shapes {
        for n in [1, 7, shape.len()] {
            let script = Script::new(shape.clone()).split_every(n);
            let (seen, _) = exchange(lane, lane.answer(script)).await;
            unchanged(lane, &seen, &shape);
        }
    }
}

fn streams(lane: Lane) -> Vec<String> {
    let whole = lane.whole();
    let odd = [": a comment\n\n", ":\n", "data\n\n", "data:\n\n", "id: 7\nretry: 3000\n"].concat();
    let [start, content, finish] = [lane.start(), lane.content(), lane.finish()];
    // A space more within the JSON makes room for a second line of data.
    let lines = content.replace("data: {", "data: {\ndata:");
    vec![
        whole.replace('\n', "\r\n"),
        whole.replace('\n', "\r"),
        mixed(&whole),
        format!("\u{feff}{whole}"),
        whole.replace("data: ", "data:"),
        [start, &odd, content, &odd, finish, ": the end\n\n"].concat(),
        [start, &lines, finish].concat(),
        whole.trim_end_matches('\n').to_owned(),
    ]
}

/// Each line ends in another of the three ways; never CR and then LF, which together are one.
fn mixed(text: &str) -> String {
    let mut ends = ["\r", "\r\n", "\n"].iter().cycle();
    text.split_inclusive('\n')
        .map(|line| line.trim_end_matches('\n').to_owned() + ends.next().expect("a cycle"))
        .collect()
}

fn arrays(whole: &str) -> Vec<String> {
    vec![
        whole.replace(['\r', '\n'], ""),
        whole.replace(",\r\n{", " \t,\r\n\r\n  {"),
        format!(" \r\n{whole}\r\n"),
        whole.replace(":{", ":\n {\n"),
    ]
}

pub(crate) async fn unknown_words(lane: Lane) {
    let shape = match lane.kind {
        Kind::Json => lane.whole(),
        _ => {
            let [unknown, content] = [lane.unknown(), lane.content()];
            [lane.start(), unknown, content, unknown, content, unknown, lane.finish()].concat()
        }
    };
    let (seen, _) = exchange(lane, lane.answer(Script::new(shape.clone()))).await;
    unchanged(lane, &seen, &shape);
}
