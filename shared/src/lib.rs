//! Words and plumbing that gateway and worker both import. No candle, no route and no Redis live
//! here.
//!
//! Reading order:
//!
//! - [`audio`], [`text`], [`job`], [`prompt`]: the words.
//! - [`store`], [`watermark`]: what both sides keep or check.
//! - [`models`]: from a model's name to a local folder.
//! - [`process`]: what every process needs.

#![forbid(unsafe_code)]

pub mod audio;
pub mod job;
pub mod prompt;
pub mod text;

pub mod store;
pub mod watermark;

pub mod models;
pub mod process;
