//! How an idle worker waits: BLPOP on the list of wake tokens, over a connection of its own that is never cancelled. A lost
//! token costs at most [`WAIT_MAX`], never a job.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::Queue;
use crate::redis_client::RedisFault;

/// Longest wait of one call; also the longest that a lost wake token can delay a job.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(1);

/// One waiter with its own connection.
pub struct WakeListener {
    queue: Queue,
    connection: Option<MultiplexedConnection>,
}

impl Queue {
    /// A waiter; connects at its first wait.
    #[must_use]
    pub fn wake_listener(&self) -> WakeListener {
        WakeListener { queue: self.clone(), connection: None }
    }
}

impl WakeListener {
    /// Returns when there may be work, after [`WAIT_MAX`] at the latest. Must not be dropped half way: run it to its end.
    pub async fn wait(&mut self) -> Result<(), RedisFault> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.queue.redis.blocking_connection(WAIT_MAX).await?,
        };
        let _token: Option<(String, String)> = redis::cmd("BLPOP")
            .arg(self.queue.keys.wake())
            .arg(WAIT_MAX.as_secs_f64())
            .query_async(&mut connection)
            .await?;
        self.connection = Some(connection);
        Ok(())
    }
}
