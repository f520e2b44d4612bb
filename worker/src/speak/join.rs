//! Streaming join of the sentences of one recording: the silence between two sentences becomes one
//! natural pause without a click.
//!
//! The codec decodes every sentence by itself, with some silence of its own at either end, from
//! none to seconds. At a join, the generated silence is kept up to the length of the pause, and
//! digital silence fills what is missing. Everything else goes through unchanged: the audio of a
//! single sentence does not change. Only 10 ms are held back, and silence that may turn out to be
//! the end of its sentence. The joiner depends on no clock, model or thread.

use std::ops::Range;

use csm_shared::audio::{FRAME_SAMPLES, SAMPLE_RATE};
use csm_shared::text::Pause;

/// Samples that are judged together, and faded at the edges of a sentence: 10 ms.
pub(super) const BLOCK_SAMPLES: usize = 240;
/// Loudness (root mean square) below which a block is silence: -46 dBFS. The threshold is above the
/// noise of a room and a breath out. Only the edges of the softest consonants are below it, and
/// edges are kept.
const SILENCE_RMS: f32 = 0.005;
/// Longest silence kept before a sentence, for a soft onset: 60 ms.
const HEAD_SAMPLES_MAX: usize = 1_440;

/// Returns the samples between the sound of one sentence and that of the next.
const fn silence(pause: Pause) -> usize {
    match pause {
        Pause::Silence { ms } => ms as usize * (SAMPLE_RATE as usize / 1_000),
        Pause::Clause => 2_880,    // 120 ms
        Pause::Sentence => 5_760,  // 240 ms
        Pause::Paragraph => 8_640, // 360 ms
    }
}

/// Returns the frames of a job's budget that a pause may take, if the sentences bring no silence of
/// their own.
pub(super) const fn pause_frames(pause: Pause) -> u32 {
    silence(pause).div_ceil(FRAME_SAMPLES) as u32
}

/// Returns true if a block of samples is silence.
pub(super) fn is_silent(block: &[f32]) -> bool {
    let power: f32 = block.iter().map(|sample| sample * sample).sum();
    power <= SILENCE_RMS * SILENCE_RMS * block.len() as f32
}

/// Joiner of the sentences of one recording. Samples are 24 kHz, full scale 1.
#[derive(Clone, Default)]
pub(super) struct Joiner {
    /// Range of each sentence in the recording; `None` while it has no sound.
    places: Vec<Option<Range<u64>>>,
    /// Silence before the first sound of the current sentence, at most [`HEAD_SAMPLES_MAX`]; `None`
    /// after its first sound.
    head: Option<Vec<f32>>,
    /// Samples of the pause before the current sentence.
    pause: usize,
    /// Samples of a block that is not yet full.
    block: Vec<f32>,
    /// Samples not handed out, including the last sound.
    held: Vec<f32>,
    /// Number of silent samples at the end of `held`.
    quiet: usize,
    /// Samples of silence before the first sound that are not handed out yet.
    lead: usize,
    /// Number of samples handed out.
    given: u64,
    /// Samples of the current sentence still to be faded in.
    fading: usize,
}

impl Joiner {
    /// Begins the next sentence; `pause` separates it from the one before.
    pub(super) fn begin(&mut self, pause: Pause) {
        // A silent sentence still contributes its pause: keep the longer of the two.
        let unheard = self.head.is_some();
        self.pause = silence(pause).max(if unheard { self.pause } else { 0 });
        self.head = self.places.iter().any(Option::is_some).then(Vec::new);
        self.places.push(None);
    }

    /// Begins the recording with silence. It leaves with the first sound, so that a take that is not
    /// heard yet can be replaced.
    pub(super) fn lead(&mut self, ms: u32) {
        self.lead += silence(Pause::Silence { ms });
    }

    /// Takes the next samples of the current sentence. Returns the samples that can leave.
    pub(super) fn push(&mut self, pcm: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(pcm.len() + self.held.len());
        let mut rest = pcm;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK_SAMPLES - self.block.len()));
            self.block.extend_from_slice(now);
            rest = later;
            if self.block.len() == BLOCK_SAMPLES {
                self.take_block(&mut out);
            }
        }
        out
    }

    /// Ends the current sentence. Returns the samples that can leave.
    pub(super) fn end(&mut self) -> Vec<f32> {
        let mut out = Vec::new();
        self.take_block(&mut out);
        out
    }

    /// Ends the recording. Returns its last samples, and the range of each sentence. A silent
    /// sentence has no range, unless it is the first. A pause that the caller asks for after the last
    /// sentence becomes silence.
    pub(super) fn finish(mut self, last: Option<Pause>) -> (Vec<f32>, Vec<Option<Range<u64>>>) {
        let mut rest = Vec::new();
        self.close(self.held.len());
        self.hand_out(&mut rest);
        if let Some(pause @ Pause::Silence { .. }) = last {
            rest.resize(rest.len() + silence(pause), 0.0);
        }
        (rest, self.places)
    }

    fn take_block(&mut self, out: &mut Vec<f32>) {
        let block = std::mem::take(&mut self.block);
        if block.is_empty() {
            return;
        }
        let loud = !is_silent(&block);
        match &mut self.head {
            Some(head) if !loud => {
                head.extend(block);
                head.drain(..head.len().saturating_sub(HEAD_SAMPLES_MAX));
            }
            Some(_) => {
                self.join(out);
                self.keep(block, loud, out);
            }
            None => {
                let here = self.here();
                if let Some(first @ None) = self.places.last_mut() {
                    *first = Some(here..here);
                }
                self.keep(block, loud, out);
            }
        }
    }

    /// Keeps a block of the current sentence. A loud block releases all samples before it.
    fn keep(&mut self, mut block: Vec<f32>, loud: bool, out: &mut Vec<f32>) {
        for sample in &mut block {
            if self.fading == 0 {
                break;
            }
            *sample *= 1.0 - self.fading as f32 / (BLOCK_SAMPLES + 1) as f32;
            self.fading -= 1;
        }
        if loud {
            self.quiet = 0;
            self.hand_out(out);
        } else {
            self.quiet += block.len();
        }
        self.held.extend(block);
    }

    /// Joins the current sentence at its first sound: makes one pause of the silence after the last
    /// sound and the silence before this one.
    fn join(&mut self, out: &mut Vec<f32>) {
        let head = self.head.take().unwrap_or_default();
        let tail = self.quiet.min(self.pause.saturating_sub(head.len()));
        self.held.truncate(self.held.len() - (self.quiet - tail));
        let edge = self.held.len().saturating_sub(BLOCK_SAMPLES);
        for (left, sample) in self.held[edge..].iter_mut().rev().enumerate() {
            *sample *= (left + 1) as f32 / (BLOCK_SAMPLES + 1) as f32;
        }
        self.close(self.held.len());
        self.hand_out(out);
        let missing = self.pause.saturating_sub(tail + head.len());
        out.resize(out.len() + missing, 0.0);
        self.given += missing as u64;
        let here = self.here();
        if let Some(current) = self.places.last_mut() {
            *current = Some(here..here);
        }
        self.quiet = 0;
        self.fading = BLOCK_SAMPLES;
        self.keep(head, false, out);
    }

    /// Sets the end of the last sentence with sound to `held` samples from here.
    fn close(&mut self, held: usize) {
        let here = self.here();
        if let Some(last) = self.places.iter_mut().rev().flatten().next() {
            last.end = here + held as u64;
        }
    }

    /// Returns the place of the first sample in `held`.
    const fn here(&self) -> u64 {
        self.given + self.lead as u64
    }

    fn hand_out(&mut self, out: &mut Vec<f32>) {
        if !self.held.is_empty() {
            out.resize(out.len() + self.lead, 0.0);
            self.given += std::mem::take(&mut self.lead) as u64;
        }
        self.given += self.held.len() as u64;
        out.append(&mut self.held);
    }
}

#[cfg(test)]
mod tests;
