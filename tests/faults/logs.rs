//! A sink for log lines that takes none.

use std::{
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tollgate_core::Class;
use tollgate_gateway::Logs;
use tollgate_testkit::Script;
use tracing_subscriber::EnvFilter;

use crate::{
    gateway::exchange,
    judge::{broken, unchanged},
    lane::{Kind, Lane},
    wire::connect_refused,
};

/// A sink that blocks whoever writes until it is opened.
#[derive(Clone, Default)]
struct Stuck(Arc<Gate>);

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    lines: AtomicUsize,
}

impl Stuck {
    fn open(&self) {
        *self.0.open.lock().expect("nobody panics while holding this lock") = true;
        self.0.opened.notify_all();
    }
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let open = self.0.open.lock().expect("as above");
        drop(self.0.opened.wait_while(open, |open| !*open).expect("as above"));
        self.0.lines.fetch_add(1, Ordering::SeqCst);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// More lines than may wait.
const LINES: usize = 20_000;

pub(crate) async fn stuck_sink(lane: Lane) {
    let sink = Stuck::default();
    let (subscriber, logs) = Logs::to(sink.clone(), EnvFilter::new("debug"), false);
    let logging = tracing::subscriber::set_default(subscriber);
    (0..LINES).for_each(|n| tracing::info!(n, "a line nobody takes"));
    assert!(logs.dropped() > 0, "what does not fit is counted");

    // Whoever waited for the sink would wait for ever.
    let whole = lane.whole();
    let (seen, _) = exchange(lane, lane.answer(Script::new(whole.clone()))).await;
    unchanged(lane, &seen, &whole);
    if lane.kind != Kind::Json {
        let sent = [lane.start(), lane.content()].concat();
        let (seen, _) = exchange(lane, lane.answer(Script::new(sent.clone()).reset())).await;
        broken(lane, &seen, &sent, Class::ServerError, "upstream_truncated");
    }
    let dropped = logs.dropped();
    connect_refused(lane).await;
    assert!(logs.dropped() > dropped, "that one is logged: its line had no place");

    drop(logging);
    sink.open();
    let dropped = logs.dropped();
    drop(logs);
    let written = sink.0.lines.load(Ordering::SeqCst);
    assert!(written > 0 && written + dropped >= LINES, "{written} written, {dropped} dropped");
}
