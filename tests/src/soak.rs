//! The soak run: a fleet of real processes under open-loop load while a seeded driver kills, pauses and cuts them off, and
//! a checker that knows only what callers saw, what Redis holds and what lies in the store.
//!
//! Reading order: [`plan`] (everything that chance decides, from one seed), `fleet` (the processes), `caller` (the load),
//! `chaos` (the driver), `observer` and [`recovery`] (Redis, watched while it runs), `census` (Redis and the store, at the
//! end), [`evidence`] and [`checker`] (the verdict). The checker and its witnesses use plain Redis commands and nothing of
//! the queue's own code.

mod census;
mod chaos;
pub mod checker;
mod observer;
pub mod plan;
pub mod recovery;
mod run;
mod soak_callers;
pub mod soak_evidence;
mod soak_fleet;
mod soak_report;

pub use run::{Options, run};
pub use soak_report::SoakReport;

use std::time::Duration;

/// How long a claim is good for without a beat, as the design says.
pub const LEASE: Duration = Duration::from_secs(15);
/// From the moment a lease can no longer be renewed until the queue has its job again, while Redis answers: the lease, and
/// five seconds until somebody looks.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
/// The same until the job is claimed again. A suspect waits until a worker has nothing else to do, which depends on the load
/// and on what else is said; a bound that no load of a run should reach.
pub const RERUN_LIMIT: Duration = Duration::from_secs(30);
