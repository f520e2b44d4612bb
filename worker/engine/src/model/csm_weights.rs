//! Reading of the weights: both published layouts are converted to one internal layout.
//!
//! Tensor names tell the layout: the original release (torchtune names, rotary pairs interleaved)
//! or transformers (rotary halves). All tensors are checked by name and shape before the first is
//! read. A wrong file is therefore refused in milliseconds, and the error lists its faults.
//!
//! Query and key rows of the original layout are reordered to the halves form. Projections that are
//! always used together become one matrix.

pub mod names;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Tensor};
use csm_shared::models::weight_files;

use super::{CsmConfig, TransformerConfig};
use crate::weights::{LoadProgress, TensorFiles, WeightsError};
use names::{Layout, Names, TensorSpec};

/// Name of one of the two transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelPart {
    /// The transformer that reads positions and gives the first code.
    Backbone,
    /// The transformer that gives the other codes of a frame.
    Depth,
}

impl ModelPart {
    /// Returns the part's dimensions.
    #[must_use]
    pub fn config(self, config: &CsmConfig) -> &TransformerConfig {
        match self {
            Self::Backbone => &config.backbone,
            Self::Depth => &config.depth,
        }
    }
}

/// Tensors of one layer in the internal layout.
pub(super) struct LayerWeights {
    pub(super) attention_norm: Tensor,
    pub(super) qkv: Tensor,
    pub(super) attention_out: Tensor,
    pub(super) mlp_norm: Tensor,
    pub(super) gate_up: Tensor,
    pub(super) down: Tensor,
}

/// Open weight files that hold every tensor. Tensors are read to the CPU, in f32 unless another
/// format is asked for.
pub(super) struct Weights<'a> {
    files: TensorFiles,
    names: Names,
    config: &'a CsmConfig,
    done: LoadProgress,
    progress: &'a mut dyn FnMut(LoadProgress),
}

impl<'a> Weights<'a> {
    /// Opens the files of `folder` and checks every tensor's name, shape and number format.
    pub(super) fn open(
        folder: &Path,
        config: &'a CsmConfig,
        progress: &'a mut dyn FnMut(LoadProgress),
    ) -> Result<Self, WeightsError> {
        let files = TensorFiles::open(&weight_files(folder)?)?;
        let layout = Layout::detect(|name| files.info(name).is_some()).ok_or_else(|| WeightsError::UnknownLayout {
            folder: folder.into(),
            original: names::ORIGINAL_PROBE,
            transformers: names::TRANSFORMERS_PROBE,
        })?;
        let names = Names { layout };
        let mut done = LoadProgress::default();
        let mut seen = BTreeSet::new();
        let mut problems = Vec::new();
        for spec in names.all(config) {
            match find(&files, &spec) {
                Ok((name, bytes)) if seen.insert(name.to_owned()) => {
                    done.tensors_total += 1;
                    done.bytes_total += bytes;
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(WeightsError::Tensors { folder: folder.into(), problems });
        }
        progress(done);
        Ok(Self { files, names, config, done, progress })
    }

    /// Reads the audio tables of backbone and depth decoder, `(32 * audio_vocab, hidden)` each. A
    /// tied table is read once.
    pub(super) fn audio_embeddings(&mut self, dtype: DType) -> Result<(Tensor, Tensor), WeightsError> {
        let backbone = self.names.audio_embedding(ModelPart::Backbone, self.config);
        let depth = self.names.audio_embedding(ModelPart::Depth, self.config);
        let shared = find(&self.files, &backbone).ok().map(|found| found.0.to_owned())
            == find(&self.files, &depth).ok().map(|found| found.0.to_owned());
        let backbone = self.load_as(&backbone, dtype)?;
        let depth = if shared { backbone.clone() } else { self.load_as(&depth, dtype)? };
        Ok((backbone, depth))
    }

    /// Reads the text embedding, `(text_vocab, hidden)`.
    pub(super) fn text_embedding(&mut self, dtype: DType) -> Result<Tensor, WeightsError> {
        self.load_as(&self.names.text_embedding(self.config), dtype)
    }

    /// Reads the projection to the depth decoder, `(depth hidden, hidden)`.
    pub(super) fn projection(&mut self) -> Result<Tensor, WeightsError> {
        self.load(&self.names.projection(self.config))
    }

    /// Reads the head of the first code, `(audio_vocab, hidden)`.
    pub(super) fn first_code_head(&mut self) -> Result<Tensor, WeightsError> {
        self.load(&self.names.first_code_head(self.config))
    }

    /// Reads the heads of the other codes, `(31, depth hidden, audio_vocab)`.
    pub(super) fn code_heads(&mut self) -> Result<Tensor, WeightsError> {
        self.load(&self.names.code_heads(self.config))
    }

    /// Reads the final norm of a part, `(hidden)`.
    pub(super) fn final_norm(&mut self, part: ModelPart) -> Result<Tensor, WeightsError> {
        self.load(&self.names.final_norm(part, self.config))
    }

    /// Reads one layer: query and key rows in the rotary halves form, joint projections fused.
    pub(super) fn layer(&mut self, part: ModelPart, index: usize) -> Result<LayerWeights, WeightsError> {
        let config = part.config(self.config);
        let specs = self.names.layer(part, self.config, index);
        let query = self.load(&specs.query)?;
        let key = self.load(&specs.key)?;
        let value = self.load(&specs.value)?;
        let (query, key) = match self.names.layout {
            Layout::Transformers => (query, key),
            Layout::Original => (halves(&query, config.heads)?, halves(&key, config.kv_heads)?),
        };
        let gate = self.load(&specs.gate)?;
        let up = self.load(&specs.up)?;
        Ok(LayerWeights {
            attention_norm: self.load(&specs.attention_norm)?,
            qkv: Tensor::cat(&[query, key, value], 0)?,
            attention_out: self.load(&specs.attention_out)?,
            mlp_norm: self.load(&specs.mlp_norm)?,
            gate_up: Tensor::cat(&[gate, up], 0)?,
            down: self.load(&specs.down)?,
        })
    }

    fn load(&mut self, spec: &TensorSpec) -> Result<Tensor, WeightsError> {
        self.load_as(spec, DType::F32)
    }

    fn load_as(&mut self, spec: &TensorSpec, dtype: DType) -> Result<Tensor, WeightsError> {
        let (name, bytes) = find(&self.files, spec).map_err(candle_core::Error::msg)?;
        let tensor = self.files.read(name)?.to_dtype(dtype)?;
        self.done.tensors_done += 1;
        self.done.bytes_done += bytes;
        (self.progress)(self.done);
        Ok(tensor)
    }
}

/// Returns the name under which the files hold `spec` and the tensor's bytes, or the fault.
fn find<'s>(files: &TensorFiles, spec: &'s TensorSpec) -> Result<(&'s str, u64), String> {
    let held = [Some(&spec.name), spec.alias.as_ref()].into_iter().flatten();
    let Some((name, info)) = held.filter_map(|name| Some((name, files.info(name)?))).next() else {
        return Err(format!("{} {:?} is missing", spec.name, spec.shape));
    };
    if info.shape != spec.shape {
        return Err(format!("{name} has shape {:?}, the config says {:?}", info.shape, spec.shape));
    }
    use safetensors::Dtype::{BF16, F16, F32, F64};
    if !matches!(info.dtype, BF16 | F16 | F32 | F64) {
        return Err(format!("{name} holds {:?}, not floating-point numbers", info.dtype));
    }
    Ok((name, (info.data_offsets.1 - info.data_offsets.0) as u64))
}

/// Reorders the rows of a query or key projection `(heads * head_dim, hidden)`. Row pairs (2i, 2i +
/// 1) of each head, which the original layout rotates together, become rows (i, i + head_dim / 2).
fn halves(weight: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (rows, width) = weight.dims2()?;
    weight.reshape((heads, rows / heads / 2, 2, width))?.transpose(1, 2)?.reshape((rows, width))
}
