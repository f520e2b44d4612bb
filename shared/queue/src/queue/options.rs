//! How a process uses the queue: shards, and bounds on what is taken in and run.

use std::time::Duration;

use clap::Args;

use csm_shared::job::Lane;

/// Settings of the queue. All processes of a fleet must agree on the number of shards, and should on the tenants' bounds.
/// The default bounds nothing; the flags' defaults are those of a fleet that serves callers.
#[derive(Args, Clone, Debug)]
pub struct QueueArgs {
    /// Shards of the queue, each with streams and scripts of its own: 1 on a single server, several on a Redis Cluster.
    /// The same for all processes of a fleet; change it only while the queue is empty
    #[arg(long, env = "CSM_QUEUE_SHARDS", default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(SHARDS_MAX)))]
    pub queue_shards: u16,
    /// Jobs that one tenant may have waiting and running; beyond it new ones are refused. 0 is no bound; with several
    /// shards each takes its part, rounded up
    #[arg(long, env = "CSM_TENANT_OPEN_MAX", default_value_t = 0, value_name = "JOBS")]
    pub tenant_open_max: u64,
    /// Jobs of one tenant that run at a time; others of it wait apart. 0 is no bound
    #[arg(long, env = "CSM_TENANT_RUNNING_MAX", default_value_t = 0, value_name = "JOBS")]
    pub tenant_running_max: u64,
    /// Predicted wait in the live lane beyond which a job is refused with 429. 0 is no bound
    #[arg(long, env = "CSM_LIVE_WAIT_MAX_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub live_wait_max_seconds: u64,
    /// The same for the standard lane
    #[arg(long, env = "CSM_STANDARD_WAIT_MAX_SECONDS", default_value_t = 900, value_name = "SECONDS")]
    pub standard_wait_max_seconds: u64,
    /// The same for the bulk lane
    #[arg(long, env = "CSM_BULK_WAIT_MAX_SECONDS", default_value_t = 0, value_name = "SECONDS")]
    pub bulk_wait_max_seconds: u64,
}

/// Most shards.
pub const SHARDS_MAX: u16 = 64;

impl Default for QueueArgs {
    fn default() -> Self {
        Self {
            queue_shards: 1,
            tenant_open_max: 0,
            tenant_running_max: 0,
            live_wait_max_seconds: 0,
            standard_wait_max_seconds: 0,
            bulk_wait_max_seconds: 0,
        }
    }
}

impl QueueArgs {
    /// Longest predicted wait with which a job is taken into a lane; zero is any.
    #[must_use]
    pub const fn wait_max(&self, lane: Lane) -> Duration {
        Duration::from_secs(match lane {
            Lane::Live => self.live_wait_max_seconds,
            Lane::Standard => self.standard_wait_max_seconds,
            Lane::Bulk => self.bulk_wait_max_seconds,
        })
    }

    /// A bound for the fleet as each shard sees it.
    pub(super) fn per_shard(&self, bound: u64) -> u64 {
        bound.div_ceil(u64::from(self.queue_shards.max(1)))
    }
}
