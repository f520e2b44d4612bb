//! The speech worker: claims jobs, generates speech, marks it, stores it. It knows no route.
//!
//! Reading order: the claim loop ([`runner`]), one attempt ([`speak`]), the marks ([`marks`]), the way out ([`encode`],
//! [`provenance`], [`sink`]), and the process around them ([`config`], [`serve`]).

pub mod config;
mod detect;
pub mod runner;
mod serve;
pub mod speak;

pub mod encode;
pub mod marks;
pub mod provenance;
pub mod sink;

#[cfg(test)]
#[path = "../identity.rs"]
mod identity;
#[cfg(test)]
mod tests;

/// This build, as dead letters, reports and resume points name it: the version, and the identity of what decides the
/// bits of speech.
pub const BUILD: &str = env!("CSM_BUILD");

pub use serve::{Worker, WorkerError, serve};
