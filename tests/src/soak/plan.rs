//! Everything that chance decides in a run, drawn from one seed before it begins: what is spoken, who asks when, and what
//! is broken when.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

/// Gateways of the fleet.
pub const GATEWAYS: usize = 2;
/// Workers of the fleet.
pub const WORKERS: usize = 4;

/// Milliseconds of audio in a frame.
const FRAME_MS: u64 = 80;
/// Different short utterances and their frames: many jobs a second fit two cores.
const SHORT: (usize, std::ops::RangeInclusive<u64>) = (24, 2..=6);
/// Different long utterances and their frames: they run long enough to be killed in the middle.
const LONG: (usize, std::ops::RangeInclusive<u64>) = (8, 60..=200);
/// Different very long utterances and their frames: a worker that comes back after its lease has run out finds such a job in
/// the hands of another.
pub(super) const VERY_LONG: (usize, std::ops::RangeInclusive<u64>) = (3, 300..=500);
/// Jobs of a thousand that speak a long utterance, and a very long one.
const LONG_OF_1000: (u32, u32) = (36, 8);
/// Share of jobs that their caller calls off.
const CANCEL_SHARE: f64 = 0.03;
/// Latest time of a cancel after the job was accepted, in milliseconds.
const CANCEL_MS: u64 = 1_500;
/// Share of requests that are sent again although they were answered.
const REPEAT_SHARE: f64 = 0.05;
/// Share of jobs that are created by an id of the caller's choice instead of an idempotency key.
const PUT_SHARE: f64 = 0.3;
/// How often a process must be killed at the least.
const KILL_EVERY: Duration = Duration::from_secs(6);
/// Planned kills for each that must be.
const KILL_MARGIN: f64 = 1.2;
/// Mean pause between two faults of the other kinds.
const TROUBLE_EVERY: Duration = Duration::from_secs(6);
/// Workers that may stand still or be cut off at the same time, so that somebody is left to take over.
const AWAY_MAX: usize = 2;

/// What a job says. The same values give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoakUtterance {
    /// The text.
    pub text: String,
    /// The draws' seed.
    pub seed: u64,
    /// The budget, in milliseconds of audio; the text is long enough to use it up.
    pub max_audio_length_ms: u64,
}

/// How a job is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPoint {
    /// `POST /v1/jobs` with an `Idempotency-Key`.
    Key,
    /// `PUT /v1/jobs/{id}`.
    Id,
}

/// One caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it comes, from the start of the load.
    pub at: Duration,
    /// Its idempotency key, or its job's id.
    pub key: Uuid,
    /// Which of the two.
    pub entry_point: EntryPoint,
    /// Place in [`SoakPlan::utterances`].
    pub utterance: usize,
    /// `live`, `standard` or `bulk`.
    pub lane: &'static str,
    /// Whose job it is.
    pub tenant: &'static str,
    /// Whether the answered request is sent once more.
    pub repeats: bool,
    /// When it calls the job off, after the job was accepted.
    pub cancel_after: Option<Duration>,
}

/// A process of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A worker.
    Worker(usize),
    /// A gateway.
    Gateway(usize),
    /// The Redis server; it has no line of its own.
    Redis,
}

/// One move of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChaosAction {
    /// SIGKILL, and a new process at once.
    Kill(Target),
    /// SIGSTOP.
    Pause(Target),
    /// SIGCONT.
    Resume(Target),
    /// The process's line to Redis passes nothing.
    Stall(Target),
    /// It passes again.
    Flow(Target),
    /// All its connections to Redis are closed.
    Cut(Target),
    /// Each direction of its line takes this long; zero ends it.
    Delay(Target, Duration),
}

/// The whole of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoakPlan {
    /// What is spoken.
    pub utterances: Vec<SoakUtterance>,
    /// Who asks, in the order of time.
    pub arrivals: Vec<Arrival>,
    /// What is broken, in the order of time.
    pub actions: Vec<(Duration, ChaosAction)>,
}

impl SoakPlan {
    /// The plan of a seed: `jobs` arrivals and all moves within `duration`.
    #[must_use]
    pub fn new(seed: u64, duration: Duration, jobs: usize) -> Self {
        // Streams of their own, so that more jobs do not change the faults.
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

/// How many kills a run of this length must show.
#[must_use]
pub fn kills_wanted(duration: Duration) -> usize {
    (duration.as_secs_f64() / KILL_EVERY.as_secs_f64()) as usize
}

fn utterances(rng: &mut ChaCha8Rng) -> Vec<SoakUtterance> {
    const SENTENCE: &str = "Nobody may lose a job in here. ";
    let frames = [SHORT, LONG, VERY_LONG].into_iter().flat_map(|(count, frames)| std::iter::repeat_n(frames, count));
    let one = |(index, frames): (usize, std::ops::RangeInclusive<u64>)| {
        let max_audio_length_ms = rng.random_range(frames) * FRAME_MS;
        // Of a text, its speech may take 100 ms for each byte.
        let times = 1 + max_audio_length_ms as usize / 100 / SENTENCE.len();
        let text = format!("Number {index}. {}", SENTENCE.repeat(times)).trim_end().to_owned();
        SoakUtterance { text, seed: rng.random_range(0..1_000_000), max_audio_length_ms }
    };
    frames.enumerate().map(one).collect()
}

/// What a job says: short as a rule.
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

/// Kills at even distances, jittered, so that their number is right whatever is drawn.
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

/// One fault that is no kill, with its end. A worker that is away already is left alone, and so are the last two.
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
        // About as long as a lease: the driver lets the worker come back when another has its job.
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
                        away[worker] = false
                    }
                    _ => {}
                }
                assert!(away.iter().filter(|&&away| away).count() <= AWAY_MAX, "seed {seed} at {at:?}");
            }
            assert_eq!(away, [false; WORKERS], "seed {seed}: all are back at the end");
        }
    }
}
