//! Search for known payloads in a clip.
//!
//! The message decoder needs its frames where the marker had them, but a recording may have been
//! cut anywhere. The search therefore reads the clip at several places of the hop:
//!
//! 1. The loudest five rounds at the clip's own grid.
//! 2. The loudest three rounds (a clip of up to five rounds as a whole) at seven more places.
//! 3. If one of these places gives a hint, places closer around the best one.
//! 4. A longer excerpt at the best place.
//!
//! At each place the known symbols are compared with the frames' log-probabilities, wherever the
//! round may begin: see [`mark_evidence`].
//!
//! A part of a clip without the mark says nothing about the rest, which may be the part that was
//! marked. Only a clip that was read as a whole at every coarse place gets "not detected". Any
//! other clip gets "inconclusive" instead.

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::watermark::{Finding, Region, Scheme, Verdict};

use super::mark_evidence::{self, MIN_ROUNDS, MarkEvidence};
use super::payload::PERIOD;
use super::resample::resample;
use super::stft::HOP;
use super::{Bounds, ExpectedPayload, RATE, SilentCipher, SilentCipherError, scaled};

/// Longest excerpt of a clip that is read, in seconds.
pub const MAX_FIND_SECONDS: usize = 20;
/// Rounds that are read at the clip's own grid: 4.9 s.
const FIRST_ROUNDS: usize = 5;
/// Rounds of the excerpt of a longer clip that is read at other places: 2.9 s.
const SEARCH_ROUNDS: usize = 3;
/// Chance of the best place, its rotations counted, above which the search stops.
const HINT_BELOW: f64 = 0.5;
/// Samples of a round.
const ROUND_SAMPLES: usize = PERIOD * HOP;
/// Places of the hop that are tried after the clip's own. Each is as far as possible from all
/// before.
const COARSE_PLACES: [usize; 7] = [1024, 512, 1536, 256, 768, 1280, 1792];
/// Distances to either side of the best place that are tried next.
const FINE_STEPS: [usize; 3] = [128, 64, 32];
/// Number of places that can be tried: the clip's own, the coarse and fine ones, and the best one
/// again on a longer excerpt.
const MAX_PLACES: usize = 1 + COARSE_PLACES.len() + 2 * FINE_STEPS.len() + 1;

/// Places at which a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The clip's own beginning: the clip is as its marker made it, marked as a whole.
    InPlace,
    /// Every place: the clip may have been cut, and may hold other sound.
    Anywhere,
}

/// Looks for the payloads of `known` in a clip at 24 kHz.
pub(super) fn find(
    cipher: &SilentCipher,
    clip: &[f32],
    known: &[ExpectedPayload],
    reach: Reach,
    bounds: &Bounds,
) -> Result<Finding, SilentCipherError> {
    if !clip.iter().all(|sample| sample.is_finite()) {
        return Err(SilentCipherError::NotFinite);
    }
    let samples = resample(clip, SAMPLE_RATE as usize, RATE);
    let (best, read_all) =
        PayloadSearch { cipher, known, samples: &samples, bounds, pace: Cell::default() }.run(reach)?;
    let verdict = match best.evidence.verdict() {
        Verdict::NotDetected if !read_all => Verdict::Inconclusive,
        verdict => verdict,
    };
    let detected = verdict == Verdict::Detected;
    let ms = |samples: usize| (samples * 1000 / RATE) as u64;
    let region = Region { start_ms: ms(best.piece.start), end_ms: ms(best.piece.end) };
    Ok(Finding {
        scheme: Scheme::Silentcipher,
        verdict,
        p_value: best.evidence.p_value(),
        score: best.evidence.share,
        key_id: known.get(if detected { best.evidence.of } else { 0 }).map(ExpectedPayload::key_id).unwrap_or_default(),
        regions: if detected { vec![region] } else { Vec::new() },
    })
}

struct PayloadSearch<'a> {
    cipher: &'a SilentCipher,
    known: &'a [ExpectedPayload],
    /// Samples of the clip at 44.1 kHz.
    samples: &'a [f32],
    bounds: &'a Bounds,
    /// Seconds per sample of the slowest reading so far.
    pace: Cell<f64>,
}

/// Place with the strongest evidence so far.
struct Best {
    phase: usize,
    piece: Range<usize>,
    evidence: MarkEvidence,
}

impl PayloadSearch<'_> {
    /// Returns the place that decides, and whether enough was read for "not detected".
    fn run(&self, reach: Reach) -> Result<(Best, bool), SilentCipherError> {
        let first = loudest(self.samples, FIRST_ROUNDS);
        let whole = first.len() == self.samples.len();
        let evidence = self.weigh_excerpt(&first, 0)?.ok_or(SilentCipherError::OutOfTime)?;
        let mut best = Best { phase: 0, piece: first, evidence };
        if best.piece.len().div_ceil(HOP) / PERIOD < MIN_ROUNDS || best.evidence.detects() {
            return Ok((best, whole));
        }
        if reach == Reach::InPlace {
            // All of the clip was marked, so any part of it decides.
            self.at_length(&mut best)?;
            return Ok((best, true));
        }
        let excerpt = if whole { best.piece.clone() } else { loudest(self.samples, SEARCH_ROUNDS) };
        let tried = self.try_places(&COARSE_PLACES, &excerpt, &mut best)?
            && (best.evidence.frames_chance > HINT_BELOW || self.refine(&excerpt, &mut best)?);
        Ok((best, whole && tried))
    }

    /// Follows a hint: tries places closer around the best one, then reads a longer excerpt there.
    /// Returns false if the time did not suffice.
    fn refine(&self, excerpt: &Range<usize>, best: &mut Best) -> Result<bool, SilentCipherError> {
        for step in FINE_STEPS {
            let beside = [(best.phase + HOP - step) % HOP, (best.phase + step) % HOP];
            if best.evidence.detects() || !self.try_places(&beside, excerpt, best)? {
                return Ok(best.evidence.detects());
            }
        }
        if !best.evidence.detects() {
            self.at_length(best)?;
        }
        Ok(true)
    }

    /// Reads an excerpt at these places of the hop, until one detects a payload. Returns false if
    /// the time did not suffice for all of them.
    fn try_places(&self, places: &[usize], piece: &Range<usize>, best: &mut Best) -> Result<bool, SilentCipherError> {
        for &phase in places {
            let Some(evidence) = self.weigh_excerpt(piece, phase)? else { return Ok(false) };
            if evidence.soft > best.evidence.soft || evidence.detects() {
                *best = Best { phase, piece: piece.clone(), evidence };
            }
            if evidence.detects() {
                break;
            }
        }
        Ok(true)
    }

    /// Reads a longer excerpt at the best place, as long as the time allows. Keeps the excerpt if
    /// its evidence is stronger.
    fn at_length(&self, best: &mut Best) -> Result<(), SilentCipherError> {
        let in_time = self.bounds.left().as_secs_f64() / self.pace.get().max(f64::MIN_POSITIVE);
        let in_time = (in_time as usize).saturating_sub(HOP) / ROUND_SAMPLES;
        let longer = loudest(self.samples, in_time.min(MAX_FIND_SECONDS * RATE / ROUND_SAMPLES));
        if longer.len() <= best.piece.len() {
            return Ok(());
        }
        let Some(more) = self.weigh_excerpt(&longer, best.phase)? else { return Ok(()) };
        // Both excerpts may have the same bound by names, while only one of them passes the bound
        // by frames.
        if more.detects() || more.p_value() < best.evidence.p_value() {
            *best = Best { piece: longer, evidence: more, ..*best };
        }
        Ok(())
    }

    /// Returns the evidence of an excerpt from its sample `phase` on, or `None` if the bounds allow
    /// no further reading.
    fn weigh_excerpt(&self, piece: &Range<usize>, phase: usize) -> Result<Option<MarkEvidence>, SilentCipherError> {
        let piece = &self.samples[piece.clone()];
        let piece = &piece[phase.min(piece.len())..];
        let Some(gain) = self.cipher.gain(piece)? else { return Ok(Some(MarkEvidence::NONE)) };
        let need = Duration::from_secs_f64(self.pace.get() * piece.len() as f64);
        let Some(_lock) = self.bounds.lock(need) else { return Ok(None) };
        let start = Instant::now();
        let mut logits = self.cipher.model.logits(&scaled(piece, gain), self.cipher.mode)?;
        self.pace.set(self.pace.get().max(start.elapsed().as_secs_f64() / piece.len() as f64));
        logits.truncate(piece.len().div_ceil(HOP));
        Ok(Some(mark_evidence::strongest(&logits, self.known, MAX_PLACES)))
    }
}

/// Returns the loudest excerpt of at most `rounds` rounds and one hop, beginning with a round of
/// the clip.
fn loudest(samples: &[f32], rounds: usize) -> Range<usize> {
    let energies: Vec<f64> = samples
        .chunks(ROUND_SAMPLES)
        .map(|round| round.iter().map(|&sample| f64::from(sample).powi(2)).sum())
        .collect();
    let held = rounds.min(energies.len());
    let energy = |start: usize| energies[start..start + held].iter().sum::<f64>();
    let loudest = (0..=energies.len() - held).max_by(|&a, &b| energy(a).total_cmp(&energy(b)).then(b.cmp(&a)));
    let start = loudest.unwrap_or(0) * ROUND_SAMPLES;
    start..(start + rounds * ROUND_SAMPLES + HOP).min(samples.len())
}
