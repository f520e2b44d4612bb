//! The parts of csm-fleet that use Redis.
//!
//! Reading order:
//!
//! - [`redis_client`]: the client.
//! - [`queue`]: the job queue.
//! - [`live`]: the events of a job.
//! - [`detect_queue`]: the search for watermarks that a worker does for a gateway.
//! - [`temporary_objects`]: objects of the store that are removed at a time.
//! - [`batches`]: records of files and batches, and who feeds a batch.
//! - [`local_redis`]: a private server for one process.

#![forbid(unsafe_code)]

pub mod batches;
pub mod detect_queue;
pub mod janitor;
pub mod live;
pub mod local_redis;
pub mod queue;
pub mod redis_client;
pub mod temporary_objects;
