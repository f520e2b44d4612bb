//! Suspects: if a worker dies with several jobs, they run again one by one, and only the one at
//! fault is charged.

use std::time::Duration;

use csm_queue::queue::{
    Claim, Claimed, Commit, HOLD_PAUSE, LEASE, Queue, QueueArgs, Retry, Ticket, WorkerCapacity, WorkerId,
};
use csm_shared::job::{Failure, FailureClass, JobId, JobState, Lane};

use super::{enqueue, receipt, state};
use crate::fleet::{TestFleet, claim, spec, try_claim};

/// Claims a job for a worker that already runs `running` jobs.
async fn claim_beside(queue: &Queue, owner: &WorkerId, running: u8) -> Option<Claimed> {
    match queue.claimer(owner, "a test").claim(WorkerCapacity { running, ..WorkerCapacity::empty(5) }).await.unwrap() {
        Claim::Job(job) => Some(*job),
        Claim::Expired(_) | Claim::Nothing | Claim::Hold => None,
    }
}

/// Claims a job for a worker that will be idle in `seconds` seconds.
async fn claim_busy_for(queue: &Queue, owner: &WorkerId, seconds: u64) -> Claim {
    let room = WorkerCapacity { running: 1, busy_for: Duration::from_secs(seconds), ..WorkerCapacity::empty(5) };
    queue.claimer(owner, "a test").claim(room).await.unwrap()
}

/// Claims five jobs that one worker runs together.
async fn five_together(queue: &Queue, owner: &WorkerId) -> Vec<Claimed> {
    let mut jobs = Vec::new();
    for running in 0..5 {
        enqueue(queue, Lane::Standard).await;
        jobs.push(claim_beside(queue, owner, running).await.expect("a job waits"));
    }
    jobs
}

#[tokio::test]
async fn of_five_jobs_that_died_together_only_the_poison_is_given_up() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let [dead, busy, other, idle] = ["dead", "busy", "other", "idle"].map(WorkerId::of_this_process);
    let ids: Vec<_> = five_together(queue, &dead).await.iter().map(|job| job.lease.at().id).collect();
    let poison = ids[2];
    fleet.expire_leases().await;
    assert_eq!(queue.reap().await.unwrap().len(), 5);
    assert_eq!(queue.stats().await.unwrap().suspects, 5);

    let fresh = enqueue(queue, Lane::Live).await;
    assert!(claim_beside(queue, &busy, 2).await.is_none(), "one worker empties itself for the suspects");
    assert!(claim_beside(queue, &busy, 1).await.is_none(), "and keeps doing so");
    let job = claim_beside(queue, &other, 2).await.expect("the others go on");
    assert_eq!((job.lease.at().id, job.alone), (fresh, false));
    job.lease.succeed(&receipt()).await.unwrap();

    let mut order = Vec::new();
    while let Some(job) = try_claim(queue, &idle).await {
        assert!(job.alone);
        order.push(job.lease.at().id);
        if job.lease.at().id == poison {
            fleet.expire_leases().await;
            queue.reap().await.unwrap();
        } else {
            assert_eq!(job.lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
        }
    }
    assert_eq!(order[..5], ids, "in the order in which they were taken back");
    assert_eq!(order[5..], [poison, poison]);
    for id in &ids {
        let record = queue.record(id).await.unwrap().expect("kept");
        let (end, crashes) = if *id == poison { (JobState::Failed, 3) } else { (JobState::Succeeded, 0) };
        assert_eq!((record.state, record.failures, record.crashes), (end, 0, crashes));
    }
    let letters = queue.dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.id.as_str(), letter.class.as_str()), (poison.to_string().as_str(), "worker_lost"));
    assert_eq!((letter.attempt, letter.failures, letter.crashes), (4, 0, 3));
    assert_eq!(letter.worker, idle.as_str());
    let stats = queue.stats().await.unwrap();
    assert_eq!((stats.suspects, stats.dead, stats.open), (0, 1, 0));
}

#[tokio::test]
async fn whoever_will_be_idle_first_empties_itself_for_the_suspects() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let [dead, long, longer, short] = ["dead", "long", "longer", "short"].map(WorkerId::of_this_process);
    five_together(queue, &dead).await;
    fleet.expire_leases().await;
    queue.reap().await.unwrap();
    for _ in 0..3 {
        enqueue(queue, Lane::Standard).await;
    }

    assert!(matches!(claim_busy_for(queue, &long, 60).await, Claim::Hold), "nobody else does");
    assert!(matches!(claim_busy_for(queue, &longer, 62).await, Claim::Job(_)), "one is enough");
    assert!(matches!(claim_busy_for(queue, &short, 5).await, Claim::Hold), "it will be idle much sooner");
    let Claim::Job(job) = claim_busy_for(queue, &long, 59).await else { panic!("the first goes on") };
    assert!(!job.alone);
    assert!(matches!(claim_busy_for(queue, &short, 4).await, Claim::Hold));

    assert!(claim(queue, &short).await.alone);
    assert!(matches!(claim_busy_for(queue, &longer, 61).await, Claim::Hold), "the next suspect needs another");
}

#[tokio::test]
async fn a_dead_worker_that_was_to_empty_itself_holds_nobody_up_for_long() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let [dead, dying, next] = ["dead", "dying", "next"].map(WorkerId::of_this_process);
    five_together(queue, &dead).await;
    fleet.expire_leases().await;
    queue.reap().await.unwrap();
    let hold = async |owner| {
        while !matches!(claim_busy_for(queue, owner, 60).await, Claim::Hold) {
            tokio::time::sleep(HOLD_PAUSE / 10).await;
        }
    };

    hold(&dying).await;
    assert!(matches!(claim_busy_for(queue, &next, 60).await, Claim::Nothing), "one is enough");
    let taken_over = tokio::time::timeout(LEASE / 2, hold(&next)).await;
    taken_over.expect("long before the lease of what it runs is over, another is asked to empty itself");
}

#[tokio::test]
async fn a_worker_that_ends_by_itself_charges_no_job_that_did_not_run_alone() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let failure = Failure::new(FailureClass::Resource, "the engine died");
    let jobs = five_together(queue, &WorkerId::of_this_process("a")).await;
    let first = jobs[0].lease.at().id;
    for job in jobs {
        assert_eq!(job.lease.suspect(&failure).await.unwrap(), Retry::Queued);
    }
    let owner = WorkerId::of_this_process("b");
    let alone = claim(queue, &owner).await;
    assert_eq!((alone.lease.at().id, alone.alone), (first, true));
    let record = queue.record(&first).await.unwrap().expect("known");
    assert_eq!((record.suspect, record.failures, record.crashes), (true, 0, 0));
    assert_eq!(alone.lease.suspect(&failure).await.unwrap(), Retry::Queued);
    assert_eq!(queue.record(&first).await.unwrap().expect("known").failures, 1, "it had nothing beside it");
    for _ in 0..4 {
        assert_eq!(claim(queue, &owner).await.lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    }
    assert_eq!(claim(queue, &owner).await.lease.suspect(&failure).await.unwrap(), Retry::Queued);
    assert_eq!(claim(queue, &owner).await.lease.suspect(&failure).await.unwrap(), Retry::Failed);
}

#[tokio::test]
async fn a_suspect_stays_one_through_a_retry_and_a_release() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue(queue, Lane::Bulk).await;
    claim(queue, &owner).await;
    fleet.expire_leases().await;
    queue.reap().await.unwrap();
    assert_eq!(claim(queue, &owner).await.lease.release().await.unwrap(), Retry::Queued);
    let job = claim(queue, &owner).await;
    assert!(job.alone);
    let failure = Failure::new(FailureClass::Transient, "the store was away");
    assert_eq!(job.lease.retry(&failure, Duration::from_secs(3_600)).await.unwrap(), Retry::Queued);
    fleet.make_retries_due().await;
    let job = claim(queue, &owner).await;
    assert!(job.alone);
    assert_eq!(job.lease.succeed(&receipt()).await.unwrap(), Commit::Committed);
    let record = queue.record(&id).await.unwrap().expect("kept");
    assert_eq!((record.attempt, record.failures, record.crashes), (4, 1, 0));
}

#[tokio::test]
async fn suspects_that_were_called_off_hold_nobody_up() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let jobs = five_together(queue, &owner).await;
    fleet.expire_leases().await;
    queue.reap().await.unwrap();
    for job in jobs {
        queue.cancel(&job.lease.at().id).await.unwrap();
    }
    let wanted = enqueue(queue, Lane::Live).await;
    assert_eq!(claim(queue, &owner).await.lease.at().id, wanted);
    enqueue(queue, Lane::Live).await;
    assert!(claim_beside(queue, &owner, 1).await.is_some(), "no suspect is left to empty oneself for");
}

#[tokio::test]
async fn a_worker_that_empties_itself_takes_nothing_from_other_shards_either() {
    let fleet = TestFleet::start_with(&QueueArgs { queue_shards: 2, ..QueueArgs::default() }).await;
    let queue = &fleet.queue;
    let on = |shard| std::iter::repeat_with(JobId::generate).find(|id| id.spread(2) == shard).unwrap();
    let suspect = on(0);
    queue.enqueue(&Ticket::new(suspect), &spec(Lane::Live)).await.unwrap();
    claim(queue, &WorkerId::of_this_process("dead")).await;
    fleet.expire_leases().await;
    queue.reap().await.unwrap();
    for _ in 0..5 {
        queue.enqueue(&Ticket::new(on(1)), &spec(Lane::Live)).await.unwrap();
    }
    let busy = WorkerId::of_this_process("busy");
    let _first = claim_beside(queue, &busy, 1).await;
    for _ in 0..4 {
        assert!(claim_beside(queue, &busy, 1).await.is_none());
    }
    let job = claim_beside(queue, &busy, 0).await.expect("now it is idle");
    assert_eq!((job.lease.at().id, job.alone), (suspect, true));
    assert_eq!(state(queue, &suspect).await, JobState::Running);
}
