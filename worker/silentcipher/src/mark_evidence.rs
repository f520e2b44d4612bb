//! What one reading of a clip says about known payloads, and how sure that is.
//!
//! # What the p-value means
//! It is the greater of two bounds, each multiplied by the number of places, rotations and payloads that can be tried.
//! * *Frames*: the chance that so many of the known symbols agree with the frames of unmarked sound, when each agrees with
//!   probability 0.35 (a fourth is expected), or with the mean over all 21 rotations where that is more: a decoder that
//!   says one thing all the time is no evidence. It takes frames as independent. They overlap and the networks see ten to
//!   either side, so this bound is an ordering, not a calibrated rate, until it is held against unmarked speech.
//! * *Names*: the chance that a key drawn at random would have named so many of the round's symbols as this one does. It
//!   assumes nothing about the sound, which may be anything, marked for somebody else included. A key's 16 bits alone
//!   cannot bring it below 2^-16 for each place and key, so where the job is unknown a finding is never surer than that.
//!
//! # What it does not mean
//! That the holder of the key made the mark. The key's 16 bits are the head of its public id, and the networks are public, so
//! anybody can write them. The job's 24 bits are an HMAC under the key: they can be copied with the audio that holds them, but
//! made for a job only with the key.

use std::ops::Range;

use csm_shared::watermark::Verdict;

use super::cipher_model::SYMBOLS;
use super::payload::{KEY_SYMBOLS, PERIOD};
use super::{ExpectedPayload, decode};

/// Detected means that the bound by frames is not greater, and the bound by names not greater than its own limit.
pub const DETECTED_BELOW: f64 = 1e-6;
/// The limit of the bound by names where the job is known, and where the key alone is: eight keys, each right at one of all
/// places, are below it.
const NAMES_BELOW: [f64; 2] = [1e-6, 2e-3];
/// The limit of the bound by the job's own symbols.
const JOB_BELOW: f64 = 1e-3;
/// Evidence that is not enough, but stronger than this, is inconclusive.
const INCONCLUSIVE_BELOW: f64 = 1e-2;
/// Fewer whole rounds than this prove nothing.
pub(super) const MIN_ROUNDS: usize = 2;
/// Probability that a symbol of unmarked sound agrees, at least.
const CHANCE: f64 = 0.35;
/// Probability that a symbol of a random key agrees.
const NAME_CHANCE: f64 = 0.25;

/// What one place of a clip shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarkEvidence {
    /// Mean log-probability of the known symbols, at the best rotation.
    pub(super) soft: f64,
    /// Share of the known symbols that agree.
    pub(super) share: f64,
    /// The chance of so many, all rotations of this place and all payloads counted.
    pub(super) frames_chance: f64,
    /// And all places.
    frames_bound: f64,
    names_bound: f64,
    /// The same of the job's symbols alone, which jobs of one key do not share; 0 where the job is unknown.
    job_bound: f64,
    /// Whole rounds.
    rounds: usize,
    /// Which payload it is evidence of, by place among those that are looked for.
    pub(super) of: usize,
    /// Whether its job's part is looked for, too.
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

    /// What this place alone says.
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

    /// The same as the `of`-th of so many payloads that are looked for.
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

/// What the frames of one place show of all that is looked for: the payload that is detected, or else fits best. One of
/// `places` that can be tried.
pub(super) fn strongest(logits: &[[f32; SYMBOLS]], known: &[ExpectedPayload], places: usize) -> MarkEvidence {
    let each = known.iter().enumerate().map(|(at, one)| weigh(logits, one, places).among(at, known.len()));
    let best = each.max_by(|a, b| a.detects().cmp(&b.detects()).then(a.soft.total_cmp(&b.soft)));
    best.unwrap_or(MarkEvidence::NONE)
}

/// Lays the known symbols over the frames of one place.
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
    // How unlikely it is that a key or job drawn at random names as many of these symbols.
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

/// Where the round may begin: wherever a column's likeliest symbol is the terminator, or else where it comes nearest to it.
/// It does not depend on what is looked for, so only these rotations count as tried.
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

/// The chance of at least `hits` in `trials` that succeed with probability `chance` each.
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
