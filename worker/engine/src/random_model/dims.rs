//! Dimensions of the random models, under the names of `config.json`.

use safetensors::Dtype;

/// Audio ids per codebook: 2048 codes and 3 specials.
pub(super) const AUDIO_VOCAB: usize = 2051;
/// Entries of a Mimi codebook.
pub(super) const CODES: usize = 2048;
/// Mimi's SEANet strides in decoder order. With the factor 2 of the resampling convolution they
/// give 1920 samples a frame.
pub(super) const RATIOS: [usize; 4] = [8, 6, 5, 4];
/// Positions of the backbone's window.
pub(super) const WINDOW: usize = 2048;

/// Dimensions of a CSM and its codec.
pub(super) struct Dims {
    pub(super) title: &'static str,
    /// Format of the CSM weights; the codec's weights are always f32.
    pub(super) dtype: Dtype,
    pub(super) text_vocab: usize,
    /// Id of `<|begin_of_text|>`; the other three specials follow it.
    pub(super) first_special: usize,
    pub(super) backbone: StackDims,
    pub(super) depth: StackDims,
    pub(super) mimi: Mimi,
}

/// Dimensions of a Llama stack: the backbone or the depth decoder.
pub(super) struct StackDims {
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) ff: usize,
}

/// Dimensions of the codec.
pub(super) struct Mimi {
    pub(super) hidden: usize,
    pub(super) codebook_dim: usize,
    pub(super) filters: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) ff: usize,
    /// Gain of the last convolution, measured so that random codes decode to about -25 dBFS.
    pub(super) loudness: f32,
}

/// Dimensions small enough for any CPU: about 9 M weights, most of them for the real audio
/// vocabulary.
pub(super) const NOISE: Dims = Dims {
    title: "noise",
    dtype: Dtype::F32,
    text_vocab: 260,
    first_special: 256,
    backbone: StackDims { layers: 3, hidden: 64, heads: 4, kv_heads: 2, head_dim: 16, ff: 128 },
    depth: StackDims { layers: 2, hidden: 48, heads: 4, kv_heads: 2, head_dim: 12, ff: 96 },
    mimi: Mimi { hidden: 32, codebook_dim: 16, filters: 4, layers: 2, heads: 2, ff: 64, loudness: 0.07 },
};

/// Dimensions of `sesame/csm-1b` with `kyutai/mimi`.
pub(super) const ONE_B: Dims = Dims {
    title: "1b",
    dtype: Dtype::BF16,
    text_vocab: 128_256,
    first_special: 128_000,
    backbone: StackDims { layers: 16, hidden: 2048, heads: 32, kv_heads: 8, head_dim: 64, ff: 8192 },
    depth: StackDims { layers: 4, hidden: 1024, heads: 8, kv_heads: 2, head_dim: 128, ff: 8192 },
    mimi: Mimi { hidden: 512, codebook_dim: 256, filters: 64, layers: 8, heads: 8, ff: 2048, loudness: 0.08 },
};

impl Dims {
    /// Returns the weights' format as `config.json` spells it.
    pub(super) fn dtype_name(&self) -> &'static str {
        if self.dtype == Dtype::BF16 { "bfloat16" } else { "float32" }
    }
}
