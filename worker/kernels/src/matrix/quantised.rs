//! Tiles of quantised weights: code for 8 and 4 bits, and the trait by which the two differ.

use std::marker::PhantomData;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};

use super::rows::{Quantised, UNIT};
use super::{Line, Sums, TILE, pack};
use crate::Pool;
use crate::huge_pages::Pages;
#[cfg(target_arch = "x86_64")]
use crate::simd;

/// Packing of weights in a tile.
pub(super) trait Packing {
    /// Format of GGUF that candle's quantiser makes.
    const STORED: GgmlDType;
    /// Lines that hold [`UNIT`] inputs of sixteen outputs.
    const UNIT_LINES: usize;

    /// Reorders the sixteen outputs' rows of `units` units each, as GGUF stores them, into a tile's
    /// lines.
    fn repack(stored: &[u8], units: usize, lines: &mut [Line]);

    /// Whether the kernel for 256-bit vectors reads rows side by side.
    const INTERLEAVED: bool;

    /// Computes the sums of a tile for rows `first..first + count` of `x`.
    fn sums(lines: &[Line], x: &Quantised, first: usize, count: usize, sums: &mut Sums);
}

/// Defines [`Packing::sums`], which calls `vnni::sums`, `narrow::sums` or `tile_sums` of the file,
/// whichever suits this CPU. The argument names the method of [`Quantised`] that gives `narrow` its
/// rows, and decides [`Packing::INTERLEAVED`].
macro_rules! sums_of_this_cpu {
    (rows) => {
        const INTERLEAVED: bool = false;
        $crate::matrix::quantised::sums_of_this_cpu!(narrow rows);
    };
    (interleaved) => {
        const INTERLEAVED: bool = true;
        $crate::matrix::quantised::sums_of_this_cpu!(narrow interleaved);
    };
    (narrow $rows_of_narrow:ident) => {
        #[cfg_attr(
            target_arch = "x86_64",
            expect(unsafe_code, reason = "calls a function compiled for what the CPU has")
        )]
        fn sums(lines: &[Line], x: &Quantised, first: usize, count: usize, sums: &mut Sums) {
            match $crate::simd::level() {
                // SAFETY: `level` has seen that the CPU has these features.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx512Vnni => unsafe {
                    vnni::sums(lines, x.rows(first, count), count, sums);
                },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx2 => unsafe {
                    narrow::sums(lines, x.$rows_of_narrow(first, count), count, sums);
                },
                $crate::simd::Level::Portable => tile_sums(lines, x.rows(first, count), count, sums),
            }
        }
    };
}
pub(super) use sums_of_this_cpu;

/// Tiles as `(tiles, units)` runs of [`Packing::UNIT_LINES`] lines.
pub(super) struct QuantisedTiles<P> {
    lines: Pages<Line>,
    per_tile: usize,
    packing: PhantomData<P>,
}

impl<P: Packing> QuantisedTiles<P> {
    pub(super) fn new(weight: &[f32], out: usize, width: usize, threads: usize) -> Result<Self> {
        let tiles = out.div_ceil(TILE);
        let units = width.div_ceil(UNIT);
        let padded = units * UNIT;
        let per_tile = units * P::UNIT_LINES;
        let mut lines = Pages::zeroed(tiles * per_tile)?;
        pack(&mut lines, tiles, threads, &|tile, lines: &mut [Line]| {
            let mut values = vec![0.0; TILE * padded];
            for lane in 0..TILE.min(out - tile * TILE) {
                values[lane * padded..][..width].copy_from_slice(&weight[(tile * TILE + lane) * width..][..width]);
            }
            let stored = QTensor::quantize(&Tensor::from_vec(values, (TILE, padded), &Device::Cpu)?, P::STORED)?;
            P::repack(&stored.data()?, units, lines);
            Ok(())
        })?;
        Ok(Self { lines, per_tile, packing: PhantomData })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }

    /// Quantises rows for [`QuantisedTiles::sums`].
    pub(super) fn rows(&self, pool: &Pool, x: &[f32], stride: usize, width: usize, rows: usize) -> Quantised {
        let x = Quantised::new(pool, x, stride, width, rows);
        #[cfg(target_arch = "x86_64")]
        if P::INTERLEAVED && simd::level() == simd::Level::Avx2 {
            return x.interleave();
        }
        x
    }

    /// Computes the sums of one tile for rows `first..first + count` of `x`.
    pub(super) fn sums(&self, tile: usize, x: &Quantised, first: usize, count: usize, sums: &mut Sums) {
        P::sums(&self.lines[tile * self.per_tile..][..self.per_tile], x, first, count, sums);
    }
}

/// Converts f16 to f32, for finite numbers.
#[inline(always)]
pub(super) fn half_to_f32(bits: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits((254 - 15) << 23);
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}
