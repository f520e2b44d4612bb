//! Tiles of f32 weights: for every input the weights of sixteen outputs.

use candle_core::Result;

use super::{ROWS, Sums, TILE, pack};
use crate::huge_pages::Pages;
use crate::simd::{self, Level};

/// Tiles as `(tiles, width)` groups of sixteen weights.
pub(super) struct FullTiles {
    groups: Pages<[f32; TILE]>,
    width: usize,
}

impl FullTiles {
    pub(super) fn new(weight: &[f32], out: usize, width: usize, threads: usize) -> Result<Self> {
        let tiles = out.div_ceil(TILE);
        let mut groups = Pages::zeroed(tiles * width)?;
        pack(&mut groups, tiles, threads, &|tile, groups: &mut [[f32; TILE]]| {
            for lane in 0..TILE.min(out - tile * TILE) {
                let row = &weight[(tile * TILE + lane) * width..][..width];
                for (group, value) in groups.iter_mut().zip(row) {
                    group[lane] = *value;
                }
            }
            Ok(())
        })?;
        Ok(Self { groups, width })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.groups)
    }

    /// Computes the sums of one tile for `count` rows of `x`.
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "calls a function compiled for what the CPU has"))]
    pub(super) fn sums(&self, tile: usize, x: &[f32], stride: usize, count: usize, sums: &mut Sums) {
        let groups = &self.groups[tile * self.width..][..self.width];
        // Rows past the last are never read.
        let rows = std::array::from_fn(|row| &x[row.min(count - 1) * stride..][..self.width]);
        match simd::level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `level` has seen that the CPU has these features.
            Level::Avx512Vnni => unsafe { wide::sums(groups, rows, count, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx2 => unsafe { narrow::sums(groups, rows, count, sums) },
            Level::Portable => tile_sums(groups, rows, count, sums),
        }
    }
}

pub(super) fn tile_sums(groups: &[[f32; TILE]], rows: [&[f32]; ROWS], count: usize, sums: &mut Sums) {
    for row in 0..count {
        let mut acc = [0.0_f32; TILE];
        for (group, value) in groups.iter().zip(rows[row]) {
            for lane in 0..TILE {
                acc[lane] = group[lane].mul_add(*value, acc[lane]);
            }
        }
        sums[row] = acc;
    }
}

/// Calls `add(weights, values)` for every input, with the tile's weights for it and its value in
/// every row.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn each_input<const R: usize>(groups: &[[f32; TILE]], rows: [&[f32]; R], mut add: impl FnMut(&[f32; TILE], [f32; R])) {
    /// Inputs between two checks of the rows' lengths.
    const STEP: usize = 8;

    let (whole, rest) = groups.as_chunks::<STEP>();
    let mut place = 0;
    for groups in whole {
        let mut values = [&[0.0; STEP]; R];
        for row in 0..R {
            values[row] = rows[row][place..].first_chunk().unwrap_or(&[f32::NAN; STEP]);
        }
        for (index, group) in groups.iter().enumerate() {
            let mut of_input = [0.0; R];
            for row in 0..R {
                of_input[row] = values[row][index];
            }
            add(group, of_input);
        }
        place += STEP;
    }
    for (index, group) in (place..).zip(rest) {
        add(group, rows.map(|row| row[index]));
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod narrow {
    //! The same sums for 256-bit vectors, bit for bit, with the sums of up to four rows in
    //! registers.

    #![expect(unsafe_code, reason = "vector loads from checked references")]

    use std::arch::x86_64::{__m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps};

    use super::super::avx2::{SIDE, store};
    use super::{ROWS, Sums, TILE, each_input};

    /// Rows at a time. Four rows give the eight independent sums that the fused multiply-adds need;
    /// the sums and their operands fit the sixteen registers.
    const AT_ONCE: usize = 4;

    #[target_feature(enable = "avx2,fma")]
    pub(in crate::matrix) fn sums(groups: &[[f32; TILE]], rows: [&[f32]; ROWS], count: usize, sums: &mut Sums) {
        let rows = rows[..count].chunks(AT_ONCE);
        for (rows, sums) in rows.zip(sums.chunks_mut(AT_ONCE)) {
            match *rows {
                [a] => block([a], groups, sums),
                [a, b] => block([a, b], groups, sums),
                [a, b, c] => block([a, b, c], groups, sums),
                [a, b, c, d] => block([a, b, c, d], groups, sums),
                _ => {}
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn block<const R: usize>(rows: [&[f32]; R], groups: &[[f32; TILE]], sums: &mut [[f32; TILE]]) {
        let mut acc = [[_mm256_setzero_ps(); R]; 2];
        each_input(groups, rows, |group, values| {
            let [first, second] = load(group);
            for row in 0..R {
                // A single load serves both sides, because loads are the bottleneck.
                let value = _mm256_set1_ps(values[row]);
                acc[0][row] = _mm256_fmadd_ps(first, value, acc[0][row]);
                acc[1][row] = _mm256_fmadd_ps(second, value, acc[1][row]);
            }
        });
        store(&acc, sums);
    }

    #[target_feature(enable = "avx")]
    fn load(group: &[f32; TILE]) -> [__m256; 2] {
        let sides = group.as_chunks::<SIDE>().0;
        // SAFETY: eight numbers each.
        unsafe { [_mm256_loadu_ps(sides[0].as_ptr()), _mm256_loadu_ps(sides[1].as_ptr())] }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    //! The same sums with a tile's group in one register and the sums of all rows in others.

    #![expect(unsafe_code, reason = "vector loads from checked references")]

    use std::arch::x86_64::{
        __m512, _MM_HINT_T1, _mm_prefetch, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
    };

    use super::super::wide::{by_rows, store};
    use super::{ROWS, Sums, TILE, each_input};

    /// Groups between the computed group and the prefetched one: 4 KB.
    const AHEAD: usize = 64;

    by_rows!("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c", &[[f32; TILE]], [&[f32]; ROWS]);

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
    fn block<const R: usize>(groups: &[[f32; TILE]], rows: [&[f32]; ROWS], sums: &mut Sums) {
        let mut acc = [_mm512_setzero_ps(); R];
        let rows: [&[f32]; R] = std::array::from_fn(|row| rows[row]);
        each_input(groups, rows, |group, values| {
            ahead(group);
            let weights = load(group);
            for (acc, value) in acc.iter_mut().zip(values) {
                *acc = _mm512_fmadd_ps(weights, _mm512_set1_ps(value), *acc);
            }
        });
        store(acc, sums);
    }

    /// Prefetches the group that lies [`AHEAD`] after this one, as for the quantised tiles.
    #[target_feature(enable = "avx512f")]
    fn ahead(group: &[f32; TILE]) {
        // A prefetch is a hint: any address will do.
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(group).wrapping_add(AHEAD).cast());
    }

    #[target_feature(enable = "avx512f")]
    fn load(group: &[f32; TILE]) -> __m512 {
        // SAFETY: sixteen numbers.
        unsafe { _mm512_loadu_ps(group.as_ptr()) }
    }
}
