//! What `/metrics` shows.

use metrics::{counter, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tollgate_core::Class;
use tollgate_fallback::Counts as Attempts;
use tollgate_store::SqliteStore;

use crate::counts::Counts;

/// Upper bounds of the histograms, in seconds: from a cached answer to an hour of reasoning.
const SECONDS: [f64; 16] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0, 3600.0,
];

/// Everything that is counted, in Prometheus' text format. Clones show the same.
#[derive(Clone)]
pub struct Measures {
    recorder: PrometheusHandle,
    counts: Counts,
    attempts: Attempts,
    store: SqliteStore,
}

impl Measures {
    /// Begins to count for the whole process.
    ///
    /// Errors: something else counts already.
    pub fn install(
        counts: Counts,
        attempts: Attempts,
        store: SqliteStore,
    ) -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&SECONDS)?.install_recorder()?;
        Ok(Self { recorder, counts, attempts, store })
    }

    /// Returns what was counted so far.
    pub fn show(&self) -> String {
        self.edge();
        self.fallback();
        self.books();
        self.recorder.run_upkeep();
        self.recorder.render()
    }

    fn edge(&self) {
        let counts = &self.counts;
        counter!("tollgate_connections_refused_total").absolute(counts.connections_refused());
        counter!("tollgate_panics_total").absolute(counts.panics());
        counter!("tollgate_reloads_total").absolute(counts.reloads());
        counter!("tollgate_reloads_failed_total").absolute(counts.reloads_failed());
    }

    fn fallback(&self) {
        let counts = &self.attempts;
        counter!("tollgate_fallbacks_total").absolute(counts.fallbacks());
        counter!("tollgate_retries_total").absolute(counts.retries());
        counter!("tollgate_calls_refused_all_ejected_total").absolute(counts.refused());
        counter!("tollgate_retries_over_budget_total").absolute(counts.unaffordable());
        for reason in Class::ALL {
            let count = counts.ejections(reason);
            counter!("tollgate_ejections_total", "reason" => reason.as_str()).absolute(count);
        }
    }

    fn books(&self) {
        let counters = self.store.counters();
        counter!("tollgate_charges_written_total").absolute(counters.written);
        counter!("tollgate_charges_journaled_total").absolute(counters.journaled);
        counter!("tollgate_charges_lost_total").absolute(counters.lost);
        counter!("tollgate_charges_released_total").absolute(counters.released);
        gauge!("tollgate_charges_waiting").set(counters.behind as f64);
    }
}

impl std::fmt::Debug for Measures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measures").field("counts", &self.counts).finish_non_exhaustive()
    }
}
