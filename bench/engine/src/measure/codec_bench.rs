//! Mimi's decoder as a stream: csm-fleet's, and candle's own on the same weights.

use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, StreamTensor, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::mimi;
use csm_shared::audio::{CODEBOOKS, Frame};
use csm_shared::models::weight_files;

use super::{BenchError, Subject, WARM_UP};
use csm_engine::codec::{CODEC_FOLDER, CODEC_PREFIX, Codec, CodecError, MimiConfig};
use csm_engine::weights::{WeightsError, map};

/// Positions of candle's rotary table: 327 s of audio.
const CANDLE_POSITIONS: usize = 8192;

/// Settings of the measurement.
#[derive(Clone, Debug)]
pub struct CodecPlan {
    /// Model to measure. Its codec runs on the host's CPU, whatever the device.
    pub subject: Subject,
    /// Utterances side by side.
    pub rows: usize,
    /// Frames of each utterance that one call decodes.
    pub frames_per_call: usize,
    /// Number of measured calls.
    pub calls: usize,
}

/// Times and audio of the measurement.
#[derive(Clone, Debug)]
pub struct CodecFrames {
    /// Times of the measured calls, all rows together.
    pub times: Vec<Duration>,
    /// Audio of the first row at 24 kHz, including the calls of the warm-up.
    pub pcm: Vec<f32>,
}

/// Decodes with csm-fleet's codec.
///
/// # Errors
/// The folder cannot be loaded.
pub fn our_codec(plan: &CodecPlan) -> Result<CodecFrames, BenchError> {
    let codec = Codec::load(&plan.subject.folder, &Device::Cpu, &mut |_| {})?;
    let codes = codec.config().codebook_size;
    let mut decoder = codec.new_decoder(plan.rows, plan.subject.threads());
    measure(plan, |call| {
        let frames: Vec<Vec<_>> = (0..plan.rows).map(|row| plan.frames(call, row, codes).collect()).collect();
        let rows: Vec<_> = frames.iter().map(Vec::as_slice).enumerate().collect();
        let begun = Instant::now();
        let mut sound = decoder.push(&rows)?;
        Ok((begun.elapsed(), sound.swap_remove(0)))
    })
}

/// Decodes with candle's `decode_step`, all rows in one batch.
///
/// # Errors
/// The folder cannot be loaded, or candle fails.
pub fn candle_mimi(plan: &CodecPlan) -> Result<CodecFrames, BenchError> {
    let folder = &plan.subject.folder;
    let config = Codec::load(folder, &Device::Cpu, &mut |_| {})?.config().clone();
    let mut model = mimi::Model::new(candle_config(&config), weights(folder)?)?;
    measure(plan, |call| {
        let mut codes = Vec::with_capacity(plan.rows * CODEBOOKS * plan.frames_per_call);
        for row in 0..plan.rows {
            let frames: Vec<_> = plan.frames(call, row, config.codebook_size).collect();
            codes.extend((0..CODEBOOKS).flat_map(|codebook| frames.iter().map(move |frame| frame[codebook])));
        }
        let codes = Tensor::from_vec(codes, (plan.rows, CODEBOOKS, plan.frames_per_call), &Device::Cpu)?;
        let begun = Instant::now();
        let sound = model.decode_step(&StreamTensor::from_tensor(codes))?;
        let took = begun.elapsed();
        let first = sound.as_option().map(|sound| sound.get(0)?.flatten_all()?.to_vec1()).transpose()?;
        Ok((took, first.unwrap_or_default()))
    })
}

/// Returns the codec's tensors, from the model's file or from a file apart.
fn weights(folder: &Path) -> Result<VarBuilder<'static>, BenchError> {
    let builder = |folder: &Path| {
        let files = map(&weight_files(folder).map_err(WeightsError::from)?)?;
        Ok::<_, WeightsError>(VarBuilder::from_backend(Box::new(files), DType::F32, Device::Cpu))
    };
    let apart = folder.join(CODEC_FOLDER);
    let found = if apart.is_dir() { builder(&apart) } else { builder(folder).map(|all| all.pp(CODEC_PREFIX)) };
    Ok(found.map_err(CodecError::from)?)
}

/// Runs `decode` for each call. Returns the time of the decoding alone, and the first row's audio.
fn measure(
    plan: &CodecPlan,
    mut decode: impl FnMut(usize) -> Result<(Duration, Vec<f32>), BenchError>,
) -> Result<CodecFrames, BenchError> {
    let mut measured = CodecFrames { times: Vec::with_capacity(plan.calls), pcm: Vec::new() };
    for call in 0..WARM_UP + plan.calls {
        let (took, pcm) = decode(call)?;
        if call >= WARM_UP {
            measured.times.push(took);
        }
        measured.pcm.extend(pcm);
    }
    Ok(measured)
}

impl CodecPlan {
    /// Returns codes of one row's call, which differ from frame to frame and from row to row.
    fn frames(&self, call: usize, row: usize, codes: usize) -> impl Iterator<Item = Frame> {
        let frames = call * self.frames_per_call..(call + 1) * self.frames_per_call;
        frames.map(move |index| {
            std::array::from_fn(|codebook| ((index * 997 + row * 331 + codebook * 89) % codes) as u32)
        })
    }
}

/// Returns candle's settings for a codec of these dimensions, otherwise as published.
fn candle_config(config: &MimiConfig) -> mimi::Config {
    let published = mimi::Config::v0_1(Some(CODEBOOKS));
    mimi::Config {
        seanet: mimi::seanet::Config {
            dimension: config.hidden,
            n_filters: config.filters,
            n_residual_layers: config.residual_layers,
            ratios: config.ratios.clone(),
            ..published.seanet
        },
        transformer: mimi::transformer::Config {
            d_model: config.hidden,
            num_heads: config.heads,
            num_layers: config.layers,
            context: config.sliding_window,
            max_period: config.rope_theta as usize,
            dim_feedforward: config.intermediate,
            max_seq_len: CANDLE_POSITIONS,
            ..published.transformer
        },
        quantizer_bins: config.codebook_size,
        quantizer_dim: config.codebook_dim,
        ..published
    }
}
