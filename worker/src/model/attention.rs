//! Grouped-query attention over a cache, without repeating keys and values.
//!
//! Query heads that share a key head are laid side by side as more rows of one matrix product, so a key is read once for
//! its whole group.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::TransformerConfig;
use super::cache::LayerCache;
use super::rope::Rotation;

/// Projections of one attention block; query, key and value rows are one matrix.
pub(super) struct Attention {
    /// `((heads + 2 kv_heads) * head_dim, hidden)`.
    qkv: Tensor,
    /// `(hidden, heads * head_dim)`.
    out: Tensor,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// `x (rows, t, in)` times the transpose of `weight (out, in)`.
pub(super) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (rows, t, width) = x.dims3()?;
    x.reshape((rows * t, width))?.matmul(&weight.t()?)?.reshape((rows, t, weight.dim(0)?))
}

/// `(t, offset + t)`: 0 where query `i` may see key `j`, that is `j <= offset + i`, and -inf elsewhere.
pub(super) fn causal_mask(offset: usize, t: usize, device: &Device) -> Result<Tensor> {
    let total = offset + t;
    let mask: Vec<f32> =
        (0..t).flat_map(|i| (0..total).map(move |j| if j <= offset + i { 0.0 } else { f32::NEG_INFINITY })).collect();
    Tensor::from_vec(mask, (t, total), device)
}

impl Attention {
    pub(super) fn new(config: &TransformerConfig, qkv: Tensor, out: Tensor) -> Self {
        Self { qkv, out, heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim }
    }

    /// `x (rows, t, hidden)` at positions `len..len + t` of the cache; `mask` as [`causal_mask`] makes it, none for t = 1.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        rotation: &Rotation,
        mask: Option<&Tensor>,
        cache: &LayerCache,
        len: usize,
    ) -> Result<Tensor> {
        let (rows, t, _) = x.dims3()?;
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        let qkv = linear(x, &self.qkv)?;
        let part = |start: usize, count: usize| {
            qkv.narrow(D::Minus1, start * head_dim, count * head_dim)?
                .reshape((rows, t, count, head_dim))?
                .transpose(1, 2)?
                .contiguous()
        };
        let query = rotation.apply(&part(0, heads)?)?;
        let key = rotation.apply(&part(heads, kv_heads)?)?;
        let value = part(heads + kv_heads, kv_heads)?;
        let (keys, values) = cache.append(len, &key, &value)?;
        let total = len + t;
        let group = heads / kv_heads;
        let query = (query * (head_dim as f64).powf(-0.5))?.reshape((rows, kv_heads, group * t, head_dim))?;
        let scores = query.matmul(&keys.transpose(2, 3)?)?.to_dtype(DType::F32)?;
        let scores = match mask {
            None => scores,
            Some(mask) => scores.reshape((rows, heads, t, total))?.broadcast_add(mask)?.reshape((
                rows,
                kv_heads,
                group * t,
                total,
            ))?,
        };
        let weights = softmax_last_dim(&scores)?.to_dtype(x.dtype())?;
        let mixed = weights.matmul(&values)?.reshape((rows, heads, t, head_dim))?.transpose(1, 2)?.reshape((
            rows,
            t,
            heads * head_dim,
        ))?;
        linear(&mixed, &self.out)
    }
}
