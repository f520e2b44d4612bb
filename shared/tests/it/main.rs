//! Tests of the shared crate against real parts: an S3 protocol server in this process, a model
//! hub, and signals.

mod models;
mod shutdown;
mod store;
