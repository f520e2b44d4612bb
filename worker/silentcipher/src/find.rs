//! Looking for known payloads.
//!
//! The message decoder wants its frames where the marker had them, and a recording may have been cut anywhere. So the loudest
//! five rounds are read at the clip's own grid, then the loudest three (of a clip of up to five rounds all of it) at seven
//! more places of the hop; where one of all these gives a hint, closer around the best, and last a longer piece there. At each
//! place the known symbols are laid over the frames' log-probabilities wherever the round may begin: see [`evidence`].
//!
//! That a part of a clip does not show the mark says nothing about the rest, which may be what was marked. So only a clip of
//! which everything was read at every coarse place gets a "not detected"; of any other that is "inconclusive".

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

/// Longest piece of a clip that is read, in seconds.
pub const MAX_FIND_SECONDS: usize = 20;
/// Rounds that are read at the clip's own grid: 4.9 s.
const FIRST_ROUNDS: usize = 5;
/// Rounds of the piece of a longer clip on which other places are tried: 2.9 s.
const SEARCH_ROUNDS: usize = 3;
/// The search goes on only where some place is less likely than this, its rotations counted.
const HINT_BELOW: f64 = 0.5;
/// Samples of a round.
const ROUND_SAMPLES: usize = PERIOD * HOP;
/// Places of the hop that are tried after the clip's own, those first that are furthest from all before.
const COARSE_PLACES: [usize; 7] = [1024, 512, 1536, 256, 768, 1280, 1792];
/// Then these to either side of the best.
const FINE_STEPS: [usize; 3] = [128, 64, 32];
/// All places that can be tried: the clip's own, the coarse and fine ones, and the best again on a longer piece.
const MAX_PLACES: usize = 1 + COARSE_PLACES.len() + 2 * FINE_STEPS.len() + 1;

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Where a marker puts it that has made the clip as it is, and marked all of it.
    InPlace,
    /// Anywhere: the clip may have been cut, and may hold other sound.
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
    /// At 44.1 kHz.
    samples: &'a [f32],
    bounds: &'a Bounds,
    /// Seconds of the slowest reading by sample.
    pace: Cell<f64>,
}

/// The place that shows most so far.
struct Best {
    phase: usize,
    piece: Range<usize>,
    evidence: MarkEvidence,
}

impl PayloadSearch<'_> {
    /// The place that decides, and whether all was read that a "not detected" needs.
    fn run(&self, reach: Reach) -> Result<(Best, bool), SilentCipherError> {
        let first = loudest(self.samples, FIRST_ROUNDS);
        let whole = first.len() == self.samples.len();
        let evidence = self.weigh_excerpt(&first, 0)?.ok_or(SilentCipherError::OutOfTime)?;
        let mut best = Best { phase: 0, piece: first, evidence };
        if best.piece.len().div_ceil(HOP) / PERIOD < MIN_ROUNDS || best.evidence.detects() {
            return Ok((best, whole));
        }
        if reach == Reach::InPlace {
            // All of the clip was marked, so any part of it tells.
            self.at_length(&mut best)?;
            return Ok((best, true));
        }
        let excerpt = if whole { best.piece.clone() } else { loudest(self.samples, SEARCH_ROUNDS) };
        let tried = self.try_places(&COARSE_PLACES, &excerpt, &mut best)?
            && (best.evidence.frames_chance > HINT_BELOW || self.refine(&excerpt, &mut best)?);
        Ok((best, whole && tried))
    }

    /// Follows a hint: closer around the best place, then there at length. False where the time did not allow all of it.
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

    /// Looks at a piece at these places of the hop, until one detects. False where the time did not allow all of them.
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

    /// Looks at a longer piece at the best place, as long as the time allows, and takes it where it shows more.
    fn at_length(&self, best: &mut Best) -> Result<(), SilentCipherError> {
        let in_time = self.bounds.left().as_secs_f64() / self.pace.get().max(f64::MIN_POSITIVE);
        let in_time = (in_time as usize).saturating_sub(HOP) / ROUND_SAMPLES;
        let longer = loudest(self.samples, in_time.min(MAX_FIND_SECONDS * RATE / ROUND_SAMPLES));
        if longer.len() <= best.piece.len() {
            return Ok(());
        }
        let Some(more) = self.weigh_excerpt(&longer, best.phase)? else { return Ok(()) };
        // Both may be held up by the same bound by names, and only one of them clear of the bound by frames.
        if more.detects() || more.p_value() < best.evidence.p_value() {
            *best = Best { piece: longer, evidence: more, ..*best };
        }
        Ok(())
    }

    /// What a piece shows from its sample `phase` on; `None` where it is not to be read any more.
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

/// The loudest piece of at most `rounds` rounds and one hop, beginning with a round of the clip.
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
