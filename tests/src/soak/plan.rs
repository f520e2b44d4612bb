//! All choices of a run, drawn from one seed before it begins: utterances, arrivals and faults.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

/// Number of gateways.
pub const GATEWAYS: usize = 2;
/// Number of workers.
pub const WORKERS: usize = 4;

/// Milliseconds of audio in a frame.
const FRAME_MS: u64 = 80;
/// Number of different short utterances, and their frames: two cores can make many a second.
const SHORT: (usize, std::ops::RangeInclusive<u64>) = (24, 2..=6);
/// Number of different long utterances, and their frames: long enough for a kill in the middle.
const LONG: (usize, std::ops::RangeInclusive<u64>) = (8, 60..=200);
/// Number of different very long utterances, and their frames. A worker that returns after its
/// lease has run out finds such a job still running on another.
pub(super) const VERY_LONG: (usize, std::ops::RangeInclusive<u64>) = (3, 300..=500);
/// Jobs in a thousand with a long utterance, and with a very long one.
const LONG_OF_1000: (u32, u32) = (36, 8);
/// Share of jobs that their caller cancels.
const CANCEL_SHARE: f64 = 0.03;
/// Latest time of a cancel after the job was accepted, in milliseconds.
const CANCEL_MS: u64 = 1_500;
/// Share of requests that are sent again after an answer.
const REPEAT_SHARE: f64 = 0.05;
/// Share of jobs created by an id of the caller's choice instead of an idempotency key.
const PUT_SHARE: f64 = 0.3;
/// Longest mean time between two kills.
const KILL_EVERY: Duration = Duration::from_secs(6);
/// Planned kills for each required one.
const KILL_MARGIN: f64 = 1.2;
/// Mean pause between two faults of the other kinds.
const TROUBLE_EVERY: Duration = Duration::from_secs(6);
/// Most workers that may stand still or be cut off at the same time, so that others can take over.
const AWAY_MAX: usize = 2;

/// Utterance of a job. The same values give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoakUtterance {
    /// Text to speak.
    pub text: String,
    /// Seed of the draws.
    pub seed: u64,
    /// Budget in milliseconds of audio; the text is long enough to use it up.
    pub max_audio_length_ms: u64,
}

/// Request that creates a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPoint {
    /// `POST /v1/jobs` with an `Idempotency-Key`.
    Key,
    /// `PUT /v1/jobs/{id}`.
    Id,
}

/// Arrival of one caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Time of the arrival, from the start of the load.
    pub at: Duration,
    /// Idempotency key or job id.
    pub key: Uuid,
    /// Request that the key belongs to.
    pub entry_point: EntryPoint,
    /// Index in [`SoakPlan::utterances`].
    pub utterance: usize,
    /// `live`, `standard` or `bulk`.
    pub lane: &'static str,
    /// Tenant of the job.
    pub tenant: &'static str,
    /// True if the answered request is sent once more.
    pub repeats: bool,
    /// Time of the cancel, after the job was accepted.
    pub cancel_after: Option<Duration>,
}

/// Process of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Worker by index.
    Worker(usize),
    /// Gateway by index.
    Gateway(usize),
    /// Redis server, which has no proxy of its own.
    Redis,
}

/// Action of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChaosAction {
    /// SIGKILL, and a new process at once.
    Kill(Target),
    /// SIGSTOP.
    Pause(Target),
    /// SIGCONT.
    Resume(Target),
    /// Stall of the process's connection to Redis: no byte passes.
    Stall(Target),
    /// End of a stall.
    Flow(Target),
    /// Close of all connections of the process to Redis.
    Cut(Target),
    /// Delay of each direction of the process's connection to Redis; zero ends it.
    Delay(Target, Duration),
}

/// Plan of a whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoakPlan {
    /// Utterances to speak.
    pub utterances: Vec<SoakUtterance>,
    /// Arrivals in the order of time.
    pub arrivals: Vec<Arrival>,
    /// Actions of the driver in the order of time.
    pub actions: Vec<(Duration, ChaosAction)>,
}

impl SoakPlan {
    /// Makes the plan of a seed: `jobs` arrivals and all actions within `duration`.
    #[must_use]
    pub fn new(seed: u64, duration: Duration, jobs: usize) -> Self {
        // Each part has its own random stream, so that more jobs do not change the faults.
        let stream = |number| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number);
            rng
        };
        let utterances = utterances(&mut stream(1));
        let arrivals = arrivals(&mut stream(2), duration, jobs);
        Self { utterances, arrivals, actions: actions(&mut stream(3), duration) }
    }
}

/// Returns how many kills a run of this length must show.
#[must_use]
pub fn kills_wanted(duration: Duration) -> usize {
    (duration.as_secs_f64() / KILL_EVERY.as_secs_f64()) as usize
}

fn utterances(rng: &mut ChaCha8Rng) -> Vec<SoakUtterance> {
    const SENTENCE: &str = "Nobody may lose a job in here. ";
    let frames = [SHORT, LONG, VERY_LONG].into_iter().flat_map(|(count, frames)| std::iter::repeat_n(frames, count));
    let one = |(index, frames): (usize, std::ops::RangeInclusive<u64>)| {
        let max_audio_length_ms = rng.random_range(frames) * FRAME_MS;
        // The speech of a text may take 100 ms for each byte.
        let times = 1 + max_audio_length_ms as usize / 100 / SENTENCE.len();
        let text = format!("Number {index}. {}", SENTENCE.repeat(times)).trim_end().to_owned();
        SoakUtterance { text, seed: rng.random_range(0..1_000_000), max_audio_length_ms }
    };
    frames.enumerate().map(one).collect()
}

/// Draws an utterance, most often a short one.
fn utterance(rng: &mut ChaCha8Rng) -> usize {
    let (long, very_long) = LONG_OF_1000;
    match rng.random_range(0..1_000) {
        n if n < very_long => SHORT.0 + LONG.0 + rng.random_range(0..VERY_LONG.0),
        n if n < very_long + long => SHORT.0 + rng.random_range(0..LONG.0),
        _ => rng.random_range(0..SHORT.0),
    }
}

fn arrivals(rng: &mut ChaCha8Rng, duration: Duration, jobs: usize) -> Vec<Arrival> {
    let mut times: Vec<_> = (0..jobs).map(|_| duration.mul_f64(rng.random_range(0.0..1.0))).collect();
    times.sort_unstable();
    let one = |at| Arrival {
        at,
        key: uuid::Builder::from_random_bytes(rng.random()).into_uuid(),
        entry_point: if rng.random_bool(PUT_SHARE) { EntryPoint::Id } else { EntryPoint::Key },
        utterance: utterance(rng),
        lane: ["live", "standard", "bulk"][rng.random_range(0..3)],
        tenant: ["alder", "birch", "cedar"][rng.random_range(0..3)],
        repeats: rng.random_bool(REPEAT_SHARE),
        cancel_after: rng.random_bool(CANCEL_SHARE).then(|| Duration::from_millis(rng.random_range(0..CANCEL_MS))),
    };
    times.into_iter().map(one).collect()
}

fn actions(rng: &mut ChaCha8Rng, duration: Duration) -> Vec<(Duration, ChaosAction)> {
    let mut actions = kills(rng, duration);
    let mut away = [Duration::ZERO; WORKERS];
    let mut at = TROUBLE_EVERY.mul_f64(0.5);
    while at < duration {
        trouble(rng, at, duration, &mut away, &mut actions);
        at += TROUBLE_EVERY.mul_f64(rng.random_range(0.3..1.7));
    }
    actions.sort_by_key(|&(at, _)| at);
    actions
}

/// Draws kills at even distances with jitter, so that their number is always right.
fn kills(rng: &mut ChaCha8Rng, duration: Duration) -> Vec<(Duration, ChaosAction)> {
    let count = 1 + (kills_wanted(duration) as f64 * KILL_MARGIN).ceil() as usize;
    let distance = duration.mul_f64(0.94) / count as u32;
    let one = |number| {
        let at = duration.mul_f64(0.02) + distance.mul_f64(f64::from(number) + rng.random_range(0.0..0.9));
        let target = match rng.random_range(0..100) {
            0..6 => Target::Redis,
            6..20 => Target::Gateway(rng.random_range(0..GATEWAYS)),
            _ => Target::Worker(rng.random_range(0..WORKERS)),
        };
        (at, ChaosAction::Kill(target))
    };
    (0..count as u32).map(one).collect()
}

/// Draws one fault other than a kill, with its end. A worker that is already away is left alone,
/// and so are the last two.
fn trouble(
    rng: &mut ChaCha8Rng,
    at: Duration,
    duration: Duration,
    away: &mut [Duration; WORKERS],
    actions: &mut Vec<(Duration, ChaosAction)>,
) {
    let worker = rng.random_range(0..WORKERS);
    let (a_worker, a_gateway) = (Target::Worker(worker), Target::Gateway(rng.random_range(0..GATEWAYS)));
    let kind = rng.random_range(0..100);
    let seconds = |from: f64, to: f64, rng: &mut ChaCha8Rng| Duration::from_secs_f64(rng.random_range(from..to));
    let (begin, end, length) = match kind {
        0..15 => (ChaosAction::Pause(a_worker), ChaosAction::Resume(a_worker), seconds(0.2, 6.0, rng)),
        // About as long as a lease: the driver brings the worker back when another has its job.
        15..35 => (ChaosAction::Pause(a_worker), ChaosAction::Resume(a_worker), seconds(14.0, 16.0, rng)),
        35..41 => (ChaosAction::Pause(a_gateway), ChaosAction::Resume(a_gateway), seconds(0.2, 4.0, rng)),
        41..45 => (ChaosAction::Pause(Target::Redis), ChaosAction::Resume(Target::Redis), seconds(0.05, 1.0, rng)),
        45..53 => (ChaosAction::Stall(a_worker), ChaosAction::Flow(a_worker), seconds(0.2, 8.0, rng)),
        53..60 => (ChaosAction::Stall(a_worker), ChaosAction::Flow(a_worker), seconds(14.0, 16.0, rng)),
        60..65 => (ChaosAction::Stall(a_gateway), ChaosAction::Flow(a_gateway), seconds(0.2, 4.0, rng)),
        65..75 => return actions.push((at, ChaosAction::Cut(a_worker))),
        75..82 => return actions.push((at, ChaosAction::Cut(a_gateway))),
        _ => {
            let target = if kind < 94 { a_worker } else { a_gateway };
            let each_way = Duration::from_micros(rng.random_range(500..40_000));
            let length = seconds(1.0, 8.0, rng);
            (ChaosAction::Delay(target, each_way), ChaosAction::Delay(target, Duration::ZERO), length)
        }
    };
    let over = at + length;
    if matches!(begin, ChaosAction::Pause(Target::Worker(_)) | ChaosAction::Stall(Target::Worker(_))) {
        let others = away.iter().filter(|&&until| until > at).count();
        if away[worker] > at || others >= AWAY_MAX || over > duration {
            return;
        }
        away[worker] = over;
    }
    actions.extend([(at, begin), (over.min(duration), end)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_gives_one_plan_and_another_seed_another() {
        let plan = SoakPlan::new(7, DURATION, 500);
        assert_eq!(plan, SoakPlan::new(7, DURATION, 500));
        assert_ne!(plan, SoakPlan::new(8, DURATION, 500));
        assert_eq!(plan.actions, SoakPlan::new(7, DURATION, 900).actions, "more jobs do not change the faults");
    }

    #[test]
    fn every_plan_has_its_jobs_its_kills_and_every_kind_of_target() {
        for seed in 0..50 {
            let plan = SoakPlan::new(seed, DURATION, 300);
            assert_eq!(plan.arrivals.len(), 300);
            let kills: Vec<_> = plan.actions.iter().filter(|(_, what)| matches!(what, ChaosAction::Kill(_))).collect();
            assert!(kills.len() > kills_wanted(DURATION), "seed {seed}: {}", kills.len());
            assert!(kills.iter().any(|(_, what)| matches!(what, ChaosAction::Kill(Target::Redis))), "seed {seed}");
            assert!(plan.actions.iter().all(|&(at, _)| at <= DURATION));
            assert!(plan.actions.is_sorted_by_key(|&(at, _)| at));
        }
    }

    #[test]
    fn two_workers_are_always_left() {
        for seed in 0..50 {
            let mut away = [false; WORKERS];
            for (at, what) in SoakPlan::new(seed, DURATION, 0).actions {
                match what {
                    ChaosAction::Pause(Target::Worker(worker)) | ChaosAction::Stall(Target::Worker(worker)) => {
                        assert!(!away[worker], "seed {seed}: worker {worker} twice at {at:?}");
                        away[worker] = true;
                    }
                    ChaosAction::Resume(Target::Worker(worker)) | ChaosAction::Flow(Target::Worker(worker)) => {
                        away[worker] = false;
                    }
                    _ => {}
                }
                assert!(away.iter().filter(|&&away| away).count() <= AWAY_MAX, "seed {seed} at {at:?}");
            }
            assert_eq!(away, [false; WORKERS], "seed {seed}: all are back at the end");
        }
    }
}
