//! Tiles of Q8_0 weights: 8 bits each, and a scale in f16 for every 32 inputs of an output, 1.0625
//! bytes a weight. The format is GGUF's; the quantiser is candle's.

use candle_core::quantized::GgmlDType;

use super::quantised::{Packing, half_to_f32, sums_of_this_cpu};
use super::rows::{BLOCK, Block, Quantised, UNIT};
use super::{Line, ROWS, Sums, TILE};

/// Lines of a pair of blocks: 64 inputs of 16 outputs, then their scales.
const LINES: usize = 2 * BLOCK * TILE / 64 + 1;
/// Bytes of a block in GGUF: a scale and 32 values.
const STORED: usize = 2 + BLOCK;

/// Packing of Q8_0: `(pairs of blocks)` runs of [`LINES`] lines. Weights are stored plus 128, so
/// that they are unsigned.
pub(super) struct Eight;

impl Packing for Eight {
    const STORED: GgmlDType = GgmlDType::Q8_0;
    const UNIT_LINES: usize = UNIT / (2 * BLOCK) * LINES;

    fn repack(stored: &[u8], units: usize, lines: &mut [Line]) {
        repack(stored, units * (UNIT / BLOCK), lines);
    }

    sums_of_this_cpu!(interleaved);
}

/// Reorders `(16, blocks)` blocks of GGUF into a tile's lines.
fn repack(stored: &[u8], blocks: usize, lines: &mut [Line]) {
    for (pair, lines) in lines.chunks_exact_mut(LINES).enumerate() {
        for half in 0..2 {
            for lane in 0..TILE {
                let block = &stored[(lane * blocks + 2 * pair + half) * STORED..][..STORED];
                let scale = 2 * (half * TILE + lane);
                lines[LINES - 1].0[scale..scale + 2].copy_from_slice(&block[..2]);
                for (index, value) in block[2..].iter().enumerate() {
                    lines[half * 8 + index / 4].0[lane * 4 + index % 4] = value.wrapping_add(128);
                }
            }
        }
    }
}

pub(super) fn tile_sums(lines: &[Line], rows: [&[Block]; ROWS], count: usize, sums: &mut Sums) {
    for row in 0..count {
        let mut acc = [0.0_f32; TILE];
        for (lines, blocks) in lines.chunks_exact(LINES).zip(rows[row].as_chunks::<2>().0) {
            for (half, block) in blocks.iter().enumerate() {
                let mut dot = [-128 * block.sum; TILE];
                for group in 0..8 {
                    let line = &lines[half * 8 + group].0;
                    for lane in 0..TILE {
                        for index in 0..4 {
                            dot[lane] += i32::from(line[lane * 4 + index]) * i32::from(block.values[group * 4 + index]);
                        }
                    }
                }
                let scales = &lines[LINES - 1].0[half * 32..][..32];
                for lane in 0..TILE {
                    let scale = half_to_f32(u16::from_le_bytes([scales[lane * 2], scales[lane * 2 + 1]]));
                    acc[lane] = (dot[lane] as f32).mul_add(scale * block.scale, acc[lane]);
                }
            }
        }
        sums[row] = acc;
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    //! The same sums by the 8-bit dot product. The integers are exact and the f32 operations are
    //! those of the plain loop, so the bits are the same too.

    use std::arch::x86_64::{
        _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps,
        _mm512_setzero_ps, _mm512_setzero_si512,
    };

    use super::super::wide::{ahead, by_rows, four, halves, load, store};
    use super::{Block, LINES, Line, ROWS, Sums};

    by_rows!("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c", &[Line], [&[Block]; ROWS]);

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
    fn block<const R: usize>(lines: &[Line], rows: [&[Block]; ROWS], sums: &mut Sums) {
        let mut acc = [_mm512_setzero_ps(); R];
        let pairs = lines.as_chunks::<LINES>().0;
        let rows: [&[[Block; 2]]; R] = std::array::from_fn(|row| &rows[row].as_chunks::<2>().0[..pairs.len()]);
        for (index, pair) in pairs.iter().enumerate() {
            for half in 0..2 {
                ahead(&pair[half * 8..][..8 + half]);
                let mut weights = [_mm512_setzero_si512(); 8];
                for (group, weights) in weights.iter_mut().enumerate() {
                    *weights = load(&pair[half * 8 + group]);
                }
                let scales = halves(&pair[LINES - 1], half);
                for row in 0..R {
                    let block = &rows[row][index][half];
                    let mut dot = _mm512_set1_epi32(-128 * block.sum);
                    for (group, weights) in weights.iter().enumerate() {
                        dot = _mm512_dpbusd_epi32(dot, *weights, _mm512_set1_epi32(four(block, group)));
                    }
                    let scale = _mm512_mul_ps(scales, _mm512_set1_ps(block.scale));
                    acc[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, acc[row]);
                }
            }
        }
        store(acc, sums);
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod narrow {
    //! The same sums for CPUs without the 8-bit dot product, bit for bit. The instruction adds two
    //! products in 32 bits, so weights and activations are widened to 16 bits. Of an output's four
    //! weights the first and third are taken first, then the second and fourth.

    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_and_si256, _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_madd_epi16, _mm256_mul_ps,
        _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256,
        _mm256_srli_epi16,
    };

    use super::super::avx2::{halves, load, store};
    use super::super::rows::WORDS;
    use super::super::wide::{ahead, by_rows};
    use super::{LINES, Line, ROWS, Sums};

    by_rows!("avx2,fma,f16c", &[Line], &[i32]);

    #[target_feature(enable = "avx2,fma,f16c")]
    fn block<const R: usize>(lines: &[Line], rows: &[i32], sums: &mut Sums) {
        let mut acc = [[_mm256_setzero_ps(); R]; 2];
        let blocks = rows.as_chunks::<R>().0.as_chunks::<WORDS>().0.as_chunks::<2>().0;
        for (pair, blocks) in lines.as_chunks::<LINES>().0.iter().zip(blocks) {
            for (half, block) in blocks.iter().enumerate() {
                ahead(&pair[half * 8..][..8 + half]);
                let [values @ .., scales, totals] = block;
                let mut dots = [[_mm256_setzero_si256(); R]; 2];
                for row in 0..R {
                    // The weights are stored plus 128.
                    let below = _mm256_set1_epi32(-128 * totals[row]);
                    dots[0][row] = below;
                    dots[1][row] = below;
                }
                for (group, values) in values.as_chunks::<2>().0.iter().enumerate() {
                    let line = [load(&pair[half * 8 + group], 0), load(&pair[half * 8 + group], 1)];
                    let even = line.map(|weights| _mm256_and_si256(weights, _mm256_set1_epi16(0xff)));
                    let odd = line.map(|weights| _mm256_srli_epi16::<8>(weights));
                    for (values, weights) in values.iter().zip([even, odd]) {
                        for row in 0..R {
                            let x = _mm256_set1_epi32(values[row]);
                            for side in 0..2 {
                                let products = _mm256_madd_epi16(weights[side], x);
                                dots[side][row] = _mm256_add_epi32(dots[side][row], products);
                            }
                        }
                    }
                }
                for side in 0..2 {
                    let factors = halves(&pair[LINES - 1], half * 2 + side);
                    for row in 0..R {
                        let scale = _mm256_mul_ps(factors, _mm256_set1_ps(f32::from_bits(scales[row].cast_unsigned())));
                        acc[side][row] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[side][row]), scale, acc[side][row]);
                    }
                }
            }
        }
        store(&acc, sums);
    }
}
