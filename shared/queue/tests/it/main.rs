//! Tests of the queue, the live channel and the client against real servers, which each test starts
//! for itself.

mod archive;
mod detectors;
mod fleet;
mod followers;
mod janitors;
mod live;
mod local_redis;
mod queue;
mod redis_faults;
mod set_clock;
mod temporary_objects;
mod tls;
mod topology;
