//! SilentCipher 44.1k (Sony, 2024): the mark of CSM's own release, as its Python package computes
//! it.
//!
//! The mark is forty bits, repeated every 21 hops (0.975 s). Two small networks ([`carrier`])
//! compute the pattern to subtract from the magnitudes below 11 kHz. A third network reads the bits
//! back. Sesame runs the package with the statistics of the current clip in every BatchNorm
//! ([`BnMode::Batch`]). With the statistics of the weights ([`BnMode::Running`]), audio can be
//! marked as a stream.
//!
//! # What it costs
//! Embedding takes 10 GMAC per second of audio with running statistics, because the lowest 1030
//! rows suffice. With the clip's own statistics all rows count, and embedding takes 19 GMAC.
//! Reading takes 52 GMAC for each place that is tried. [`cost`] measures both.
//!
//! Running statistics need about 1 MB of memory per second of audio (its spectrum and samples), and
//! 10 MB for the networks. The clip's own statistics need every activation at once, 17 MB per
//! second. Clips are therefore limited to [`MAX_BATCH_SECONDS`] in that mode.
//!
//! # What it cannot do
//! The networks are public and have no key. Any holder of the networks can read the forty bits,
//! copy or overwrite them, and write a key's sixteen bits on any audio. A clip shorter than 36,864
//! samples at 44.1 kHz (0.84 s) cannot hold the forty bits once. Silence holds no mark and comes
//! back unchanged.

#![forbid(unsafe_code)]

mod bounds;
mod carrier;
mod cipher_model;
mod cost;
mod decode;
mod error;
mod find;
mod mark_evidence;
mod mark_stream;
mod network;
mod payload;
mod resample;
mod stft;
#[cfg(test)]
mod tests;
mod torch_checkpoint;

use std::path::Path;
use std::sync::Arc;

pub use bounds::Bounds;
pub use cost::{Cost, cost};
pub use decode::Decoded;
pub use error::SilentCipherError;
pub use find::MAX_FIND_SECONDS;
pub use mark_evidence::DETECTED_BELOW;
pub use mark_stream::SilentStream;
pub use payload::{ExpectedPayload, Payload};

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::watermark::Finding;

use cipher_model::SilentCipherModel;
use find::Reach;
use resample::resample;
use stft::Spectrum;

/// The rate at which the networks were trained, in Hz.
const RATE: usize = 44_100;
/// Mean square to which a clip is brought before the networks see it: the average of their training
/// speech.
const VOICE_POWER: f64 = 0.002_837_200_844_477_648;
/// Longest clip that is marked or decoded with its own statistics, in seconds: a gigabyte of
/// activations.
pub const MAX_BATCH_SECONDS: usize = 60;

/// Statistics that BatchNorm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BnMode {
    /// The clip's own, as Sesame uses them: every sample depends on the whole clip.
    Batch,
    /// The weights' own, as Sony's benchmark uses them: a sample depends on 0.4 s around it.
    Running,
}

/// Loaded model. Cloning shares the weights.
#[derive(Clone)]
pub struct SilentCipher {
    model: Arc<SilentCipherModel>,
    mode: BnMode,
}

impl SilentCipher {
    /// Loads `enc_c.ckpt`, `dec_c.ckpt` and `dec_m_0.ckpt` from a folder. The mark's strength is
    /// `message_sdr` of `hparams.yaml`, or [`CSM_MESSAGE_SDR`] if that is absent.
    ///
    /// # Errors
    /// [`SilentCipherError`] naming the file, and the tensor or setting in it.
    pub fn load(folder: &Path, mode: BnMode) -> Result<Self, SilentCipherError> {
        Ok(Self { model: Arc::new(torch_checkpoint::model(folder)?), mode })
    }

    /// Returns the same model with another strength: the ratio of voice to mark in dB.
    #[must_use]
    pub fn with_message_sdr(&self, decibels: f32) -> Self {
        Self { model: Arc::new(self.model.with_message_sdr(decibels)), mode: self.mode }
    }

    /// Returns the ratio of voice to mark that clips are marked with, in dB.
    #[must_use]
    pub fn message_sdr(&self) -> f32 {
        self.model.message_sdr
    }

    /// Marks a clip (24 kHz, full scale 1) and returns as many samples. A silent clip comes back
    /// unchanged.
    ///
    /// # Errors
    /// [`SilentCipherError::NotFinite`], [`SilentCipherError::TooLong`] in [`BnMode::Batch`],
    /// [`SilentCipherError::Compute`].
    pub fn embed(&self, clip: &[f32], payload: Payload) -> Result<Vec<f32>, SilentCipherError> {
        self.embed_at(clip, SAMPLE_RATE as usize, payload)
    }

    /// Marks a clip as [`SilentCipher::embed`] does, at any rate.
    fn embed_at(&self, clip: &[f32], rate: usize, payload: Payload) -> Result<Vec<f32>, SilentCipherError> {
        let inner = resample(clip, rate, RATE);
        let Some(marked) = self.mark(&inner, payload)? else { return Ok(clip.to_vec()) };
        let mut marked = resample(&marked, RATE, rate);
        marked.truncate(clip.len());
        Ok(marked)
    }

    /// Marks samples at 44.1 kHz. Returns `None` if they are silent.
    fn mark(&self, samples: &[f32], payload: Payload) -> Result<Option<Vec<f32>>, SilentCipherError> {
        let Some(gain) = self.gain(samples)? else { return Ok(None) };
        let mut spectra = stft::transform(&scaled(samples, gain));
        let squares: f64 = spectra.iter().map(Spectrum::energy).sum();
        let rms = (squares / (spectra.len() * stft::ROWS) as f64).sqrt() as f32;
        let infos = self.model.inform(&spectra, &payload.symbols(), self.mode)?;
        for (spectrum, info) in spectra.iter_mut().zip(&infos) {
            spectrum.subtract(info, 1.0, rms);
        }
        Ok(Some(scaled(&stft::inverse(&spectra, samples.len()), 1.0 / gain)))
    }

    /// Returns the gain that brings samples to the networks' level, or `None` if they are silent.
    fn gain(&self, samples: &[f32]) -> Result<Option<f32>, SilentCipherError> {
        let limit = MAX_BATCH_SECONDS * RATE;
        if self.mode == BnMode::Batch && samples.len() > limit {
            return Err(SilentCipherError::TooLong { seconds: samples.len() / RATE, limit: MAX_BATCH_SECONDS });
        }
        let squares: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        if !squares.is_finite() {
            return Err(SilentCipherError::NotFinite);
        }
        let power = squares / samples.len().max(1) as f64;
        Ok((power as f32 > 0.0).then(|| (VOICE_POWER / power).sqrt() as f32))
    }

    /// Decodes a clip (24 kHz) as the package does: by a majority of its frames, from the clip's
    /// own beginning. An answer alone is no evidence of a mark; see [`SilentCipher::find`].
    ///
    /// # Errors
    /// As [`SilentCipher::embed`].
    pub fn decode(&self, clip: &[f32]) -> Result<Option<Decoded>, SilentCipherError> {
        let inner = resample(clip, SAMPLE_RATE as usize, RATE);
        let Some(gain) = self.gain(&inner)? else { return Ok(None) };
        Ok(decode::vote(&decode::argmax(&self.model.logits(&scaled(&inner, gain), self.mode)?)))
    }

    /// Looks for known payloads in a clip (24 kHz), at every rotation. If the clip's own beginning
    /// shows none, other places of the hop are tried as well. Takes long: see [`cost`].
    ///
    /// The finding names the key that was found, else the first key. A clip that is longer than 4.9
    /// s, or that the bounds keep from being read as a whole, never gets "not detected".
    ///
    /// # Errors
    /// [`SilentCipherError::NotFinite`], [`SilentCipherError::Compute`],
    /// [`SilentCipherError::OutOfTime`].
    pub fn find(&self, clip: &[f32], known: &[ExpectedPayload], bounds: &Bounds) -> Result<Finding, SilentCipherError> {
        find::find(self, clip, known, Reach::Anywhere, bounds)
    }

    /// Looks for a known payload in a clip as it came from [`SilentCipher::embed`] or
    /// [`SilentCipher::stream`], from its first sample on. Reads only the place at which the mark
    /// must be, so "not detected" means that the mark is lost.
    ///
    /// Reads at most 4.9 s once. If that does not show the mark, reads at most [`MAX_FIND_SECONDS`]
    /// once more.
    ///
    /// # Errors
    /// As [`SilentCipher::find`].
    pub fn find_in_place(&self, clip: &[f32], known: &ExpectedPayload) -> Result<Finding, SilentCipherError> {
        find::find(self, clip, std::slice::from_ref(known), Reach::InPlace, &Bounds::default())
    }

    /// Begins a live stream with running statistics, whatever the mode.
    #[must_use]
    pub fn stream(&self, payload: Payload) -> SilentStream {
        SilentStream::new(Arc::clone(&self.model), payload)
    }
}

/// Strength that CSM uses: the ratio of voice to mark in dB.
pub const CSM_MESSAGE_SDR: f32 = 36.0;

fn scaled(samples: &[f32], gain: f32) -> Vec<f32> {
    samples.iter().map(|sample| sample * gain).collect()
}
