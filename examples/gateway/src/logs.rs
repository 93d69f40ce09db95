//! Where log lines go, without anybody waiting for it.

use std::{fmt, io::Write};

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan,
};

/// How many lines may wait for the sink.
const WAITING: usize = 1024;

/// The lines on their way to the sink. Dropped, it writes what waits, for at most a second.
pub struct Logs {
    lost: ErrorCounter,
    _worker: WorkerGuard,
}

impl Logs {
    /// Returns what takes log lines that pass `filter`, and the thread that writes them to `sink`.
    ///
    /// Whoever logs never waits: of a sink that is slow or stuck 1024 lines are held, and what
    /// comes on top is dropped and counted.
    pub fn to<W: Write + Send + 'static>(
        sink: W,
        filter: EnvFilter,
        ansi: bool,
    ) -> (impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync, Self) {
        let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING);
        let (writer, worker) = queue.thread_name("logs").finish(sink);
        let lost = writer.error_counter();
        (subscriber(writer, filter, ansi), Self { lost, _worker: worker })
    }

    /// Returns how many lines were dropped so far.
    pub fn dropped(&self) -> usize {
        self.lost.dropped_lines()
    }
}

fn subscriber<W>(
    writer: W,
    filter: EnvFilter,
    ansi: bool,
) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(ansi).with_writer(writer);
    tracing_subscriber::registry().with(lines.with_filter(filter))
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}
