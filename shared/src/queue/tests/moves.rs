//! What may happen next, and how a history of it is drawn and shrunk.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;

use super::model::{Job, Model, Place, RUNNING_MAX};
use super::{QUEUES, TEXTS};
use crate::job::{FailureClass, JobState, Lane};

/// How many workers there are.
pub(super) const WORKERS: usize = 3;

/// What bounds a job's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    None,
    Wait,
    Deadline,
}

/// One step of a history. Jobs, workers and leases go by their number; a lease is named even after it was lost.
#[derive(Clone, Debug)]
pub(super) enum Move {
    Enqueue {
        lane: Lane,
        text: usize,
        tenant: usize,
        limit: Limit,
    },
    Repeat {
        job: usize,
        same: bool,
    },
    Claim {
        worker: usize,
        idle: bool,
        bulk: bool,
    },
    Beat(usize),
    Succeed(usize),
    Fail(usize, FailureClass),
    GiveUp(usize),
    Retry {
        fence: usize,
        delayed: bool,
    },
    Suspect(usize),
    Release(usize),
    Cancel(usize),
    LeaseEnds(usize),
    RetryFallsDue(usize),
    TimeIsOver(usize),
    Reap,
    Promote,
    Expire,
    Reconcile,
    Tidy,
    Pause(Lane, bool),
    Close(bool),
    Replay(usize),
    Purge(usize),
    WardenEnds,
    /// Somebody deletes the group of a stream.
    GroupLost(usize),
}

/// The model as the reference that histories are drawn from.
pub(super) struct Histories;

impl ReferenceStateMachine for Histories {
    type State = Model;
    type Transition = Move;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Move> {
        let mut choices = vec![
            (9, enqueue()),
            (10, claim()),
            (4, Just(Move::Reap).boxed()),
            (2, Just(Move::Promote).boxed()),
            (2, Just(Move::Expire).boxed()),
            (1, Just(Move::Reconcile).boxed()),
            (1, Just(Move::Tidy).boxed()),
            (1, Just(Move::WardenEnds).boxed()),
            (1, (0..QUEUES.len()).prop_map(Move::GroupLost).boxed()),
            (1, (select(&Lane::ALL[..]), any::<bool>()).prop_map(|(lane, paused)| Move::Pause(lane, paused)).boxed()),
            (1, prop::bool::weighted(0.2).prop_map(Move::Close).boxed()),
        ];
        let held: Vec<_> = (0..model.fences.len()).filter(|&fence| model.holds(model.fences[fence])).collect();
        let lost: Vec<_> = (0..model.fences.len()).filter(|fence| !held.contains(fence)).collect();
        with_any(&mut choices, 14, held, lease);
        with_any(&mut choices, 6, lost, lease);
        with_any(&mut choices, 4, model.by_id(may_lose_lease), |job| Just(Move::LeaseEnds(job)).boxed());
        with_any(&mut choices, 3, model.by_id(may_fall_due), |job| Just(Move::RetryFallsDue(job)).boxed());
        with_any(&mut choices, 2, model.by_id(may_run_out), |job| Just(Move::TimeIsOver(job)).boxed());
        with_any(&mut choices, 3, model.by_id(|_| true), |job| Just(Move::Cancel(job)).boxed());
        with_any(&mut choices, 1, model.by_id(|_| true), |job| {
            any::<bool>().prop_map(move |same| Move::Repeat { job, same }).boxed()
        });
        with_any(&mut choices, 4, model.by_id(|job| job.state == JobState::Failed), |job| {
            prop_oneof![3 => Just(Move::Replay(job)), 1 => Just(Move::Purge(job))].boxed()
        });
        Union::new_weighted(choices).boxed()
    }

    fn apply(mut model: Model, step: &Move) -> Model {
        model.apply(step);
        model
    }

    fn preconditions(model: &Model, step: &Move) -> bool {
        let job_is = |job: usize, fits: fn(&Job) -> bool| model.jobs.get(job).is_some_and(fits);
        // Of two tenants with jobs put aside, either may go on; the model knows one.
        let has_room = |tenant: usize| tenant == 0 || model.open(tenant) < RUNNING_MAX;
        match *step {
            Move::Enqueue { tenant, .. } => has_room(tenant),
            Move::Beat(fence)
            | Move::Succeed(fence)
            | Move::Fail(fence, _)
            | Move::GiveUp(fence)
            | Move::Retry { fence, .. }
            | Move::Suspect(fence)
            | Move::Release(fence) => fence < model.fences.len(),
            Move::Repeat { job, .. } | Move::Cancel(job) | Move::Purge(job) => job < model.jobs.len(),
            Move::Replay(job) => model.jobs.get(job).is_some_and(|job| has_room(job.tenant)),
            Move::LeaseEnds(job) => job_is(job, may_lose_lease),
            Move::RetryFallsDue(job) => job_is(job, may_fall_due),
            Move::TimeIsOver(job) => job_is(job, may_run_out),
            _ => true,
        }
    }
}

fn may_lose_lease(job: &Job) -> bool {
    job.state == JobState::Running && !job.lost
}

fn may_fall_due(job: &Job) -> bool {
    job.place == Place::Delayed && !job.due
}

fn may_run_out(job: &Job) -> bool {
    job.limit != Limit::None && !job.over && !job.state.is_final()
}

fn with_any(
    choices: &mut Vec<(u32, BoxedStrategy<Move>)>,
    weight: u32,
    from: Vec<usize>,
    step: impl Fn(usize) -> BoxedStrategy<Move> + Send + Sync + 'static,
) {
    if !from.is_empty() {
        choices.push((weight, select(from).prop_flat_map(step).boxed()));
    }
}

fn enqueue() -> BoxedStrategy<Move> {
    let limit = prop_oneof![4 => Just(Limit::None), 1 => Just(Limit::Wait), 1 => Just(Limit::Deadline)];
    let tenant = prop_oneof![5 => Just(0_usize), 1 => Just(1)];
    (select(&Lane::ALL[..]), 0..TEXTS.len(), tenant, limit)
        .prop_map(|(lane, text, tenant, limit)| Move::Enqueue { lane, text, tenant, limit })
        .boxed()
}

fn claim() -> BoxedStrategy<Move> {
    (0..WORKERS, any::<bool>(), prop::bool::weighted(0.7))
        .prop_map(|(worker, idle, bulk)| Move::Claim { worker, idle, bulk })
        .boxed()
}

fn lease(fence: usize) -> BoxedStrategy<Move> {
    prop_oneof![
        3 => Just(Move::Beat(fence)),
        4 => Just(Move::Succeed(fence)),
        1 => Just(Move::Fail(fence, FailureClass::Invalid)),
        1 => Just(Move::Fail(fence, FailureClass::Resource)),
        1 => Just(Move::GiveUp(fence)),
        2 => any::<bool>().prop_map(move |delayed| Move::Retry { fence, delayed }),
        1 => Just(Move::Suspect(fence)),
        1 => Just(Move::Release(fence)),
    ]
    .boxed()
}
