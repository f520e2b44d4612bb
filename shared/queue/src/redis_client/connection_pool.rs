//! Pools of connections for short commands: deadpool's, without a round trip before each use.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, RecycleResult, Timeouts};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, ErrorKind, RedisError, RedisResult};

/// Longest wait for a free pooled connection.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// Time since its last use within which a connection is handed out unchecked. An older one is
/// checked first.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// A pool of connections to one server.
pub(super) type Pool = managed::Pool<Manager>;
/// A pooled connection, which returns to its pool when dropped.
pub(super) type PooledConnection = managed::Object<Manager>;
/// Reason why there is no pooled connection.
pub(super) type PoolError = managed::PoolError<RedisError>;

/// Maker of connections. The manager also checks a connection that was not used for a while, or not
/// since another was lost.
pub(super) struct Manager {
    redis: deadpool_redis::Manager,
    /// Time at which a connection was last lost.
    lost: Mutex<Option<Instant>>,
}

impl Manager {
    /// Notes that a connection was lost: others may be, too.
    pub(super) fn doubt(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_doubtful(&self, metrics: &Metrics) -> bool {
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.last_used() >= FRESH_FOR || lost.is_some_and(|lost| metrics.recycled.unwrap_or(metrics.created) <= lost)
    }
}

impl managed::Manager for Manager {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> RedisResult<MultiplexedConnection> {
        self.redis.create().await
    }

    async fn recycle(&self, connection: &mut MultiplexedConnection, metrics: &Metrics) -> RecycleResult<RedisError> {
        if self.is_doubtful(metrics) { self.redis.recycle(connection, metrics).await } else { Ok(()) }
    }
}

/// Returns true if the connection was in its pool before, so that it may have died there.
pub(super) fn is_reused(connection: &PooledConnection) -> bool {
    PooledConnection::metrics(connection).recycle_count > 0
}

/// Creates a pool of up to `size` connections, which connects at the first use.
pub(super) fn pool(server: &ConnectionInfo, config: AsyncConnectionConfig, size: usize) -> RedisResult<Pool> {
    let redis = deadpool_redis::Manager::new_with_config(server.clone(), config)?;
    let manager = Manager { redis, lost: Mutex::default() };
    let timeouts = Timeouts { wait: Some(POOL_WAIT), create: Some(POOL_WAIT), recycle: Some(POOL_WAIT) };
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .timeouts(timeouts)
        .build()
        .map_err(|error| RedisError::from((ErrorKind::InvalidClientConfig, "connection pool", error.to_string())))
}
