//! Every instruction set adds up the same bits, so a result does not depend on the machine.

#![cfg(target_arch = "x86_64")]
#![expect(unsafe_code, reason = "calls functions compiled for what the CPU has")]

use half::f16;
use rand::rngs::ChaCha8Rng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::quantised::Packing;
use super::rows::{BLOCK, Block, Quantised, UNIT};
use super::{Line, ROWS, Sums, TILE, eight, four, full};

type Kernel<T, X> = fn(&[T], [&[X]; ROWS], usize, &mut Sums);

const UNITS: usize = 3;

/// Returns lines of random bytes. Lines for which `is_halves` holds contain f16 of an ordinary size
/// instead.
fn lines(random: &mut ChaCha8Rng, count: usize, is_halves: impl Fn(usize) -> bool) -> Vec<Line> {
    let line = |place| {
        let mut line = Line([0; 64]);
        random.fill_bytes(&mut line.0);
        if is_halves(place) {
            for half in line.0.as_chunks_mut::<2>().0 {
                *half = f16::from_f32(random.random_range(-1.0..1.0)).to_le_bytes();
            }
        }
        line
    };
    (0..count).map(line).collect()
}

/// Returns rows, some with the greatest values of both signs.
fn rows(random: &mut ChaCha8Rng) -> Vec<Vec<Block>> {
    let mut block = |extreme: bool| {
        let values: [i8; BLOCK] = std::array::from_fn(|_| {
            if extreme { if random.random() { 127 } else { -127 } } else { random.random_range(-127..=127) }
        });
        Block { values, scale: random.random_range(0.0..1.0), sum: values.iter().map(|&value| i32::from(value)).sum() }
    };
    (0..ROWS).map(|row| (0..UNITS * UNIT / BLOCK).map(|_| block(row % 2 == 0)).collect()).collect()
}

/// Returns the first `count` rows as they are after quantising.
fn quantised(rows: [&[Block]; ROWS], count: usize) -> Quantised {
    Quantised::of(rows[..count].concat(), UNITS * UNIT / BLOCK)
}

/// Collects the sums of all passes `(rows, first, count)`.
fn pass_by_pass(x: &Quantised, rows: usize, sums: &mut Sums, pass: impl Fn(&Quantised, usize, usize, &mut Sums)) {
    for first in (0..rows).step_by(x.per_pass()) {
        let (count, mut made) = (x.per_pass().min(rows - first), [[0.0; TILE]; ROWS]);
        pass(x, first, count, &mut made);
        sums[first..][..count].copy_from_slice(&made[..count]);
    }
}

fn same_bits<T, X>(name: &str, lines: &[T], rows: &[Vec<X>], plain: Kernel<T, X>, kernel: Kernel<T, X>) {
    let rows = std::array::from_fn(|row| &*rows[row]);
    for count in 1..=ROWS {
        let (mut expected, mut found): (Sums, Sums) = ([[0.0; TILE]; ROWS], [[0.0; TILE]; ROWS]);
        plain(lines, rows, count, &mut expected);
        kernel(lines, rows, count, &mut found);
        let bits = |sums: &Sums| sums[..count].iter().flatten().map(|sum| sum.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&expected), "{name}, {count} rows");
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let random = &mut ChaCha8Rng::seed_from_u64(7);
    let per_eight = eight::Eight::UNIT_LINES / (UNIT / (2 * BLOCK));
    let of_eight = lines(random, UNITS * eight::Eight::UNIT_LINES, |place| place % per_eight == per_eight - 1);
    let of_four = lines(random, UNITS * four::Four::UNIT_LINES, |place| place % four::LINES == four::FACTORS);
    let rows = rows(random);
    // 251: no multiple of what any kernel takes at a time.
    let of_full: Vec<[f32; TILE]> = (0..251).map(|_| std::array::from_fn(|_| random.random_range(-1.0..1.0))).collect();
    let full_rows: Vec<Vec<f32>> =
        (0..ROWS).map(|_| (0..of_full.len()).map(|_| random.random_range(-1.0..1.0)).collect()).collect();
    same_bits("8 bits, as chosen", &of_eight, &rows, eight::tile_sums, |lines, rows, count, sums| {
        pass_by_pass(&quantised(rows, count).interleave(), count, sums, |x, first, count, sums| {
            eight::Eight::sums(lines, x, first, count, sums);
        });
    });
    same_bits("4 bits, as chosen", &of_four, &rows, four::tile_sums, |lines, rows, count, sums| {
        four::Four::sums(lines, &quantised(rows, count), 0, count, sums);
    });
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
        let kernel: Kernel<_, _> = |lines, rows, count, sums| {
            pass_by_pass(&quantised(rows, count).interleave(), count, sums, |x, first, count, sums| {
                // SAFETY: the CPU has these features.
                unsafe { eight::narrow::sums(lines, x.interleaved(first, count), count, sums) };
            });
        };
        same_bits("8 bits, 256-bit vectors", &of_eight, &rows, eight::tile_sums, kernel);
        // SAFETY: the CPU has these features.
        let kernel: Kernel<_, _> = |lines, rows, count, sums| unsafe { four::narrow::sums(lines, rows, count, sums) };
        same_bits("4 bits, 256-bit vectors", &of_four, &rows, four::tile_sums, kernel);
        // SAFETY: as above.
        let kernel: Kernel<_, _> = |groups, rows, count, sums| unsafe { full::narrow::sums(groups, rows, count, sums) };
        same_bits("f32, 256-bit vectors", &of_full, &full_rows, full::tile_sums, kernel);
    }
}
