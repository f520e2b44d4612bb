//! A weight matrix, packed in the order in which it is read, times rows of activations.
//!
//! Sixteen outputs make a tile. For every input (f32) or every four inputs (8 and 4 bits) the tile
//! holds the weights of its sixteen outputs side by side. A vector register thus holds the same
//! input's weights of sixteen outputs, and sums need no shuffling. A task is a few neighbouring
//! tiles over all rows; their weights come from memory once, whatever the number of rows.

use super::huge_pages::Plain;
use candle_core::Result;

use super::pool::{Pool, Scattered};
use crate::WeightFormat;

#[cfg(target_arch = "x86_64")]
mod avx2;
mod eight;
mod four;
mod full;
mod quantised;
mod rows;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod wide;

/// Outputs of a tile.
const TILE: usize = 16;
/// Rows whose sums stay in registers while a tile passes.
const ROWS: usize = 8;
/// Tasks of a product for each thread: enough that a late thread leaves little to wait for.
const SHARES: usize = 6;
/// Sums of a tile's sixteen outputs, for up to [`ROWS`] rows.
type Sums = [[f32; TILE]; ROWS];

/// Cache line; quantised tiles are whole lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u8; 64]);

impl Plain for Line {}

/// Weight matrix `(out, width)`, packed into tiles.
pub struct Matrix {
    tiles: PackedTiles,
    out: usize,
    width: usize,
}

enum PackedTiles {
    Full(full::FullTiles),
    Eight(quantised::QuantisedTiles<eight::Eight>),
    Four(quantised::QuantisedTiles<four::Four>),
}

impl Matrix {
    /// Packs row-major weights on up to `threads` threads. [`WeightFormat::Bf16`] is for GPUs and
    /// is held as f32 here.
    ///
    /// # Errors
    /// The quantiser fails; it accepts all finite weights.
    pub fn new(format: WeightFormat, weight: &[f32], out: usize, width: usize, threads: usize) -> Result<Self> {
        let tiles = match format {
            WeightFormat::F32 | WeightFormat::Bf16 => {
                PackedTiles::Full(full::FullTiles::new(weight, out, width, threads)?)
            }
            WeightFormat::Q8_0 => PackedTiles::Eight(quantised::QuantisedTiles::new(weight, out, width, threads)?),
            WeightFormat::Q4K => PackedTiles::Four(quantised::QuantisedTiles::new(weight, out, width, threads)?),
        };
        Ok(Self { tiles, out, width })
    }

    /// Returns the number of outputs of a row.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Returns the number of inputs of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the bytes of memory, which one [`Matrix::apply`] reads once.
    pub fn bytes(&self) -> usize {
        match &self.tiles {
            PackedTiles::Full(tiles) => tiles.bytes(),
            PackedTiles::Eight(tiles) => tiles.bytes(),
            PackedTiles::Four(tiles) => tiles.bytes(),
        }
    }

    /// Computes `y[r * out + o]`, the sum over `i` of `weight[o][i] * x[r * stride + i]`, for
    /// `rows` rows.
    ///
    /// `stride` may be less than the width: a convolution over a time-major signal is a product of
    /// overlapping rows.
    pub fn apply(&self, pool: &Pool, x: &[f32], stride: usize, rows: usize, y: &mut [f32]) {
        if rows == 0 {
            return;
        }
        assert!(x.len() >= (rows - 1) * stride + self.width && y.len() >= rows * self.out, "activations are too short");
        match &self.tiles {
            PackedTiles::Full(tiles) => {
                self.spread(pool, rows, ROWS, y, &|tile, first, count, sums| {
                    tiles.sums(tile, &x[first * stride..], stride, count, sums);
                });
            }
            PackedTiles::Eight(tiles) => {
                let x = tiles.rows(pool, x, stride, self.width, rows);
                self.spread(pool, rows, x.per_pass(), y, &|tile, first, count, sums| {
                    tiles.sums(tile, &x, first, count, sums);
                });
            }
            PackedTiles::Four(tiles) => {
                let x = tiles.rows(pool, x, stride, self.width, rows);
                self.spread(pool, rows, x.per_pass(), y, &|tile, first, count, sums| {
                    tiles.sums(tile, &x, first, count, sums);
                });
            }
        }
    }

    /// Calls `sums(tile, first row, rows, sums)` for every tile and every `per_pass` rows, at most
    /// [`ROWS`], and writes the results to `y`.
    #[expect(
        unsafe_code,
        reason = "tiles are columns of the row-major result, which no safe split can give to threads"
    )]
    fn spread(
        &self,
        pool: &Pool,
        rows: usize,
        per_pass: usize,
        y: &mut [f32],
        sums: &(dyn Fn(usize, usize, usize, &mut Sums) + Sync),
    ) {
        let y = Scattered::new(y);
        let tiles = self.out.div_ceil(TILE);
        // Neighbouring tiles go to one thread, because a thread reads ahead of what it computes.
        let run = tiles.div_ceil(pool.threads() * SHARES);
        pool.run(tiles.div_ceil(run), &|task| {
            for tile in (task * run..tiles).take(run) {
                let column = tile * TILE;
                let width = TILE.min(self.out - column);
                for first in (0..rows).step_by(per_pass) {
                    let count = per_pass.min(rows - first);
                    let mut made = [[0.0; TILE]; ROWS];
                    sums(tile, first, count, &mut made);
                    for (row, made) in (first..).zip(&made[..count]) {
                        // SAFETY: a tile's columns are written by its own task only.
                        let part = unsafe { y.slice(row * self.out + column, width) };
                        part.copy_from_slice(&made[..width]);
                    }
                }
            }
        });
    }
}

/// Calls `pack(tile, place)` for every tile, on up to `threads` threads. Tiles are parts of
/// `packed` of equal size.
fn pack<T: Send>(
    packed: &mut [T],
    tiles: usize,
    threads: usize,
    pack: &(dyn Fn(usize, &mut [T]) -> Result<()> + Sync),
) -> Result<()> {
    let size = packed.len() / tiles.max(1);
    if threads < 2 {
        return packed.chunks_mut(size.max(1)).enumerate().try_for_each(|(tile, place)| pack(tile, place));
    }
    let share = tiles.div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let work = |(part, place): (usize, &mut [T])| {
            place.chunks_mut(size).enumerate().try_for_each(|(index, place)| pack(part * share + index, place))
        };
        let parts: Vec<_> =
            packed.chunks_mut((share * size).max(1)).enumerate().map(|part| scope.spawn(move || work(part))).collect();
        parts.into_iter().try_for_each(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
