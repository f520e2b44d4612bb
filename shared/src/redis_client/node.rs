//! One server: its pool for short commands, and connections beside the pool for whatever blocks or subscribes.

use std::time::Duration;

use deadpool_redis::{Connection, Manager, Pool, Runtime, Timeouts};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult};
use tokio::sync::OnceCell;

use super::capabilities::Capabilities;
use super::fault;

/// Longest wait for the answer to one short command.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for a free pooled connection.
pub(super) const POOL_WAIT: Duration = Duration::from_secs(5);
/// Pooled connections of one process to one server.
const POOL_SIZE: usize = 16;

/// One server.
pub(super) struct Node {
    client: Client,
    pool: Pool,
    /// What it can do, once asked.
    pub(super) capabilities: OnceCell<Capabilities>,
}

impl Node {
    /// Prepares the pool; connects at the first use.
    pub(super) fn new(server: &ConnectionInfo) -> RedisResult<Self> {
        let manager = Manager::new_with_config(server.clone(), config(RESPONSE_TIMEOUT))?;
        let timeouts = Timeouts { wait: Some(POOL_WAIT), create: Some(POOL_WAIT), recycle: Some(POOL_WAIT) };
        let pool =
            Pool::builder(manager).max_size(POOL_SIZE).runtime(Runtime::Tokio1).timeouts(timeouts).build().map_err(
                |error| RedisError::from((ErrorKind::InvalidClientConfig, "connection pool", error.to_string())),
            )?;
        Ok(Self { client: Client::open(server.clone())?, pool, capabilities: OnceCell::new() })
    }

    /// `host:port`.
    pub(super) fn name(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// The host's name or address.
    pub(super) fn host(&self) -> &str {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "localhost",
        }
    }

    /// A pooled connection.
    pub(super) async fn connection(&self) -> RedisResult<Connection> {
        self.pool.get().await.map_err(fault::of_pool)
    }

    /// A connection of the caller's own, for commands that block for up to `block`.
    pub(super) async fn blocking(&self, block: Duration) -> RedisResult<MultiplexedConnection> {
        self.client.get_multiplexed_async_connection_with_config(&config(block + RESPONSE_TIMEOUT)).await
    }

    /// A connection of the caller's own, for subscriptions.
    pub(super) async fn pubsub(&self) -> RedisResult<PubSub> {
        let slow = |_| RedisError::from((ErrorKind::Io, "no answer to a subscription"));
        tokio::time::timeout(RESPONSE_TIMEOUT, self.client.get_async_pubsub()).await.map_err(slow)?
    }
}

fn config(response: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(Some(response))
}
