//! A Redis server: pools for short commands, and separate connections for whatever blocks or
//! subscribes.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult};
use tokio::sync::OnceCell;

use super::capabilities::{self, Capabilities};
use super::connection_pool::{Connection, Pool, pool};
use super::fault;

/// Longest search for the server in charge.
pub(super) const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// Longest wait for the answer to one short command.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pooled connections of one process to one server, for calls that are answered at once.
const POOL_SIZE: usize = 16;
/// Pooled connections for writes that wait for the server's disk, up to two seconds each. Such
/// writes must not keep other calls waiting.
const SYNCED_POOL_SIZE: usize = 64;
/// TCP keepalive: the silence after which the system probes the other end, and the interval of its
/// probes.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(5));

/// Kind of the pool that serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolKind {
    /// Calls that are answered at once.
    Short,
    /// Writes that are answered once they are on disk.
    Synced,
}

/// A Redis server.
pub(super) struct Node {
    client: Client,
    short: Pool,
    synced: Pool,
    /// Capabilities of the server, once it was asked.
    capabilities: OnceCell<Capabilities>,
}

impl Node {
    /// Prepares the pools; connects at the first use.
    pub(super) fn new(server: &ConnectionInfo) -> RedisResult<Self> {
        // Without `nodelay` an event of several segments would wait for the acknowledgement of its
        // first.
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(KEEPALIVE);
        let server = server.clone().set_tcp_settings(tcp);
        let short = pool(&server, config(RESPONSE_TIMEOUT), POOL_SIZE)?;
        let synced = pool(&server, config(RESPONSE_TIMEOUT), SYNCED_POOL_SIZE)?;
        Ok(Self { client: Client::open(server)?, short, synced, capabilities: OnceCell::new() })
    }

    /// Returns `host:port`.
    pub(super) fn name(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// Returns the host's name or address.
    pub(super) fn host(&self) -> &str {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "localhost",
        }
    }

    /// Returns what the server is and can do. The server is asked once, over a connection to it.
    pub(super) async fn capabilities(&self, connection: &mut MultiplexedConnection) -> RedisResult<&Capabilities> {
        self.capabilities.get_or_try_init(|| capabilities::probe(connection)).await
    }

    /// Takes a connection from a pool.
    pub(super) async fn connection(&self, kind: PoolKind) -> RedisResult<Connection> {
        let pool = match kind {
            PoolKind::Short => &self.short,
            PoolKind::Synced => &self.synced,
        };
        // Boxed, because this future is large and every call's future holds it.
        Box::pin(pool.get()).await.map_err(fault::of_pool)
    }

    /// Makes the pools check their connections before the next use, because one was lost.
    pub(super) fn doubt(&self) {
        for pool in [&self.short, &self.synced] {
            pool.manager().doubt();
        }
    }

    /// Opens a connection of the caller's own, for commands that block for up to `block`.
    pub(super) async fn blocking(&self, block: Duration) -> RedisResult<MultiplexedConnection> {
        self.client.get_multiplexed_async_connection_with_config(&config(block + RESPONSE_TIMEOUT)).await
    }

    /// Opens a connection of the caller's own, for subscriptions.
    pub(super) async fn pubsub(&self) -> RedisResult<PubSub> {
        let slow = |_| RedisError::from((ErrorKind::Io, "no answer to a subscription"));
        tokio::time::timeout(RESPONSE_TIMEOUT, self.client.get_async_pubsub()).await.map_err(slow)?
    }
}

fn config(response: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(Some(response))
}
