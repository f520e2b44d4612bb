//! Grouped-query attention over the slots' keys and values, without repeating them.
//!
//! Query heads that share a key head become more rows of one matrix product. A key is thus read
//! once for its whole group.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::cache::{BatchPositions, Rotation, TensorLayerCache};
use super::linear::Linear;
use crate::model::TransformerConfig;

/// Projections of one attention block; query, key and value rows are one matrix.
pub(super) struct Attention {
    pub(super) qkv: Linear,
    pub(super) out: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Attention {
    pub(super) fn new(config: &TransformerConfig, qkv: Linear, out: Linear) -> Self {
        Self { qkv, out, heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim }
    }

    pub(super) fn bytes(&self) -> usize {
        self.qkv.bytes() + self.out.bytes()
    }

    /// Computes attention for `x (rows, t, hidden)` at `place`. The keys and values of `x` are
    /// appended first and are seen too.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        rotation: &Rotation,
        place: &BatchPositions,
        cache: &TensorLayerCache,
    ) -> Result<Tensor> {
        let (rows, t, _) = x.dims3()?;
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        let qkv = self.qkv.forward(x)?;
        let part = |start: usize, count: usize| {
            qkv.narrow(D::Minus1, start * head_dim, count * head_dim)?
                .reshape((rows, t, count, head_dim))?
                .transpose(1, 2)
        };
        let query = rotation.apply(&part(0, heads)?)?;
        let key = rotation.apply(&part(heads, kv_heads)?)?;
        let value = part(heads + kv_heads, kv_heads)?.contiguous()?;
        let (keys, values, mask) = append(cache, place, &key, &value)?;
        let seen = keys.dim(2)?;
        let group = heads / kv_heads;
        let query = (query * (head_dim as f64).powf(-0.5))?.reshape((rows, kv_heads, group * t, head_dim))?;
        let scores = query.matmul(&keys.transpose(2, 3)?)?.to_dtype(DType::F32)?;
        let scores = match &mask {
            None => scores,
            Some(mask) => {
                let scores = scores.reshape((rows, heads, t, seen))?.broadcast_add(mask)?;
                scores.reshape((rows, kv_heads, group * t, seen))?
            }
        };
        let weights = softmax_last_dim(&scores)?.to_dtype(x.dtype())?;
        let mixed = weights.matmul(&values)?.reshape((rows, heads, t, head_dim))?.transpose(1, 2)?;
        self.out.forward(&mixed.reshape((rows, t, heads * head_dim))?)
    }
}

/// Writes keys and values `(rows, kv_heads, t, head_dim)` to their places. Returns the keys and
/// values that may be seen and their mask, which broadcasts over `(rows, heads, t, seen)`.
fn append(
    cache: &TensorLayerCache,
    place: &BatchPositions,
    keys: &Tensor,
    values: &Tensor,
) -> Result<(Tensor, Tensor, Option<Tensor>)> {
    let t = keys.dim(2)?;
    match place {
        BatchPositions::Run { slot, start } => {
            let (own_keys, own_values) = (cache.keys.narrow(0, *slot, 1)?, cache.values.narrow(0, *slot, 1)?);
            append_at(&own_keys, &own_values, *start, keys, values, t)
        }
        BatchPositions::Together { start } => append_at(&cache.keys, &cache.values, *start, keys, values, t),
        BatchPositions::Rows { positions, mask } => {
            let index = positions.reshape((positions.dim(0)?, 1, 1, 1))?.broadcast_as(keys.shape())?.contiguous()?;
            cache.keys.scatter_set(&index, keys, 2)?;
            cache.values.scatter_set(&index, values, 2)?;
            Ok((cache.keys.clone(), cache.values.clone(), Some(mask.clone())))
        }
    }
}

fn append_at(
    own_keys: &Tensor,
    own_values: &Tensor,
    start: usize,
    keys: &Tensor,
    values: &Tensor,
    t: usize,
) -> Result<(Tensor, Tensor, Option<Tensor>)> {
    own_keys.slice_set(keys, 2, start)?;
    own_values.slice_set(values, 2, start)?;
    let mask = if t == 1 { None } else { Some(causal(start, t, keys.device())?) };
    Ok((own_keys.narrow(2, 0, start + t)?, own_values.narrow(2, 0, start + t)?, mask))
}

/// Returns a mask `(t, start + t)`: 0 if position `i` may see `j`, that is `j <= start + i`,
/// otherwise -inf.
fn causal(start: usize, t: usize, device: &Device) -> Result<Tensor> {
    let total = start + t;
    let mask: Vec<f32> =
        (0..t).flat_map(|i| (0..total).map(move |j| if j <= start + i { 0.0 } else { f32::NEG_INFINITY })).collect();
    Tensor::from_vec(mask, (t, total), device)
}
