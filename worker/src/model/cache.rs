//! What belongs to one utterance: keys and values of both transformers, the last hidden state, the frame not yet fed back.
//!
//! Keys and values are written in place into tensors that hold the whole window, so a step copies only its own rows and
//! attention reads a view.

use candle_core::{DType, Device, Result, Tensor};
use csm_shared::audio::{CODEBOOKS, Frame};

use super::{CsmConfig, ModelError, TransformerConfig};

/// Keys and values of one layer, `(rows, kv_heads, capacity, head_dim)` each.
pub(super) struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

/// Keys and values of one transformer, and how many positions of them are in use.
pub(super) struct KvCache {
    layers: Vec<LayerCache>,
    len: usize,
}

impl LayerCache {
    /// Writes keys and values `(rows, kv_heads, t, head_dim)` behind the `len` positions in use; answers views of all
    /// `len + t`.
    pub(super) fn append(&self, len: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let total = len + keys.dim(2)?;
        self.keys.slice_set(&keys.contiguous()?, 2, len)?;
        self.values.slice_set(&values.contiguous()?, 2, len)?;
        Ok((self.keys.narrow(2, 0, total)?, self.values.narrow(2, 0, total)?))
    }
}

impl KvCache {
    pub(super) fn new(
        config: &TransformerConfig,
        rows: usize,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let shape = (rows, config.kv_heads, capacity, config.head_dim);
        let layer = |_| {
            Ok(LayerCache { keys: Tensor::zeros(shape, dtype, device)?, values: Tensor::zeros(shape, dtype, device)? })
        };
        Ok(Self { layers: (0..config.layers).map(layer).collect::<Result<_>>()?, len: 0 })
    }

    /// Positions in use.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn layer(&self, index: usize) -> &LayerCache {
        &self.layers[index]
    }

    /// Counts `more` positions, once every layer has appended them.
    pub(super) fn advance(&mut self, more: usize) {
        self.len += more;
    }

    /// Forgets every position; what is left in the tensors lies behind the end and is never read.
    pub(super) fn reset(&mut self) {
        self.len = 0;
    }
}

/// State of one utterance. Belongs to the [`Model`](super::Model) that made it.
pub struct Cache {
    pub(super) backbone: KvCache,
    pub(super) depth: KvCache,
    /// Final hidden state of the last position, `(1, 1, hidden)`; taken by the step that speaks from it.
    pub(super) hidden: Option<Tensor>,
    /// The last frame, fed back when the next one is asked for.
    pub(super) pending: Option<Frame>,
    /// Frames made.
    pub(super) frames: usize,
}

impl Cache {
    pub(super) fn new(config: &CsmConfig, dtype: DType, device: &Device) -> std::result::Result<Self, ModelError> {
        Ok(Self {
            backbone: KvCache::new(&config.backbone, 1, config.max_positions, dtype, device)?,
            depth: KvCache::new(&config.depth, 1, CODEBOOKS, dtype, device)?,
            hidden: None,
            pending: None,
            frames: 0,
        })
    }

    /// Positions of the window in use. The last frame counts once the next one has been asked for.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.backbone.len()
    }

    /// Makes the cache ready for another utterance; nothing of the last one can be read again.
    pub fn reset(&mut self) {
        self.backbone.reset();
        self.depth.reset();
        self.hidden = None;
        self.pending = None;
        self.frames = 0;
    }
}
