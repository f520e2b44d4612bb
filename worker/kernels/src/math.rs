//! Functions of single numbers and of rows, in plain loops that the compiler turns into vector
//! instructions.

use super::simd_fn;

/// Lanes in which sums over a row are kept before they are added up. The number is fixed, so that a
/// sum has the same bits everywhere.
pub const LANES: usize = 16;

/// Computes `e^x` with a relative error below 2.5e-7, for `x` from -87.336 to 88.722: there the
/// result is a normal finite number. An `x` beyond counts as the nearer end, so no result is 0 or
/// infinite; NaN stays NaN.
///
/// The argument is split into `n ln 2 + r` with `|r| <= ln 2 / 2` (Cody and Waite); `e^r` is a
/// polynomial of degree 6.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.336, 88.722);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_HIGH, x);
    let r = n.mul_add(-LN_2_LOW, r);
    let mut e = 1.388_888_9e-3_f32;
    for term in [8.333_334e-3_f32, 4.166_666_6e-2, 0.166_666_67, 0.5, 1.0, 1.0] {
        e = e.mul_add(r, term);
    }
    // The integer n is in the low bits of `shifted`. A cast would check for values that cannot
    // occur, one number at a time.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
    // 2^128 is no f32, so the power is applied in two halves.
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned());
    let half = n >> 1;
    e * power(half) * power(n.wrapping_sub(half))
}

/// Adds up one value per lane, in a fixed order.
#[inline(always)]
pub fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

simd_fn! {
    /// Computes `y = x / sqrt(mean(x^2) + eps) * weight` for one row.
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
        let mut squares = [0.0; LANES];
        let (whole, rest) = x.as_chunks::<LANES>();
        for chunk in whole {
            for lane in 0..LANES {
                squares[lane] = chunk[lane].mul_add(chunk[lane], squares[lane]);
            }
        }
        for (lane, value) in squares.iter_mut().zip(rest) {
            *lane = value.mul_add(*value, *lane);
        }
        let scale = 1.0 / (sum_lanes(squares) / x.len() as f32 + eps).sqrt();
        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
            *y = x * scale * weight;
        }
    }

    /// Computes `y = silu(gate) * up`, element by element.
    pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate / (1.0 + exp(-gate)) * up;
        }
    }

    /// Computes `x += y`, element by element.
    pub fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}
