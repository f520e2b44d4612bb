//! Quantizer: converts codes to vectors and back, with one semantic codebook and 31 acoustic ones.
//!
//! Each of the two groups is a residual quantizer with a projection before and after it. The
//! vectors are held once, on the host, for both directions.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::VarBuilder;
use csm_shared::audio::{CODEBOOKS, Frame};

use super::{MimiConfig, PACKING_THREADS, numbers};
use csm_kernels::WeightFormat;
use csm_kernels::math::add;
use csm_kernels::{Matrix, Pool};

/// Number of codebooks and name of each group.
const GROUPS: [(usize, &str); 2] =
    [(1, "semantic_residual_vector_quantizer"), (CODEBOOKS - 1, "acoustic_residual_vector_quantizer")];
/// Smallest usage count of a codebook entry, for entries never used, as in the reference.
const MIN_USAGE: f32 = 1e-5;

/// Codebooks and projections of both groups.
pub(super) struct Quantizer {
    groups: Vec<Group>,
    hidden: usize,
    dim: usize,
    codes: usize,
}

struct Group {
    /// Input projection `(dim, hidden)`.
    input: Tensor,
    /// Output projection `(hidden, dim)`.
    output: Matrix,
    /// Vectors of each codebook, `(codes, dim)`.
    tables: Vec<Vec<f32>>,
}

impl Group {
    fn load(config: &MimiConfig, codebooks: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let (hidden, dim) = (config.hidden, config.codebook_dim);
        let input = numbers(&vb.pp("input_proj"), "weight", &[dim, hidden, 1])?;
        let output = numbers(&vb.pp("output_proj"), "weight", &[hidden, dim, 1])?;
        let table = |index: usize| {
            let vb = vb.pp("layers").pp(index).pp("codebook");
            let mut table = numbers(&vb, "embed_sum", &[config.codebook_size, dim])?;
            let usage = numbers(&vb, "cluster_usage", &[config.codebook_size])?;
            for (row, usage) in table.chunks_exact_mut(dim).zip(usage) {
                row.iter_mut().for_each(|value| *value /= usage.max(MIN_USAGE));
            }
            Ok(table)
        };
        Ok(Self {
            input: Tensor::from_vec(input, (dim, hidden), &Device::Cpu)?,
            output: Matrix::new(WeightFormat::F32, &output, hidden, dim, PACKING_THREADS)?,
            tables: (0..codebooks).map(table).collect::<Result<_>>()?,
        })
    }

    /// Returns the codes of `latents (frames, hidden)`, codebook by codebook.
    fn encode(&self, latents: &Tensor, dim: usize) -> Result<Vec<Vec<u32>>> {
        let mut residual = latents.matmul(&self.input.t()?)?;
        let code = |table: &Vec<f32>| {
            // The nearest vector has the least |v|^2 / 2 - v * x.
            let table = Tensor::from_slice(table, (table.len() / dim, dim), &Device::Cpu)?;
            let half_squares = (table.sqr()?.sum(D::Minus1)? / 2.0)?;
            let codes = half_squares.broadcast_sub(&residual.matmul(&table.t()?)?)?.argmin(D::Minus1)?;
            residual = (&residual - table.index_select(&codes, 0)?)?;
            codes.to_vec1()
        };
        self.tables.iter().map(code).collect()
    }
}

impl Quantizer {
    /// Reads the codebooks that a frame uses; a file may hold more.
    pub(super) fn load(config: &MimiConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let groups = GROUPS.iter().map(|(codebooks, name)| Group::load(config, *codebooks, &vb.pp(name)));
        Ok(Self {
            groups: groups.collect::<Result<_>>()?,
            hidden: config.hidden,
            dim: config.codebook_dim,
            codes: config.codebook_size,
        })
    }

    /// Returns the number of codes of a codebook.
    pub(super) fn codes(&self) -> usize {
        self.codes
    }

    /// Returns the width of a latent.
    pub(super) fn hidden(&self) -> usize {
        self.hidden
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        let group = |group: &Group| {
            let floats = group.input.elem_count() + group.tables.iter().map(Vec::len).sum::<usize>();
            floats * size_of::<f32>() + group.output.bytes()
        };
        self.groups.iter().map(group).sum()
    }

    /// Converts frames of valid codes to latents `(frames, hidden)`.
    pub(super) fn decode(&self, pool: &Pool, frames: &[&Frame], latents: &mut Vec<f32>) {
        latents.clear();
        latents.resize(frames.len() * self.hidden, 0.0);
        let mut vectors = vec![0.0; frames.len() * self.dim];
        let mut projected = vec![0.0; latents.len()];
        let mut first = 0;
        for group in &self.groups {
            vectors.fill(0.0);
            for (frame, vector) in frames.iter().zip(vectors.chunks_exact_mut(self.dim)) {
                for (code, table) in frame[first..].iter().zip(&group.tables) {
                    add(vector, &table[*code as usize * self.dim..][..self.dim]);
                }
            }
            group.output.apply(pool, &vectors, self.dim, frames.len(), &mut projected);
            add(latents, &projected);
            first += group.tables.len();
        }
    }

    /// Returns the nearest codes of latents `(1, hidden, frames)`, on any device.
    pub(super) fn encode(&self, latents: &Tensor) -> Result<Vec<Frame>> {
        let latents = latents.to_device(&Device::Cpu)?.squeeze(0)?.t()?.contiguous()?;
        let codes =
            self.groups.iter().map(|group| group.encode(&latents, self.dim)).collect::<Result<Vec<_>>>()?.concat();
        Ok((0..latents.dim(0)?).map(|frame| std::array::from_fn(|codebook| codes[codebook][frame])).collect())
    }
}
