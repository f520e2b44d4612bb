//! Resampler from 24 kHz to the rates of telephones and players, block by block. The delay of its
//! filter is removed, and the result does not depend on how the samples were split.

use audioadapter_buffers::direct::InterleavedSlice;
use csm_shared::audio::{SAMPLE_RATE, to_f32, to_i16};
use csm_shared::job::AudioFormat;
use rubato::{Fft, FixedSync, Resampler as _};

use super::EncodeError;

/// Rates of bare samples and WAV, in samples a second.
pub const SAMPLE_RATES: [u32; 6] = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];

/// Samples that are resampled at a time: 40 ms, which every rate turns into an even number of samples.
const BLOCK: usize = 960;

/// Resampler of a stream to one of [`SAMPLE_RATES`].
pub struct Resampler {
    rate: u32,
    /// `None` at 24 kHz.
    fft: Option<Fft<f32>>,
    /// Samples of the block that is not full yet.
    rest: Vec<f32>,
    /// Samples that came in.
    received: u64,
    /// Samples that went out.
    sent: u64,
    /// Samples of the filter's delay that are still to be dropped.
    delay: usize,
}

impl Resampler {
    /// Creates a resampler to `rate` samples a second.
    ///
    /// # Errors
    /// [`EncodeError`]: the rate is not in [`SAMPLE_RATES`].
    pub fn new(rate: u32) -> Result<Self, EncodeError> {
        if !SAMPLE_RATES.contains(&rate) {
            return Err(failed(format!("{rate} samples a second")));
        }
        let fft = match rate {
            SAMPLE_RATE => None,
            _ => {
                let fft = Fft::new(SAMPLE_RATE as usize, rate as usize, BLOCK, 1, FixedSync::Both);
                Some(fft.map_err(failed)?)
            }
        };
        let delay = fft.as_ref().map_or(0, rubato::Resampler::output_delay);
        Ok(Self { rate, fft, rest: Vec::new(), received: 0, sent: 0, delay })
    }

    /// Resamples; returns what is ready.
    ///
    /// # Errors
    /// [`EncodeError`]: a defect of the resampler.
    pub fn push(&mut self, samples: &[i16]) -> Result<Vec<i16>, EncodeError> {
        self.received += samples.len() as u64;
        if self.fft.is_none() {
            return Ok(samples.to_vec());
        }
        self.rest.extend(samples.iter().copied().map(to_f32));
        self.full_blocks()
    }

    /// Returns the rest: `round(received * rate / 24000)` samples went out in all.
    ///
    /// # Errors
    /// [`EncodeError`]: a defect of the resampler.
    pub fn finish(mut self) -> Result<Vec<i16>, EncodeError> {
        let end = resampled_len(self.received, self.rate);
        let mut samples = Vec::new();
        while self.fft.is_some() && self.sent < end {
            self.rest.resize(BLOCK, 0.0);
            samples.append(&mut self.full_blocks()?);
        }
        let excess = usize::try_from(self.sent.saturating_sub(end)).unwrap_or(usize::MAX);
        samples.truncate(samples.len().saturating_sub(excess));
        Ok(samples)
    }

    fn full_blocks(&mut self) -> Result<Vec<i16>, EncodeError> {
        let Some(fft) = &mut self.fft else { return Ok(Vec::new()) };
        let full = self.rest.len() / BLOCK * BLOCK;
        let rest = self.rest.split_off(full);
        let mut samples = Vec::new();
        for block in std::mem::replace(&mut self.rest, rest).chunks(BLOCK) {
            let input = InterleavedSlice::new(block, 1, BLOCK).map_err(failed)?;
            let output = fft.process(&input, None).map_err(failed)?.take_data();
            let late = self.delay.min(output.len());
            self.delay -= late;
            samples.extend(output.get(late..).unwrap_or_default().iter().copied().map(to_i16));
        }
        self.sent += samples.len() as u64;
        Ok(samples)
    }
}

/// Returns how many samples of `rate` a second `samples` samples at 24 kHz become.
#[must_use]
pub fn resampled_len(samples: u64, rate: u32) -> u64 {
    (samples * u64::from(rate) + u64::from(SAMPLE_RATE) / 2) / u64::from(SAMPLE_RATE)
}

fn failed(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::new(AudioFormat::Pcm, format!("resampling: {error}"))
}
