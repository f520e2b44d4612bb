//! Orders of an operator: pause a lane, close the intake. Both are marks that the scripts obey; no
//! job moves.

use super::{Queue, QueueError};
use csm_shared::job::Lane;

impl Queue {
    /// Pauses a lane, or lets it go on. Its running jobs are not touched, and new ones are still
    /// accepted.
    pub async fn pause(&self, lane: Lane, paused: bool) -> Result<(), QueueError> {
        self.mark(&format!("paused:{lane}"), paused).await
    }

    /// Closes the intake of new jobs, or opens it again. Waiting and running jobs go on.
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
