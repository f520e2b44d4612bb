//! Looking for a known payload.
//!
//! The message decoder wants its frames where the marker had them, and a recording may have been cut anywhere. So the loudest
//! five rounds are read at the clip's own grid, then the loudest three at seven more places of the hop; where one of all
//! these gives a hint, closer around the best, and last a longer piece there. At each place the known symbols are laid over
//! the frames' log-probabilities wherever the round may begin.
//!
//! # What the p-value means
//! It is the greater of two bounds, each multiplied by the number of places and rotations that can be tried.
//! * *Frames*: the chance that so many of the known symbols agree with the frames of unmarked sound, when each agrees with
//!   probability 0.35 (a fourth is expected), or with the mean over all 21 rotations where that is more: a decoder that
//!   says one thing all the time is no evidence. It takes frames as independent. They overlap and the networks see ten to
//!   either side, so this bound is an ordering, not a calibrated rate, until it is held against unmarked speech.
//! * *Names*: the chance that a key drawn at random would have named so many of the round's symbols as this one does. It
//!   assumes nothing about the sound, which may be anything, marked for somebody else included. A key's 16 bits alone
//!   cannot bring it below 2^-16 for each place, so where the job is unknown a finding is never surer than that.

use std::ops::Range;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::watermark::{Finding, Region, Scheme, Verdict};

use super::model::SYMBOLS;
use super::payload::{KEY_SYMBOLS, PERIOD};
use super::resample::resample;
use super::stft::HOP;
use super::{Known, RATE, SilentCipher, SilentCipherError, decode, scaled};

/// Longest piece of a clip that is read, in seconds.
pub const MAX_FIND_SECONDS: usize = 20;
/// Detected means that the bound by frames is not greater, and the bound by names not greater than its own limit.
pub const DETECTED_BELOW: f64 = 1e-6;
/// The limit of the bound by names where the job is known, and where the key alone is.
const NAMES_BELOW: [f64; 2] = [1e-6, 1e-3];
/// The limit of the bound by the job's own symbols.
const JOB_BELOW: f64 = 1e-3;
/// Evidence that is not enough, but stronger than this, is inconclusive.
const INCONCLUSIVE_BELOW: f64 = 1e-2;
/// Fewer whole rounds than this prove nothing.
const MIN_ROUNDS: usize = 2;
/// Rounds that are read at the clip's own grid: 4.9 s.
const FIRST_ROUNDS: usize = 5;
/// Rounds of the piece on which other places are tried: 2.9 s.
const SEARCH_ROUNDS: usize = 3;
/// The search goes on only where some place is less likely than this, its rotations counted.
const HINT_BELOW: f64 = 0.5;
/// Samples of a round.
const ROUND: usize = PERIOD * HOP;
/// First places of the hop to be tried, in samples from one to the next.
const COARSE_STEP: usize = 256;
/// Then these to either side of the best.
const FINE_STEPS: [usize; 3] = [128, 64, 32];
/// All places that can be tried: the coarse and fine ones, and the best again on a longer piece.
const MAX_PLACES: usize = HOP / COARSE_STEP + 2 * FINE_STEPS.len() + 1;
/// Probability that a symbol of unmarked sound agrees, at least.
const CHANCE: f64 = 0.35;
/// Probability that a symbol of a random key agrees.
const NAME_CHANCE: f64 = 0.25;

/// What one place of a clip shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// Mean log-probability of the known symbols, at the best rotation.
    soft: f64,
    /// Share of the known symbols that agree.
    share: f64,
    /// The chance of so many, all rotations of this place counted.
    frames_chance: f64,
    /// And all places.
    frames_bound: f64,
    names_bound: f64,
    /// The same of the job's symbols alone, which jobs of one key do not share; 0 where the job is unknown.
    job_bound: f64,
    /// Whole rounds.
    rounds: usize,
}

impl Evidence {
    const NONE: Self = Self {
        soft: f64::NEG_INFINITY,
        share: 0.0,
        frames_chance: 1.0,
        frames_bound: 1.0,
        names_bound: 1.0,
        job_bound: 1.0,
        rounds: 0,
    };

    pub(super) fn verdict(&self, known: &Known) -> Verdict {
        let names_below = NAMES_BELOW[usize::from(!known.has_job())];
        if self.rounds < MIN_ROUNDS {
            return Verdict::Inconclusive;
        }
        let named = self.names_bound <= names_below && self.job_bound <= JOB_BELOW;
        if self.frames_bound <= DETECTED_BELOW && named {
            return Verdict::Detected;
        }
        if self.p_value() <= INCONCLUSIVE_BELOW { Verdict::Inconclusive } else { Verdict::NotDetected }
    }

    fn p_value(&self) -> f64 {
        self.frames_bound.max(self.names_bound)
    }
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Where a marker puts it that has made the clip as it is.
    InPlace,
    /// Anywhere: the clip may have been cut.
    Anywhere,
}

/// Looks for `known` in a clip at 24 kHz.
pub(super) fn find(
    cipher: &SilentCipher,
    clip: &[f32],
    known: &Known,
    reach: Reach,
) -> Result<Finding, SilentCipherError> {
    if !clip.iter().all(|sample| sample.is_finite()) {
        return Err(SilentCipherError::NotFinite);
    }
    let samples = resample(clip, SAMPLE_RATE as usize, RATE);
    let (piece, evidence) = Search { cipher, known, samples: &samples }.run(reach)?;
    let verdict = evidence.verdict(known);
    let ms = |samples: usize| (samples * 1000 / RATE) as u64;
    let region = Region { start_ms: ms(piece.start), end_ms: ms(piece.end) };
    Ok(Finding {
        scheme: Scheme::Silentcipher,
        verdict,
        p_value: evidence.p_value(),
        score: evidence.share,
        key_id: known.key_id(),
        regions: if verdict == Verdict::Detected { vec![region] } else { Vec::new() },
    })
}

struct Search<'a> {
    cipher: &'a SilentCipher,
    known: &'a Known,
    /// At 44.1 kHz.
    samples: &'a [f32],
}

impl Search<'_> {
    /// The piece that decides, and what it shows.
    fn run(&self, reach: Reach) -> Result<(Range<usize>, Evidence), SilentCipherError> {
        let first = loudest(self.samples, FIRST_ROUNDS);
        let evidence = self.look(&first, 0)?;
        if first.len().div_ceil(HOP) / PERIOD < MIN_ROUNDS || self.detects(&evidence) {
            return Ok((first, evidence));
        }
        let mut best = (0, first, evidence);
        if reach == Reach::InPlace {
            return self.at_length(best);
        }
        let excerpt = loudest(self.samples, SEARCH_ROUNDS);
        for steps in [&[0][..], &FINE_STEPS] {
            for step in steps {
                for phase in places(best.0, *step) {
                    let evidence = self.look(&excerpt, phase)?;
                    if evidence.soft > best.2.soft || self.detects(&evidence) {
                        best = (phase, excerpt.clone(), evidence);
                    }
                    if self.detects(&evidence) {
                        return Ok((best.1, best.2));
                    }
                }
            }
            if best.2.frames_chance > HINT_BELOW {
                return Ok((best.1, best.2));
            }
        }
        self.at_length(best)
    }

    /// Looks at a longer piece at the best place, and takes it where it shows more.
    fn at_length(
        &self,
        (phase, piece, evidence): (usize, Range<usize>, Evidence),
    ) -> Result<(Range<usize>, Evidence), SilentCipherError> {
        let longer = loudest(self.samples, MAX_FIND_SECONDS * RATE / ROUND);
        if longer == piece {
            return Ok((piece, evidence));
        }
        let more = self.look(&longer, phase)?;
        // Both may be held up by the same bound by names, and only one of them clear of the bound by frames.
        let stronger = self.detects(&more) || more.p_value() < evidence.p_value();
        Ok(if stronger { (longer, more) } else { (piece, evidence) })
    }

    fn detects(&self, evidence: &Evidence) -> bool {
        evidence.verdict(self.known) == Verdict::Detected
    }

    /// What a piece shows from its sample `phase` on.
    fn look(&self, piece: &Range<usize>, phase: usize) -> Result<Evidence, SilentCipherError> {
        let piece = &self.samples[piece.clone()];
        let piece = &piece[phase.min(piece.len())..];
        let Some(gain) = self.cipher.gain(piece)? else { return Ok(Evidence::NONE) };
        let mut logits = self.cipher.model.logits(&scaled(piece, gain), self.cipher.mode)?;
        logits.truncate(piece.len().div_ceil(HOP));
        Ok(weigh(&logits, self.known))
    }
}

/// Places to be tried: the coarse ones but the first, or those `step` to either side of `centre`.
fn places(centre: usize, step: usize) -> Vec<usize> {
    match step {
        0 => (1..HOP / COARSE_STEP).map(|at| at * COARSE_STEP).collect(),
        _ => vec![(centre + HOP - step) % HOP, (centre + step) % HOP],
    }
}

/// The loudest piece of at most `rounds` rounds and one hop, beginning with a round of the clip.
fn loudest(samples: &[f32], rounds: usize) -> Range<usize> {
    let energies: Vec<f64> =
        samples.chunks(ROUND).map(|round| round.iter().map(|&sample| f64::from(sample).powi(2)).sum()).collect();
    let held = rounds.min(energies.len());
    let energy = |start: usize| energies[start..start + held].iter().sum::<f64>();
    let loudest = (0..=energies.len() - held).max_by(|&a, &b| energy(a).total_cmp(&energy(b)).then(b.cmp(&a)));
    let start = loudest.unwrap_or(0) * ROUND;
    start..(start + rounds * ROUND + HOP).min(samples.len())
}

/// Lays the known symbols over the frames of one place.
pub(super) fn weigh(logits: &[[f32; SYMBOLS]], known: &Known) -> Evidence {
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
        return Evidence::NONE;
    };
    // How unlikely it is that a key or job drawn at random names as many of these symbols.
    let named = |places: Range<usize>| {
        let fits = places.filter_map(|place| {
            let column = &columns[(place + PERIOD - rotation) % PERIOD];
            let best = (2..SYMBOLS).fold(1, |best, symbol| if column[symbol] > column[best] { symbol } else { best });
            Some(best == usize::from(symbols[place]?))
        });
        let (count, right) = fits.fold((0, 0), |(count, right), fits| (count + 1, right + usize::from(fits)));
        (tail(count, right, NAME_CHANCE) * (rotations.len() * MAX_PLACES) as f64).min(1.0)
    };
    let usual = (0..PERIOD).map(|rotation| share(agree(rotation))).sum::<f64>() / PERIOD as f64;
    let (hits, count) = agree(rotation);
    let frames_chance = tail(count, hits, usual.max(CHANCE)) * PERIOD as f64;
    Evidence {
        soft: soft(rotation),
        share: share((hits, count)),
        frames_chance,
        frames_bound: (frames_chance * MAX_PLACES as f64).min(1.0),
        names_bound: named(0..PERIOD - 1),
        job_bound: if known.has_job() { named(KEY_SYMBOLS..PERIOD - 1) } else { 0.0 },
        rounds: logits.len() / PERIOD,
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
