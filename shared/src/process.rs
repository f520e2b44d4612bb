//! Parts that every process needs: connections of a port, health and metrics port, logs and metric
//! names, shutdown by signals, digests.

pub mod admin;
pub mod connections;
pub mod digest;
pub mod runtime;
pub mod shutdown;
pub mod telemetry;
