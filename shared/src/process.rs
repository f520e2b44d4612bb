//! Parts that every process needs: health and metrics port, logs and metric names, shutdown by
//! signals, digests, errors as text.

pub mod admin;
pub mod digest;
pub mod error_chain;
pub mod shutdown;
pub mod telemetry;
