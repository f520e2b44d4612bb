//! The soak run: a whole fleet under load and faults, and the checker of what came of every job. Tests are in `it/`.

#![forbid(unsafe_code)]

pub mod soak;
