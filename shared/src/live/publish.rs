//! The writing side.

use redis::RedisError;

use super::{EVENTS_MAX, EVENTS_TTL_MS, Event, EventId, Live, stream_key, wake_channel};
use crate::job::{JobId, JobRecord};
use crate::redis_client::RedisFault;

impl Live {
    /// Writes one event. Writing the same id twice, or one below the last, changes nothing and is no error: it is what a
    /// repeated try, or a worker that lost its lease, would do.
    pub async fn publish(&self, job: &JobId, id: EventId, event: &Event) -> Result<(), RedisFault> {
        let (stream, channel) = (stream_key(self.redis.prefix(), job), wake_channel(self.redis.prefix(), job));
        let body = serde_json::to_string(event).map_err(|error| RedisFault::Unavailable(error.to_string()))?;
        let mut add = redis::cmd("XADD");
        add.arg(&stream).arg("MAXLEN").arg("~").arg(EVENTS_MAX).arg(id.to_string()).arg("event").arg(body);
        match self.redis.command::<String>(&add).await {
            Ok(_) => {}
            Err(RedisFault::Refused(error)) if is_not_above_last(&error) => return Ok(()),
            Err(fault) => return Err(fault),
        }
        let mut tell = redis::pipe();
        tell.cmd("PEXPIRE").arg(&stream).arg(EVENTS_TTL_MS).ignore();
        tell.cmd("PUBLISH").arg(&channel).arg(id.to_string()).ignore();
        self.redis.pipeline(&tell).await
    }

    /// Writes the terminal event of a job that has ended; does nothing for one that has not.
    pub async fn announce_end(&self, record: &JobRecord) -> Result<(), RedisFault> {
        match Event::of_end(record) {
            Some(event) => self.publish(&record.id, EventId::terminal(record.attempt), &event).await,
            None => Ok(()),
        }
    }
}

/// Redis' answer to an id that is equal to or smaller than the stream's last.
fn is_not_above_last(error: &RedisError) -> bool {
    error.to_string().contains("equal or smaller than the target stream top item")
}
