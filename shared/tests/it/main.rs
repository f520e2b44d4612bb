//! Tests of the shared crate against real parts: connections, an S3 protocol server, a model
//! hub, and signals.

mod connections;
mod models;
mod shutdown;
mod store;
