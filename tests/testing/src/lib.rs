//! Shared parts of tests, soak runs and benchmarks.
//!
//! Here are the programs as processes, a TCP proxy that breaks connections, an S3 protocol server,
//! Kubernetes' API, certificates, bare HTTP connections, damaged inputs, a model folder, and the paths of golden values.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]

mod builders;
pub mod byte_model;
pub mod certificates;
pub mod child;
pub mod constant_flac;
pub mod kubernetes_api;
pub mod listener;
pub mod mutator;
pub mod process;
pub mod proxy;
pub mod raw_http;
#[cfg(feature = "s3-server")]
pub mod s3_server;

use std::path::{Path, PathBuf};

pub use builders::{JobBuilder, job, receipt, receipt_of_frames};

/// Returns the path of a file of golden values, below `tests/golden`.
#[must_use]
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden").join(name)
}
