//! The worker's side: take one job, with a lease on it.

use std::time::Duration;

use super::janitor::PROMOTE_LIMIT;
use super::lease::{Lease, Owner};
use super::{LEASE, Queue, QueueError};
use crate::job::{Failure, FailureClass, wire};

/// Entries of called-off jobs that one run of the script may clear away, so that no run takes long.
const SCAN_LIMIT: u32 = 64;

impl Queue {
    /// Takes the most urgent waiting job, if there is one. Never waits. A job whose payload cannot be read is failed here,
    /// since no worker could do better.
    ///
    /// Should the answer be lost on the way, the job's lease runs out and a reaper puts it back.
    pub async fn claim(&self, owner: &Owner) -> Result<Option<Lease>, QueueError> {
        let mut script = self.scripts.claim.key(self.keys.for_scripts().as_slice());
        script.arg(owner.as_str()).arg(LEASE.as_millis() as u64).arg(SCAN_LIMIT).arg(PROMOTE_LIMIT);
        let (id, attempt, payload, waited_ms) = loop {
            let claimed: Option<(String, u64, Option<String>, u64)> = self.redis.script_once(&script).await?;
            match claimed {
                None => return Ok(None),
                // Nothing but called-off jobs so far. Each round clears some away, so the loop ends.
                Some((id, ..)) if id.is_empty() => {}
                Some(claimed) => break claimed,
            }
        };
        let id = id.parse().map_err(|_| QueueError::Corrupt(format!("job id {id:?}")))?;
        let lease = Lease::new(self.clone(), id, owner.clone(), attempt);
        match wire::decode(&payload.unwrap_or_default()) {
            Ok(spec) => Ok(Some(lease.with_spec(spec, Duration::from_millis(waited_ms)))),
            Err(error) => {
                tracing::error!(job = %id, error = %error, "job payload is unreadable; failing the job");
                lease.fail(&Failure::new(FailureClass::Invalid, error.to_string())).await?;
                Err(error.into())
            }
        }
    }
}
