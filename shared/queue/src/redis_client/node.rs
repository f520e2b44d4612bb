//! A Redis server: pools for short commands, a connection that many callers share, and separate
//! connections for whatever blocks or subscribes.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::capabilities::{self, Capabilities};
use super::connection_pool::{self, Pool, PooledConnection, pool};
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

/// Kind of the connection that serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionKind {
    /// A pooled connection, for calls that are answered at once.
    Short,
    /// A pooled connection, for writes that are answered once they are on disk.
    Synced,
    /// The connection that callers share, for calls that are many and small.
    Shared,
}

/// Connection of a call.
pub(super) enum Connection {
    /// A connection that serves this call alone.
    Pooled(PooledConnection),
    /// A handle on the connection that callers share.
    Shared(MultiplexedConnection, SharedConnection),
}

/// Connection that is made at its first use. Handles on it are cheap.
type SharedConnection = Arc<OnceCell<MultiplexedConnection>>;

impl Connection {
    /// Returns true if an earlier call may have used the connection, so that it may have died since.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Pooled(pooled) => connection_pool::is_reused(pooled),
            Self::Shared(..) => true,
        }
    }
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Pooled(pooled) => pooled,
            Self::Shared(connection, _) => connection,
        }
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Pooled(pooled) => pooled,
            Self::Shared(connection, _) => connection,
        }
    }
}

/// A Redis server.
pub(super) struct Node {
    client: Client,
    short: Pool,
    synced: Pool,
    shared: Mutex<SharedConnection>,
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
        let shared = Mutex::default();
        Ok(Self { client: Client::open(server)?, short, synced, shared, capabilities: OnceCell::new() })
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

    /// Returns a connection for a call: from a pool, or a handle on the shared one.
    pub(super) async fn connection(&self, kind: ConnectionKind) -> RedisResult<Connection> {
        let pool = match kind {
            ConnectionKind::Short => &self.short,
            ConnectionKind::Synced => &self.synced,
            ConnectionKind::Shared => return Box::pin(self.shared()).await,
        };
        // Boxed, because this future is large and every call's future holds it.
        Box::pin(pool.get()).await.map(Connection::Pooled).map_err(fault::of_pool)
    }

    /// Returns a handle on the shared connection, and makes the connection if there is none.
    async fn shared(&self) -> RedisResult<Connection> {
        let shared = Arc::clone(&self.shared.lock().unwrap_or_else(PoisonError::into_inner));
        let config = config(RESPONSE_TIMEOUT);
        let connect = || self.client.get_multiplexed_async_connection_with_config(&config);
        // Those who wait for another caller's connection do not begin one after another when it fails.
        let slow = |_| RedisError::from((ErrorKind::Io, "no shared connection"));
        let connection = timeout(CONNECT_TIMEOUT, shared.get_or_try_init(connect)).await.map_err(slow)??.clone();
        Ok(Connection::Shared(connection, shared))
    }

    /// Gives up a connection that failed. The pools check their connections before the next use.
    pub(super) fn give_up(&self, connection: Connection) {
        for pool in [&self.short, &self.synced] {
            pool.manager().doubt();
        }
        match connection {
            Connection::Pooled(pooled) => drop(PooledConnection::take(pooled)),
            Connection::Shared(_, failed) => {
                let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                // All callers of a dead connection come here. Its successor must stay.
                if Arc::ptr_eq(&shared, &failed) {
                    *shared = SharedConnection::default();
                }
            }
        }
    }

    /// Opens a connection of the caller's own, for commands that block for up to `block`.
    pub(super) async fn blocking(&self, block: Duration) -> RedisResult<MultiplexedConnection> {
        self.client.get_multiplexed_async_connection_with_config(&config(block + RESPONSE_TIMEOUT)).await
    }

    /// Opens a connection of the caller's own, for subscriptions.
    pub(super) async fn pubsub(&self) -> RedisResult<PubSub> {
        let slow = |_| RedisError::from((ErrorKind::Io, "no answer to a subscription"));
        timeout(RESPONSE_TIMEOUT, self.client.get_async_pubsub()).await.map_err(slow)?
    }
}

fn config(response: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT)).set_response_timeout(Some(response))
}
