//! Evidence of one reading of a clip for known payloads, and its strength.
//!
//! # What the p-value means
//! The p-value is the greater of two bounds. Each bound is multiplied by the number of places,
//! rotations and payloads that can be tried.
//! * *Frames*: the chance that so many of the known symbols agree with the frames of unmarked
//!   sound. Each symbol is taken to agree with probability 0.35 (a fourth is expected), or with the
//!   mean over all 21 rotations if that is more. A decoder that gives the same symbol all the time
//!   is then no evidence. The bound takes frames as independent, but frames overlap and the
//!   networks see ten frames to either side. Until it is compared with unmarked speech, the bound
//!   is an ordering and not a calibrated rate.
//! * *Names*: the chance that a key drawn at random would name as many of the round's symbols as
//!   this key does. The bound assumes nothing about the sound, which may even carry the mark of
//!   another key. A key's 16 bits alone cannot bring the bound below 2^-16 for each place and key.
//!   If the job is unknown, a finding is therefore never surer than that.
//!
//! # What it does not mean
//! The p-value does not show that the holder of the key made the mark. The key's 16 bits are the
//! head of its public id and the networks are public, so any party can write them. The job's 24
//! bits are an HMAC under the key. A copy of the audio copies them too, but only the holder of the
//! key can make them for a job.

use std::ops::Range;

use csm_shared::watermark::Verdict;

use super::cipher_model::SYMBOLS;
use super::payload::{KEY_SYMBOLS, PERIOD};
use super::{ExpectedPayload, decode};

/// Limit of the bound by frames for "detected". The bound by names must keep to its own limit as
/// well.
pub const DETECTED_BELOW: f64 = 1e-6;
/// Limits of the bound by names: if the job is known, and if only the key is known. Eight keys,
/// each right at one of all places, are below the second limit.
const NAMES_BELOW: [f64; 2] = [1e-6, 2e-3];
/// Limit of the bound by the job's own symbols.
const JOB_BELOW: f64 = 1e-3;
/// P-value below which evidence that is not enough for "detected" is inconclusive.
const INCONCLUSIVE_BELOW: f64 = 1e-2;
/// Least number of whole rounds that can prove a mark.
pub(super) const MIN_ROUNDS: usize = 2;
/// Least probability assumed for a symbol of unmarked sound to agree.
const CHANCE: f64 = 0.35;
/// Probability that a symbol of a random key agrees.
const NAME_CHANCE: f64 = 0.25;

/// Evidence of one place of a clip.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarkEvidence {
    /// Mean log-probability of the known symbols, at the best rotation.
    pub(super) soft: f64,
    /// Share of the known symbols that agree.
    pub(super) share: f64,
    /// Chance that as many symbols agree, with all rotations of this place and all payloads
    /// counted.
    pub(super) frames_chance: f64,
    /// Bound by frames: that chance with all places counted.
    frames_bound: f64,
    names_bound: f64,
    /// Bound by names of the job's symbols alone, which the jobs of one key do not share; 0 if the
    /// job is unknown.
    job_bound: f64,
    /// Whole rounds that were read.
    rounds: usize,
    /// Index of the payload among those that are looked for.
    pub(super) of: usize,
    /// Whether the job's part of the payload is looked for, too.
    has_job: bool,
}

impl MarkEvidence {
    pub(super) const NONE: Self = Self {
        soft: f64::NEG_INFINITY,
        share: 0.0,
        frames_chance: 1.0,
        frames_bound: 1.0,
        names_bound: 1.0,
        job_bound: 1.0,
        rounds: 0,
        of: 0,
        has_job: false,
    };

    /// Returns the verdict of this place alone.
    pub(super) fn verdict(&self) -> Verdict {
        let names_below = NAMES_BELOW[usize::from(!self.has_job)];
        if self.rounds < MIN_ROUNDS {
            return Verdict::Inconclusive;
        }
        let named = self.names_bound <= names_below && self.job_bound <= JOB_BELOW;
        if self.frames_bound <= DETECTED_BELOW && named {
            return Verdict::Detected;
        }
        if self.p_value() <= INCONCLUSIVE_BELOW { Verdict::Inconclusive } else { Verdict::NotDetected }
    }

    pub(super) fn detects(&self) -> bool {
        self.verdict() == Verdict::Detected
    }

    pub(super) fn p_value(&self) -> f64 {
        self.frames_bound.max(self.names_bound)
    }

    /// Counts the evidence as that of payload number `of` among `payloads` that are looked for.
    fn among(self, of: usize, payloads: usize) -> Self {
        let times = |chance: f64| (chance * payloads as f64).min(1.0);
        Self {
            frames_chance: self.frames_chance * payloads as f64,
            frames_bound: times(self.frames_bound),
            names_bound: times(self.names_bound),
            job_bound: times(self.job_bound),
            of,
            ..self
        }
    }
}

/// Returns the evidence of one place: for the payload that is detected, or else fits best. The
/// place is one of `places` that can be tried.
pub(super) fn strongest(logits: &[[f32; SYMBOLS]], known: &[ExpectedPayload], places: usize) -> MarkEvidence {
    let each = known.iter().enumerate().map(|(at, one)| weigh(logits, one, places).among(at, known.len()));
    let best = each.max_by(|a, b| a.detects().cmp(&b.detects()).then(a.soft.total_cmp(&b.soft)));
    best.unwrap_or(MarkEvidence::NONE)
}

/// Compares the known symbols with the frames of one place.
fn weigh(logits: &[[f32; SYMBOLS]], known: &ExpectedPayload, places: usize) -> MarkEvidence {
    let symbols = known.symbols();
    let mut columns = [[0.0_f64; SYMBOLS]; PERIOD];
    for (at, frame) in logits.iter().enumerate() {
        for (sum, value) in columns[at % PERIOD].iter_mut().zip(log_softmax(frame)) {
            *sum += value;
        }
    }
    let said = decode::argmax(logits);
    // A frame at `at` holds the round's symbol `(at + rotation) % PERIOD`.
    let agree = |rotation: usize| {
        let wanted = |at: usize| symbols[(at + rotation) % PERIOD];
        let pairs = said.iter().enumerate().filter_map(|(at, &symbol)| Some((symbol, wanted(at)?)));
        pairs.fold((0, 0), |(hits, count), (symbol, wanted)| (hits + usize::from(symbol == wanted), count + 1))
    };
    let share = |(hits, count): (usize, usize)| hits as f64 / count.max(1) as f64;
    let soft = |rotation: usize| {
        let sums = (0..PERIOD).filter_map(|at| Some(columns[at][usize::from(symbols[(at + rotation) % PERIOD]?)]));
        sums.sum::<f64>() / agree(rotation).1.max(1) as f64
    };
    let rotations = rotations(&columns);
    let Some(rotation) = rotations.iter().copied().max_by(|&a, &b| soft(a).total_cmp(&soft(b))) else {
        return MarkEvidence::NONE;
    };
    // Chance that a key or job drawn at random names as many of these symbols.
    let named = |part: Range<usize>| {
        let fits = part.filter_map(|place| {
            let column = &columns[(place + PERIOD - rotation) % PERIOD];
            let best = (2..SYMBOLS).fold(1, |best, symbol| if column[symbol] > column[best] { symbol } else { best });
            Some(best == usize::from(symbols[place]?))
        });
        let (count, right) = fits.fold((0, 0), |(count, right), fits| (count + 1, right + usize::from(fits)));
        (tail(count, right, NAME_CHANCE) * (rotations.len() * places) as f64).min(1.0)
    };
    let usual = (0..PERIOD).map(|rotation| share(agree(rotation))).sum::<f64>() / PERIOD as f64;
    let (hits, count) = agree(rotation);
    let frames_chance = tail(count, hits, usual.max(CHANCE)) * PERIOD as f64;
    MarkEvidence {
        soft: soft(rotation),
        share: share((hits, count)),
        frames_chance,
        frames_bound: (frames_chance * places as f64).min(1.0),
        names_bound: named(0..PERIOD - 1),
        job_bound: if known.has_job() { named(KEY_SYMBOLS..PERIOD - 1) } else { 0.0 },
        rounds: logits.len() / PERIOD,
        of: 0,
        has_job: known.has_job(),
    }
}

/// Returns the rotations at which the round may begin: at each column whose likeliest symbol is the
/// terminator, else at the column nearest to that. The rotations do not depend on the payload, so
/// only these count as tried.
fn rotations(columns: &[[f64; SYMBOLS]; PERIOD]) -> Vec<usize> {
    let lead = |at: usize| columns[at][0] - columns[at][1..].iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let ends: Vec<usize> = (0..PERIOD).filter(|&at| lead(at) > 0.0).collect();
    let nearest = || (0..PERIOD).max_by(|&a, &b| lead(a).total_cmp(&lead(b))).into_iter().collect();
    let ends: Vec<usize> = if ends.is_empty() { nearest() } else { ends };
    ends.into_iter().map(|end| PERIOD - 1 - end).collect()
}

fn log_softmax(logits: &[f32; SYMBOLS]) -> [f64; SYMBOLS] {
    let logits = logits.map(f64::from);
    let top = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let sum = logits.iter().map(|logit| (logit - top).exp()).sum::<f64>().ln();
    logits.map(|logit| logit - top - sum)
}

/// Returns the chance of at least `hits` in `trials` that succeed with probability `chance` each.
pub(super) fn tail(trials: usize, hits: usize, chance: f64) -> f64 {
    if hits == 0 || chance >= 1.0 {
        return 1.0;
    }
    let odds = (chance / (1.0 - chance)).ln();
    let mut log = trials as f64 * (1.0 - chance).ln();
    let mut sum = 0.0;
    for at in 0..=trials {
        if at >= hits {
            sum += log.exp();
        }
        log += ((trials - at) as f64 / (at + 1) as f64).ln() + odds;
    }
    sum.min(1.0)
}
