//! SilentCipher 44.1k (Sony, 2024): the mark of CSM's own release, as its Python package computes it.
//!
//! Forty bits, repeated every 21 hops (0.975 s), are taken away from the magnitudes below 11 kHz by two small networks
//! ([`carrier`]); a third reads them back. Sesame runs the package with the statistics of the clip at hand in every
//! BatchNorm ([`BnMode::Batch`]); with the checkpoint's own ([`BnMode::Running`]) it can be done piece by piece.
//!
//! # What it costs
//! Embedding is 10 GMAC per second of audio with running statistics (the lowest 1030 rows suffice) and 19 with the clip's
//! (all rows count), reading is 52 for each place looked at. [`cost`] measures it. In memory, running statistics need
//! about 1 MB per second of audio (its spectrum and samples) and 10 MB for the networks; the clip's own statistics need
//! every activation at once, 17 MB per second, so there clips are limited to [`MAX_BATCH_SECONDS`].
//!
//! # What it cannot do
//! The networks are public and have no key: whoever has them can read the forty bits, copy or overwrite them, and write a
//! key's sixteen on any audio. Nothing shorter than 36,864 samples at 44.1 kHz (0.84 s) holds them once. Silence holds
//! nothing and comes back as it is.

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
/// Mean square to which a clip is brought before the networks see it: the average of their training speech.
const VOICE_POWER: f64 = 0.002_837_200_844_477_648;
/// Longest clip that is marked or decoded with its own statistics, in seconds: a gigabyte of activations.
pub const MAX_BATCH_SECONDS: usize = 60;

/// Which statistics BatchNorm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BnMode {
    /// The clip's own, as Sesame runs it: every sample depends on the whole clip.
    Batch,
    /// The checkpoint's, as Sony's benchmark runs it: a sample depends on 0.4 s around it.
    Running,
}

/// A loaded model. Cloning shares the weights.
#[derive(Clone)]
pub struct SilentCipher {
    model: Arc<SilentCipherModel>,
    mode: BnMode,
}

impl SilentCipher {
    /// Loads `enc_c.ckpt`, `dec_c.ckpt` and `dec_m_0.ckpt` of a folder, and the mark's strength from `message_sdr` of
    /// `hparams.yaml` where that is there; else it is [`CSM_MESSAGE_SDR`].
    ///
    /// # Errors
    /// [`SilentCipherError`] naming the file, and the tensor or setting in it.
    pub fn load(folder: &Path, mode: BnMode) -> Result<Self, SilentCipherError> {
        Ok(Self { model: Arc::new(torch_checkpoint::model(folder)?), mode })
    }

    /// The same model with another strength: the ratio of voice to mark in dB.
    #[must_use]
    pub fn with_message_sdr(&self, decibels: f32) -> Self {
        Self { model: Arc::new(self.model.with_message_sdr(decibels)), mode: self.mode }
    }

    /// The ratio of voice to mark that clips are marked with, in dB.
    #[must_use]
    pub fn message_sdr(&self) -> f32 {
        self.model.message_sdr
    }

    /// Marks a clip (24 kHz, full scale 1); as many samples come back. A silent clip comes back as it was.
    ///
    /// # Errors
    /// [`SilentCipherError::NotFinite`], [`SilentCipherError::TooLong`] in [`BnMode::Batch`],
    /// [`SilentCipherError::Compute`].
    pub fn embed(&self, clip: &[f32], payload: Payload) -> Result<Vec<f32>, SilentCipherError> {
        self.embed_at(clip, SAMPLE_RATE as usize, payload)
    }

    /// [`SilentCipher::embed`] at any rate.
    fn embed_at(&self, clip: &[f32], rate: usize, payload: Payload) -> Result<Vec<f32>, SilentCipherError> {
        let inner = resample(clip, rate, RATE);
        let Some(marked) = self.mark(&inner, payload)? else { return Ok(clip.to_vec()) };
        let mut marked = resample(&marked, RATE, rate);
        marked.truncate(clip.len());
        Ok(marked)
    }

    /// Marks samples at 44.1 kHz; `None` when they are silent.
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

    /// What brings samples to the networks' level; `None` when they are silent.
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

    /// What the package's decoder makes of a clip (24 kHz): a majority of its frames, at the clip's own beginning. That it
    /// answers at all is no evidence of a mark; see [`SilentCipher::find`].
    ///
    /// # Errors
    /// As [`SilentCipher::embed`].
    pub fn decode(&self, clip: &[f32]) -> Result<Option<Decoded>, SilentCipherError> {
        let inner = resample(clip, SAMPLE_RATE as usize, RATE);
        let Some(gain) = self.gain(&inner)? else { return Ok(None) };
        Ok(decode::vote(&decode::argmax(&self.model.logits(&scaled(&inner, gain), self.mode)?)))
    }

    /// Looks for known payloads in a clip (24 kHz), at every rotation and, where the clip's own beginning does not show
    /// one, at other places of the hop. Takes long: see [`cost`]. What was found names its key, else the first does. A clip of
    /// which not all was read, because it is longer than 4.9 s or by the bounds, gets no "not detected".
    ///
    /// # Errors
    /// [`SilentCipherError::NotFinite`], [`SilentCipherError::Compute`], [`SilentCipherError::OutOfTime`].
    pub fn find(&self, clip: &[f32], known: &[ExpectedPayload], bounds: &Bounds) -> Result<Finding, SilentCipherError> {
        find::find(self, clip, known, Reach::Anywhere, bounds)
    }

    /// [`SilentCipher::find`] for a clip as it came from [`SilentCipher::embed`] or [`SilentCipher::stream`], from its
    /// first sample on: it looks nowhere but where the mark must be, and its "not detected" means that it is lost. One reading
    /// of at most 4.9 s, and one of at most [`MAX_FIND_SECONDS`] where that does not show it.
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

/// The strength that CSM uses, in dB.
pub const CSM_MESSAGE_SDR: f32 = 36.0;

fn scaled(samples: &[f32], gain: f32) -> Vec<f32> {
    samples.iter().map(|sample| sample * gain).collect()
}
