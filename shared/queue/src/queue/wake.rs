//! Waiting of an idle worker: BLPOP on the shards' lists of wake tokens, over connections of its
//! own. Each lane has a list, so no worker takes the token of a job that it may not run. A wait that
//! is under way is never given up while its connection stays open. A lost token costs at most
//! [`WAIT_MAX`], never a job.

use std::time::Duration;

use csm_shared::job::Lane;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::{Queue, WorkerCapacity};
use crate::redis_client::RedisFault;

/// Longest wait of one call, and longest delay of a job after a lost wake token.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(1);

/// Number of a shard, and its connection if that is still good.
type Waited = (usize, Result<MultiplexedConnection, RedisFault>);

/// Waiter with a connection of its own for each shard.
pub struct WakeListener {
    queue: Queue,
    /// Connections by shard; `None` before the first wait, after a fault, and while a wait is under
    /// way.
    connections: Vec<Option<MultiplexedConnection>>,
    idle: Vec<bool>,
    waits: JoinSet<Waited>,
}

impl Queue {
    /// Creates a waiter, which connects at its first wait.
    #[must_use]
    pub fn wake_listener(&self) -> WakeListener {
        let shards = self.shards.len();
        let connections = std::iter::repeat_with(|| None).take(shards).collect();
        WakeListener { queue: self.clone(), connections, idle: vec![true; shards], waits: JoinSet::new() }
    }
}

impl WakeListener {
    /// Returns the shard on which there may be work for a worker of this capacity, after [`WAIT_MAX`]
    /// at the latest. Waits that are under way go on until the next call, even if this call is
    /// dropped.
    pub async fn wait(&mut self, capacity: WorkerCapacity) -> Result<usize, RedisFault> {
        for shard in 0..self.connections.len() {
            if std::mem::take(&mut self.idle[shard]) {
                self.waits.spawn(wait_on(self.queue.clone(), shard, self.connections[shard].take(), capacity));
            }
        }
        match self.waits.join_next().await {
            Some(Ok((shard, waited))) => {
                self.idle[shard] = true;
                self.connections[shard] = Some(waited?);
                Ok(shard)
            }
            Some(Err(error)) => {
                // The failed wait does not tell its shard, so all begin again.
                self.waits.abort_all();
                self.waits = JoinSet::new();
                self.idle.fill(true);
                Err(RedisFault::Unavailable(error.to_string()))
            }
            None => Ok(0),
        }
    }
}

async fn wait_on(
    queue: Queue,
    shard: usize,
    connection: Option<MultiplexedConnection>,
    capacity: WorkerCapacity,
) -> Waited {
    let keys = &queue.shards[shard];
    let lanes = Lane::ALL.into_iter().filter(|lane| capacity.accepts(*lane)).map(|lane| keys.wake(lane));
    let lists: Vec<String> = std::iter::once(keys.wake_for_suspects()).chain(lanes).collect();
    let wait = async {
        let mut connection = match connection {
            Some(connection) => connection,
            None => queue.redis.blocking_connection(&keys.wake_for_suspects(), WAIT_MAX).await?,
        };
        let _token: Option<(String, String)> =
            redis::cmd("BLPOP").arg(&lists).arg(WAIT_MAX.as_secs_f64()).query_async(&mut connection).await?;
        Ok(connection)
    };
    (shard, wait.await)
}
