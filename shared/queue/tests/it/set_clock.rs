//! A server whose clock is really set, by libfaketime. `CSM_TEST_FAKETIME_SERVER` names a script that
//! starts `redis-server "$@"` with `LD_PRELOAD=libfaketime.so.1`, `FAKETIME_DONT_FAKE_MONOTONIC=1`,
//! `FAKETIME_CACHE_DURATION=1` and `FAKETIME_TIMESTAMP_FILE`; `CSM_TEST_FAKETIME_FILE` is that file.
//! The server must not use jemalloc, which libfaketime does not get on with.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the measuring tests print what they measured")]

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use csm_queue::janitor::Janitor;
use csm_queue::live::Live;
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{BEAT_EVERY, Beat, LEASE, Queue, QueueArgs, Ticket, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::job::{JobId, Lane};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fleet::{claim, spec, try_claim};

/// When the clock is set, after the worker's death, and by how many seconds.
type Settings = &'static [(u64, i32)];

const SETTINGS: [Settings; 5] =
    [&[(1, -3_600)], &[(1, 3_600)], &[(13, -3_600)], &[(2, 3_600), (7, 0)], &[(2, -3_600), (7, 0)]];
/// Time within which a dead worker's job must run again.
const GOES_ON_WITHIN: Duration = LEASE.saturating_add(Duration::from_secs(5));

#[tokio::test]
#[ignore = "needs a server under libfaketime"]
async fn a_dead_workers_job_goes_on_in_time_on_a_server_whose_clock_is_set() {
    let server = PathBuf::from(env::var("CSM_TEST_FAKETIME_SERVER").unwrap());
    let clock = PathBuf::from(env::var("CSM_TEST_FAKETIME_FILE").unwrap());
    let folder = tempfile::tempdir().unwrap();
    for (number, settings) in SETTINGS.into_iter().enumerate() {
        std::fs::write(&clock, "+0").unwrap();
        let options = LocalRedisOptions { server: Some(server.clone()), ..LocalRedisOptions::default() };
        let redis = LocalRedis::spawn(&folder.path().join(number.to_string()), &options).await.unwrap();
        let args = RedisArgs::new(redis.url(), "test");
        let client = RedisClient::new(&args, Duration::from_secs(5)).unwrap();
        let (queue, stop) = (Queue::new(client.clone(), &QueueArgs::default()), CancellationToken::new());
        for _ in 0..2 {
            tokio::spawn(Janitor::new(queue.clone(), Live::new(client.clone())).run(stop.clone()));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        for _ in 0..2 {
            queue.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live)).await.unwrap();
        }
        let [dead, lives, next] = ["dead", "lives", "next"].map(WorkerId::of_this_process);
        let (dead, lives) = (claim(&queue, &dead).await.lease, claim(&queue, &lives).await.lease);
        let (died, mut beats) = (Instant::now(), tokio::time::interval(BEAT_EVERY));
        let mut settings = settings.iter();
        let mut setting = settings.next();
        let again = loop {
            if let Some((at, by)) = setting
                && died.elapsed() >= Duration::from_secs(*at)
            {
                std::fs::write(&clock, format!("{by:+}")).unwrap();
                setting = settings.next();
            }
            tokio::select! {
                _ = beats.tick() => assert_eq!(queue.beat(lives.at(), LEASE).await.unwrap(), Beat::Kept),
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
            if let Some(job) = try_claim(&queue, &next).await {
                break job.lease;
            }
            assert!(died.elapsed() < 2 * GOES_ON_WITHIN, "setting {number}: the job does not go on");
        };
        eprintln!(
            "setting {number}: the job of the dead worker runs again after {:.1} s",
            died.elapsed().as_secs_f64()
        );
        assert_eq!(again.at().id, dead.at().id);
        assert!(died.elapsed() <= GOES_ON_WITHIN, "setting {number}: {:?}", died.elapsed());
        stop.cancel();
    }
}
