//! The embedding tables: rows that the backbone sums, and the same rows already projected for the depth decoder.
//!
//! The depth decoder reads `projection(row)` of every code it has drawn. The rows are known at load, so the product is
//! taken once for the whole table: 130 MB in bf16 at full size, and 30 of 31 projections of every frame are gone.

use candle_core::Tensor;
use csm_shared::audio::CODEBOOKS;

use super::CsmConfig;
use super::weights::{Weights, WeightsError};

/// The depth decoder's input rows.
pub(super) struct ProjectedEmbedding {
    /// `(depth hidden, backbone hidden)`: projects the backbone's hidden state.
    pub(super) projection: Tensor,
    /// `((32 - 1) * audio_vocab, depth hidden)`: row `k * audio_vocab + code`; the last codebook is never read back.
    pub(super) rows: Tensor,
}

/// Loads both: the audio table `(32 * audio_vocab, hidden)` for the backbone, and the projected rows.
pub(super) fn load(
    weights: &mut Weights<'_>,
    config: &CsmConfig,
) -> Result<(Tensor, ProjectedEmbedding), WeightsError> {
    let (backbone, depth) = weights.audio_embeddings()?;
    let projection = weights.projection()?;
    let transposed = projection.t()?;
    let projected = (0..CODEBOOKS - 1)
        .map(|codebook| depth.narrow(0, codebook * config.audio_vocab, config.audio_vocab)?.matmul(&transposed))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let rows = Tensor::cat(&projected, 0)?;
    Ok((backbone, ProjectedEmbedding { projection, rows }))
}
