//! The soak of batches: one batch of many lines on a fleet of real processes, of which some are killed
//! again and again, and a count of every line at the end.
//!
//! Reading order:
//! - `bulk_fleet`: the processes
//! - `noop_worker`: a worker without a model, for runs of many lines
//! - `bulk_run`: the run, from the upload to the end of the batch
//! - [`ledger`]: every line in the output or among the errors, once; every file as its line says

mod bulk_fleet;
mod bulk_run;
pub mod ledger;
mod noop_worker;
mod peak_memory;

pub use bulk_run::{BulkOptions, BulkReport, run};
pub use noop_worker::{NoopArgs, work};

/// Worker of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BulkEngine {
    /// No model: each job takes a set time, and its file is always the same marked sound.
    Noop,
    /// The embedded toy voice.
    Tiny,
}
