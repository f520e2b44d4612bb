//! How an idle worker waits: BLPOP on the shards' lists of wake tokens, over connections of its own; a wait ends with its
//! connection, never before.
//! A lost token costs at most [`WAIT_MAX`], never a job.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::Queue;
use crate::redis_client::RedisFault;

/// Longest wait of one call; also the longest that a lost wake token can delay a job.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(1);

/// A shard's place, and its connection if that is still good.
type Waited = (usize, Result<MultiplexedConnection, RedisFault>);

/// One waiter with connections of its own, one for each shard.
pub struct WakeListener {
    queue: Queue,
    /// By shard; `None` before the first wait, after a fault, and while a wait is under way.
    connections: Vec<Option<MultiplexedConnection>>,
    idle: Vec<bool>,
    waits: JoinSet<Waited>,
}

impl Queue {
    /// A waiter; connects at its first wait.
    #[must_use]
    pub fn wake_listener(&self) -> WakeListener {
        let shards = self.shards.len();
        let connections = std::iter::repeat_with(|| None).take(shards).collect();
        WakeListener { queue: self.clone(), connections, idle: vec![true; shards], waits: JoinSet::new() }
    }
}

impl WakeListener {
    /// Returns when there may be work, and on which shard, after [`WAIT_MAX`] at the latest. Waits that are under
    /// way go on until the next call, also when this one is dropped.
    pub async fn wait(&mut self) -> Result<usize, RedisFault> {
        for shard in 0..self.connections.len() {
            if std::mem::take(&mut self.idle[shard]) {
                self.waits.spawn(wait_on(self.queue.clone(), shard, self.connections[shard].take()));
            }
        }
        match self.waits.join_next().await {
            Some(Ok((shard, waited))) => {
                self.idle[shard] = true;
                self.connections[shard] = Some(waited?);
                Ok(shard)
            }
            Some(Err(error)) => {
                // Which shard's it was is not known; all begin anew.
                self.waits.abort_all();
                self.waits = JoinSet::new();
                self.idle.fill(true);
                Err(RedisFault::Unavailable(error.to_string()))
            }
            None => Ok(0),
        }
    }
}

async fn wait_on(queue: Queue, shard: usize, connection: Option<MultiplexedConnection>) -> Waited {
    let wait = async {
        let mut connection = match connection {
            Some(connection) => connection,
            None => queue.redis.blocking_connection(&queue.shards[shard].wake(), WAIT_MAX).await?,
        };
        let _token: Option<(String, String)> = redis::cmd("BLPOP")
            .arg(queue.shards[shard].wake())
            .arg(WAIT_MAX.as_secs_f64())
            .query_async(&mut connection)
            .await?;
        Ok(connection)
    };
    (shard, wait.await)
}
