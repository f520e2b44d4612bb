//! An operator's orders: hold a lane back, take nothing in. Both are marks that the scripts obey; no job moves.

use super::{Queue, QueueError};
use csm_shared::job::Lane;

impl Queue {
    /// Holds a lane back, or lets it go on. Its running jobs are not touched, and new ones are still taken in.
    pub async fn pause(&self, lane: Lane, paused: bool) -> Result<(), QueueError> {
        self.mark(&format!("paused:{lane}"), paused).await
    }

    /// Takes no new jobs in, or does so again. What waits and runs goes on.
    pub async fn close(&self, closed: bool) -> Result<(), QueueError> {
        self.mark("closed", closed).await
    }

    async fn mark(&self, name: &str, set: bool) -> Result<(), QueueError> {
        for keys in &*self.shards {
            let mut command = redis::cmd(if set { "HSET" } else { "HDEL" });
            command.arg(keys.counters()).arg(name);
            if set {
                command.arg(1);
            }
            self.redis.command::<u64>(&command).await?;
        }
        Ok(())
    }
}
