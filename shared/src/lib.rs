//! Words and plumbing that gateway and worker both import. No candle, no route and no Redis live here.
//!
//! Reading order: the words ([`audio`], [`text`], [`job`], [`prompt`]), what both sides keep or check ([`store`],
//! [`watermark`]), where models come from ([`models`]), and what every process needs ([`process`]).

#![forbid(unsafe_code)]

pub mod audio;
pub mod job;
pub mod prompt;
pub mod text;

pub mod store;
pub mod watermark;

pub mod models;
pub mod process;
