//! Settings of the queue in one process: shards, and bounds on what is accepted and run.

use std::time::Duration;

use clap::Args;

use csm_shared::job::Lane;

/// Settings of the queue. All processes of a fleet must agree on the number of shards, and should
/// agree on the tenants' bounds. `Default` bounds nothing; the flags' defaults are those of a fleet
/// that serves callers.
#[derive(Args, Clone, Debug)]
pub struct QueueArgs {
    /// Shards of the queue, each with its own streams: 1 on a single server, several on a Redis
    /// Cluster. The same for all processes of a fleet; change it only while the queue is empty
    #[arg(long, env = "CSM_QUEUE_SHARDS", default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=i64::from(SHARDS_MAX)))]
    pub queue_shards: u16,
    /// Jobs that one tenant may have waiting and running; further jobs are refused. 0 is no bound.
    /// With several shards each takes its part, rounded up
    #[arg(long, env = "CSM_TENANT_OPEN_MAX", default_value_t = 0, value_name = "JOBS")]
    pub tenant_open_max: u64,
    /// Jobs of one tenant that run at a time; further jobs of the tenant wait apart. 0 is no bound
    #[arg(long, env = "CSM_TENANT_RUNNING_MAX", default_value_t = 0, value_name = "JOBS")]
    pub tenant_running_max: u64,
    /// Bytes of Redis that the requests of one lane may take, of jobs that wait and run; further jobs
    /// are refused with 429. 0 is no bound. With several shards each takes its part
    #[arg(long, env = "CSM_LANE_BYTES_MAX", default_value_t = LANE_BYTES_MAX, value_name = "BYTES")]
    pub lane_bytes_max: u64,
    /// Bytes of Redis that the requests of one tenant may take, of jobs that wait and run; further
    /// jobs are refused with 429. 0 is no bound. With several shards each takes its part
    #[arg(long, env = "CSM_TENANT_BYTES_MAX", default_value_t = 0, value_name = "BYTES")]
    pub tenant_bytes_max: u64,
    /// Jobs that one tenant may create and cancel in a minute; further jobs are refused until then.
    /// A cancel counts like a job, and is never refused. 0 is no bound
    #[arg(long, env = "CSM_TENANT_RATE_MAX", default_value_t = 0, value_name = "JOBS_A_MINUTE")]
    pub tenant_rate_max: u64,
    /// Predicted wait in the live lane beyond which a job is refused with 429. 0 is no bound
    #[arg(long, env = "CSM_LIVE_WAIT_MAX_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub live_wait_max_seconds: u64,
    /// Predicted wait in the standard lane beyond which a job is refused with 429. 0 is no bound
    #[arg(long, env = "CSM_STANDARD_WAIT_MAX_SECONDS", default_value_t = 900, value_name = "SECONDS")]
    pub standard_wait_max_seconds: u64,
    /// Predicted wait in the bulk lane beyond which a job is refused with 429. 0 is no bound
    #[arg(long, env = "CSM_BULK_WAIT_MAX_SECONDS", default_value_t = 0, value_name = "SECONDS")]
    pub bulk_wait_max_seconds: u64,
}

/// Default bound on the bytes of one lane's requests. Three lanes fill three quarters of a Redis of
/// 1 GiB.
const LANE_BYTES_MAX: u64 = 256 * 1_024 * 1_024;
/// Largest number of shards.
pub const SHARDS_MAX: u16 = 64;

impl Default for QueueArgs {
    fn default() -> Self {
        Self {
            queue_shards: 1,
            tenant_open_max: 0,
            tenant_running_max: 0,
            lane_bytes_max: 0,
            tenant_bytes_max: 0,
            tenant_rate_max: 0,
            live_wait_max_seconds: 0,
            standard_wait_max_seconds: 0,
            bulk_wait_max_seconds: 0,
        }
    }
}

impl QueueArgs {
    /// Returns the longest predicted wait with which a job is accepted into a lane; zero is any.
    #[must_use]
    pub const fn wait_max(&self, lane: Lane) -> Duration {
        Duration::from_secs(match lane {
            Lane::Live => self.live_wait_max_seconds,
            Lane::Standard => self.standard_wait_max_seconds,
            Lane::Bulk => self.bulk_wait_max_seconds,
        })
    }

    /// Returns each shard's part of a bound for the fleet, rounded up.
    pub(super) fn per_shard(&self, bound: u64) -> u64 {
        bound.div_ceil(u64::from(self.queue_shards.max(1)))
    }
}
