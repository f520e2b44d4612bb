//! Tiles of Q4_K weights: 4 bits each, 0.578 bytes a weight. Every 32 inputs of an output have a
//! 6-bit scale and a 6-bit minimum, and every 256 have two factors in f16. The format is GGUF's;
//! the quantiser is candle's.

use candle_core::quantized::GgmlDType;

use super::quantised::{Packing, half_to_f32, sums_of_this_cpu};
use super::rows::{BLOCK, Block, Quantised, UNIT};
use super::{Line, ROWS, Sums, TILE};

/// Blocks of a super-block.
const BLOCKS: usize = UNIT / BLOCK;
/// Lines of a block: 32 inputs of 16 outputs, two weights in a byte.
const BLOCK_LINES: usize = BLOCK * TILE / 128;
/// First line of a super-block's scales: 8 blocks of 16 outputs.
const SCALES: usize = BLOCKS * BLOCK_LINES;
/// First line of a super-block's minima.
const MINIMA: usize = SCALES + BLOCKS * TILE / 64;
/// Line of the f16 factors of scales, then of minima.
pub(super) const FACTORS: usize = MINIMA + BLOCKS * TILE / 64;
/// Lines of a super-block.
pub(super) const LINES: usize = FACTORS + 1;
/// Bytes of a super-block in GGUF: two factors, packed scales and minima, weights.
const STORED: usize = 2 + 2 + 12 + UNIT / 2;

/// Packing of Q4_K: `(super-blocks)` runs of [`LINES`] lines.
pub(super) struct Four;

impl Packing for Four {
    const STORED: GgmlDType = GgmlDType::Q4K;
    const UNIT_LINES: usize = LINES;

    fn repack(stored: &[u8], units: usize, lines: &mut [Line]) {
        repack(stored, units, lines);
    }

    sums_of_this_cpu!(rows);
}

/// Reorders `(16, super-blocks)` super-blocks of GGUF into a tile's lines.
fn repack(stored: &[u8], units: usize, lines: &mut [Line]) {
    for (unit, lines) in lines.chunks_exact_mut(LINES).enumerate() {
        for lane in 0..TILE {
            let stored = &stored[(lane * units + unit) * STORED..][..STORED];
            lines[FACTORS].0[lane * 2..][..2].copy_from_slice(&stored[..2]);
            lines[FACTORS].0[32 + lane * 2..][..2].copy_from_slice(&stored[2..4]);
            let (packed, weights) = stored[4..].split_at(12);
            for block in 0..BLOCKS {
                let (scale, minimum) = scale_and_minimum(packed, block);
                lines[SCALES + block / 4].0[block % 4 * TILE + lane] = scale;
                lines[MINIMA + block / 4].0[block % 4 * TILE + lane] = minimum;
                for index in 0..BLOCK {
                    let value = weights[block / 2 * BLOCK + index] >> (block % 2 * 4) & 15;
                    let (group, place) = (index / 4, lane * 4 + index % 4);
                    // The low halves of the bytes hold the first four groups, the high halves the
                    // others.
                    lines[block * BLOCK_LINES + group % 4].0[place] |= value << (group / 4 * 4);
                }
            }
        }
    }
}

/// Unpacks a block's scale and minimum, six bits each, from twelve bytes. The first four blocks are
/// stored whole; the high bits of the others fill the leftover bits.
fn scale_and_minimum(packed: &[u8], block: usize) -> (u8, u8) {
    match block.checked_sub(4) {
        None => (packed[block] & 63, packed[block + 4] & 63),
        Some(late) => {
            let low = packed[late + 8];
            (low & 15 | packed[late] >> 6 << 4, low >> 4 | packed[late + 4] >> 6 << 4)
        }
    }
}

pub(super) fn tile_sums(lines: &[Line], rows: [&[Block]; ROWS], count: usize, sums: &mut Sums) {
    for row in 0..count {
        let mut acc = [0.0_f32; TILE];
        for (lines, blocks) in lines.chunks_exact(LINES).zip(rows[row].as_chunks::<BLOCKS>().0) {
            let factors = &lines[FACTORS].0;
            for (index, block) in blocks.iter().enumerate() {
                let mut dot = [0_i32; TILE];
                for group in 0..8 {
                    let line = &lines[index * BLOCK_LINES + group % 4].0;
                    let shift = group / 4 * 4;
                    for lane in 0..TILE {
                        for place in 0..4 {
                            let weight = line[lane * 4 + place] >> shift & 15;
                            dot[lane] += i32::from(weight) * i32::from(block.values[group * 4 + place]);
                        }
                    }
                }
                let below = -(block.scale * block.sum as f32);
                for lane in 0..TILE {
                    let factor = |start: usize| {
                        half_to_f32(u16::from_le_bytes([factors[start + lane * 2], factors[start + lane * 2 + 1]]))
                    };
                    let place = index % 4 * TILE + lane;
                    let scale = factor(0) * f32::from(lines[SCALES + index / 4].0[place]);
                    let minimum = factor(32) * f32::from(lines[MINIMA + index / 4].0[place]);
                    let sum = (dot[lane] as f32).mul_add(scale * block.scale, acc[lane]);
                    acc[lane] = minimum.mul_add(below, sum);
                }
            }
        }
        sums[row] = acc;
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    //! The same sums by the 8-bit dot product, bit for bit.

    #![expect(unsafe_code, reason = "vector loads from checked references")]

    use std::arch::x86_64::{
        __m512, _mm_loadu_si128, _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_dpbusd_epi32,
        _mm512_fmadd_ps, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_setzero_si512, _mm512_srli_epi16,
    };

    use super::super::wide::{ahead, by_rows, four, halves, load, store};
    use super::{BLOCK_LINES, BLOCKS, Block, FACTORS, LINES, Line, MINIMA, ROWS, SCALES, Sums, TILE};

    by_rows!("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c", &[Line], [&[Block]; ROWS]);

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
    fn block<const R: usize>(lines: &[Line], rows: [&[Block]; ROWS], sums: &mut Sums) {
        let mut acc = [_mm512_setzero_ps(); R];
        let low = _mm512_set1_epi8(15);
        let units = lines.as_chunks::<LINES>().0;
        let rows: [&[[Block; BLOCKS]]; R] =
            std::array::from_fn(|row| &rows[row].as_chunks::<BLOCKS>().0[..units.len()]);
        for (at, unit) in units.iter().enumerate() {
            let factors = [halves(&unit[FACTORS], 0), halves(&unit[FACTORS], 1)];
            for index in 0..BLOCKS {
                ahead(&unit[index * BLOCK_LINES..][..BLOCK_LINES + usize::from(index < LINES - SCALES)]);
                let mut weights = [_mm512_setzero_si512(); 8];
                for group in 0..4 {
                    let stored = load(&unit[index * BLOCK_LINES + group]);
                    weights[group] = _mm512_and_si512(stored, low);
                    weights[group + 4] = _mm512_and_si512(_mm512_srli_epi16::<4>(stored), low);
                }
                let scale = _mm512_mul_ps(factors[0], bytes(&unit[SCALES + index / 4], index % 4));
                let minimum = _mm512_mul_ps(factors[1], bytes(&unit[MINIMA + index / 4], index % 4));
                for row in 0..R {
                    let block = &rows[row][at][index];
                    let mut dot = _mm512_setzero_si512();
                    for (group, weights) in weights.iter().enumerate() {
                        dot = _mm512_dpbusd_epi32(dot, *weights, _mm512_set1_epi32(four(block, group)));
                    }
                    let scale = _mm512_mul_ps(scale, _mm512_set1_ps(block.scale));
                    let below = _mm512_set1_ps(-(block.scale * block.sum as f32));
                    acc[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, acc[row]);
                    acc[row] = _mm512_fmadd_ps(minimum, below, acc[row]);
                }
            }
        }
        store(acc, sums);
    }

    /// Converts sixteen of a line's bytes to f32.
    #[target_feature(enable = "avx512f")]
    fn bytes(line: &Line, quarter: usize) -> __m512 {
        let part = &line.0.as_chunks::<TILE>().0[quarter];
        // SAFETY: 16 bytes of the line.
        let part = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(part))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod narrow {
    //! The same sums for CPUs without the 8-bit dot product, bit for bit. The products of a block
    //! fit into 16 bits: two times eight of at most 15 times 127.

    #![expect(unsafe_code, reason = "vector loads from checked references")]

    use std::arch::x86_64::{
        __m256, _mm_loadl_epi64, _mm256_add_epi16, _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32,
        _mm256_fmadd_ps, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_srli_epi16,
    };

    use super::super::avx2::{SIDE, halves, load, store};
    use super::super::wide::{ahead, by_rows, four};
    use super::{BLOCK_LINES, BLOCKS, Block, FACTORS, LINES, Line, MINIMA, ROWS, SCALES, Sums};

    by_rows!("avx2,fma,f16c", &[Line], [&[Block]; ROWS]);

    #[target_feature(enable = "avx2,fma,f16c")]
    fn block<const R: usize>(lines: &[Line], rows: [&[Block]; ROWS], sums: &mut Sums) {
        let mut acc = [[_mm256_setzero_ps(); R]; 2];
        let low = _mm256_set1_epi8(15);
        let units = lines.as_chunks::<LINES>().0;
        let rows: [&[[Block; BLOCKS]]; R] =
            std::array::from_fn(|row| &rows[row].as_chunks::<BLOCKS>().0[..units.len()]);
        for (at, unit) in units.iter().enumerate() {
            for index in 0..BLOCKS {
                ahead(&unit[index * BLOCK_LINES..][..BLOCK_LINES + usize::from(index < LINES - SCALES)]);
                for (side, acc) in acc.iter_mut().enumerate() {
                    let mut products = [_mm256_setzero_si256(); R];
                    for group in 0..4 {
                        let stored = load(&unit[index * BLOCK_LINES + group], side);
                        let nibbles = [stored, _mm256_srli_epi16::<4>(stored)].map(|bits| _mm256_and_si256(bits, low));
                        for row in 0..R {
                            let block = &rows[row][at][index];
                            for (half, weights) in nibbles.into_iter().enumerate() {
                                let x = _mm256_set1_epi32(four(block, group + 4 * half));
                                products[row] = _mm256_add_epi16(products[row], _mm256_maddubs_epi16(weights, x));
                            }
                        }
                    }
                    let eight = index % 4 * 2 + side;
                    let scale = _mm256_mul_ps(halves(&unit[FACTORS], side), bytes(&unit[SCALES + index / 4], eight));
                    let minimum =
                        _mm256_mul_ps(halves(&unit[FACTORS], 2 + side), bytes(&unit[MINIMA + index / 4], eight));
                    for row in 0..R {
                        let block = &rows[row][at][index];
                        // Adds neighbouring pairs: an output's four products.
                        let dot = _mm256_cvtepi32_ps(_mm256_madd_epi16(products[row], _mm256_set1_epi16(1)));
                        let scale = _mm256_mul_ps(scale, _mm256_set1_ps(block.scale));
                        let below = _mm256_set1_ps(-(block.scale * block.sum as f32));
                        acc[row] = _mm256_fmadd_ps(dot, scale, acc[row]);
                        acc[row] = _mm256_fmadd_ps(minimum, below, acc[row]);
                    }
                }
            }
        }
        store(&acc, sums);
    }

    /// Converts eight of a line's bytes to f32.
    #[target_feature(enable = "avx2")]
    fn bytes(line: &Line, eight: usize) -> __m256 {
        let part = &line.0.as_chunks::<SIDE>().0[eight];
        // SAFETY: 8 bytes of the line.
        let part = unsafe { _mm_loadl_epi64(part.as_ptr().cast()) };
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(part))
    }
}
