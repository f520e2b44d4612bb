//! Steps that may come next, and how a history of them is drawn and shrunk.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;

use super::model::{JobPlace, ModelJob, QueueModel, RUNNING_MAX};
use super::{QUEUES, TEXTS};
use csm_shared::job::{FailureClass, JobState, Lane};

/// Number of workers.
pub(super) const WORKERS: usize = 3;

/// Bound on a job's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeLimit {
    None,
    Wait,
    Deadline,
}

/// Step of a history. Jobs, workers and leases go by their number; a lease is named even after it
/// was lost.
#[derive(Clone, Debug)]
pub(super) enum QueueMove {
    Enqueue {
        lane: Lane,
        text: usize,
        tenant: usize,
        limit: TimeLimit,
    },
    Repeat {
        job: usize,
        same: bool,
    },
    Claim {
        worker: usize,
        idle: bool,
        standard: bool,
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
    Release {
        fence: usize,
        delayed: bool,
    },
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
    /// The group of a stream is deleted by hand.
    GroupLost(usize),
}

/// The model as the reference that histories are drawn from.
pub(super) struct Histories;

impl ReferenceStateMachine for Histories {
    type State = QueueModel;
    type Transition = QueueMove;

    fn init_state() -> BoxedStrategy<QueueModel> {
        Just(QueueModel::default()).boxed()
    }

    fn transitions(model: &QueueModel) -> BoxedStrategy<QueueMove> {
        let mut choices = vec![
            (9, enqueue()),
            (10, claim()),
            (4, Just(QueueMove::Reap).boxed()),
            (2, Just(QueueMove::Promote).boxed()),
            (2, Just(QueueMove::Expire).boxed()),
            (1, Just(QueueMove::Reconcile).boxed()),
            (1, Just(QueueMove::Tidy).boxed()),
            (1, Just(QueueMove::WardenEnds).boxed()),
            (1, (0..QUEUES.len()).prop_map(QueueMove::GroupLost).boxed()),
            (
                1,
                (select(&Lane::ALL[..]), any::<bool>())
                    .prop_map(|(lane, paused)| QueueMove::Pause(lane, paused))
                    .boxed(),
            ),
            (1, prop::bool::weighted(0.2).prop_map(QueueMove::Close).boxed()),
        ];
        let held: Vec<_> = (0..model.fences.len()).filter(|&fence| model.holds(model.fences[fence])).collect();
        let lost: Vec<_> = (0..model.fences.len()).filter(|fence| !held.contains(fence)).collect();
        with_any(&mut choices, 14, held, lease);
        with_any(&mut choices, 6, lost, lease);
        with_any(&mut choices, 4, model.by_id(may_lose_lease), |job| Just(QueueMove::LeaseEnds(job)).boxed());
        with_any(&mut choices, 3, model.by_id(may_fall_due), |job| Just(QueueMove::RetryFallsDue(job)).boxed());
        with_any(&mut choices, 2, model.by_id(may_run_out), |job| Just(QueueMove::TimeIsOver(job)).boxed());
        with_any(&mut choices, 3, model.by_id(|_| true), |job| Just(QueueMove::Cancel(job)).boxed());
        with_any(&mut choices, 1, model.by_id(|_| true), |job| {
            any::<bool>().prop_map(move |same| QueueMove::Repeat { job, same }).boxed()
        });
        with_any(&mut choices, 4, model.by_id(|job| job.state == JobState::Failed), |job| {
            prop_oneof![3 => Just(QueueMove::Replay(job)), 1 => Just(QueueMove::Purge(job))].boxed()
        });
        Union::new_weighted(choices).boxed()
    }

    fn apply(mut model: QueueModel, step: &QueueMove) -> QueueModel {
        model.apply(step);
        model
    }

    fn preconditions(model: &QueueModel, step: &QueueMove) -> bool {
        let job_is = |job: usize, fits: fn(&ModelJob) -> bool| model.jobs.get(job).is_some_and(fits);
        // If two tenants have parked jobs, either may go on, and the model knows only one.
        let has_room = |tenant: usize| tenant == 0 || model.open(tenant) < RUNNING_MAX;
        match *step {
            QueueMove::Enqueue { tenant, .. } => has_room(tenant),
            QueueMove::Beat(fence)
            | QueueMove::Succeed(fence)
            | QueueMove::Fail(fence, _)
            | QueueMove::GiveUp(fence)
            | QueueMove::Retry { fence, .. }
            | QueueMove::Suspect(fence)
            | QueueMove::Release { fence, .. } => fence < model.fences.len(),
            QueueMove::Repeat { job, .. } | QueueMove::Cancel(job) | QueueMove::Purge(job) => job < model.jobs.len(),
            QueueMove::Replay(job) => model.jobs.get(job).is_some_and(|job| has_room(job.tenant)),
            QueueMove::LeaseEnds(job) => job_is(job, may_lose_lease),
            QueueMove::RetryFallsDue(job) => job_is(job, may_fall_due),
            QueueMove::TimeIsOver(job) => job_is(job, may_run_out),
            _ => true,
        }
    }
}

fn may_lose_lease(job: &ModelJob) -> bool {
    job.state == JobState::Running && !job.lost
}

fn may_fall_due(job: &ModelJob) -> bool {
    job.place == JobPlace::Delayed && !job.due
}

fn may_run_out(job: &ModelJob) -> bool {
    job.limit != TimeLimit::None && !job.over && !job.state.is_final()
}

fn with_any(
    choices: &mut Vec<(u32, BoxedStrategy<QueueMove>)>,
    weight: u32,
    from: Vec<usize>,
    step: impl Fn(usize) -> BoxedStrategy<QueueMove> + Send + Sync + 'static,
) {
    if !from.is_empty() {
        choices.push((weight, select(from).prop_flat_map(step).boxed()));
    }
}

fn enqueue() -> BoxedStrategy<QueueMove> {
    let limit = prop_oneof![4 => Just(TimeLimit::None), 1 => Just(TimeLimit::Wait), 1 => Just(TimeLimit::Deadline)];
    let tenant = prop_oneof![5 => Just(0_usize), 1 => Just(1)];
    (select(&Lane::ALL[..]), 0..TEXTS.len(), tenant, limit)
        .prop_map(|(lane, text, tenant, limit)| QueueMove::Enqueue { lane, text, tenant, limit })
        .boxed()
}

fn claim() -> BoxedStrategy<QueueMove> {
    (0..WORKERS, any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.8))
        .prop_map(|(worker, idle, standard, bulk)| QueueMove::Claim { worker, idle, standard, bulk: standard && bulk })
        .boxed()
}

fn lease(fence: usize) -> BoxedStrategy<QueueMove> {
    prop_oneof![
        3 => Just(QueueMove::Beat(fence)),
        4 => Just(QueueMove::Succeed(fence)),
        1 => Just(QueueMove::Fail(fence, FailureClass::Invalid)),
        1 => Just(QueueMove::Fail(fence, FailureClass::Resource)),
        1 => Just(QueueMove::GiveUp(fence)),
        2 => any::<bool>().prop_map(move |delayed| QueueMove::Retry { fence, delayed }),
        1 => Just(QueueMove::Suspect(fence)),
        1 => any::<bool>().prop_map(move |delayed| QueueMove::Release { fence, delayed }),
    ]
    .boxed()
}
