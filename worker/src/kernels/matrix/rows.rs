//! Rows of activations in 8 bits, as the quantised tiles read them.

use crate::kernels::{Pool, simd_fn};

/// Inputs that share a scale.
pub(super) const BLOCK: usize = 32;
/// Inputs of a tile's smallest unit, to which rows are padded with zeros: the super-block of 4-bit weights.
pub(super) const UNIT: usize = 256;

/// Added to a small number, it leaves the nearest whole one in the low bits.
const ROUND: f32 = 12_582_912.0;

/// One row's block: 32 values, what they are multiples of, and their sum.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Block {
    pub(super) values: [i8; BLOCK],
    pub(super) scale: f32,
    /// Sum of `values`.
    pub(super) sum: i32,
}

/// `(rows, blocks)`.
pub(super) struct Quantised {
    blocks: Vec<Block>,
    per_row: usize,
}

impl Quantised {
    pub(super) fn new(pool: &Pool, x: &[f32], stride: usize, width: usize, rows: usize) -> Self {
        let per_row = width.div_ceil(UNIT) * (UNIT / BLOCK);
        let mut blocks = vec![Block { values: [0; BLOCK], scale: 0.0, sum: 0 }; rows * per_row];
        let quantise = |row: usize, blocks: &mut [Block]| quantise(&x[row * stride..][..width], blocks);
        // A region costs about a microsecond, as does a row.
        if rows < 4 * pool.threads() {
            blocks.chunks_mut(per_row).enumerate().for_each(|(row, blocks)| quantise(row, blocks));
        } else {
            pool.run_chunks(&mut blocks, per_row, &quantise);
        }
        Self { blocks, per_row }
    }

    /// Blocks of one row.
    pub(super) fn row(&self, row: usize) -> &[Block] {
        &self.blocks[row * self.per_row..][..self.per_row]
    }
}

simd_fn! {
    /// Each block's largest magnitude becomes 127; ties round to even.
    fn quantise(x: &[f32], blocks: &mut [Block]) {
        let (whole, rest) = x.as_chunks::<BLOCK>();
        for (values, block) in whole.iter().zip(blocks.iter_mut()) {
            fill(values, block);
        }
        if !rest.is_empty() {
            let mut last = [0.0; BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            fill(&last, &mut blocks[whole.len()]);
        }
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low byte is the number")]
fn fill(x: &[f32; BLOCK], block: &mut Block) {
    // Lanes are folded pairwise: a NaN anywhere must show in the result, so it is kept by the comparison.
    let mut largest = [0.0_f32; BLOCK];
    for lane in 0..BLOCK {
        let magnitude = x[lane].abs();
        largest[lane] = if magnitude < f32::INFINITY { magnitude } else { f32::NAN };
    }
    let mut width = BLOCK / 2;
    while width > 0 {
        for lane in 0..width {
            let (a, b) = (largest[lane], largest[lane + width]);
            largest[lane] = if a > b || a.is_nan() { a } else { b };
        }
        width /= 2;
    }
    let scale = largest[0] / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut sum = 0;
    for (place, value) in block.values.iter_mut().zip(x) {
        // Within -127..127; a number that is none is made something here, and its scale says what it was.
        let shifted = value.mul_add(inverse, ROUND);
        *place = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i8;
        sum += i32::from(*place);
    }
    block.scale = scale;
    block.sum = sum;
}
