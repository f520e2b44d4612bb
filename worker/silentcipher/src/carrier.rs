//! Carrier: the networks that turn a voice and a message into the pattern to subtract from the
//! voice.
//!
//! The encoder's features, the magnitudes and the message's own spectrum go through the carrier
//! decoder together. The decoder takes magnitudes and message 32 times each, so the weights of the
//! repeats are added up once, at loading.

use std::collections::VecDeque;

use super::BnMode;
use super::network::{ConvStack, ConvStackState, Frame};
use super::stft::{BAND, ROWS};

/// Encoder, spectra of the message, and carrier decoder.
pub(super) struct Carrier {
    pub(super) encoder: ConvStack,
    /// Spectrum of each symbol, (BAND).
    pub(super) messages: Vec<Vec<f32>>,
    /// Carrier decoder. Its first layer takes the encoder's channels, one channel of magnitudes,
    /// and one of the message.
    pub(super) decoder: ConvStack,
}

/// State of [`Carrier::push`]: the networks' frames, and the frames that still wait for the
/// encoder's output.
pub(super) struct CarrierState {
    encoder: ConvStackState,
    decoder: ConvStackState,
    waiting: VecDeque<(Frame, u8)>,
}

impl Carrier {
    /// Returns the number of frames to either side on which a frame depends.
    pub(super) fn context(&self) -> usize {
        self.encoder.context() + self.decoder.context()
    }

    /// Returns the number of rows that running statistics need: the band, and the rows on which its
    /// last row depends.
    pub(super) fn rows(&self) -> usize {
        (BAND + self.context()).min(ROWS)
    }

    /// Computes a whole clip with its own statistics, from magnitudes (ROWS) to infos (BAND).
    pub(super) fn batch(
        &self,
        frames: Vec<Frame>,
        symbol: impl Fn(usize) -> u8,
        message_sdr: f32,
    ) -> candle_core::Result<Vec<Frame>> {
        let features = self.encoder.whole(frames.clone(), BnMode::Batch)?;
        let pairs = features.into_iter().zip(frames).enumerate();
        let joined = pairs.map(|(at, (feature, frame))| self.join(feature, &frame, symbol(at))).collect();
        let made = self.decoder.whole(joined, BnMode::Batch)?;
        Ok(made.into_iter().map(|frame| info(frame, message_sdr)).collect())
    }

    /// Begins a stream with running statistics.
    pub(super) fn begin(&self) -> CarrierState {
        CarrierState { encoder: self.encoder.begin(), decoder: self.decoder.begin(), waiting: VecDeque::new() }
    }

    /// Takes the next frame's magnitudes ([`Carrier::rows`]). Returns the info (BAND) of the frame
    /// [`Carrier::context`] frames earlier, if there is one.
    pub(super) fn push(
        &self,
        state: &mut CarrierState,
        frame: Frame,
        symbol: u8,
        message_sdr: f32,
    ) -> candle_core::Result<Option<Frame>> {
        state.waiting.push_back((frame.clone(), symbol));
        let Some(feature) = self.encoder.push(&mut state.encoder, frame)? else { return Ok(None) };
        self.decode(state, feature, message_sdr)
    }

    /// Returns the infos of the last frames.
    pub(super) fn finish(&self, mut state: CarrierState, message_sdr: f32) -> candle_core::Result<Vec<Frame>> {
        let mut infos = Vec::new();
        let encoder = std::mem::replace(&mut state.encoder, self.encoder.begin());
        for feature in self.encoder.finish(encoder)? {
            infos.extend(self.decode(&mut state, feature, message_sdr)?);
        }
        infos.extend(self.decoder.finish(state.decoder)?.into_iter().map(|frame| info(frame, message_sdr)));
        Ok(infos)
    }

    fn decode(&self, state: &mut CarrierState, feature: Frame, message_sdr: f32) -> candle_core::Result<Option<Frame>> {
        let Some((frame, symbol)) = state.waiting.pop_front() else { return Ok(None) };
        let joined = self.join(feature, &frame, symbol);
        Ok(self.decoder.push(&mut state.decoder, joined)?.map(|frame| info(frame, message_sdr)))
    }

    fn join(&self, mut feature: Frame, frame: &[f32], symbol: u8) -> Frame {
        feature.extend_from_slice(frame);
        feature.extend_from_slice(&self.messages[usize::from(symbol)]);
        feature.resize(feature.len() + frame.len() - BAND, 0.0);
        feature
    }
}

/// Scales the decoder's output to magnitudes of root mean square `10^(-sdr/20)` over all rows,
/// (BAND). The rows above the band hold none.
fn info(mut frame: Frame, message_sdr: f32) -> Frame {
    frame.truncate(BAND);
    let squares: f64 = frame.iter().map(|&value| f64::from(value).powi(2)).sum();
    let rms = (squares / ROWS as f64).sqrt();
    let strength = f64::from(10_f32.powf(message_sdr / 20.0));
    let scale = if rms > 0.0 { (1.0 / (rms * strength)) as f32 } else { 0.0 };
    frame.iter_mut().for_each(|value| *value = value.abs() * scale);
    frame
}
