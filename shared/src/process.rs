//! What every process needs: health and metrics port, logs and metric names, the end by a signal, digests.

pub mod admin;
pub mod digest;
pub mod shutdown;
pub mod telemetry;
