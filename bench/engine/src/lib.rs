//! `csm bench`: the engine's costs on this machine, beside its peers.
//!
//! [`measure`] takes the measurements; [`command`] runs each in a process of its own and prints
//! tables.

#![forbid(unsafe_code)]

pub mod command;
pub mod measure;
