//! Tests of what cannot be shown from outside: leases used after their loss, and scripts with
//! defects planted in them.

mod admission;
mod finds_planted_defect;
mod history;
mod model;
mod moves;
mod random;
mod rounds;
mod server_clock;

use tempfile::TempDir;

use super::redis_keys::SUSPECTS;
use super::script::Scripts;
use super::*;
use crate::local_redis::{LocalRedis, LocalRedisOptions};
use crate::redis_client::RedisArgs;
use csm_shared::job::{Failure, FailureClass, JobSpec, Lane, Receipt};
use csm_testing::job;

/// Texts of different cost.
const TEXTS: [&str; 3] = [
    "Hi.",
    "A sentence of an ordinary length, as people say them.",
    "Well, then. Well, then. Well, then. \
    Well, then. Well, then. Well, then. Well, then. Well, then. Well, then. Well, then. Well, then. Well, then. Well, then.",
];

/// Streams: those of the lanes, and that of suspects.
const QUEUES: [&str; 4] = ["live", "standard", "bulk", SUSPECTS];

/// Change that a test makes in one of the scripts.
#[derive(Clone, Copy)]
struct LuaDefect {
    script: &'static str,
    old: &'static str,
    new: &'static str,
}

/// Server that is quick because it does not write to the disk at every answer.
struct TestRedis {
    server: LocalRedis,
    _data: TempDir,
}

impl TestRedis {
    async fn start() -> Self {
        let data = TempDir::new().expect("temp dir");
        let server = LocalRedis::spawn(data.path(), &LocalRedisOptions::default()).await.expect("redis");
        let this = Self { server, _data: data };
        let mut config = redis::cmd("CONFIG");
        let client = this.client("test");
        client.command::<()>(config.arg("SET").arg("appendonly").arg("no")).await.expect("no file");
        this
    }

    fn client(&self, prefix: &str) -> RedisClient {
        let args = RedisArgs::new(self.server.url(), prefix);
        RedisClient::new(&args, Duration::from_secs(5)).expect("client")
    }
}

/// Creates a queue with a defect. The model has no clock, so this queue hardly uses one. A lane
/// never loses patience, and a consumer is removed as soon as it holds nothing.
fn queue_with(redis: &TestRedis, prefix: &str, options: &QueueArgs, defect: Option<LuaDefect>) -> Queue {
    let scripts = Scripts::edited(&|name, source| {
        let source = match name {
            "claim" => replaced(source, "now - served > PATIENCE_MS[lane]", "false"),
            "tidy" => replaced(source, "consumer.idle > tonumber(idle_ms)", "true"),
            _ => source.to_owned(),
        };
        match defect {
            Some(LuaDefect { script, old, new }) if script == name => replaced(&source, old, new),
            _ => source,
        }
    });
    Queue::with_scripts(redis.client(prefix), options, scripts)
}

/// Returns `source` with `old`, which it must contain, replaced by `new`.
fn replaced(source: &str, old: &str, new: &str) -> String {
    assert!(source.contains(old), "the scripts no longer say: {old}");
    source.replace(old, new)
}

fn spec(lane: Lane, text: &str) -> JobSpec {
    job().text(text).lane(lane).frames(125).seed(1).spec()
}

fn receipt(attempt: u64) -> Receipt {
    Receipt { attempt, ..csm_testing::receipt() }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_can_be_repeated_and_a_different_one_cannot() {
    let redis = TestRedis::start().await;
    let queue = Queue::new(redis.client("test"), &QueueArgs::default());
    let (id, owner) = (JobId::generate(), WorkerId::of_this_process("a"));
    queue.enqueue(&Ticket::new(id), &spec(Lane::Live, "Hi.")).await.expect("enqueue");
    let Claim::Job(job) = queue.claimer(&owner, "a test").claim(WorkerCapacity::empty(1)).await.expect("claim") else {
        panic!("a job waits")
    };
    let same = || Lease::new(queue.clone(), id, owner.clone(), 1);
    let failure = Failure::new(FailureClass::Invalid, "no");
    assert_eq!(job.lease.fail(&failure).await.expect("finish"), Commit::Committed);
    assert_eq!(same().fail(&failure).await.expect("finish"), Commit::Committed);
    assert_eq!(same().cancelled().await.expect("finish"), Commit::Stale);
}

#[tokio::test]
async fn only_a_consumer_that_is_gone_and_holds_nothing_is_tidied_away() {
    let redis = TestRedis::start().await;
    let queue = queue_with(&redis, "test", &QueueArgs::default(), None);
    let owners = ["gone", "holds", "alive"].map(WorkerId::of_this_process);
    let mut leases = Vec::new();
    for owner in &owners {
        queue.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live, "Hi.")).await.expect("enqueue");
        let Claim::Job(job) = queue.claimer(owner, "a test").claim(WorkerCapacity::empty(1)).await.expect("claim")
        else {
            panic!("a job waits")
        };
        leases.push(job.lease);
    }
    let report = WorkerReport {
        host: "h".into(),
        model: "m".into(),
        build: "a test".into(),
        slots: 1,
        lane_slots: [1; 3],
        running: 0,
        frames_per_second: 1.0,
        frames: 0,
        draining: false,
    };
    queue.report(&owners[2], &report).await.expect("report");
    assert_eq!(queue.tidy().await.expect("tidy"), 0, "each holds something");
    for at in [2, 0] {
        assert_eq!(leases.remove(at).succeed(&receipt(1)).await.expect("finish"), Commit::Committed);
    }
    assert_eq!(queue.tidy().await.expect("tidy"), 1);
    let mut question = redis::cmd("XINFO");
    question.arg("CONSUMERS").arg(RedisKeys::new("test", 0).lane(Lane::Live)).arg("workers");
    let left: Vec<std::collections::HashMap<String, redis::Value>> =
        queue.redis().command(&question).await.expect("consumers");
    let name = |consumer: &std::collections::HashMap<String, redis::Value>| match &consumer["name"] {
        redis::Value::BulkString(name) => String::from_utf8_lossy(name).into_owned(),
        other => format!("{other:?}"),
    };
    let mut left: Vec<_> = left.iter().map(name).collect();
    left.sort_unstable();
    assert_eq!(left, [owners[2].to_string(), owners[1].to_string()], "alive, holds");
    assert_eq!(leases.remove(0).succeed(&receipt(1)).await.expect("finish"), Commit::Committed);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_brings_the_same_job_again() {
    let redis = TestRedis::start().await;
    let queue = Queue::new(redis.client("test"), &QueueArgs::default());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(JobId::generate());
        queue.enqueue(&Ticket::new(ids[ids.len() - 1]), &spec(Lane::Live, "Hi.")).await.expect("enqueue");
    }
    let mut claimer = queue.claimer(&WorkerId::of_this_process("a"), "a test");
    let lost = Some(uuid::Uuid::new_v4());
    let mut claim = async |unanswered| {
        claimer.unanswered[0] = unanswered;
        let Claim::Job(job) = claimer.claim(WorkerCapacity::empty(5)).await.expect("claim") else {
            panic!("a job waits")
        };
        (job.lease.at().id, job.lease.at().attempt, job.lease)
    };
    let first = claim(lost).await;
    assert_eq!((first.0, first.1), (ids[0], 1), "nothing is known of it, so it is an ordinary one");
    let again = claim(lost).await;
    assert_eq!((again.0, again.1), (ids[0], 1));
    let other = claim(None).await;
    assert_eq!(other.0, ids[1]);
    assert_eq!(claim(lost).await.0, ids[2], "only the last claim is remembered");
    assert_eq!(again.2.succeed(&receipt(1)).await.expect("finish"), Commit::Committed);
    assert_eq!(queue.stats().await.expect("stats").running, 2);
}

#[tokio::test]
async fn a_wait_is_predicted_from_all_shards() {
    let redis = TestRedis::start().await;
    let queue = Queue::new(redis.client("test"), &QueueArgs { queue_shards: 8, ..QueueArgs::default() });
    let (spec, owner) = (spec(Lane::Standard, TEXTS[2]), WorkerId::of_this_process("a"));
    let on =
        |shard: u16| std::iter::repeat_with(JobId::generate).find(move |id| id.spread(8) == shard).expect("endless");
    let report = WorkerReport {
        host: "h".into(),
        model: "m".into(),
        build: "b".into(),
        slots: 1,
        lane_slots: [1; 3],
        running: 0,
        frames_per_second: f64::from(spec.expected_frames()),
        frames: 0,
        draining: false,
    };
    // The fleet needs a second for a job, on whichever shard it waits.
    for shard in [3, 3, 5] {
        queue.enqueue(&Ticket::new(on(shard)), &spec).await.expect("enqueue");
        queue.report(&owner, &report).await.expect("report");
    }
    for shard in [3, 5, 0] {
        let waits = queue.stats().await.expect("stats").predicted_wait(Lane::Standard).expect("a rate is known");
        let told = queue.enqueue(&Ticket::new(on(shard)), &spec).await.expect("enqueue");
        let Enqueue::Accepted { wait: Some(told) } = told else { panic!("{told:?}") };
        assert!(waits.abs_diff(told) < Duration::from_millis(10), "{waits:?} of all, {told:?} told by shard {shard}");
        queue.report(&owner, &report).await.expect("report");
    }
}
