//! Jobs that are cut off in mid-utterance resume. Whatever frame their worker is killed at, their
//! audio is byte for byte that of an undisturbed run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;

use crate::test_system::TestSystem;

/// Jobs that one kill cuts off.
const JOBS: u64 = 10;
/// Frames of a job, in several sentences.
const FRAMES: u64 = 150;
/// Cuts to make. A cut is a job and the frame at which it was cut off.
const CUTS: usize = 50;
/// Most rounds. A round kills the worker of all jobs, then the worker of a job that runs alone.
/// Fewer suffice unless a job starts anew.
const ROUNDS_MAX: usize = 8;
/// Longest wait for a condition.
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two reads of a job's progress.
const LOOK_AGAIN: Duration = Duration::from_millis(4);

/// Direct access to Redis: a job's progress to the frame, and the end of its worker's lease.
struct RedisView {
    redis: MultiplexedConnection,
}

impl RedisView {
    async fn of(system: &TestSystem) -> Self {
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
    async fn reaches(&mut self, ids: &[String], attempt: u64, frame: u64) -> bool {
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

/// Kills the only worker and starts another.
async fn replace_worker(system: &mut TestSystem, redis_view: &mut RedisView) {
    let mut worker = system.workers.pop().unwrap();
    worker.process.kill9().await.unwrap();
    system.add_worker();
    redis_view.leases_run_out().await;
    system.ready().await;
}

async fn submit(system: &TestSystem) -> Vec<String> {
    let mut ids = Vec::new();
    for seed in 0..JOBS {
        ids.push(system.client.submit(seed, FRAMES).await);
    }
    ids
}

async fn audio(system: &TestSystem, id: &str) -> (Vec<u8>, serde_json::Value) {
    let record = system.client.finished(id).await;
    (system.client.audio(&record).await, record)
}

#[tokio::test]
async fn killed_at_fifty_frames_jobs_go_on_to_the_same_bytes() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut system = TestSystem::start(1, JOBS as u8).await;
    let mut redis_view = RedisView::of(&system).await;
    let mut undisturbed = Vec::new();
    for id in submit(&system).await {
        let (wav, record) = audio(&system, &id).await;
        assert_eq!((record["attempt"].as_u64(), record["receipt"]["resumed_frames"].as_u64()), (Some(1), Some(0)));
        undisturbed.push(wav);
    }
    let (mut cuts, mut anew, mut frames, mut kills) = (0, 0, BTreeSet::new(), 0);
    for _ in 0..ROUNDS_MAX {
        if cuts >= CUTS {
            break;
        }
        let ids = submit(&system).await;
        // The first kill hits all jobs at once, the second a suspect, which runs alone.
        for (attempt, earliest) in [(1, FRAMES / 4), (2, 6)] {
            // At that frame every job has frames, even the last one submitted.
            let frame = random.random_range(earliest..FRAMES * 3 / 4);
            if redis_view.reaches(&ids, attempt, frame).await {
                replace_worker(&mut system, &mut redis_view).await;
                kills += 1;
            }
        }
        for (id, undisturbed) in ids.iter().zip(&undisturbed) {
            let (wav, record) = audio(&system, id).await;
            assert!(wav == *undisturbed, "{record}");
            let (attempts, resumed) = (record["attempt"].as_u64(), record["receipt"]["resumed_frames"].as_u64());
            match (attempts.unwrap(), resumed.unwrap()) {
                (1, 0) => {}
                (_, 0) => anew += 1,
                (1, _) => panic!("nothing to resume: {record}"),
                (attempts, resumed) => {
                    cuts += attempts as usize - 1;
                    frames.insert(resumed);
                }
            }
        }
    }
    println!("{kills} kills, {cuts} cuts resumed, {anew} begun anew, at {} different frames: {frames:?}", frames.len());
    assert!(cuts >= CUTS && anew * 2 < cuts, "{cuts} resumed, {anew} begun anew");
}
