//! Processes that disagree on shards, model, window or mark: none enqueues or claims beside its
//! fleet.

use csm_queue::queue::{Claim, FleetIdentity, Queue, QueueArgs, QueueError, Ticket, WorkerCapacity, WorkerId};
use csm_shared::job::{FailureClass, JobId, JobState, Lane};

use super::state;
use crate::fleet::{TestFleet, claim, spec};

fn identity() -> FleetIdentity {
    FleetIdentity { model: "a/model".into(), window: 2_048, marks: vec!["11111111".into()] }
}

fn process(fleet: &TestFleet, queue_shards: u16, identity: FleetIdentity) -> Queue {
    Queue::new(fleet.client.clone(), &QueueArgs { queue_shards, ..QueueArgs::default() }).of_fleet(identity)
}

async fn enqueue(queue: &Queue) -> Result<JobId, QueueError> {
    let id = JobId::generate();
    queue.enqueue(&Ticket::new(id), &spec(Lane::Standard)).await.map(|_| id)
}

async fn try_claim(queue: &Queue) -> Result<Claim, QueueError> {
    queue.claimer(&WorkerId::of_this_process("w"), "a test").claim(WorkerCapacity::empty(1)).await
}

#[tokio::test]
async fn a_process_that_differs_from_its_fleet_enqueues_and_claims_nothing() {
    let fleet = TestFleet::start().await;
    let first = process(&fleet, 1, identity());
    let job = enqueue(&first).await.unwrap();
    let others = [
        ("shards is \"4\" here and \"1\" in the fleet", 4, identity()),
        (
            "model is \"b/model\" here and \"a/model\" in the fleet",
            1,
            FleetIdentity { model: "b/model".into(), ..identity() },
        ),
        ("window is \"1024\" here and \"2048\" in the fleet", 1, FleetIdentity { window: 1_024, ..identity() }),
        (
            "mark is \"22222222\" here and \"11111111\" in the fleet",
            1,
            FleetIdentity { marks: vec!["22222222".into()], ..identity() },
        ),
    ];
    for (names_both, shards, identity) in others {
        let other = process(&fleet, shards, identity);
        for refused in [enqueue(&other).await.map(|_| ()), try_claim(&other).await.map(|_| ())] {
            let Err(error @ QueueError::OtherFleet(_)) = refused else { panic!("{names_both}: {refused:?}") };
            assert!(error.to_string().contains(names_both) && error.is_transient(), "{error}");
        }
    }
    assert_eq!(fleet.queue.stats().await.unwrap().open, 1, "nothing was taken in");
    let agreeing = process(&fleet, 1, identity());
    assert_eq!(claim(&agreeing, &WorkerId::of_this_process("w")).await.lease.at().id, job);
}

#[tokio::test]
async fn a_key_of_the_mark_can_be_replaced_while_the_fleet_runs() {
    let fleet = TestFleet::start().await;
    let knows = |marks: [&str; 2]| FleetIdentity { marks: marks.map(str::to_owned).into(), ..identity() };
    let (before, after) = (process(&fleet, 1, knows(["old", "new"])), process(&fleet, 1, knows(["new", "old"])));
    enqueue(&before).await.unwrap();
    enqueue(&after).await.unwrap();
    let without_key = process(&fleet, 1, FleetIdentity { marks: Vec::new(), ..identity() });
    enqueue(&without_key).await.unwrap();
    let last = process(&fleet, 1, FleetIdentity { marks: vec!["new".into()], ..identity() });
    enqueue(&last).await.unwrap();
}

#[tokio::test]
async fn a_job_of_another_model_is_never_claimed() {
    let fleet = TestFleet::start().await;
    let job = enqueue(&process(&fleet, 1, identity())).await.unwrap();
    // All processes of the first fleet have been gone for a minute, and one of another model comes.
    fleet.redis_cli(&["DEL", "test:{q0}:fleet"]).await;
    let other = process(&fleet, 1, FleetIdentity { model: "b/model".into(), ..identity() });
    let Claim::Expired(ended) = try_claim(&other).await.unwrap() else { panic!("the job ends without a run") };
    assert_eq!((ended, state(&other, &job).await), (job, JobState::Failed));
    let failure = other.record(&job).await.unwrap().expect("kept").failure.expect("told");
    assert_eq!(failure.class, FailureClass::Resource);
    assert_eq!(failure.message, "the job asked for model a/model, and the fleet runs b/model");
    // An operator may give it to the model of the day.
    let again = other.replay(&job).await.unwrap().expect("a dead letter");
    assert_eq!(claim(&other, &WorkerId::of_this_process("w")).await.lease.at().id, again);
}
