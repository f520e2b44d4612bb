//! Parts that every process needs: health and metrics port, logs and metric names, standard output
//! and error, the pace of repeated log lines, secrets among the settings, shutdown by signals,
//! digests.

pub mod admin;
pub mod digest;
pub mod log_queue;
pub mod outage_log;
pub mod output;
pub mod program;
pub mod secrets;
pub mod shutdown;
pub mod telemetry;
