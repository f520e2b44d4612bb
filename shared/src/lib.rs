//! What gateway and worker both import, or the two ends of one protocol. No candle and no route lives here.
//!
//! Reading order: the words ([`audio`], [`text`], [`job`], [`prompt`]), the protocols ([`queue`], [`live`], [`store`],
//! [`watermark`]),
//! then what every process needs ([`models`], [`telemetry`], [`admin`], [`shutdown`] and smaller things).

pub mod audio;
pub mod job;
pub mod prompt;
pub mod text;

pub mod live;
pub mod queue;
pub mod store;
pub mod watermark;

pub mod detect_queue;

pub mod admin;
pub mod digest;
pub mod local_redis;
pub mod models;
pub mod redis_client;
pub mod shutdown;
pub mod telemetry;
