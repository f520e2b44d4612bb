//! Orders of an operator: pause a lane, close the intake. Both are marks that the scripts obey; no
//! job moves. They are the remedy for a full Redis, so they need no memory of it.

use super::script::call;
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
            let mut script = call(&self.scripts.mark, keys);
            script.arg(name).arg(u8::from(set));
            self.redis.script::<u64>(&script).await?;
        }
        Ok(())
    }
}
