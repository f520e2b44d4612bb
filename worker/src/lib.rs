//! The speech worker: claims jobs, generates speech, marks it, stores it. The worker has no route
//! of the API.
//!
//! Reading order: the claim loop ([`runner`]), one attempt ([`speak`]), the marks ([`marks`]), the
//! output ([`encode`], [`provenance`], [`sink`]), the parts that all jobs share ([`health`]), and
//! the process around them ([`config`], [`serve`]) with its pod ([`deletion_cost`]). A worker without a queue is [`offline`].

#![forbid(unsafe_code)]

pub mod config;
pub mod deletion_cost;
mod detect_service;
pub mod health;
pub mod offline;
pub mod runner;
mod serve;
pub mod speak;
mod stretch;

pub mod encode;
pub mod marks;
pub mod provenance;
pub mod sink;

#[cfg(test)]
#[path = "../identity.rs"]
mod identity;
#[cfg(test)]
mod tests;

/// Name of this build in dead letters and reports: the version and [`IDENTITY`].
pub const BUILD: &str = env!("CSM_BUILD");
/// Hash of the sources that decide the bits of speech, in hex. Workers of one identity continue
/// each other's codes.
pub const IDENTITY: &str = env!("CSM_IDENTITY");

pub use serve::{Worker, WorkerError, serve};
