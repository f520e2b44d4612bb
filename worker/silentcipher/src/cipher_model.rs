//! The three networks of SilentCipher, and the steps between them.

use super::carrier::Carrier;
use super::network::{ConvStack, Frame};
use super::stft::{BAND, ROWS, Spectrum};
use super::{BnMode, SilentCipherError};

/// Symbols: four that carry two bits each, and the terminator.
pub(super) const SYMBOLS: usize = 5;

/// Contents of the model's files.
#[derive(Clone)]
pub(super) struct SilentCipherModel {
    pub(super) carrier: std::sync::Arc<Carrier>,
    pub(super) reader: std::sync::Arc<Reader>,
    /// Ratio of voice to mark in dB.
    pub(super) message_sdr: f32,
}

/// Network that reads the mark back.
pub(super) struct Reader {
    pub(super) stack: ConvStack,
    /// Weights of the readout, one for each row of the band.
    pub(super) weight: Vec<f32>,
    pub(super) bias: f32,
}

impl SilentCipherModel {
    pub(super) fn with_message_sdr(&self, decibels: f32) -> Self {
        Self { message_sdr: decibels, ..self.clone() }
    }

    /// Returns the pattern to subtract from each frame, (BAND), before the level of the whole clip
    /// scales it. `symbols` begin with the first frame and repeat.
    pub(super) fn inform(
        &self,
        spectra: &[Spectrum],
        symbols: &[u8],
        mode: BnMode,
    ) -> Result<Vec<Frame>, SilentCipherError> {
        let symbol = |frame: usize| symbols[frame % symbols.len()];
        if mode == BnMode::Batch {
            let frames = spectra.iter().map(|spectrum| spectrum.magnitudes(ROWS, 1.0)).collect();
            return Ok(self.carrier.batch(frames, symbol, self.message_sdr)?);
        }
        let rows = self.carrier.rows();
        let mut state = self.carrier.begin();
        let mut infos = Vec::with_capacity(spectra.len());
        for (frame, spectrum) in spectra.iter().enumerate() {
            let magnitudes = spectrum.magnitudes(rows, 1.0);
            infos.extend(self.carrier.push(&mut state, magnitudes, symbol(frame), self.message_sdr)?);
        }
        infos.append(&mut self.carrier.finish(state, self.message_sdr)?);
        Ok(infos)
    }

    /// Returns the logits of each symbol in each frame. `samples` are at 44.1 kHz and the networks'
    /// level.
    pub(super) fn logits(&self, samples: &[f32], mode: BnMode) -> Result<Vec<[f32; SYMBOLS]>, SilentCipherError> {
        let spectra = super::stft::transform(samples);
        let frames = spectra.iter().map(|spectrum| spectrum.magnitudes(BAND, 1.0)).collect();
        let read = |frame: Frame| {
            std::array::from_fn(|symbol| {
                let rows = &frame[symbol * BAND..(symbol + 1) * BAND];
                let sum: f64 = rows.iter().zip(&self.reader.weight).map(|(a, b)| f64::from(a * b)).sum();
                (sum + f64::from(self.reader.bias)) as f32
            })
        };
        Ok(self.reader.stack.whole(frames, mode)?.into_iter().map(read).collect())
    }
}
