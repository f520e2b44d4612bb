//! candle-transformers' own CSM on the same weights, run as in its example: one utterance, a
//! growing cache.
//!
//! The module knows only the tensor names and the rotary form of the original release. [`Renamed`]
//! converts either layout to them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use candle_transformers::models::csm::{Config, Flavor, Model};
use csm_shared::audio::CODEBOOKS;
use csm_shared::job::{Temperature, TopK};
use csm_shared::models::weight_files;
use serde_json::json;

use super::{BenchError, Subject, WARM_UP, prompt_ids};
use csm_engine::model::csm_weights::names::{Layout, Names};
use csm_engine::model::{CsmConfig, END_FRAME, ModelError, TransformerConfig};
use csm_engine::weights::{WeightsError, map};

/// Number type of candle's weights and computations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandleDtype {
    /// Choice of candle's example on a CPU.
    F32,
    /// Faster than f32 on a CPU.
    F16,
    /// Choice of candle's example on CUDA; many times slower on a CPU.
    Bf16,
}

/// Settings of the measurement.
#[derive(Clone, Debug)]
pub struct CandlePlan {
    /// Model and device.
    pub subject: Subject,
    /// Number type of the computation.
    pub dtype: CandleDtype,
    /// Number of measured frames.
    pub frames: usize,
}

/// Speaks with candle's CSM and CSM's own sampling; returns the time of each measured frame.
///
/// # Errors
/// [`BenchError::Unsuitable`] for dimensions that candle's module does not have; other errors if
/// the folder cannot be read.
pub fn candle_csm(plan: &CandlePlan) -> Result<Vec<Duration>, BenchError> {
    let Subject { folder, prompt, .. } = &plan.subject;
    let config = published(&CsmConfig::from_folder(folder).map_err(ModelError::from)?)?;
    let weights = Renamed::open(folder)?;
    let dtype = match plan.dtype {
        CandleDtype::F32 => DType::F32,
        CandleDtype::F16 => DType::F16,
        CandleDtype::Bf16 => DType::BF16,
    };
    let device = plan.subject.open_device()?;
    let mut model = Model::new(&config, VarBuilder::from_backend(Box::new(weights), dtype, device))?;
    let sampling =
        Sampling::TopK { k: TopK::default().get() as usize, temperature: f64::from(Temperature::default().get()) };
    let mut draw = LogitsProcessor::from_sampling(0, sampling);

    let ids: Vec<_> = prompt_ids(config.text_vocab_size, 0, *prompt).collect();
    let first = model.text_tokens_and_mask(&ids)?;
    let (mut tokens, mut mask, mut position) = (first.0.clone(), first.1.clone(), 0);
    let mut times = Vec::with_capacity(plan.frames);
    for index in 0..WARM_UP + plan.frames {
        let begun = Instant::now();
        let codes = model.generate_frame(&tokens, &mask, position, &mut draw)?;
        position += tokens.dim(1)?;
        if codes == END_FRAME {
            model.clear_kv_cache();
            (tokens, mask, position) = (first.0.clone(), first.1.clone(), 0);
        } else {
            (tokens, mask) = model.audio_tokens_and_mask(codes)?;
        }
        if index >= WARM_UP {
            times.push(begun.elapsed());
        }
    }
    Ok(times)
}

/// Returns the one set of dimensions that candle's module has.
fn published(config: &CsmConfig) -> Result<Config, BenchError> {
    let original = json!({
        "backbone_flavor": "llama-1B",
        "decoder_flavor": "llama-100M",
        "text_vocab_size": config.text_vocab,
        "audio_vocab_size": config.audio_vocab,
        "audio_num_codebooks": CODEBOOKS,
    });
    let original = CsmConfig::from_json(&original, None).map_err(ModelError::from)?;
    let dims = |c: &TransformerConfig| (c.layers, c.hidden, c.intermediate, c.heads, c.kv_heads, c.head_dim);
    if dims(&config.backbone) != dims(&original.backbone) || dims(&config.depth) != dims(&original.depth) {
        let reason = "candle's CSM has the dimensions of the published checkpoint alone";
        return Err(BenchError::Unsuitable(reason.to_owned()));
    }
    Ok(Config {
        audio_num_codebooks: CODEBOOKS,
        audio_vocab_size: config.audio_vocab,
        backbone_flavor: Flavor::Llama1B,
        decoder_flavor: Flavor::Llama100M,
        text_vocab_size: config.text_vocab,
    })
}

/// Model of either layout under the original's names, with query and key rows in the original's
/// rotary form.
pub(super) struct Renamed {
    files: MmapedSafetensors,
    /// Sources by original name.
    sources: HashMap<String, TensorSource>,
}

struct TensorSource {
    name: String,
    /// Rows of a head, if the tensor's rows are to be reordered.
    head_dim: Option<usize>,
}

impl Renamed {
    pub(super) fn open(folder: &std::path::Path) -> Result<Self, ModelError> {
        let config = CsmConfig::from_folder(folder)?;
        let files = map(&weight_files(folder).map_err(WeightsError::from)?)?;
        let holds = |name: &str| files.get(name).is_ok();
        let layout = Layout::detect(holds).unwrap_or(Layout::Original);
        let original = Names { layout: Layout::Original }.all(&config);
        let sources = original.into_iter().zip(Names { layout }.all(&config)).map(|(wanted, stored)| {
            let rotary = wanted.name.contains("q_proj") || wanted.name.contains("k_proj");
            let depth = wanted.name.starts_with("decoder.");
            let head_dim = if depth { config.depth.head_dim } else { config.backbone.head_dim };
            let name = match stored.alias {
                Some(alias) if !holds(&stored.name) => alias,
                _ => stored.name,
            };
            (
                wanted.name,
                TensorSource { name, head_dim: (rotary && layout == Layout::Transformers).then_some(head_dim) },
            )
        });
        Ok(Self { sources: sources.collect(), files })
    }
}

impl SimpleBackend for Renamed {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() != shape {
            candle_core::bail!("{name} is {:?}, not {shape:?}", tensor.shape());
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let Some(source) = self.sources.get(name) else { candle_core::bail!("{name} is no tensor of CSM") };
        let tensor = self.files.load(&source.name, device)?.to_dtype(dtype)?;
        let Some(head_dim) = source.head_dim else { return Ok(tensor) };
        // Rows go from the two halves of a head to interleaved pairs.
        let (rows, width) = tensor.dims2()?;
        let halves = tensor.reshape((rows / head_dim, 2, head_dim / 2, width))?;
        halves.transpose(1, 2)?.contiguous()?.reshape((rows, width))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.sources.get(name).is_some_and(|source| self.files.get(&source.name).is_ok())
    }
}
