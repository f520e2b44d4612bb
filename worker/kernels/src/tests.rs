#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::attention::{BLOCK, attend, write_key};
use super::*;
use crate::WeightFormat;

/// Returns pseudorandom numbers in -1..1.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Computes the product in f64, and the sum of its squared terms.
fn reference(weight: &[f32], x: &[f32], stride: usize, (out, width, rows): (usize, usize, usize)) -> Vec<(f64, f64)> {
    let cell = |row: usize, o: usize| {
        let terms = (0..width).map(|i| f64::from(weight[o * width + i]) * f64::from(x[row * stride + i]));
        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term * term))
    };
    (0..rows).flat_map(|row| (0..out).map(move |o| (row, o))).map(|(row, o)| cell(row, o)).collect()
}

/// Returns weights as a format holds them, by candle alone: quantised, then made floats again.
fn held(format: WeightFormat, weight: &[f32], out: usize, width: usize) -> Vec<f32> {
    let kind = match format {
        WeightFormat::F32 | WeightFormat::Bf16 => return weight.to_vec(),
        WeightFormat::Q8_0 => GgmlDType::Q8_0,
        WeightFormat::Q4K => GgmlDType::Q4K,
    };
    let rows = Tensor::from_slice(weight, (out, width), &Device::Cpu).unwrap();
    let padded = rows.pad_with_zeros(1, 0, width.next_multiple_of(256) - width).unwrap();
    let held = QTensor::quantize(&padded, kind).unwrap().dequantize(&Device::Cpu).unwrap();
    held.narrow(1, 0, width).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Bounds the error of a product of `weight` with activations in 8 bits. An activation is rounded
/// by up to half a step; a step is a 127th of the largest of its 32.
///
/// If terms are few, the bound is the sum of their greatest errors, which no error exceeds. If
/// terms are many, the bound is 4.5 times the root of the sum of squares. The error of a term is
/// uniform within its bound and so has a deviation of 1/sqrt(3) of it, which makes the bound 7.8
/// deviations. Sums of uniform errors exceed 7.8 deviations less often than once in 10^12.
fn rounding(weight: &[f32], x: &[f32]) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (weight, x) in weight.chunks(32).zip(x.chunks(32)) {
        let half_step = x.iter().fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs()))) / 254.0;
        for weight in weight {
            let off = f64::from(weight.abs()) * half_step;
            sum += off;
            squares += off * off;
        }
    }
    sum.min(4.5 * squares.sqrt())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_are_right_and_do_not_depend_on_batch_or_threads(
        out in 1_usize..70, width in 1_usize..600, rows in 1_usize..20, overlap in 0_usize..3, threads in 1_usize..4, seed: u64,
    ) {
        let stride = (width / (overlap + 1)).max(1);
        let weight = noise(seed, out * width);
        let x = noise(seed ^ 1, (rows - 1) * stride + width);
        let (one, many) = (Pool::new(1), Pool::new(3));
        for format in [WeightFormat::F32, WeightFormat::Q8_0, WeightFormat::Q4K] {
            let matrix = Matrix::new(format, &weight, out, width, threads).unwrap();
            let held = held(format, &weight, out, width);
            let exact = reference(&held, &x, stride, (out, width, rows));
            let mut y = vec![f32::NAN; rows * out];
            matrix.apply(&many, &x, stride, rows, &mut y);
            for (index, ((value, exact), terms)) in y.iter().zip(&exact).map(|(y, (e, t))| ((y, e), t)).enumerate() {
                let error = (f64::from(*value) - exact).abs();
                let (row, o) = (index / out, index % out);
                let rounded = match format {
                    WeightFormat::F32 | WeightFormat::Bf16 => 0.0,
                    _ => rounding(&held[o * width..][..width], &x[row * stride..][..width]),
                };
                // The sums themselves are in f32, over 20 times as exact as this allows for.
                let tolerance = rounded + 1e-5 * (terms.sqrt() + 0.1);
                prop_assert!(error <= tolerance, "{format} at {index}: {value} for {exact}, {tolerance} allowed");
            }
            for row in 0..rows {
                let mut alone = vec![f32::NAN; out];
                matrix.apply(&one, &x[row * stride..], stride, 1, &mut alone);
                prop_assert_eq!(bits(&alone), bits(&y[row * out..][..out]), "{} row {}", format, row);
            }
        }
    }

    #[test]
    fn attention_sees_its_positions_and_no_others(
        len in 1_usize..70, group in 1_usize..5, dims in 1_usize..10, seed: u64,
    ) {
        let head_dim = 4 * dims;
        let capacity = 80;
        let (query, key, value) = (noise(seed, group * head_dim), noise(seed ^ 1, len * head_dim), noise(seed ^ 2, len * head_dim));
        let run = |stale: f32| {
            let mut keys = vec![[stale; BLOCK]; capacity / BLOCK * head_dim];
            let mut values = vec![stale; capacity * head_dim];
            for position in 0..len {
                write_key(&mut keys, position, &key[position * head_dim..][..head_dim]);
                values[position * head_dim..][..head_dim].copy_from_slice(&value[position * head_dim..][..head_dim]);
            }
            let (mut scores, mut out) = (vec![0.0; capacity], vec![0.0; group * head_dim]);
            attend(&query, &keys, &values, len, head_dim, &mut scores, &mut out);
            out
        };
        let out = run(0.0);
        prop_assert_eq!(bits(&out), bits(&run(f32::NAN)));
        prop_assert_eq!(bits(&out), bits(&run(1e30)));
        for head in 0..group {
            let score = |position: usize| -> f64 {
                let pairs = query[head * head_dim..][..head_dim].iter().zip(&key[position * head_dim..]);
                pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() / (head_dim as f64).sqrt()
            };
            let weights: Vec<f64> = (0..len).map(|position| score(position).exp()).collect();
            let total: f64 = weights.iter().sum();
            for dim in 0..head_dim {
                let exact: f64 = (0..len).map(|p| weights[p] / total * f64::from(value[p * head_dim + dim])).sum();
                prop_assert!((f64::from(out[head * head_dim + dim]) - exact).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn a_number_that_is_none_stays_none() {
    for format in [WeightFormat::F32, WeightFormat::Q8_0, WeightFormat::Q4K] {
        let matrix = Matrix::new(format, &noise(1, 32 * 64), 32, 64, 2).unwrap();
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = noise(2, 64);
            x[37] = bad;
            let mut y = vec![0.0; 32];
            matrix.apply(&Pool::new(1), &x, 64, 1, &mut y);
            assert!(y.iter().all(|value| !value.is_finite()), "{format} hides {bad}");
        }
    }
}

#[test]
fn exp_is_close_over_its_whole_range() {
    for step in -8_700..8_800 {
        let x = step as f32 * 0.01;
        let exact = f64::from(x).exp();
        let error = (f64::from(math::exp(x)) - exact).abs() / exact;
        assert!(error < 2.5e-7, "exp({x}) is off by {error:e}");
    }
    assert_eq!(math::exp(0.0), 1.0);
    assert!(math::exp(f32::NAN).is_nan());
    assert!(math::exp(-1e9) < 1.2e-38 && math::exp(1e9) > 3e38);
}

#[test]
fn norms_and_gates_are_those_of_their_formulas() {
    let (x, weight, gate) = (noise(1, 77), noise(2, 77), noise(3, 77));
    let mut y = vec![0.0; 77];
    math::rms_norm(&x, &weight, 1e-5, &mut y);
    let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 77.0;
    for ((y, x), weight) in y.iter().zip(&x).zip(&weight) {
        assert!((f64::from(*y) - f64::from(*x) / (mean + 1e-5).sqrt() * f64::from(*weight)).abs() < 1e-6);
    }
    math::swiglu(&gate, &x, &mut y);
    for ((y, x), gate) in y.iter().zip(&x).zip(&gate) {
        let gate = f64::from(*gate);
        assert!((f64::from(*y) - gate / (1.0 + (-gate).exp()) * f64::from(*x)).abs() < 1e-6);
    }
}

#[test]
fn every_task_runs_once_however_often_the_pool_is_used() {
    for threads in [1, 2, 4] {
        let pool = Pool::new(threads);
        for tasks in (0..400).map(|round| round % 37) {
            let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            pool.run(tasks, &|index| {
                counts[index].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{threads} threads, {tasks} tasks");
        }
        let mut items = vec![0; 103];
        pool.run_chunks(&mut items, 10, &|index, items| items.fill(index + 1));
        assert!(items.iter().enumerate().all(|(at, item)| *item == at / 10 + 1));
    }
}

#[test]
fn callers_on_several_threads_take_turns() {
    let pool = Pool::new(2);
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    pool.run(9, &|_| {
                        total.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 3 * 200 * 9);
}

#[test]
fn a_panic_of_a_task_reaches_the_caller_and_the_pool_lives_on() {
    let pool = Pool::new(3);
    for bad in 0..20 {
        let run = || pool.run(20, &|index| assert!(index != bad, "task {index}"));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        assert!(panic.is_err(), "task {bad}");
    }
    let count = AtomicUsize::new(0);
    pool.run(20, &|_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(count.into_inner(), 20);
}
