//! Parts that every process needs: health and metrics port, logs and metric names, figures of the
//! process, limits of open files, shutdown by signals, digests, errors as text.

pub mod admin;
pub mod descriptors;
pub mod digest;
pub mod error_chain;
pub mod figures;
pub mod shutdown;
pub mod telemetry;
