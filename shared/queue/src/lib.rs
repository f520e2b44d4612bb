//! Everything of csm-fleet that lives in Redis.
//!
//! Reading order: the client ([`redis_client`]), the job queue ([`queue`]), the events of a job ([`live`]), the search for
//! marks that a worker does for a gateway ([`detect_queue`]), and a private server for one process ([`local_redis`]).

#![forbid(unsafe_code)]

pub mod detect_queue;
pub mod live;
pub mod local_redis;
pub mod queue;
pub mod redis_client;
