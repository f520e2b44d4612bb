//! The shared crate against real parts: an S3 protocol server in this process, and child processes.

mod child;
mod fleet;
mod live;
mod local_redis;
mod models;
mod queue;
mod redis_faults;
mod s3_server;
mod shutdown;
mod store;
mod topology;
