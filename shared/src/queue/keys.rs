//! The only place that spells a key of the queue. All keys of one shard share a hash tag, so that scripts may touch
//! several of them on a Redis Cluster.

use crate::job::{JobId, Lane};

/// The one shard there is so far.
const SHARD: &str = "{q0}";

/// Key names under one prefix.
#[derive(Clone, Debug)]
pub struct Keys {
    root: String,
}

impl Keys {
    /// Names under `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { root: format!("{prefix}:{SHARD}") }
    }

    /// Work stream of a lane: one entry per waiting or running job.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> String {
        format!("{}:s:{lane}", self.root)
    }

    /// Hash of a job: its record and payload.
    #[must_use]
    pub fn job(&self, id: &JobId) -> String {
        format!("{}{id}", self.job_prefix())
    }

    /// Pub/sub channel that tells a running job's worker to beat at once, since the caller has called the job off.
    #[must_use]
    pub fn cancel_channel(&self, id: &JobId) -> String {
        format!("{}:cancel", self.job(id))
    }

    /// What every job's hash begins with.
    #[must_use]
    pub fn job_prefix(&self) -> String {
        format!("{}:job:", self.root)
    }

    /// Sorted set of retries, by the time they are due (ms).
    #[must_use]
    pub fn delayed(&self) -> String {
        format!("{}:delayed", self.root)
    }

    /// Sorted set of running jobs, by the end of their lease (ms).
    #[must_use]
    pub fn leases(&self) -> String {
        format!("{}:leases", self.root)
    }

    /// List of wake tokens that idle workers block on.
    #[must_use]
    pub fn wake(&self) -> String {
        format!("{}:wake", self.root)
    }

    /// The keys every script is called with, in the order that `prelude.lua` names them.
    #[must_use]
    pub fn for_scripts(&self) -> [String; 7] {
        let [live, standard, bulk] = Lane::ALL.map(|lane| self.lane(lane));
        [self.delayed(), self.leases(), self.wake(), live, standard, bulk, self.job_prefix()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_the_shard_share_one_hash_tag() {
        let keys = Keys::new("csm");
        assert!(keys.for_scripts().iter().all(|key| key.starts_with("csm:{q0}:")));
        assert_eq!(keys.lane(Lane::Live), "csm:{q0}:s:live");
    }
}
