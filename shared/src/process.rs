//! Parts that every process needs: connections of a port, health and metrics port, logs and metric
//! names, figures of the process, limits of open files, runtime, shutdown by signals, digests,
//! errors as text.

pub mod admin;
pub mod connections;
pub mod descriptors;
pub mod digest;
pub mod error_chain;
pub mod figures;
pub mod runtime;
pub mod shutdown;
pub mod telemetry;
