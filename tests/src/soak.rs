//! The soak run: a fleet of real processes under open-loop load, a seeded driver that breaks it,
//! and a checker. The driver kills processes, pauses them and cuts them off. The checker knows only
//! the callers' observations, Redis and the store.
//!
//! Reading order:
//! - [`plan`]: everything that chance decides, from one seed
//! - `soak_fleet`: the processes
//! - `soak_callers`: the load
//! - `chaos`: the driver
//! - `observer` and [`recovery`]: Redis, watched during the run
//! - `census`: Redis and the store at the end
//! - [`soak_evidence`] and [`checker`]: the verdict
//!
//! The checker and its witnesses use plain Redis commands and none of the queue's code.

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

/// Duration of a lease without a heartbeat, as the design says.
pub const LEASE: Duration = Duration::from_secs(15);
/// Longest time from a lease's last possible renewal until the queue has its job again, while Redis
/// answers. The limit is the lease and five seconds until a janitor runs.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(20);
/// Longest time from the same moment until the job is claimed again. A suspect waits until a worker
/// is idle, which depends on load and texts, so the limit is one that no run should reach.
pub const RERUN_LIMIT: Duration = Duration::from_secs(30);
