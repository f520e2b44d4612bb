//! Predicted waits beside the waits that jobs then had, in a fleet whose clock the test turns.
//! Scripts, jobs and claims are real; only the time that a job takes is made up.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "the measuring tests print what they measured")]

mod virtual_fleet;

use csm_shared::audio::{Clip, FRAME_SAMPLES};
use csm_shared::job::{JobSpec, Lane, Segment, Temperature, Text};
use csm_testing::job;

use super::{LuaDefect, TestRedis};
use virtual_fleet::{Arrival, Seen, VirtualFleet, VirtualWorkers};

/// Time in ms that a slot needs for one frame.
const FRAME: u64 = 100;
/// Difference in ms between a predicted and a seen wait that is never counted as wrong: it is less
/// than an ordinary job takes.
const SLACK: u64 = 2_000;
/// Longest predicted wait in seconds with which a live job is accepted.
const LIVE_WAIT_MAX: u64 = 60;

/// Workers of the tests, each with four slots, one of them kept for live jobs.
const WORKERS: VirtualWorkers = VirtualWorkers { workers: 3, slots: 4, live_reserve: 1, frame_ms: FRAME };

/// A live job of an ordinary text, and how long it takes: the speech that its text lets expect, give
/// or take a fifth.
fn ordinary(number: u64) -> (JobSpec, u64) {
    let text = "An ordinary sentence that somebody says. ".repeat(1 + number as usize % 2);
    let spec = job().text(&text).frames(125).lane(Lane::Live).spec();
    let frames = u64::from(spec.expected_frames());
    (spec, frames * FRAME * (80 + number * 7 % 41) / 100 + 300)
}

/// A live job of one letter that draws its codes so freely that it speaks until its budget ends.
fn one_letter(lane: Lane) -> (JobSpec, u64) {
    let mut spec = job().text("a").frames(125).lane(lane).spec();
    spec.sampling.temperature = Temperature::new(2.0).expect("valid");
    (spec, 125 * FRAME)
}

/// A job of a word with 119 s of recordings, which takes 60 times as long as the word alone.
fn with_context(lane: Lane) -> (JobSpec, u64) {
    let text = Text::new("What was said before.").expect("valid");
    let clip = Clip::from_samples(vec![1; FRAME_SAMPLES * 119_000 / 80 / 4]);
    let segment = Segment { text, speaker: csm_shared::job::Speaker::default(), recording: clip.into() };
    let spec = job().text("Yes.").frames(125).lane(lane).context(vec![segment; 4]).spec();
    (spec, 60 * 10 * FRAME)
}

/// A standard job of minutes.
fn long(number: u64) -> (JobSpec, u64) {
    let spec = job().text(&"It goes on and on. ".repeat(80)).frames(1_500).lane(Lane::Standard).spec();
    let frames = u64::from(spec.expected_frames());
    (spec, frames * FRAME * (90 + number % 21) / 100)
}

/// Makes arrivals of one kind, one every `every` ms from `from` on.
fn arrivals(
    label: &'static str,
    from: u64,
    every: u64,
    count: u64,
    of: impl Fn(u64) -> (JobSpec, u64),
) -> Vec<Arrival> {
    let arrival = |number: u64| {
        let (spec, takes) = of(number);
        Arrival { label, at: from + number * every, spec, takes }
    };
    (0..count).map(arrival).collect()
}

async fn play(workers: VirtualWorkers, defect: Option<LuaDefect>, arrivals: Vec<Arrival>) -> Vec<Seen> {
    let redis = TestRedis::start().await;
    VirtualFleet::new(&redis, workers, LIVE_WAIT_MAX, defect).await.play(arrivals).await
}

/// Plays arrivals in a fleet that refuses nobody, so that every predicted wait meets a seen one.
async fn play_all(arrivals: Vec<Arrival>) -> Vec<Seen> {
    let redis = TestRedis::start().await;
    VirtualFleet::new(&redis, WORKERS, 0, None).await.play(arrivals).await
}

/// Describes the jobs of a kind that were refused, or told a wait that was wrong by more than a
/// factor of two.
fn wrong(seen: &[Seen], label: &str) -> Vec<String> {
    let of_kind = seen.iter().filter(|seen| seen.label == label);
    let is_wrong = |seen: &&Seen| match (seen.told, seen.waited) {
        (Some(told), Some(waited)) => told.abs_diff(waited) > SLACK && (told > 2 * waited || waited > 2 * told),
        _ => true,
    };
    of_kind.filter(is_wrong).map(|seen| format!("{seen:?}")).collect()
}

/// Refused jobs of a kind.
fn refused(seen: &[Seen], label: &str) -> usize {
    seen.iter().filter(|seen| seen.label == label && seen.told.is_none()).count()
}

/// Thirty jobs of another tenant that take sixteen times what their letters say, over before the
/// ordinary jobs come.
fn letters_then_ordinary() -> Vec<Arrival> {
    let letters = arrivals("letter", 1_000, 1_000, 30, |_| one_letter(Lane::Live));
    let others = arrivals("ordinary", 120_000, 100, 60, ordinary);
    [arrivals("first", 0, 10, 12, ordinary), letters, others].concat()
}

#[tokio::test]
async fn nobody_is_refused_for_another_tenants_letters() {
    let seen = play(WORKERS, None, letters_then_ordinary()).await;
    assert_eq!(refused(&seen, "ordinary"), 0, "{seen:#?}");
    let wrong = wrong(&seen, "ordinary");
    assert!(wrong.len() <= 3, "{} of 60: {wrong:#?}", wrong.len());
}

/// One ratio for all jobs, as there was, refuses ordinary jobs for what others sent.
#[tokio::test]
async fn one_ratio_for_jobs_of_every_kind_refuses_jobs_of_others() {
    let defect = LuaDefect { script: "admission", old: ".. ':' .. k", new: ".. '' and 'one' or k" };
    let seen = play(WORKERS, Some(defect), letters_then_ordinary()).await;
    assert!(refused(&seen, "ordinary") > 0);
}

/// Mixes that an adversary would send: letters, contexts and both, in front of ordinary jobs and
/// between them.
#[tokio::test]
async fn an_ordinary_live_job_is_told_its_wait_in_adversarial_mixes() {
    let steady = || arrivals("ordinary", 2_000, 700, 300, ordinary);
    let mixes = [
        ("letters", arrivals("adversary", 0, 4_000, 60, |_| one_letter(Lane::Live))),
        ("contexts", arrivals("adversary", 0, 15_000, 14, |_| with_context(Lane::Live))),
        ("standard contexts", arrivals("adversary", 0, 10_000, 20, |_| with_context(Lane::Standard))),
        (
            "both in bursts",
            [0, 60_000, 120_000]
                .into_iter()
                .flat_map(|at| {
                    let letters = arrivals("adversary", at, 1, 12, |_| one_letter(Lane::Live));
                    [letters, arrivals("adversary", at + 20, 1, 4, |_| with_context(Lane::Live))].concat()
                })
                .collect(),
        ),
    ];
    for (name, adversary) in mixes {
        let seen = play_all([adversary, steady()].concat()).await;
        let ordinary = || seen.iter().filter(|seen| seen.label == "ordinary");
        let wrong = wrong(&seen, "ordinary");
        let longest = ordinary().filter_map(|seen| seen.waited).max().unwrap_or_default();
        // With the usual bound these would get a 429 although they wait less than half of it.
        let bound = LIVE_WAIT_MAX * 1_000;
        let refused_in_vain: Vec<_> = ordinary()
            .filter(|seen| seen.told > Some(bound) && seen.waited < Some(bound / 2))
            .map(|seen| format!("{seen:?}"))
            .collect();
        let count = ordinary().count();
        eprintln!("{name}: {} of {count} told wrong, the longest wait {longest} ms", wrong.len());
        assert!(wrong.len() * 20 <= count, "{name}: {} of {count}: {wrong:#?}", wrong.len());
        assert_eq!(refused_in_vain, Vec::<String>::new(), "{name}");
    }
}

/// Percentile of the waits of a kind, in ms.
fn p95(seen: &[Seen], label: &str) -> u64 {
    let mut waits: Vec<_> = seen.iter().filter(|seen| seen.label == label).filter_map(|seen| seen.waited).collect();
    waits.sort_unstable();
    waits[waits.len() * 95 / 100]
}

#[tokio::test]
async fn live_jobs_wait_no_longer_behind_long_standard_jobs() {
    let live = || arrivals("ordinary", 1_000, 2_500, 100, ordinary);
    let idle = play(WORKERS, None, live()).await;
    let behind = play(WORKERS, None, [arrivals("long", 0, 10, 24, long), live()].concat()).await;
    let (idle_p95, behind_p95) = (p95(&idle, "ordinary"), p95(&behind, "ordinary"));
    let reserveless = VirtualWorkers { live_reserve: 0, ..WORKERS };
    let without = play(reserveless, None, [arrivals("long", 0, 10, 24, long), live()].concat()).await;
    let without_p95 = p95(&without, "ordinary");
    eprintln!(
        "p95 of the live wait in ms: {idle_p95} idle, {behind_p95} behind long jobs, {without_p95} without reserve"
    );
    assert!(behind_p95 <= 2 * idle_p95 + SLACK, "{idle_p95} ms, behind long jobs {behind_p95} ms");
    assert_eq!(wrong(&behind, "ordinary"), Vec::<String>::new());
    assert!(without_p95 > 10 * SLACK, "without a reserve live jobs wait for long ones, here {without_p95} ms");
}

/// A worker of one slot can keep none free: the wait is long, and the caller is told so.
#[tokio::test]
async fn a_live_job_is_told_the_wait_for_a_running_standard_job() {
    let workers = VirtualWorkers { workers: 12, slots: 1, live_reserve: 1, frame_ms: 50 };
    let long = arrivals("long", 20_000, 10, 12, |number| (long(number).0, long(number).1 / 2));
    let warm = arrivals("warm", 0, 10, 12, ordinary);
    let seen = play(workers, None, [warm, long, arrivals("ordinary", 30_000, 5_000, 4, ordinary)].concat()).await;
    let waits: Vec<_> = seen.iter().filter(|seen| seen.label == "ordinary").collect();
    assert!(waits.iter().all(|seen| seen.told.is_none_or(|told| told > 20_000)), "{waits:#?}");
    let told_wrong = waits.iter().filter(|seen| match (seen.told, seen.waited) {
        (Some(told), Some(waited)) => told > 2 * waited || waited > 2 * told,
        _ => false,
    });
    assert_eq!(told_wrong.count(), 0, "{waits:#?}");
}
