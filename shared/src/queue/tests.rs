//! What cannot be shown from outside, because a lease is spent only once.

use super::*;
use crate::job::{AudioBudget, Context, Failure, FailureClass, JobId, JobSpec, Lane, Sampling, Seed, Speaker, Text};
use crate::local_redis::{LocalRedis, LocalRedisOptions};
use crate::redis_client::RedisArgs;

#[tokio::test]
async fn a_commit_whose_answer_was_lost_can_be_repeated_and_a_different_one_cannot() {
    let data = tempfile::TempDir::new().expect("temp dir");
    let redis = LocalRedis::spawn(data.path(), &LocalRedisOptions::default()).await.expect("redis");
    let args = RedisArgs { redis_url: redis.url(), key_prefix: "test".into() };
    let queue = Queue::new(RedisClient::new(&args, Duration::from_secs(5)).expect("client"));
    let (id, owner) = (JobId::generate(), Owner::of_this_process("a"));
    let sampling = Sampling { temperature: Default::default(), topk: Default::default(), seed: Seed::new(1) };
    let spec = JobSpec {
        text: Text::new("Hi.").expect("valid"),
        speaker: Speaker::new(0).expect("valid"),
        budget: AudioBudget::default(),
        sampling,
        context: Context::default(),
        lane: Lane::Live,
    };
    queue.enqueue(&id, &spec).await.expect("enqueue");
    let lease = queue.claim(&owner).await.expect("claim").expect("a job waits");
    let same = || Lease::new(queue.clone(), id, owner.clone(), 1);
    let failure = Failure::new(FailureClass::Invalid, "no");
    assert_eq!(lease.fail(&failure).await.expect("finish"), Commit::Committed);
    assert_eq!(same().fail(&failure).await.expect("finish"), Commit::Committed);
    assert_eq!(same().cancelled().await.expect("finish"), Commit::Stale);
}
