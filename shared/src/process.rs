//! Parts that every process needs: connections of a port, health and metrics port, logs and metric
//! names, standard output and error, the pace of repeated log lines, secrets among the settings,
//! figures of the process, limits of open files, runtime, shutdown by signals, digests, errors as
//! text.

pub mod admin;
pub mod connections;
pub mod descriptors;
pub mod digest;
pub mod error_chain;
pub mod figures;
pub mod log_queue;
pub mod outage_log;
pub mod output;
pub mod program;
pub mod runtime;
pub mod secrets;
pub mod shutdown;
pub mod telemetry;
pub mod traces;
