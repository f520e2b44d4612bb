//! Programs that run the real parts against time, faults and attackers. Tests are in `it/`.
//!
//! - [`soak`]: a whole fleet under load and faults, and the checker of every job's result
//! - [`bulk_soak`]: one batch of many lines on a fleet under kills, and a count of every line
//! - [`siege`]: attacks on a gateway in a limit of memory, beside an honest caller
//! - [`fuzz`]: damaged inputs for everything that reads bytes from outside
//! - [`run_redis`]: Redis of a run, plain, or with TLS and the rules of the fleet's users

#![forbid(unsafe_code)]

pub mod bulk_soak;
pub mod fuzz;
pub mod run_redis;
pub mod siege;
pub mod soak;
