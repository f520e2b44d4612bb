//! Tests of the lease timer on a simulated clock, and one test with an engine and Redis.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{Claim, QueueArgs, Ticket, WorkerCapacity, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::job::{JobId, JobSpec, Lane};

use super::*;
use csm_engine::engine::{DeviceChoice, Engine, EngineConfig, EngineError};
use csm_engine::model::WeightChoice;
use csm_engine::random_model::{FolderLayout, make_noise};

/// Simulated attempt whose model makes progress at certain times, and the lease that its timer
/// keeps.
struct Course {
    begun: Instant,
    timer: LeaseTimer,
    /// End of the lease, counted from the beginning.
    lease_end: Duration,
    beats: Vec<Duration>,
    stuck: Option<Duration>,
}

/// Checks every [`CHECK_EVERY`] for `length`; `progress` returns the progress number at a time. The
/// process is suspended during `asleep`. Returns `None` if the lease ran out although the attempt
/// made progress.
fn course(length: Duration, asleep: std::ops::Range<Duration>, progress: impl Fn(Duration) -> u64) -> Option<Course> {
    let begun = Instant::now();
    let timer = LeaseTimer::new(begun, progress(Duration::ZERO));
    let mut course = Course { begun, timer, lease_end: LEASE, beats: Vec::new(), stuck: None };
    let mut at = Duration::ZERO;
    while at < length {
        if !asleep.contains(&at) {
            if at >= course.lease_end && asleep.is_empty() && progress(at) != course.timer.progress {
                return None;
            }
            let now = course.begun + at;
            match course.timer.next_action(now, progress(at)) {
                LeaseAction::Renew(good_for) => {
                    course.timer.renewed(now, good_for);
                    course.lease_end = at + good_for;
                    course.beats.push(at);
                }
                LeaseAction::Wait(_) => {}
                LeaseAction::Stuck => {
                    course.stuck = Some(at);
                    break;
                }
            }
        }
        at += CHECK_EVERY;
    }
    Some(course)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const AWAKE: std::ops::Range<Duration> = Duration::ZERO..Duration::ZERO;

#[test]
fn a_lease_is_renewed_every_beat_while_the_attempt_gets_on() {
    let course = course(s(60), AWAKE, |at| at.as_millis() as u64).expect("the lease is kept");
    assert_eq!(course.beats, (0..60).step_by(5).map(s).collect::<Vec<_>>());
    assert_eq!((course.lease_end, course.stuck), (s(55) + LEASE, None));
}

#[test]
fn a_stuck_attempt_loses_its_lease_a_lease_after_its_last_sign_of_life() {
    for last in [0, 1, 7, 20, 23] {
        let course = course(s(120), AWAKE, |at| at.as_millis().min(1_000 * last) as u64).expect("a clean end");
        assert_eq!((course.lease_end, course.stuck), (s(last as u64) + LEASE, Some(s(last as u64) + LEASE)), "{last}");
    }
}

/// Slow attempts make a frame every few seconds. The lease does not run out, however close to it
/// the model comes.
#[test]
fn a_slow_attempt_keeps_its_lease() {
    for every in [1, 3, 6, 10, 13, 14] {
        let course = course(s(600), AWAKE, |at| at.as_secs() / every);
        assert!(course.is_some_and(|course| course.stuck.is_none()), "a sign every {every} s");
    }
    assert!(course(s(600), AWAKE, |at| at.as_secs() / 16).is_none_or(|course| course.stuck.is_some()));
}

#[test]
fn a_sign_after_a_silence_renews_at_once() {
    let course = course(s(13), AWAKE, |at| u64::from(at >= s(12))).expect("the lease is kept");
    assert_eq!(course.beats, [s(0), s(5), s(10), s(12)]);
    assert_eq!(course.lease_end, s(12) + LEASE);
}

/// A suspended process is not stuck. The timer renews the lease, and the queue knows whether the
/// lease is still valid.
#[test]
fn a_process_that_was_held_up_is_not_stuck() {
    let asleep = s(20)..s(80);
    let course =
        course(s(100), asleep, |at| if at < s(20) { at.as_secs() } else { at.as_secs().saturating_sub(62) + 20 });
    assert!(course.is_some_and(|course| course.stuck.is_none() && course.beats.contains(&s(80))));
}

async fn engine(folder: &std::path::Path) -> Engine {
    make_noise(folder, FolderLayout::Transformers).unwrap();
    let config = EngineConfig {
        folder: folder.to_owned(),
        model: "noise".into(),
        device: DeviceChoice::Cpu,
        slots: 1,
        weights: WeightChoice::Auto,
        threads: Some(1),
        prefix_cache_bytes: 0,
    };
    Engine::start(config).unwrap().ready().await.unwrap()
}

fn spec() -> JobSpec {
    csm_testing::job().lane(Lane::Live).spec()
}

/// The engine does nothing for its job, like a stuck one. The lease runs out although the heartbeat
/// runs, the next reap takes the job back, and the engine is given up.
#[tokio::test]
async fn the_job_of_a_stuck_engine_is_there_for_another_worker() {
    let folder = tempfile::tempdir().unwrap();
    let redis = LocalRedis::spawn(&folder.path().join("redis"), &LocalRedisOptions::default()).await.unwrap();
    let args = RedisArgs::new(redis.url(), "test");
    let client = RedisClient::new(&args, Duration::from_secs(5)).unwrap();
    let (queue, subscriptions) = (Queue::new(client.clone(), &QueueArgs::default()), Subscriptions::start(client));
    let engine = engine(&folder.path().join("noise")).await;
    let id = JobId::generate();
    queue.enqueue(&Ticket::new(id), &spec()).await.unwrap();
    let claimed =
        queue.claimer(&WorkerId::of_this_process("stuck"), "a test").claim(WorkerCapacity::empty(1)).await.unwrap();
    let Claim::Job(job) = claimed else { panic!("{claimed:?}") };

    let progress = AttemptProgress::new(engine.clone());
    let (begun, limit) = (Instant::now(), LEASE + 2 * BEAT_EVERY);
    let stuck = tokio::time::timeout(limit, beat(&queue, &subscriptions, job.lease.at(), &progress)).await;
    assert_eq!(stuck, Ok(Interruption::Stuck));
    assert!(begun.elapsed() >= LEASE - CHECK_EVERY, "not before its time: {:?}", begun.elapsed());
    assert_eq!(engine.closed().await, EngineError::Stuck);
    // The last renewal set the end of the lease to this moment, give or take the latency of Redis.
    let reaped = tokio::time::timeout(BEAT_EVERY, async {
        loop {
            let reaped = queue.reap().await.unwrap();
            if !reaped.is_empty() {
                break reaped;
            }
            tokio::time::sleep(CHECK_EVERY / 5).await;
        }
    });
    let reaped = reaped.await.unwrap();
    assert_eq!(reaped.iter().map(|reaped| reaped.id).collect::<Vec<_>>(), [id]);
}
