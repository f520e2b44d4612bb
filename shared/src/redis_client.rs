//! The way to Redis for the queue and the live channel: one pool for short commands, and connections of their own for
//! whatever blocks or subscribes. No blocking command may run on a pooled connection.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use clap::Args;
use deadpool_redis::{Manager, Pool, PoolError, Runtime, Timeouts};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisError, ScriptInvocation};

/// Longest wait for the answer to one short command.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for a free pooled connection.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// Pooled connections of one process.
const POOL_SIZE: usize = 16;
/// Longest pause between two tries of one command.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// Tries of one command are bounded by time; this bounds their number as well.
const RETRY_TIMES_MAX: usize = 1_000;

/// Where Redis is.
#[derive(Args, Clone, Debug)]
pub struct RedisArgs {
    /// Redis or Valkey server, `redis://` or `rediss://`
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
}

/// Redis did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RedisFault {
    /// Out of reach, loading, full, or too slow; worth another try later.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
    /// Reached, and it refused: a wrong setting or a defect of ours.
    #[error("Redis refused: {0}")]
    Refused(#[source] RedisError),
}

impl RedisFault {
    /// True when the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<RedisError> for RedisFault {
    fn from(error: RedisError) -> Self {
        const PASSING: [&str; 7] = ["LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "OOM"];
        let passing = error.code().is_some_and(|code| PASSING.contains(&code));
        if passing || error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
            return Self::Unavailable(error.to_string());
        }
        Self::Refused(error)
    }
}

impl From<PoolError> for RedisFault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Cheap handle on one Redis server.
#[derive(Clone)]
pub struct RedisClient {
    client: redis::Client,
    pool: Pool,
    prefix: String,
    patience: Duration,
}

impl RedisClient {
    /// Prepares the pool; connects at the first call. `patience` is how long a failing command is tried again before the
    /// caller hears of it.
    pub fn new(args: &RedisArgs, patience: Duration) -> Result<Self, RedisFault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let manager = Manager::new_with_config(args.redis_url.as_str(), config)?;
        let timeouts = Timeouts { wait: Some(POOL_WAIT), create: Some(POOL_WAIT), recycle: Some(POOL_WAIT) };
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .build()
            .map_err(|error| RedisFault::Unavailable(error.to_string()))?;
        let client = redis::Client::open(args.redis_url.as_str())?;
        Ok(Self { client, pool, prefix: args.key_prefix.clone(), patience })
    }

    /// First part of every key.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Runs a script, trying again while Redis is unavailable and patience lasts. It must be idempotent: a try whose answer
    /// was lost may have been carried out.
    pub async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisFault> {
        self.patiently(|| self.script_once(script)).await
    }

    /// Runs a script once.
    pub async fn script_once<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisFault> {
        let mut connection = self.pool.get().await?;
        Ok(script.invoke_async(&mut connection).await?)
    }

    /// Runs a short, idempotent command, trying again like [`Self::script`].
    pub async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFault> {
        self.patiently(|| self.command_once(command)).await
    }

    /// Runs a short command once.
    pub async fn command_once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFault> {
        let mut connection = self.pool.get().await?;
        Ok(command.query_async(&mut connection).await?)
    }

    /// Runs short, idempotent commands in one round trip, trying again like [`Self::script`].
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisFault> {
        self.patiently(|| self.pipeline_once(pipeline)).await
    }

    /// Runs short commands in one round trip, once.
    pub async fn pipeline_once<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisFault> {
        let mut connection = self.pool.get().await?;
        Ok(pipeline.query_async(&mut connection).await?)
    }

    /// Tries until `attempt` succeeds, fails for good, or patience is over.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, RedisFault>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, RedisFault> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(RETRY_PAUSE_MAX)
            .with_max_times(RETRY_TIMES_MAX)
            .with_total_delay(Some(self.patience))
            .with_jitter();
        let tries = attempt.retry(backoff).when(RedisFault::is_transient);
        // Patience bounds the pauses; a server that never answers must not stretch it by the tries themselves.
        let limit = self.patience + RESPONSE_TIMEOUT;
        let silent = |_| RedisFault::Unavailable(format!("no answer within {} s", limit.as_secs()));
        tokio::time::timeout(limit, tries).await.map_err(silent)?
    }

    /// A connection of the caller's own, for commands that block for up to `block`.
    pub async fn blocking_connection(&self, block: Duration) -> Result<redis::aio::MultiplexedConnection, RedisFault> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(block + RESPONSE_TIMEOUT));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// A connection of the caller's own, for subscriptions.
    pub async fn pubsub(&self) -> Result<redis::aio::PubSub, RedisFault> {
        match tokio::time::timeout(RESPONSE_TIMEOUT, self.client.get_async_pubsub()).await {
            Ok(pubsub) => Ok(pubsub?),
            Err(_) => Err(RedisFault::Unavailable("no answer to a subscription".into())),
        }
    }

    /// Answers whether Redis does.
    pub async fn ping(&self) -> Result<(), RedisFault> {
        self.command_once(&redis::cmd("PING")).await
    }
}
