//! Drawing of codes in candle's operations, by the rules of [`crate::model::sampler`], for all
//! slots at once.
//!
//! The host computes Philox, because candle's integer operations have neither exclusive or nor the
//! high half of a product. The noise of a frame depends only on seeds and counters, so it is made
//! for all codes before the logits are known. The CUDA graphs draw in a kernel, which makes noise
//! only for codes among the `topk` largest.

use candle_core::{D, DType, Device, Result, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};

use crate::model::net::{FrameSampler, Row};
use crate::model::sampler::{self, DrawKey};
use crate::model::{END_FRAME, ModelError};
use csm_kernels::Pool;

/// Largest factor of the logits. The factor of the smallest temperatures is infinite in an f32; with
/// this one no finite logit below 1e8 becomes infinite, and noise still decides nothing.
const SHARPNESS_MAX: f32 = 1e30;

/// The draws of one frame.
pub(super) struct TensorSampler {
    /// `(slots, 32, codes)`: Gumbel noise, 0 for greedy rows.
    noise: Tensor,
    /// `(slots, 1)`: factor of the logits, 1 / temperature; 1 for greedy rows.
    sharpness: Tensor,
    /// `(slots, 1)`: index, in descending order, of the smallest logit that may be drawn.
    last: Tensor,
    /// Codes drawn so far, `(slots)` for each codebook.
    codes: Vec<Tensor>,
    /// `(slots)`: 0 while all logits are finite, then NaN.
    broken: Tensor,
}

impl TensorSampler {
    /// Prepares the draws of the rows in their slots. Empty slots draw greedily; their codes are
    /// not used.
    pub(super) fn new(rows: &[Option<&Row>], codes: usize, pool: &Pool, device: &Device) -> Result<Self> {
        let slots = rows.len();
        let mut noise = vec![0.0_f32; slots * CODEBOOKS * codes];
        let (mut sharpness, mut last) = (vec![1.0_f32; slots], vec![0_u32; slots]);
        for (slot, row) in rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let temperature = row.sampling.temperature.get();
            if temperature == 0.0 {
                continue;
            }
            sharpness[slot] = (1.0 / temperature).min(SHARPNESS_MAX);
            last[slot] = row.sampling.topk.get().min(u32::try_from(codes).unwrap_or(u32::MAX)) - 1;
        }
        pool.run_chunks(&mut noise, codes, &|index, noise| {
            let (slot, codebook) = (index / CODEBOOKS, index % CODEBOOKS);
            if let Some(Row { sampling, frame_index, .. }) = rows[slot]
                && !sampling.temperature.is_greedy()
            {
                sampler::gumbel(DrawKey { seed: sampling.seed.get(), frame_index: *frame_index, codebook }, noise);
            }
        });
        Ok(Self {
            noise: Tensor::from_vec(noise, (slots, CODEBOOKS, codes), device)?,
            sharpness: Tensor::from_vec(sharpness, (slots, 1), device)?,
            last: Tensor::from_vec(last, (slots, 1), device)?,
            codes: Vec::with_capacity(CODEBOOKS),
            broken: Tensor::zeros(slots, DType::F32, device)?,
        })
    }

    /// Draws the codes of one codebook, `(slots)`, from `logits (slots, audio_vocab)`.
    pub(super) fn draw(&mut self, codebook: usize, logits: &Tensor, sampler: &mut FrameSampler) -> Result<Tensor> {
        let logits = logits.to_dtype(DType::F32)?;
        if sampler.is_traced() {
            sampler.trace_logits(&logits.flatten_all()?.to_vec1()?, logits.dim(1)?);
        }
        let codes = self.noise.dim(2)?;
        let logits = logits.narrow(1, 0, codes)?.contiguous()?;
        // A sum times 0 is 0, unless a term is NaN or infinite.
        self.broken = (&self.broken + (logits.sum(D::Minus1)? * 0.0)?)?;
        let (sorted, _) = logits.sort_last_dim(false)?;
        let least = sorted.gather(&self.last, 1)?;
        let noise = self.noise.narrow(1, codebook, 1)?.squeeze(1)?;
        let scores = (logits.broadcast_mul(&self.sharpness)? + noise)?;
        let none = Tensor::full(f32::NEG_INFINITY, scores.shape(), scores.device())?;
        let drawn = logits.broadcast_ge(&least)?.where_cond(&scores, &none)?.argmax(D::Minus1)?;
        self.codes.push(drawn.clone());
        Ok(drawn)
    }

    /// Returns the complete frames of `rows`, by the only transfer of a frame.
    pub(super) fn frames(&self, rows: &[Row]) -> std::result::Result<Vec<Frame>, ModelError> {
        let mut columns = vec![self.broken.clone()];
        for codes in &self.codes {
            columns.push(codes.to_dtype(DType::F32)?);
        }
        let drawn = Tensor::stack(&columns, 1)?.to_vec2::<f32>()?;
        rows.iter()
            .map(|row| {
                let (broken, codes) = (drawn[row.slot][0], &drawn[row.slot][1..]);
                if broken.is_nan() {
                    return Err(ModelError::NotFinite { frame_index: row.frame_index, codebook: 0 });
                }
                let mut frame = END_FRAME;
                for (code, drawn) in frame.iter_mut().zip(codes) {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a code below 2051")]
                    let drawn = *drawn as u32;
                    *code = drawn;
                }
                Ok(frame)
            })
            .collect()
    }
}
