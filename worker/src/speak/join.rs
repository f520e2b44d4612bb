//! Pieces of speech joined into one recording, as they come: where two meet, the silence of both becomes one natural pause
//! without a click.
//!
//! Every piece comes from the codec by itself and brings some silence of its own at either end, from none to seconds. Of
//! that at a join, the room's own silence is kept as far as the pause is long, and digital silence fills what is missing.
//! Everything else goes through unchanged: a piece alone comes out as it went in. Held back are only 10 ms, and silence
//! that may turn out to be the end of its piece. Nothing here knows a clock, a model or a thread.

use std::ops::Range;

use csm_shared::audio::FRAME_SAMPLES;
use csm_shared::text::Pause;

/// Samples that are judged together, and faded at the edges of a piece: 10 ms.
const BLOCK_SAMPLES: usize = 240;
/// The loudness (root mean square) below which a block is silence: -46 dBFS, over the noise of a room and a breath out,
/// under the softest consonant but its edges, which are kept.
const SILENCE_RMS: f32 = 0.005;
/// Silence that is kept in front of a piece for a soft beginning: 60 ms.
const HEAD_SAMPLES_MAX: usize = 1_440;

/// Samples between the sound of one piece and that of the next.
const fn silence(pause: Pause) -> usize {
    match pause {
        Pause::Clause => 2_880,    // 120 ms
        Pause::Sentence => 5_760,  // 240 ms
        Pause::Paragraph => 8_640, // 360 ms
    }
}

/// Frames of a job's budget that a pause may take, if the pieces bring no silence of their own.
pub(super) const fn pause_frames(pause: Pause) -> u32 {
    silence(pause).div_ceil(FRAME_SAMPLES) as u32
}

/// Joins the pieces of one recording. Samples are 24 kHz, full scale 1.
#[derive(Default)]
pub(super) struct Joiner {
    /// Where each piece stands in the recording; `None` while nothing was heard of it.
    places: Vec<Option<Range<u64>>>,
    /// Samples in front of the current piece's first sound, at most [`HEAD_SAMPLES_MAX`]; `None` once that has come.
    head: Option<Vec<f32>>,
    /// The pause before the current piece.
    pause: usize,
    /// A block not yet full.
    block: Vec<f32>,
    /// Samples not handed out, the last sound among them.
    held: Vec<f32>,
    /// Those at the end of `held` that are silence.
    quiet: usize,
    /// Samples handed out.
    given: u64,
    /// Samples of the current piece still to be faded in.
    fading: usize,
}

impl Joiner {
    /// Begins the next piece; `pause` follows the one before it.
    pub(super) fn begin(&mut self, pause: Pause) {
        // Of a piece that was not heard, its pause is.
        let unheard = self.head.is_some();
        self.pause = silence(pause).max(if unheard { self.pause } else { 0 });
        self.head = self.places.iter().any(Option::is_some).then(Vec::new);
        self.places.push(None);
    }

    /// Takes the current piece's next samples and hands out what is certain.
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

    /// Ends the current piece and hands out what is certain.
    pub(super) fn end(&mut self) -> Vec<f32> {
        let mut out = Vec::new();
        self.take_block(&mut out);
        out
    }

    /// Ends the recording: hands out the rest of it, and says where each piece stands. A piece of silence alone stands
    /// nowhere, unless it is the first.
    pub(super) fn finish(mut self) -> (Vec<f32>, Vec<Option<Range<u64>>>) {
        let rest = std::mem::take(&mut self.held);
        self.close(rest.len());
        (rest, self.places)
    }

    fn take_block(&mut self, out: &mut Vec<f32>) {
        let block = std::mem::take(&mut self.block);
        if block.is_empty() {
            return;
        }
        let power: f32 = block.iter().map(|sample| sample * sample).sum();
        let loud = power > SILENCE_RMS * SILENCE_RMS * block.len() as f32;
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
                if let Some(first @ None) = self.places.last_mut() {
                    *first = Some(self.given..self.given);
                }
                self.keep(block, loud, out);
            }
        }
    }

    /// A block of the current piece.
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

    /// The current piece's first sound has come: one pause out of the silence behind the last sound and that before this.
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
        if let Some(current) = self.places.last_mut() {
            *current = Some(self.given..self.given);
        }
        self.quiet = 0;
        self.fading = BLOCK_SAMPLES;
        self.keep(head, false, out);
    }

    /// Sets the end of the last piece that was heard: `held` samples from here.
    fn close(&mut self, held: usize) {
        if let Some(last) = self.places.iter_mut().rev().flatten().next() {
            last.end = self.given + held as u64;
        }
    }

    fn hand_out(&mut self, out: &mut Vec<f32>) {
        self.given += self.held.len() as u64;
        out.append(&mut self.held);
    }
}

#[cfg(test)]
mod tests;
