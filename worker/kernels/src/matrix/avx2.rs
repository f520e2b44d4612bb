//! Shared functions of the tiles' kernels for 256-bit vectors. A vector holds eight of a tile's
//! sixteen outputs: one side, then the other.

#![expect(unsafe_code, reason = "vector loads and stores through checked references")]

use std::arch::x86_64::{__m256, __m256i, _mm_loadu_si128, _mm256_cvtph_ps, _mm256_load_si256, _mm256_storeu_ps};

use super::{Line, TILE};

/// Outputs of a vector.
pub(super) const SIDE: usize = 8;

/// Loads half of a line: four weights of each of the eight outputs of a side.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(line: &Line, side: usize) -> __m256i {
    let part = &line.0.as_chunks::<32>().0[side];
    // SAFETY: 32 bytes of a line, which is aligned to 64.
    unsafe { _mm256_load_si256(part.as_ptr().cast()) }
}

/// Converts eight f16 of a line to f32; `eight` says which.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn halves(line: &Line, eight: usize) -> __m256 {
    let part = &line.0.as_chunks::<16>().0[eight];
    // SAFETY: 16 bytes of the line.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(part.as_ptr().cast()) })
}

/// Writes the rows' sums, given by side.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store<const R: usize>(acc: &[[__m256; R]; 2], sums: &mut [[f32; TILE]]) {
    for (side, acc) in acc.iter().enumerate() {
        for (sums, acc) in sums.iter_mut().zip(acc) {
            let sums = &mut sums.as_chunks_mut::<SIDE>().0[side];
            // SAFETY: eight numbers go to a place for eight.
            unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), *acc) };
        }
    }
}
