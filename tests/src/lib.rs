//! The soak run: a whole fleet under load and faults, and the checker of every job's result. Tests
//! are in `it/`.

#![forbid(unsafe_code)]

pub mod soak;
