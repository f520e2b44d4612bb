//! Actions and views of operators: pause, close, dead letters, numbers, and how much is accepted.

use std::time::Duration;

use csm_queue::queue::{
    Enqueue, JobEnd, LAST_ENDS_MAX, LetterFilter, Queue, QueueArgs, QueueError, RedisKeys, Retry, Ticket, WorkerId,
    WorkerReport,
};
use csm_shared::job::{Failure, FailureClass, InputWarnings, JobId, JobState, Lane};
use jiff::{Timestamp, ToSpan as _};

use super::{depth, enqueue, failure, receipt, state};
use crate::fleet::{TestFleet, claim, spec, try_claim};

#[tokio::test]
async fn a_paused_lane_takes_in_and_gives_nothing_out() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    enqueue(queue, Lane::Live).await;
    let running = claim(queue, &owner).await.lease;
    queue.pause(Lane::Live, true).await.unwrap();
    let (held, bulk) = (enqueue(queue, Lane::Live).await, enqueue(queue, Lane::Bulk).await);
    assert_eq!(claim(queue, &owner).await.lease.at().id, bulk);
    assert!(try_claim(queue, &owner).await.is_none());
    let last = Ticket::new(JobId::generate());
    queue.report(&owner, &report(10.0)).await.unwrap();
    assert_eq!(queue.enqueue(&last, &spec(Lane::Live)).await.unwrap(), Enqueue::Paused, "no wait is told");
    assert_eq!(queue.stats().await.unwrap().predicted_wait(Lane::Live), None);
    let paused: Vec<_> = queue.stats().await.unwrap().lanes.iter().map(|lane| lane.paused).collect();
    assert_eq!(paused, [true, false, false]);
    running.succeed(&receipt()).await.unwrap();
    queue.pause(Lane::Live, false).await.unwrap();
    assert_eq!(claim(queue, &owner).await.lease.at().id, held);
}

#[tokio::test]
async fn a_closed_queue_takes_nothing_in_and_works_off_what_it_has() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let id = enqueue(queue, Lane::Live).await;
    queue.close(true).await.unwrap();
    let refused = queue.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live)).await.unwrap_err();
    assert!(matches!(refused, QueueError::Closed) && refused.is_transient());
    let again = queue.enqueue(&Ticket::new(id), &spec(Lane::Live)).await.unwrap();
    assert_eq!(again, Enqueue::Exists(JobState::Queued), "a repeat of what was taken in is no new job");
    assert!(queue.stats().await.unwrap().closed);
    assert_eq!(claim(queue, &owner).await.lease.release().await.unwrap(), Retry::Queued);
    assert_eq!(claim(queue, &owner).await.lease.at().id, id);
    queue.close(false).await.unwrap();
    enqueue(queue, Lane::Live).await;
}

#[tokio::test]
async fn a_full_redis_can_be_paused_and_closed() {
    let fleet = TestFleet::start().await;
    let (full, owner) = (fleet.impatient_queue(), WorkerId::of_this_process("a"));
    let (live, bulk) = (enqueue(&full, Lane::Live).await, enqueue(&full, Lane::Bulk).await);
    fleet.limit_memory("1mb").await;
    assert!(full.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live)).await.is_err(), "it is full");
    full.close(true).await.unwrap();
    full.pause(Lane::Live, true).await.unwrap();
    let refused = full.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live)).await;
    assert!(matches!(refused, Err(QueueError::Closed)), "{refused:?}");
    let running = claim(&full, &owner).await.lease;
    assert_eq!(running.at().id, bulk);
    assert!(try_claim(&full, &owner).await.is_none(), "the live lane is paused");
    let stats = full.stats().await.unwrap();
    assert!(stats.closed && stats.lanes[0].paused);
    full.pause(Lane::Live, false).await.unwrap();
    full.close(false).await.unwrap();
    assert_eq!(claim(&full, &owner).await.lease.at().id, live);
}

#[tokio::test]
async fn another_request_of_the_same_id_is_a_conflict() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let ticket = Ticket { fingerprint: "one".into(), ..Ticket::new(JobId::generate()) };
    queue.enqueue(&ticket, &spec(Lane::Live)).await.unwrap();
    assert_eq!(queue.enqueue(&ticket, &spec(Lane::Live)).await.unwrap(), Enqueue::Exists(JobState::Queued));
    let other = Ticket { fingerprint: "other".into(), ..ticket.clone() };
    let refused = queue.enqueue(&other, &spec(Lane::Live)).await.unwrap_err();
    assert!(matches!(refused, QueueError::Conflict(id) if id == ticket.id) && !refused.is_transient());
    assert_eq!(depth(queue).await, 1);
}

async fn given_up(queue: &Queue, class: FailureClass) -> JobId {
    let id = enqueue(queue, Lane::Standard).await;
    let lease = claim(queue, &WorkerId::of_this_process("a")).await.lease;
    lease.fail(&Failure::new(class, "out of memory")).await.unwrap();
    id
}

#[tokio::test]
async fn a_dead_letter_becomes_one_new_job_of_the_same_request() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let id = given_up(queue, FailureClass::Resource).await;
    let letters = queue.dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].id.as_str(), letters[0].class.as_str()), (id.to_string().as_str(), "resource"));
    assert_eq!((letters[0].error.as_str(), letters[0].attempt), ("out of memory", 1));

    let new = queue.replay(&id).await.unwrap().expect("a dead letter");
    assert_eq!(queue.replay(&id).await.unwrap(), Some(new), "repeating it changes nothing");
    let old = queue.record(&id).await.unwrap().expect("kept");
    assert_eq!((old.state, old.replayed_as), (JobState::Failed, Some(new)));
    assert!(queue.dead_letters(10).await.unwrap().is_empty());
    let job = claim(queue, &WorkerId::of_this_process("b")).await;
    assert_eq!((job.lease.at().id, job.lease.at().attempt, &job.spec), (new, 1, &spec(Lane::Standard)));
    job.lease.succeed(&receipt()).await.unwrap();
    assert_eq!(queue.replay(&id).await.unwrap(), Some(new));
    assert_eq!((state(queue, &id).await, state(queue, &new).await), (JobState::Failed, JobState::Succeeded));
    assert_eq!(queue.stats().await.unwrap().open, 0);
}

#[tokio::test]
async fn warnings_stay_with_a_job_and_with_its_replay() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let mut warnings = InputWarnings::default();
    warnings.add("context_segments[0].audio", vec!["it ends early; \"ü\"".to_owned()]);
    let ticket = Ticket { warnings: warnings.clone(), ..Ticket::new(JobId::generate()) };
    queue.enqueue(&ticket, &spec(Lane::Standard)).await.unwrap();
    let lease = claim(queue, &WorkerId::of_this_process("a")).await.lease;
    lease.fail(&Failure::new(FailureClass::Resource, "out of memory")).await.unwrap();
    assert_eq!(queue.record(&ticket.id).await.unwrap().expect("kept").warnings, warnings);
    let new = queue.replay(&ticket.id).await.unwrap().expect("a dead letter");
    assert_eq!(queue.record(&new).await.unwrap().expect("queued").warnings, warnings);

    let plain = enqueue(queue, Lane::Standard).await;
    assert!(queue.record(&plain).await.unwrap().expect("queued").warnings.is_empty());
    claim(queue, &WorkerId::of_this_process("a")).await.lease.succeed(&receipt()).await.unwrap();
    assert_eq!(queue.forget(&[new]).await.unwrap(), 1);
    assert!(queue.record(&new).await.unwrap().expect("not yet gone").warnings.is_empty());
}

#[tokio::test]
async fn a_purged_dead_letter_is_gone_and_a_bad_request_never_was_one() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let id = given_up(queue, FailureClass::Transient).await;
    assert!(queue.purge(&id).await.unwrap());
    assert!(!queue.purge(&id).await.unwrap(), "once");
    assert_eq!(queue.replay(&id).await.unwrap(), None);
    assert_eq!(state(queue, &id).await, JobState::Failed);

    let letters = RedisKeys::new("test", 0).dead_letters();
    fleet.redis_cli(&["DEL", &letters]).await;
    fleet.redis_cli(&["XADD", &letters, "1-1", "id", "x"]).await;
    let young = given_up(queue, FailureClass::Transient).await;
    queue.tidy().await.unwrap();
    let left = queue.dead_letters(10).await.unwrap();
    assert_eq!(left.len(), 1, "one whose record has expired is gone with it");
    assert!(left[0].id == young.to_string() && queue.purge(&young).await.unwrap());

    let bad = given_up(queue, FailureClass::Invalid).await;
    assert!(queue.dead_letters(10).await.unwrap().is_empty());
    assert_eq!((queue.replay(&bad).await.unwrap(), queue.purge(&bad).await.unwrap()), (None, false));
    let waiting = enqueue(queue, Lane::Live).await;
    assert_eq!((queue.replay(&waiting).await.unwrap(), queue.purge(&waiting).await.unwrap()), (None, false));
    assert_eq!(queue.replay(&JobId::generate()).await.unwrap(), None);
}

#[tokio::test]
async fn dead_letters_are_chosen_by_class_message_and_time() {
    let fleet = TestFleet::start().await;
    let queue = &fleet.queue;
    let (old, other) = (given_up(queue, FailureClass::Resource).await, given_up(queue, FailureClass::Transient).await);
    let until = queue.newest_dead_letters(1).await.unwrap()[0].at;
    let young = given_up(queue, FailureClass::Resource).await;
    let chosen = async |filter: LetterFilter| {
        let found = queue.dead_letter_jobs(&filter).await.unwrap();
        found.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    let class = || LetterFilter { class: Some("resource".into()), ..LetterFilter::default() };
    assert_eq!(chosen(LetterFilter::default()).await, [old, other, young]);
    assert_eq!(chosen(class()).await, [old, young]);
    assert_eq!(chosen(LetterFilter { until: Some(until), ..class() }).await, [old]);
    assert_eq!(chosen(LetterFilter { error: Some("out of memory".into()), ..class() }).await, [old, young]);
    assert_eq!(chosen(LetterFilter { error: Some("memory".into()), ..class() }).await, []);
    assert_eq!(queue.dead_letter_count().await.unwrap(), 3);
    assert_eq!(queue.newest_dead_letters(2).await.unwrap()[1].id, other.to_string());
}

#[tokio::test]
async fn the_last_ends_tell_how_jobs_ended_on_all_shards() {
    let fleet = TestFleet::start_with(&QueueArgs { queue_shards: 4, ..QueueArgs::default() }).await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let failed = given_up(queue, FailureClass::Invalid).await;
    let done = enqueue(queue, Lane::Bulk).await;
    claim(queue, &owner).await.lease.retry(&failure(), Duration::ZERO).await.unwrap();
    claim(queue, &owner).await.lease.succeed(&receipt()).await.unwrap();
    let left = enqueue(queue, Lane::Live).await;
    claim(queue, &owner).await.lease.release().await.unwrap();
    queue.cancel(&left).await.unwrap();
    let ends = queue.last_ends().await.unwrap();
    let told = |end: &JobEnd| (end.id, end.state, end.reason.clone(), end.attempt);
    let expected = [
        (left, JobState::Cancelled, None, 1),
        (done, JobState::Succeeded, Some("eos".to_owned()), 2),
        (failed, JobState::Failed, Some("invalid".to_owned()), 1),
    ];
    assert_eq!(ends.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!((&ends[1].worker, ends[1].lane), (&Some(owner.to_string()), Lane::Bulk));
    assert!(ends[1].ran.is_some() && ends[0].ran.is_none(), "it waited when it ended");

    for _ in 0..4 * LAST_ENDS_MAX {
        let id = enqueue(queue, Lane::Bulk).await;
        queue.cancel(&id).await.unwrap();
    }
    let ends = queue.last_ends().await.unwrap();
    assert!(ends.len() == LAST_ENDS_MAX && ends.is_sorted_by(|newer, older| newer.at >= older.at));
    for shard in 0..4 {
        let mut length = redis::cmd("LLEN");
        let kept: usize = fleet.client.command(length.arg(RedisKeys::new("test", shard).last_ends())).await.unwrap();
        assert!(kept <= LAST_ENDS_MAX, "{kept}");
    }
}

#[tokio::test]
async fn when_all_has_ended_all_numbers_are_back_at_zero() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let mut ids = Vec::new();
    for lane in Lane::ALL.repeat(4) {
        ids.push(enqueue(queue, lane).await);
    }
    let frames = Duration::from_millis(80 * u64::from(spec(Lane::Live).expected_frames()));
    let stats = queue.stats().await.unwrap();
    assert!(stats.lanes.iter().all(|lane| (lane.depth, lane.waiting_audio) == (4, frames * 4)));
    assert!(stats.lanes.iter().all(|lane| lane.oldest.is_some() && lane.running_audio.is_zero()));
    let mut ends = 0;
    while let Some(job) = try_claim(queue, &owner).await {
        ends += 1;
        let lane = job.spec.lane as usize;
        assert_eq!(queue.stats().await.unwrap().lanes[lane].running_audio, frames);
        match ends {
            1 => drop(job.lease.release().await.unwrap()),
            2 => drop(job.lease.retry(&failure(), Duration::ZERO).await.unwrap()),
            3 => drop(job.lease.fail(&failure()).await.unwrap()),
            4 => drop(job.lease.cancelled().await.unwrap()),
            5 => {
                fleet.expire_leases().await;
                queue.reap().await.unwrap();
            }
            6 => {
                queue.cancel(&job.lease.at().id).await.unwrap();
                job.lease.succeed(&receipt()).await.unwrap();
            }
            _ => drop(job.lease.succeed(&receipt()).await.unwrap()),
        }
    }
    let stats = queue.stats().await.unwrap();
    assert!(stats.lanes.iter().all(|lane| lane.depth == 0 && lane.oldest.is_none()));
    assert!(stats.lanes.iter().all(|lane| lane.waiting_audio.is_zero() && lane.running_audio.is_zero()));
    assert_eq!((stats.open, stats.running, stats.delayed, stats.suspects, stats.dead), (0, 0, 0, 0, 1));
    let ended = |end| stats.ended.iter().find(|(state, _)| *state == end).expect("counted").1;
    let ended = [JobState::Succeeded, JobState::Failed, JobState::Cancelled, JobState::Expired].map(ended);
    assert_eq!(ended, [ids.len() as u64 - 3, 1, 2, 0]);
    let mut tenants = redis::cmd("EXISTS");
    assert_eq!(fleet.client.command::<u64>(tenants.arg(RedisKeys::new("test", 0).tenants())).await.unwrap(), 0);
}

fn report(frames_per_second: f64) -> WorkerReport {
    WorkerReport {
        host: "h".into(),
        model: "m".into(),
        build: "b".into(),
        slots: 5,
        lane_slots: [5; 3],
        running: 0,
        frames_per_second,
        frames: 0,
        draining: false,
    }
}

#[tokio::test]
async fn a_wait_is_predicted_from_what_waits_and_from_what_workers_can_do() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let impatient = Queue::new(fleet.client.clone(), &QueueArgs { live_wait_max_seconds: 60, ..QueueArgs::default() });
    let live = spec(Lane::Live);
    let enter = async |ticket: Ticket| impatient.enqueue(&ticket, &live).await;
    let fresh = || Ticket::new(JobId::generate());
    for _ in 0..100 {
        assert_eq!(enter(fresh()).await.unwrap(), Enqueue::Accepted { wait: None }, "nobody has told a rate");
    }
    // A hundred jobs at half a job a second.
    let frames = f64::from(live.expected_frames());
    queue.report(&owner, &report(frames / 4.0)).await.unwrap();
    queue.report(&WorkerId::of_this_process("b"), &report(frames / 4.0)).await.unwrap();
    let Err(QueueError::Busy { wait, limit, .. }) = enter(fresh()).await else { panic!("too many wait") };
    assert_eq!(limit, Duration::from_secs(60));
    assert!(wait.abs_diff(Duration::from_secs(200)) < Duration::from_secs(4), "{wait:?}");
    let patient = queue.enqueue(&fresh(), &live).await.unwrap();
    assert!(
        matches!(patient, Enqueue::Accepted { wait: Some(at) } if at == wait),
        "who sets no bound may wait: {patient:?}"
    );

    let soon = Ticket { deadline: Some(Timestamp::now() + 20.seconds()), ..fresh() };
    let Err(QueueError::TooLate { wait, .. }) = queue.enqueue(&soon, &live).await else { panic!("it is too late") };
    assert!(wait > Duration::from_secs(20), "{wait:?}");
    let later = Ticket { deadline: Some(Timestamp::now() + 1.hour()), ..fresh() };
    assert!(queue.enqueue(&later, &live).await.is_ok());

    // A job of another lane waits for its lane's share, or for the whole backlog, or not at all
    // while its lane is empty.
    let standard = queue.enqueue(&fresh(), &spec(Lane::Standard)).await.unwrap();
    assert_eq!(standard, Enqueue::Accepted { wait: Some(Duration::ZERO) });
    queue.leave(&owner).await.unwrap();
    assert!((queue.stats().await.unwrap().frames_per_second - frames / 4.0).abs() < 0.01);
    queue.report(&WorkerId::of_this_process("c"), &WorkerReport { draining: true, ..report(1_000.0) }).await.unwrap();
    let stats = queue.stats().await.unwrap();
    assert!((stats.frames_per_second - frames / 4.0).abs() < 0.01, "one that drains adds nothing");
    assert_eq!(stats.workers.len(), 2);
}

#[tokio::test]
async fn a_lane_waits_for_its_share_but_never_for_more_than_all_there_is() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let (standard, bulk) = (spec(Lane::Standard), spec(Lane::Bulk));
    for _ in 0..8 {
        queue.enqueue(&Ticket::new(JobId::generate()), &standard).await.unwrap();
        queue.enqueue(&Ticket::new(JobId::generate()), &bulk).await.unwrap();
    }
    // One slot that makes a job a second.
    let frames = f64::from(standard.expected_cost());
    let one_slot = WorkerReport { slots: 1, lane_slots: [1; 3], ..report(frames) };
    queue.report(&owner, &one_slot).await.unwrap();
    let stats = queue.stats().await.unwrap();
    let wait = |lane| stats.predicted_wait(lane).expect("a rate is known").as_secs_f64();
    assert!(wait(Lane::Live).abs() < 0.01, "its lane is empty and the slot is free");
    assert!((wait(Lane::Standard) - 8.0 * 1.25).abs() < 0.01, "four fifths of the slot");
    assert!((wait(Lane::Bulk) - 16.0).abs() < 0.01, "the whole slot once the others are through");
    queue.leave(&owner).await.unwrap();
    assert_eq!(queue.stats().await.unwrap().predicted_wait(Lane::Live), None);
}

#[tokio::test]
async fn a_fleet_without_workers_predicts_nothing() {
    let fleet = TestFleet::start().await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    queue.report(&owner, &report(10.0)).await.unwrap();
    let (accepted, spec) = (Ticket::new(JobId::generate()), spec(Lane::Live));
    assert_eq!(queue.enqueue(&accepted, &spec).await.unwrap(), Enqueue::Accepted { wait: Some(Duration::ZERO) });
    queue.leave(&owner).await.unwrap();
    let accepted = Ticket::new(JobId::generate());
    assert_eq!(queue.enqueue(&accepted, &spec).await.unwrap(), Enqueue::Accepted { wait: None });
    assert!(queue.stats().await.unwrap().workers.is_empty());
}

#[tokio::test]
async fn every_shard_is_served() {
    let fleet = TestFleet::start_with(&QueueArgs { queue_shards: 4, ..QueueArgs::default() }).await;
    let (queue, owner) = (&fleet.queue, WorkerId::of_this_process("a"));
    let mut waiting: Vec<JobId> = Vec::new();
    for _ in 0..40 {
        waiting.push(enqueue(queue, Lane::Standard).await);
    }
    let mut shards = [false; 4];
    waiting.iter().for_each(|id| shards[usize::from(id.spread(4))] = true);
    assert_eq!(shards, [true; 4]);
    assert_eq!((depth(queue).await, queue.stats().await.unwrap().open), (40, 40));
    while let Some(job) = try_claim(queue, &owner).await {
        let id = job.lease.at().id;
        waiting.retain(|waiting| *waiting != id);
        job.lease.succeed(&receipt()).await.unwrap();
        assert_eq!(state(queue, &id).await, JobState::Succeeded);
    }
    assert!(waiting.is_empty());
    assert_eq!((depth(queue).await, queue.stats().await.unwrap().open), (0, 0));

    let poison = given_up(queue, FailureClass::Resource).await;
    let new = queue.replay(&poison).await.unwrap().expect("a dead letter");
    assert_eq!(new.spread(4), poison.spread(4), "a script touches one shard");
    assert_eq!(claim(queue, &owner).await.lease.at().id, new);
}
