//! What `/metrics` shows.

use metrics::gauge;
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
        gauge!("tollgate_connections_refused_total").set(counts.connections_refused() as f64);
        gauge!("tollgate_panics_total").set(counts.panics() as f64);
        gauge!("tollgate_reloads_total").set(counts.reloads() as f64);
        gauge!("tollgate_reloads_failed_total").set(counts.reloads_failed() as f64);
    }

    fn fallback(&self) {
        let counts = &self.attempts;
        gauge!("tollgate_fallbacks_total").set(counts.fallbacks() as f64);
        gauge!("tollgate_retries_total").set(counts.retries() as f64);
        gauge!("tollgate_calls_refused_all_ejected_total").set(counts.refused() as f64);
        gauge!("tollgate_retries_over_budget_total").set(counts.unaffordable() as f64);
        for reason in Class::ALL {
            let count = counts.ejections(reason);
            gauge!("tollgate_ejections_total", "reason" => reason.as_str()).set(count as f64);
        }
    }

    fn books(&self) {
        let counters = self.store.counters();
        gauge!("tollgate_charges_written_total").set(counters.written as f64);
        gauge!("tollgate_charges_journaled_total").set(counters.journaled as f64);
        gauge!("tollgate_charges_lost_total").set(counters.lost as f64);
        gauge!("tollgate_charges_released_total").set(counters.released as f64);
        gauge!("tollgate_charges_waiting").set(counters.behind as f64);
    }
}

impl std::fmt::Debug for Measures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measures").field("counts", &self.counts).finish_non_exhaustive()
    }
}
