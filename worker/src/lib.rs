//! The speech worker: claim -> engine -> codec -> watermark -> sink. It knows no route.
//!
//! Reading order: the loop ([`runner`], [`speak`]), the engine and what it steps ([`engine`], [`model`], [`codec`]),
//! the way out ([`watermark`], [`encode`], [`sink`]), checkpoints made here ([`random_model`], [`trace`]), and measurements
//! ([`bench`]).

pub mod config;
mod detect;
pub mod runner;
mod serve;
pub mod speak;

pub mod codec;
pub mod engine;
mod kernels;
pub mod model;

pub mod encode;
pub mod provenance;
pub mod sink;
pub mod watermark;

pub mod bench;
pub mod random_model;
pub mod trace;

/// This build, as dead letters, reports and checkpoints name it: the version, and a hash of what it was made of.
pub const BUILD: &str = env!("CSM_BUILD");

pub use serve::{Worker, WorkerError, serve};
