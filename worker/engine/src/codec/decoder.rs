//! Codes to sound, for several utterances at once and while the codes come.
//!
//! A slot holds all that one utterance leaves behind: the past of every convolution, the windows of attention, the
//! count of frames. The rows of a call share each matrix product, and a product's row is the same bits in any company
//! (see [`csm_kernels`]); everything else is done row by row. So a slot's samples are the same bits however its
//! frames are cut into calls and whatever the other slots do, and a reset slot is a fresh one because it is made anew.
//!
//! It runs on the host's CPU whatever the model runs on: 80 ms of sound take a core some milliseconds, which a GPU's
//! host has to spare, and there is one decoder to prove.

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

/// The weights from codes to sound, on the host.
pub(super) struct Network {
    pub(super) quantizer: Quantizer,
    upsample: Upsample,
    transformer: DecoderTransformer,
    seanet: SeaNet,
}

/// What one utterance leaves behind.
struct DecoderState {
    /// Frames decoded.
    frames: usize,
    /// The last frame's latent.
    latent: Vec<f32>,
    window: AttentionWindow,
    histories: Vec<Vec<f32>>,
}

/// Room for one call; what it holds means nothing to the next.
#[derive(Default)]
struct DecoderScratch {
    frames: Vec<f32>,
    latents: Vec<f32>,
    transformer: TransformerScratch,
    shared: StageScratch,
    /// For each row of the call.
    rows: Vec<StageScratch>,
}

/// One row in the stages that are run row by row.
struct Tail<'a> {
    signal: Signal<'a>,
    x: &'a [f32],
    scratch: &'a mut StageScratch,
    pcm: Vec<f32>,
}

/// A decoder of several utterances, each in its slot.
pub struct Decoder {
    network: Arc<Network>,
    slots: Vec<DecoderState>,
    scratch: DecoderScratch,
    pool: Pool,
    /// For products inside a task of `pool`.
    alone: Pool,
}

impl Network {
    /// Reads `upsample`, `decoder_transformer` and `decoder`; `done` is told the prefix of what has been read.
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

    /// Bytes of the weights.
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

    /// Bytes of one slot.
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

    /// Forgets the slot's utterance: its next frame begins a new one, from silence. A slot that is not there is
    /// ignored.
    pub fn reset(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = self.network.new_slot();
        }
    }

    /// Bytes of all slots.
    #[must_use]
    pub fn memory(&self) -> u64 {
        (self.slots.len() * self.network.slot_bytes()) as u64
    }

    /// The next frames of some slots, to 1920 samples a frame for each row, 24 kHz mono.
    ///
    /// # Errors
    /// A slot is none of the decoder's or comes twice, or a code is out of range; then nothing has changed in any slot.
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
    /// Frames of checked codes, at least one a row.
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
        // Each row on a thread of its own, but for one that would be left alone with them: it gets all threads.
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

    /// `scratch.latents (frames * stride, hidden)` of all rows, one after the other.
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

/// Each signal with its part of what the shared stages made, and room of its own.
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

/// Refuses codes that no codebook has; `first` is the number of the first frame in the utterance.
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
