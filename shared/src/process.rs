//! Parts that every process needs: health and metrics port, logs and metric names, shutdown by
//! signals, digests.

pub mod admin;
pub mod digest;
pub mod shutdown;
pub mod telemetry;
