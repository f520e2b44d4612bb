//! The siege: attacks on a real gateway within a limit of memory, each beside an honest caller.
//!
//! An attack passes if the gateway survives it within the limit, serves the honest caller in time,
//! answers its probes, gives its memory back, and ends in time at SIGTERM.
//!
//! Reading order:
//! - [`attack_table`]: every attack by name, and `attacks`: what each does
//! - `siege_fleet`: Redis, a worker, and a gateway for each attack
//! - `gateway_memory`: the limit, and the memory that is used
//! - `honest_caller` and `probe`: what goes on beside an attack
//! - `siege_run`: an attack from the gateway's start to its end
//! - [`siege_report`]: figures and verdict

pub mod attack_table;
mod attacks;
mod gateway_memory;
mod honest_caller;
mod probe;
mod siege_fleet;
pub mod siege_report;
mod siege_run;

pub use siege_run::{SiegeOptions, run};

use std::time::Duration;

/// Memory that the gateway may use, in bytes.
pub const MEMORY_LIMIT_BYTES: u64 = 512 * 1024 * 1024;
/// Longest time until 95 of 100 honest requests have been accepted, refusals and repeats included.
pub const HONEST_LIMIT: Duration = Duration::from_secs(2);
/// Longest time from the end of an attack until the memory is that of rest again.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(10);
/// Memory after an attack that counts as that of rest, as a multiple of it.
pub const REST_FACTOR: f64 = 1.5;
/// Grace of the gateway after SIGTERM, in seconds.
pub const DRAIN_SECONDS: u64 = 5;
/// Longest time from SIGTERM to the gateway's end: its grace, 8 s for answers and threads to end, and
/// a second for the system.
pub const END_LIMIT: Duration = Duration::from_secs(DRAIN_SECONDS + 9);
