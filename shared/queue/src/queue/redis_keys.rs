//! Names of the queue's keys. Only `prelude.lua` spells them as well, from the same root. All keys
//! of one shard share a hash tag, so that a script may touch several of them on a Redis Cluster.

use csm_shared::job::{JobId, Lane};

/// Name of the stream of suspects: jobs that run again with nothing beside them.
pub(super) const SUSPECTS: &str = "suspects";

/// Key names of one shard under one prefix.
#[derive(Clone, Debug)]
pub struct RedisKeys {
    root: String,
}

impl RedisKeys {
    /// Creates the names of shard `shard` under `prefix`.
    #[must_use]
    pub fn new(prefix: &str, shard: u16) -> Self {
        Self { root: format!("{prefix}:{{q{shard}}}:") }
    }

    /// Returns the beginning of every key of the shard. Scripts get it as their one key, and build
    /// the others from it.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    /// Returns the work stream of a lane: one entry per waiting or running job.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> String {
        self.key(&format!("s:{lane}"))
    }

    /// Returns the work stream of suspects.
    #[must_use]
    pub fn suspects(&self) -> String {
        self.key(&format!("s:{SUSPECTS}"))
    }

    /// Returns the hash of a job: its record and payload.
    #[must_use]
    pub fn job(&self, id: &JobId) -> String {
        self.key(&format!("job:{id}"))
    }

    /// Returns the pub/sub channel that makes a running job's worker send a heartbeat at once,
    /// because the job was cancelled.
    #[must_use]
    pub fn cancel_channel(&self, id: &JobId) -> String {
        format!("{}:cancel", self.job(id))
    }

    /// Returns the sorted set of retries, by the time they are due (ms).
    #[must_use]
    pub fn delayed(&self) -> String {
        self.key("delayed")
    }

    /// Returns the sorted set of running jobs, by the end of their lease (ms).
    #[must_use]
    pub fn leases(&self) -> String {
        self.key("leases")
    }

    /// Returns the set of jobs without a final state.
    #[must_use]
    pub fn open(&self) -> String {
        self.key("open")
    }

    /// Returns the sorted set of queued jobs that expire, by the time they do (ms).
    #[must_use]
    pub fn deadlines(&self) -> String {
        self.key("deadlines")
    }

    /// Returns the list of wake tokens of a lane, on which idle workers that serve the lane block.
    #[must_use]
    pub fn wake(&self, lane: Lane) -> String {
        self.key(&format!("wake:{lane}"))
    }

    /// Returns the list of wake tokens of suspects, on which all idle workers block.
    #[must_use]
    pub fn wake_for_suspects(&self) -> String {
        self.key(&format!("wake:{SUSPECTS}"))
    }

    /// Returns the stream of dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        self.key("dlq")
    }

    /// Returns the list of the last ends of jobs, newest first.
    #[must_use]
    pub fn last_ends(&self) -> String {
        self.key("last_ends")
    }

    /// Returns the hash of the shard's counters: see `prelude.lua`.
    #[must_use]
    pub fn counters(&self) -> String {
        self.key("book")
    }

    /// Returns the hash that counts open and running jobs by tenant.
    #[must_use]
    pub fn tenants(&self) -> String {
        self.key("tenants")
    }

    /// Returns the hash of the workers' reports and last claims.
    #[must_use]
    pub fn workers(&self) -> String {
        self.key("workers")
    }

    /// Returns the sorted set of workers, by the time their last report expires (ms).
    #[must_use]
    pub fn alive(&self) -> String {
        self.key("alive")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_shard_share_one_hash_tag() {
        let keys = RedisKeys::new("csm", 3);
        assert_eq!(keys.root(), "csm:{q3}:");
        assert_eq!(keys.lane(Lane::Live), "csm:{q3}:s:live");
        assert_eq!(RedisKeys::new("csm", 0).leases(), "csm:{q0}:leases");
    }

    #[test]
    fn the_prelude_spells_the_same_names() {
        let prelude = include_str!("lua/prelude.lua");
        let keys = RedisKeys::new("csm", 0);
        let names = [
            keys.delayed(),
            keys.leases(),
            keys.open(),
            keys.deadlines(),
            keys.dead_letters(),
            keys.last_ends(),
            keys.counters(),
            keys.tenants(),
            keys.workers(),
            keys.alive(),
        ];
        for name in names {
            let name = name.strip_prefix(keys.root()).expect("under the root");
            assert!(prelude.contains(&format!("ROOT .. '{name}'")), "{name}");
        }
        assert!(prelude.contains("WAKE, DLQ, BOOK, TENANTS = ROOT .. 'wake:',"));
        assert_eq!([keys.wake(Lane::Bulk), keys.wake_for_suspects()], ["csm:{q0}:wake:bulk", "csm:{q0}:wake:suspects"]);
        assert!(prelude.contains("STREAM, JOB = ROOT .. 's:', ROOT .. 'job:'"));
        assert!(prelude.contains(&format!("SUSPECTS = '{SUSPECTS}'")));
        let weights = Lane::ALL.map(|lane| format!("{lane} = {}", lane.weight())).join(", ");
        assert!(prelude.contains(&format!("WEIGHT = {{ {weights} }}")));
    }
}
