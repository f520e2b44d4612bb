//! The Redis client of the queue and the live channel. Short commands share pools. Live events, many
//! and small, share one connection. Whatever blocks or subscribes gets a connection of its own: no
//! blocking command may run on a pooled or shared one.
//!
//! The client covers three topologies: a single server, the master that sentinels name, and the
//! nodes of a cluster. A call settles on the server that owns its first key ([`routing`]); all its
//! keys must be of one slot. The meaning of a fault is decided in one place ([`fault`]). The table
//! of faults, with what callers of the gateway see, is `docs/redis.md`.

mod address;
mod capabilities;
mod cluster;
mod connection_pool;
mod fault;
mod fsync;
mod key_slot;
mod node;
mod routing;
mod tls;
mod topology;

pub use capabilities::Capabilities;
pub use fault::RedisFault;
pub use tls::RedisTlsArgs;

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use clap::Args;
use futures::future::join_all;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{Cmd, FromRedisValue, Pipeline, ScriptInvocation};

use node::{ConnectionKind, Node, RESPONSE_TIMEOUT};
use routing::RoutedConnection;
use topology::Topology;

/// Longest pause between two tries of one command.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// Largest number of tries of one command, which time bounds as well.
const RETRY_TIMES_MAX: usize = 1_000;

/// Address of Redis, the prefix of all keys, and certificates.
#[derive(Args, Clone, Debug)]
pub struct RedisArgs {
    /// URL of Redis or Valkey: `redis://host:port`, `redis+sentinel://host:port,host:port/master`
    /// or `redis+cluster://host:port,host:port`; `rediss` for TLS
    #[arg(
        long,
        env = "CSM_REDIS_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379",
        value_name = "URL"
    )]
    pub redis_url: String,
    /// First part of every key, so that several fleets can share a server
    #[arg(long, env = "CSM_KEY_PREFIX", default_value = "csm", value_name = "NAME")]
    pub key_prefix: String,
    /// Certificates for TLS.
    #[command(flatten)]
    pub tls: RedisTlsArgs,
}

impl RedisArgs {
    /// Returns the arguments for a server whose certificate, if any, comes from an authority of the
    /// system.
    #[must_use]
    pub fn new(redis_url: impl Into<String>, key_prefix: impl Into<String>) -> Self {
        Self { redis_url: redis_url.into(), key_prefix: key_prefix.into(), tls: RedisTlsArgs::default() }
    }
}

/// Cheap handle on Redis.
#[derive(Clone)]
pub struct RedisClient {
    topology: Arc<Topology>,
    prefix: String,
    patience: Duration,
}

impl RedisClient {
    /// Prepares the client, which connects at the first call. `patience` is how long a failing
    /// command is tried again before the caller gets the fault.
    pub fn new(args: &RedisArgs, patience: Duration) -> Result<Self, RedisFault> {
        let topology = Arc::new(Topology::new(args)?);
        Ok(Self { topology, prefix: args.key_prefix.clone(), patience })
    }

    /// Returns the first part of every key.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Runs a script, trying again while Redis is unavailable and patience lasts. The script must
    /// be idempotent: a try whose answer was lost may have been carried out.
    pub async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisFault> {
        self.patiently(|| self.script_once(script)).await
    }

    /// Runs a script once.
    pub async fn script_once<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisFault> {
        self.script_over(script, ConnectionKind::Short).await
    }

    /// Runs a small script once, over the connection that callers share. Scripts that come together
    /// travel together, which costs this process and Redis less.
    pub async fn shared_script_once<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisFault> {
        self.script_over(script, ConnectionKind::Shared).await
    }

    async fn script_over<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        kind: ConnectionKind,
    ) -> Result<T, RedisFault> {
        let mut routed = RoutedConnection::new(&self.topology, kind);
        let outcome = script.invoke_async(&mut routed).await;
        routed.end(outcome)
    }

    /// Runs a short, idempotent command, trying again like [`Self::script`].
    pub async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFault> {
        self.patiently(|| self.command_once(command)).await
    }

    /// Runs a short command once. A command without a key goes to any node of a cluster.
    pub async fn command_once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFault> {
        self.command_over(command, ConnectionKind::Short).await
    }

    /// Runs a small command like [`Self::command`], over the connection that callers share.
    pub async fn shared_command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFault> {
        self.patiently(|| self.command_over(command, ConnectionKind::Shared)).await
    }

    async fn command_over<T: FromRedisValue>(&self, command: &Cmd, kind: ConnectionKind) -> Result<T, RedisFault> {
        let mut routed = RoutedConnection::new(&self.topology, kind);
        let outcome = command.query_async(&mut routed).await;
        routed.end(outcome)
    }

    /// Runs short, idempotent commands in one round trip, trying again like [`Self::script`]. Their
    /// keys must be of one slot.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisFault> {
        self.patiently(|| self.pipeline_once(pipeline)).await
    }

    /// Runs short commands in one round trip, once. Their keys must be of one slot.
    pub async fn pipeline_once<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisFault> {
        let mut routed = RoutedConnection::new(&self.topology, ConnectionKind::Short);
        let outcome = pipeline.query_async(&mut routed).await;
        routed.end(outcome)
    }

    /// Tries until `attempt` succeeds, fails for good, or patience is over.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, RedisFault>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, RedisFault> {
        self.patiently_for(RESPONSE_TIMEOUT, attempt).await
    }

    /// Tries like [`Self::patiently`], for an attempt that may rightly take up to `one_try`.
    async fn patiently_for<T, F: Future<Output = Result<T, RedisFault>>>(
        &self,
        one_try: Duration,
        attempt: impl FnMut() -> F,
    ) -> Result<T, RedisFault> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(RETRY_PAUSE_MAX)
            .with_max_times(RETRY_TIMES_MAX)
            .with_total_delay(Some(self.patience))
            .with_jitter();
        let tries = attempt.retry(backoff).when(RedisFault::is_transient);
        // Patience bounds only the pauses. The limit also bounds the tries at a server that never
        // answers.
        let limit = self.patience + one_try;
        let silent = |_| RedisFault::Unavailable(format!("no answer within {} s", limit.as_secs()));
        tokio::time::timeout(limit, tries).await.map_err(silent)?
    }

    /// Opens a connection of the caller's own to the server that owns `key`, for commands on it
    /// that block for up to `block`.
    pub async fn blocking_connection(&self, key: &str, block: Duration) -> Result<MultiplexedConnection, RedisFault> {
        let node = self.topology.node_anew(Some(key_slot::of_key(key.as_bytes()))).await?;
        Ok(node.blocking(block).await?)
    }

    /// Opens a connection of the caller's own, for subscriptions. In a cluster any node passes on
    /// what is published on another.
    pub async fn pubsub(&self) -> Result<PubSub, RedisFault> {
        let node = self.topology.node_anew(None).await?;
        Ok(node.pubsub().await?)
    }

    /// Logs what the server is, and each of its settings that can lose jobs. To be called once
    /// Redis answers.
    pub async fn log_server(&self) {
        if let Ok(server) = self.capabilities().await {
            tracing::info!(%server, "connected to Redis");
        }
        for advice in self.advice().await {
            tracing::warn!("{advice}");
        }
    }

    /// Checks that Redis answers.
    pub async fn ping(&self) -> Result<(), RedisFault> {
        self.command_once(&redis::cmd("PING")).await
    }

    /// Returns what the server is and can do. Each server is asked once; any node of a cluster
    /// answers for all.
    pub async fn capabilities(&self) -> Result<Capabilities, RedisFault> {
        let node = self.topology.node(None).await?;
        let mut connection = node.connection(ConnectionKind::Short).await?;
        Ok(node.capabilities(&mut connection).await?.clone())
    }

    /// Returns a line for each setting that could lose jobs, of the server or of each master of a
    /// cluster. A server whose settings cannot be read also gets a line. No line means that nothing
    /// needs attention.
    pub async fn advice(&self) -> Vec<String> {
        let nodes = match self.topology.nodes().await {
            Ok(nodes) => nodes,
            Err(error) => return vec![format!("the settings of Redis were not checked: {error}")],
        };
        let look =
            async |node: &Node| capabilities::settings(&mut *node.connection(ConnectionKind::Short).await?).await;
        let advice = join_all(nodes.iter().map(async |node| (node.name(), look(node).await))).await;
        let mut lines = Vec::new();
        for (name, settings) in advice {
            let said = match settings {
                Ok(settings) => settings.advice(matches!(*self.topology, Topology::Single(_))),
                Err(error) => vec![format!("its settings were not checked: {error}")],
            };
            lines.extend(said.into_iter().map(|line| format!("Redis {name}: {line}")));
        }
        lines
    }
}
