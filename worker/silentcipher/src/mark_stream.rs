//! Marking of a stream.
//!
//! Places are counted from the stream's first sample: frames every 2048 samples at 44.1 kHz, frame
//! `t` with symbol `t mod 21`. A sample leaves when the seven frames after its own are there, 0.37
//! s later.
//!
//! The networks need the voice at a fixed level, and the strength of the mark follows the voice.
//! Both levels are estimated from the sound up to the frame, as if a second of speech at the
//! training level had preceded it.

use std::collections::VecDeque;
use std::sync::Arc;

use csm_shared::audio::SAMPLE_RATE;

use super::carrier::CarrierState;
use super::cipher_model::SilentCipherModel;
use super::payload::PERIOD;
use super::resample::Resampler;
use super::stft::{Framer, HOP, Overlap, ROWS, SIZE, Spectrum};
use super::{Payload, RATE, SilentCipherError, VOICE_POWER};

/// Samples of speech at [`VOICE_POWER`] that count as heard before the stream.
const PRIOR_SAMPLES: f64 = RATE as f64;

/// Marking of one stream, with running statistics. The output is the same however the input is cut
/// up.
pub struct SilentStream {
    model: Arc<SilentCipherModel>,
    symbols: [u8; PERIOD],
    up: Resampler,
    framer: Framer,
    level: RunningPower,
    carrier: CarrierState,
    /// Frames that wait for the networks' output, with the gain of the networks' input.
    waiting: VecDeque<(Spectrum, f32)>,
    overlap: Overlap,
    down: Resampler,
    frames: usize,
    received: usize,
    sent: usize,
}

impl SilentStream {
    pub(super) fn new(model: Arc<SilentCipherModel>, payload: Payload) -> Self {
        let rate = SAMPLE_RATE as usize;
        Self {
            symbols: payload.symbols(),
            up: Resampler::new(rate, RATE),
            framer: Framer::new(),
            level: RunningPower::new(),
            carrier: model.carrier.begin(),
            waiting: VecDeque::new(),
            overlap: Overlap::new(),
            down: Resampler::new(RATE, rate),
            frames: 0,
            received: 0,
            sent: 0,
            model,
        }
    }

    /// Takes the next samples (24 kHz, full scale 1) and returns those that are ready.
    ///
    /// # Errors
    /// [`SilentCipherError::NotFinite`], [`SilentCipherError::Compute`]. The stream is of no use
    /// after an error.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, SilentCipherError> {
        if !samples.iter().all(|sample| sample.is_finite()) {
            return Err(SilentCipherError::NotFinite);
        }
        self.received += samples.len();
        let raised = self.up.push(samples);
        self.level.push(&raised);
        let spectra = self.framer.push(&raised);
        let marked = self.mark(spectra)?;
        let ready = self.down.push(&marked);
        self.sent += ready.len();
        Ok(ready)
    }

    /// Returns the last samples. In all, as many samples come out as went in.
    ///
    /// # Errors
    /// As [`SilentStream::push`].
    pub fn finish(mut self) -> Result<Vec<f32>, SilentCipherError> {
        let raised = std::mem::replace(&mut self.up, Resampler::new(RATE, RATE)).finish();
        self.level.push(&raised);
        let mut framer = std::mem::replace(&mut self.framer, Framer::new());
        let mut spectra = framer.push(&raised);
        spectra.append(&mut framer.finish());
        let mut marked = self.mark(spectra)?;
        let state = std::mem::replace(&mut self.carrier, self.model.carrier.begin());
        for info in self.model.carrier.finish(state, self.model.message_sdr)? {
            marked.append(&mut self.merge(&info));
        }
        let mut ready = self.down.push(&marked);
        ready.append(&mut self.down.finish());
        ready.truncate(self.received - self.sent);
        Ok(ready)
    }

    fn mark(&mut self, spectra: Vec<Spectrum>) -> Result<Vec<f32>, SilentCipherError> {
        let mut marked = Vec::new();
        for spectrum in spectra {
            let gain = self.level.next_gain();
            let magnitudes = spectrum.magnitudes(self.model.carrier.rows(), gain);
            let symbol = self.symbols[self.frames % PERIOD];
            self.frames += 1;
            self.waiting.push_back((spectrum, gain));
            let model = Arc::clone(&self.model);
            let info = model.carrier.push(&mut self.carrier, magnitudes, symbol, model.message_sdr)?;
            marked.extend(info.into_iter().flat_map(|info| self.merge(&info)));
        }
        Ok(marked)
    }

    fn merge(&mut self, info: &[f32]) -> Vec<f32> {
        let Some((mut spectrum, gain)) = self.waiting.pop_front() else { return Vec::new() };
        spectrum.subtract(info, gain, nominal_rms());
        self.overlap.push(&spectrum)
    }
}

/// Returns the root mean square of the magnitudes of a long sound at [`VOICE_POWER`]: the window's
/// mean square is 3/8.
fn nominal_rms() -> f32 {
    (VOICE_POWER * (SIZE * SIZE) as f64 * 0.375 / 2.0 / ROWS as f64).sqrt() as f32
}

/// Mean square of all sound up to a frame's end.
struct RunningPower {
    /// Sums over whole hops that no frame has taken in yet.
    hops: VecDeque<f64>,
    sum: f64,
    filled: usize,
    energy: f64,
    samples: f64,
}

impl RunningPower {
    fn new() -> Self {
        let energy = VOICE_POWER * PRIOR_SAMPLES;
        Self { hops: VecDeque::new(), sum: 0.0, filled: 0, energy, samples: PRIOR_SAMPLES }
    }

    fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            self.sum += f64::from(sample).powi(2);
            self.filled += 1;
            if self.filled == HOP {
                self.hops.push_back(std::mem::take(&mut self.sum));
                self.filled = 0;
            }
        }
    }

    /// Returns the gain of the next frame. The frame's last hop counts as far as it holds sound.
    fn next_gain(&mut self) -> f32 {
        let (energy, samples) = match self.hops.pop_front() {
            Some(energy) => (energy, HOP),
            None => (std::mem::take(&mut self.sum), std::mem::take(&mut self.filled)),
        };
        self.energy += energy;
        self.samples += samples as f64;
        (VOICE_POWER / (self.energy / self.samples)).sqrt() as f32
    }
}
