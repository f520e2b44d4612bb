//! The speech worker: claim -> engine -> codec -> watermark -> sink. It knows no route.
//!
//! Reading order: the loop ([`runner`], [`speak`]), the engine and what it steps ([`engine`], [`model`], [`codec`]),
//! the way out ([`watermark`], [`wav`], [`sink`]), and checkpoints made here ([`checkpoint`], [`trace`]).

pub mod config;
pub mod runner;
mod serve;
pub mod speak;

pub mod codec;
pub mod engine;
pub mod model;

pub mod sink;
pub mod watermark;
pub mod wav;

pub mod checkpoint;
pub mod trace;

pub use serve::{Worker, WorkerError, serve};
