//! Decoder from codes to audio, for several utterances at once and as the codes come.
//!
//! A slot holds the state of one utterance: the past of every convolution, the windows of
//! attention, the count of frames. The rows of a call share each matrix product. A row of a product
//! has the same bits whatever the other rows are (see [`csm_kernels`]); all else is done row by
//! row. A slot's samples therefore have the same bits however its frames are cut into calls and
//! whatever the other slots do. A reset makes a slot's state anew.
//!
//! The decoder runs on the host's CPU whatever the model runs on. A frame of 80 ms takes a core
//! some milliseconds, which a GPU's host can spare. A single implementation also needs only one
//! proof.

mod conv;
mod decoder_transformer;
mod seanet;
mod upsample;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_nn::VarBuilder;
use csm_shared::audio::Frame;

use super::quantizer::Quantizer;
use super::{CodecError, MimiConfig, numbers};
use conv::Signal;
use csm_kernels::Pool;
use decoder_transformer::{Attending, AttentionWindow, DecoderTransformer, TransformerScratch};
use seanet::{SeaNet, StageScratch};
use upsample::Upsample;

/// Weights of the decoder, on the host.
pub(super) struct Network {
    pub(super) quantizer: Quantizer,
    upsample: Upsample,
    transformer: DecoderTransformer,
    seanet: SeaNet,
}

/// State of one utterance.
struct DecoderState {
    /// Number of frames decoded.
    frames: usize,
    /// Latent of the last frame.
    latent: Vec<f32>,
    window: AttentionWindow,
    histories: Vec<Vec<f32>>,
}

/// Buffers of one call; their content means nothing to the next call.
#[derive(Default)]
struct DecoderScratch {
    frames: Vec<f32>,
    latents: Vec<f32>,
    transformer: TransformerScratch,
    shared: StageScratch,
    /// Buffers of each row of the call.
    rows: Vec<StageScratch>,
}

/// State of a row in the stages that run row by row.
struct Tail<'a> {
    signal: Signal<'a>,
    x: &'a [f32],
    scratch: &'a mut StageScratch,
    pcm: Vec<f32>,
}

/// Decoder of several utterances, each in its slot.
pub struct Decoder {
    network: Arc<Network>,
    slots: Vec<DecoderState>,
    scratch: DecoderScratch,
    pool: Pool,
    /// Pool of the caller alone, for products inside a task of `pool`.
    alone: Pool,
}

impl Network {
    /// Reads `upsample`, `decoder_transformer` and `decoder`; calls `done` with the prefix of each
    /// part read.
    pub(super) fn load(
        config: &MimiConfig,
        quantizer: Quantizer,
        vb: &VarBuilder<'_>,
        done: &mut dyn FnMut(&str),
    ) -> candle_core::Result<Self> {
        let upsample = Upsample::load(config.hidden, config.latent_stride, &vb.pp("upsample"))?;
        done("upsample.");
        let transformer = DecoderTransformer::load(config, &vb.pp("decoder_transformer"))?;
        done("decoder_transformer.");
        let seanet = SeaNet::load(config, &vb.pp("decoder"))?;
        done("decoder.");
        Ok(Self { quantizer, upsample, transformer, seanet })
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        self.quantizer.bytes() + self.upsample.bytes() + self.transformer.bytes() + self.seanet.bytes()
    }

    fn new_slot(&self) -> DecoderState {
        DecoderState {
            frames: 0,
            latent: vec![0.0; self.quantizer.hidden()],
            window: self.transformer.new_window(),
            histories: self.seanet.memory().histories(),
        }
    }

    /// Returns the bytes of one slot.
    fn slot_bytes(&self) -> usize {
        let floats = self.quantizer.hidden() + self.transformer.window_floats() + self.seanet.memory().floats();
        floats * size_of::<f32>()
    }
}

impl Decoder {
    pub(super) fn new(network: Arc<Network>, slots: usize, threads: usize) -> Self {
        let slots = (0..slots).map(|_| network.new_slot()).collect();
        Self { network, slots, scratch: DecoderScratch::default(), pool: Pool::new(threads), alone: Pool::new(1) }
    }

    /// Resets a slot, so that its next frame begins a new utterance from silence. A slot that does
    /// not exist is ignored.
    pub fn reset(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = self.network.new_slot();
        }
    }

    /// Returns the bytes of all slots.
    #[must_use]
    pub fn memory(&self) -> u64 {
        (self.slots.len() * self.network.slot_bytes()) as u64
    }

    /// Decodes the next frames of some slots. Returns 1920 samples a frame for each row, 24 kHz
    /// mono.
    ///
    /// # Errors
    /// [`CodecError`] if a slot does not exist or comes twice, or if a code is out of range. No
    /// slot has changed then.
    pub fn push(&mut self, rows: &[(usize, &[Frame])]) -> Result<Vec<Vec<f32>>, CodecError> {
        let Self { network, slots, scratch, pool, alone } = self;
        let count = slots.len();
        let mut free: Vec<Option<&mut DecoderState>> = slots.iter_mut().map(Some).collect();
        let mut busy = Vec::with_capacity(rows.len());
        for &(slot, frames) in rows {
            let state = free.get_mut(slot).and_then(Option::take).ok_or(CodecError::Slot { slot, slots: count })?;
            check(frames, state.frames, network.quantizer.codes())?;
            if !frames.is_empty() {
                busy.push((state, frames));
            }
        }
        let mut pcm = network.decode(pool, alone, &mut busy, scratch).into_iter();
        Ok(rows
            .iter()
            .map(|(_, frames)| if frames.is_empty() { Vec::new() } else { pcm.next().unwrap_or_default() })
            .collect())
    }
}

impl Network {
    /// Decodes frames of checked codes, at least one for each row.
    fn decode(
        &self,
        pool: &Pool,
        alone: &Pool,
        rows: &mut [(&mut DecoderState, &[Frame])],
        scratch: &mut DecoderScratch,
    ) -> Vec<Vec<f32>> {
        if rows.is_empty() {
            return Vec::new();
        }
        self.latents(pool, rows, scratch);
        let mut attending: Vec<_> = rows
            .iter_mut()
            .map(|(slot, frames)| Attending { window: &mut slot.window, steps: frames.len() * self.upsample.stride() })
            .collect();
        self.transformer.forward(pool, &mut attending, &mut scratch.latents, &mut scratch.transformer);
        let mut signals: Vec<_> = rows
            .iter_mut()
            .map(|(slot, frames)| Signal { histories: &mut slot.histories, frames: frames.len() })
            .collect();
        self.seanet.begin(pool, &mut signals, &scratch.latents, &mut scratch.shared);
        let mut tails = tails(signals, &scratch.shared, &mut scratch.rows);
        // Each row runs on a thread of its own. If one row would be left for a last round alone, it
        // gets all threads.
        let spread = tails.len() - usize::from(tails.len() % pool.threads() == 1);
        let (spread, left) = tails.split_at_mut(spread);
        pool.run_chunks(spread, 1, &|_, tails| tails.iter_mut().for_each(|tail| self.finish(alone, tail)));
        left.iter_mut().for_each(|tail| self.finish(pool, tail));
        let pcm = tails.into_iter().map(|tail| tail.pcm).collect();
        for (slot, frames) in rows {
            slot.frames += frames.len();
        }
        pcm
    }

    fn finish(&self, pool: &Pool, tail: &mut Tail<'_>) {
        tail.pcm = self.seanet.finish(pool, &mut tail.signal, tail.x, tail.scratch);
    }

    /// Writes `scratch.latents (frames * stride, hidden)` of all rows, one after the other.
    fn latents(&self, pool: &Pool, rows: &mut [(&mut DecoderState, &[Frame])], scratch: &mut DecoderScratch) {
        let DecoderScratch { frames, latents, .. } = scratch;
        let codes: Vec<&Frame> = rows.iter().flat_map(|(_, frames)| frames.iter()).collect();
        self.quantizer.decode(pool, &codes, frames);
        let stride = self.upsample.stride();
        latents.resize(stride * frames.len(), 0.0);
        let (mut x, mut y) = (frames.as_slice(), latents.as_mut_slice());
        for (slot, frames) in rows {
            let (now, x_rest) = x.split_at(frames.len() * slot.latent.len());
            let (own, y_rest) = y.split_at_mut(stride * now.len());
            self.upsample.forward(&mut slot.latent, now, own);
            (x, y) = (x_rest, y_rest);
        }
    }
}

/// Returns each signal with its part of the shared stages' output, and with its own buffers.
fn tails<'a>(signals: Vec<Signal<'a>>, shared: &'a StageScratch, rooms: &'a mut Vec<StageScratch>) -> Vec<Tail<'a>> {
    let frames: usize = signals.iter().map(|signal| signal.frames).sum();
    let mut x = shared.signal();
    let per_frame = x.len() / frames;
    if rooms.len() < signals.len() {
        rooms.resize_with(signals.len(), StageScratch::default);
    }
    let tail = |(signal, scratch): (Signal<'a>, &'a mut StageScratch)| {
        let (own, rest) = x.split_at(signal.frames * per_frame);
        x = rest;
        Tail { signal, x: own, scratch, pcm: Vec::new() }
    };
    signals.into_iter().zip(rooms).map(tail).collect()
}

/// Refuses codes out of range; `first` is the index of the first frame in the utterance.
fn check(frames: &[Frame], first: usize, limit: usize) -> Result<(), CodecError> {
    for (frame, codes) in (first..).zip(frames) {
        for (codebook, &code) in codes.iter().enumerate() {
            if code as usize >= limit {
                return Err(CodecError::CodeOutOfRange { frame, codebook, code, limit });
            }
        }
    }
    Ok(())
}
