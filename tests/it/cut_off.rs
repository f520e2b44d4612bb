//! Jobs that a kill of their worker cuts off, for the tests of resuming.

use std::path::Path;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;

use crate::test_system::TestSystem;

/// Jobs that one kill cuts off.
pub(crate) const JOBS: u64 = 10;
/// Frames of a job, in several sentences.
pub(crate) const FRAMES: u64 = 150;
/// Longest wait for a condition.
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two reads of a job's progress.
const LOOK_AGAIN: Duration = Duration::from_millis(4);

/// Direct access to Redis: a job's progress to the frame, and the end of its worker's lease.
pub(crate) struct RedisView {
    redis: MultiplexedConnection,
}

impl RedisView {
    pub(crate) async fn of(system: &TestSystem) -> Self {
        let client = redis::Client::open(system.redis.url()).unwrap();
        Self { redis: client.get_multiplexed_async_connection().await.unwrap() }
    }

    /// Returns the job's attempt and its published frames.
    async fn place(&mut self, id: &str) -> (u64, u64) {
        let mut last = redis::cmd("XREVRANGE");
        last.arg(format!("csm:{{j:{id}}}:ev")).arg("+").arg("-").arg("COUNT").arg(1);
        let reply: StreamRangeReply = last.query_async(&mut self.redis).await.unwrap();
        let Some(entry) = reply.ids.first() else { return (0, 0) };
        let (attempt, _) = entry.id.split_once('-').unwrap();
        let event: serde_json::Value = serde_json::from_str(&entry.get::<String>("event").unwrap()).unwrap();
        (attempt.parse().unwrap(), event["frames"].as_u64().unwrap_or(0))
    }

    /// Waits until one of the jobs is at `attempt` and at `frame` or later. Returns false if all
    /// jobs end first.
    pub(crate) async fn reaches(&mut self, ids: &[String], attempt: u64, frame: u64) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            let mut ended = 0;
            for id in ids {
                match self.place(id).await {
                    (at, frames) if at >= attempt && (frame..FRAMES).contains(&frames) => return true,
                    (at, 0) if at >= attempt && self.has_ended(id).await => ended += 1,
                    _ => {}
                }
            }
            if ended == ids.len() {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("no job came to frame {frame} of attempt {attempt}");
    }

    async fn has_ended(&mut self, id: &str) -> bool {
        let mut state = redis::cmd("HGET");
        state.arg(format!("csm:{{q0}}:job:{id}")).arg("state");
        state.query_async::<String>(&mut self.redis).await.unwrap() != "running"
    }

    /// Ends the leases of a dead worker now instead of in 15 s. No other worker may run a job.
    async fn leases_run_out(&mut self) {
        let leases = "csm:{q0}:leases";
        let held: Vec<String> =
            redis::cmd("ZRANGE").arg(leases).arg(0).arg(-1).query_async(&mut self.redis).await.unwrap();
        for id in held {
            let mut age = redis::cmd("ZADD");
            age.arg(leases).arg("XX").arg(1).arg(id).query_async::<()>(&mut self.redis).await.unwrap();
        }
    }
}

/// Kills the only worker and starts another one from `program`.
pub(crate) async fn replace_worker(system: &mut TestSystem, redis_view: &mut RedisView, program: &Path) {
    let mut worker = system.workers.pop().unwrap();
    worker.process.kill9().await.unwrap();
    system.add_worker_from(program);
    redis_view.leases_run_out().await;
    system.ready().await;
}

/// Submits the jobs; returns their ids in the order of their seeds.
pub(crate) async fn submit(system: &TestSystem) -> Vec<String> {
    let mut ids = Vec::new();
    for seed in 0..JOBS {
        ids.push(system.client.submit(seed, FRAMES).await);
    }
    ids
}

/// Waits for a job's end; returns its audio and its record.
pub(crate) async fn audio(system: &TestSystem, id: &str) -> (Vec<u8>, serde_json::Value) {
    let record = system.client.finished(id).await;
    (system.client.audio(&record).await, record)
}
