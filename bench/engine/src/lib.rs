//! `csm bench`: the engine's costs on this machine, beside its peers.
//!
//! [`measure`] takes the measurements; [`command`] runs each in a process of its own and prints
//! tables.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark's result goes to standard output")]

pub mod command;
pub mod measure;
