//! Rows of activations in 8 bits, as the quantised tiles read them.

use super::ROWS;
use crate::{Pool, simd_fn};

/// Inputs that share a scale.
pub(super) const BLOCK: usize = 32;
/// Inputs of a tile's smallest unit, the super-block of 4-bit weights. Rows are padded with zeros
/// to whole units.
pub(super) const UNIT: usize = 256;

/// Number that, added to a small one, leaves the nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;

/// Block of one row: 32 values, the scale that they are multiples of, and their sum.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Block {
    pub(super) values: [i8; BLOCK],
    pub(super) scale: f32,
    /// Sum of `values`.
    pub(super) sum: i32,
}

/// Quantised rows, `(rows, blocks)`.
pub(super) struct Quantised {
    blocks: Vec<Block>,
    per_row: usize,
    per_pass: usize,
    /// The same rows as [`Quantised::interleave`] writes them; empty before.
    #[cfg(target_arch = "x86_64")]
    interleaved: Vec<i32>,
}

/// Most interleaved rows that pass a tile together: the sums of more do not fit the registers.
#[cfg(target_arch = "x86_64")]
const INTERLEAVED_MAX: usize = 6;
/// Words of a block of one interleaved row: its values in pairs, the bits of its scale, its sum.
#[cfg(target_arch = "x86_64")]
pub(super) const WORDS: usize = BLOCK / 2 + 2;

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
        Self::of(blocks, per_row)
    }

    /// Wraps blocks that are quantised already.
    pub(super) fn of(blocks: Vec<Block>, per_row: usize) -> Self {
        Self {
            blocks,
            per_row,
            per_pass: ROWS,
            #[cfg(target_arch = "x86_64")]
            interleaved: Vec::new(),
        }
    }

    /// Returns the number of rows that pass a tile together; the last pass may have fewer.
    pub(super) fn per_pass(&self) -> usize {
        self.per_pass
    }

    /// Returns the blocks of the `count` rows from `first` on, one row after another. The rest of
    /// the array is not to be read.
    pub(super) fn rows(&self, first: usize, count: usize) -> [&[Block]; ROWS] {
        std::array::from_fn(|row| &self.blocks[(first + row.min(count - 1)) * self.per_row..][..self.per_row])
    }

    /// Writes the rows once more, for kernels without a dot product of 8 bits. Values take 16 bits,
    /// and rows that pass a tile together lie side by side, so that the kernel reads one stream,
    /// `(blocks, WORDS, rows)`.
    ///
    /// A word is a pair of values: of every four the first and the third, then the second and the
    /// fourth.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn interleave(mut self) -> Self {
        let rows = self.blocks.len() / self.per_row;
        self.per_pass = rows.div_ceil(rows.div_ceil(INTERLEAVED_MAX));
        self.interleaved = vec![0; self.blocks.len() * WORDS];
        let size = self.per_pass * self.per_row;
        for (rows, words) in self.blocks.chunks(size).zip(self.interleaved.chunks_mut(size * WORDS)) {
            let count = rows.len() / self.per_row;
            for (row, blocks) in rows.chunks_exact(self.per_row).enumerate() {
                for (block, words) in blocks.iter().zip(words.chunks_exact_mut(WORDS * count)) {
                    let pair = |low: i8, high: i8| i32::from(low) & 0xffff | i32::from(high) << 16;
                    for (group, &[a, b, c, d]) in block.values.as_chunks().0.iter().enumerate() {
                        words[2 * group * count + row] = pair(a, c);
                        words[(2 * group + 1) * count + row] = pair(b, d);
                    }
                    words[(WORDS - 2) * count + row] = block.scale.to_bits().cast_signed();
                    words[(WORDS - 1) * count + row] = block.sum;
                }
            }
        }
        self
    }

    /// Returns the `count` rows from `first` on, which pass a tile together, side by side.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn interleaved(&self, first: usize, count: usize) -> &[i32] {
        &self.interleaved[first * self.per_row * WORDS..][..count * self.per_row * WORDS]
    }
}

simd_fn! {
    /// Quantises a row. Each block's largest magnitude becomes 127; ties round to even.
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
    // Lanes are folded pairwise. The comparison keeps a NaN, so that a NaN in any lane shows in the
    // result.
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
        // Within -127..127. NaN and infinity become some number here; the scale is NaN in that
        // case.
        let shifted = value.mul_add(inverse, ROUND);
        *place = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i8;
        sum += i32::from(*place);
    }
    block.scale = scale;
    block.sum = sum;
}
