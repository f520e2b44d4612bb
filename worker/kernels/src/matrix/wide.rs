//! Shared functions of the tiles' kernels for 512-bit vectors; some serve those for 256 bits too
//! ([`super::avx2`]).

#![expect(unsafe_code, reason = "vector loads and stores through checked references")]

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _MM_HINT_T1, _mm_prefetch, _mm256_loadu_si256, _mm512_cvtph_ps, _mm512_load_si512,
    _mm512_storeu_ps,
};

use super::rows::Block;
use super::{Line, Sums};

/// Lines between the computed line and the prefetched one: 16 KB, into the second level of the
/// cache.
const AHEAD: usize = 256;

/// Defines `sums(tile, rows, count, sums)`, which calls `block::<R>(tile, rows, sums)` with as many
/// rows as there are, so that their sums stay in registers. Only functions with the same features
/// call it safely; other callers state why the CPU has the features.
macro_rules! by_rows {
    ($features:literal, $tile:ty, $rows:ty) => {
        #[target_feature(enable = $features)]
        pub(in crate::matrix) fn sums(tile: $tile, rows: $rows, count: usize, sums: &mut Sums) {
            match count {
                1 => block::<1>(tile, rows, sums),
                2 => block::<2>(tile, rows, sums),
                3 => block::<3>(tile, rows, sums),
                4 => block::<4>(tile, rows, sums),
                5 => block::<5>(tile, rows, sums),
                6 => block::<6>(tile, rows, sums),
                7 => block::<7>(tile, rows, sums),
                _ => block::<ROWS>(tile, rows, sums),
            }
        }
    };
}
pub(super) use by_rows;

/// Prefetches the lines that lie [`AHEAD`] after these. While several rows are computed, lines are
/// read less often than the hardware expects of a stream, and it stops running ahead.
#[inline]
#[target_feature(enable = "sse")]
pub(super) fn ahead(lines: &[Line]) {
    for line in lines {
        // A prefetch is a hint: any address will do.
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(line).wrapping_add(AHEAD).cast());
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 aligned bytes.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

/// Converts sixteen f16 of a line's first or second half to f32.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn halves(line: &Line, half: usize) -> __m512 {
    let part = &line.0.as_chunks::<32>().0[half];
    // SAFETY: 32 bytes of the line.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(part.as_ptr().cast::<__m256i>()) })
}

/// Returns the four values of a block's group, as one number for all lanes.
#[inline(always)]
pub(super) fn four(block: &Block, group: usize) -> i32 {
    let values = &block.values;
    let four = [values[group * 4], values[group * 4 + 1], values[group * 4 + 2], values[group * 4 + 3]];
    i32::from_le_bytes(four.map(i8::cast_unsigned))
}

/// Writes the rows' sums.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store<const R: usize>(acc: [__m512; R], sums: &mut Sums) {
    for (sums, acc) in sums.iter_mut().zip(acc) {
        // SAFETY: sixteen numbers go to a place for sixteen.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), acc) };
    }
}
