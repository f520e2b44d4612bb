//! Drawing of a code from logits: temperature, top-k, and noise that depends only on seed, frame,
//! codebook and code.
//!
//! The draw is the exponential race `argmax(p_i / e_i)`, as in Sesame's reference. Philox 4x32-10
//! computes `e_i` from the seed and the counter (code / 4, codebook, frame). Source: Salmon et al.,
//! "Parallel random numbers: as easy as 1, 2, 3", 2011.
//!
//! There is no generator state. A code is the same whether it is drawn alone, in a batch, on
//! another worker or out of order. The noise of one candidate does not depend on the other
//! candidates.

use csm_shared::job::Sampling;

#[cfg(test)]
mod tests;

/// Coordinates of one draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawKey {
    /// The job's seed.
    pub seed: u64,
    /// Frame of the utterance, from 0.
    pub frame_index: u32,
    /// Codebook of the frame, 0 to 31.
    pub codebook: usize,
}

/// Draws a code from `logits`, one per valid code. Returns `None` if they hold NaN or nothing
/// finite.
///
/// Temperature 0 takes the largest logit (the first of equals). Otherwise logits below the
/// `topk`-th largest are left out; equals of the `topk`-th stay in. The draw is from the softmax of
/// `logits / temperature` over the rest.
#[must_use]
pub fn sample(logits: &[f32], sampling: &Sampling, draw: DrawKey) -> Option<u32> {
    if logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let temperature = f64::from(sampling.temperature.get());
    if temperature == 0.0 {
        return best(logits.iter().map(|&logit| f64::from(logit)));
    }
    let least = kth_largest(logits, sampling.topk.get() as usize)?;
    let noise = GumbelNoise::new(draw);
    best((0..).zip(logits).map(|(code, &logit)| {
        if logit < least { f64::NEG_INFINITY } else { f64::from(logit) / temperature + noise.gumbel(code) }
    }))
}

/// Writes the noise of the codes from 0 on. [`sample`] adds it to each logit divided by
/// temperature.
#[expect(clippy::cast_possible_truncation, reason = "noise is within -4 and 24")]
pub fn gumbel(draw: DrawKey, noise: &mut [f32]) {
    let made = GumbelNoise::new(draw);
    for (group, noise) in (0..).zip(noise.chunks_mut(4)) {
        // A call gives the words of four codes.
        let words = made.words(group);
        noise.iter_mut().zip(words).for_each(|(noise, bits)| *noise = gumbel_of(bits) as f32);
    }
}

/// Returns the index of the largest score, the first of equals; `None` if none is above -inf.
fn best(scores: impl Iterator<Item = f64>) -> Option<u32> {
    let first = (None, f64::NEG_INFINITY);
    (0..).zip(scores).fold(first, |best, (code, score)| if score > best.1 { (Some(code), score) } else { best }).0
}

/// Returns the `k`-th largest value, or the smallest if there are fewer; `None` if there is none.
/// NaN must not occur.
fn kth_largest(logits: &[f32], k: usize) -> Option<f32> {
    let index = k.clamp(1, logits.len().max(1)) - 1;
    let mut sorted = logits.to_vec();
    if index >= sorted.len() {
        return None;
    }
    Some(*sorted.select_nth_unstable_by(index, |a, b| b.total_cmp(a)).1)
}

/// The noise of one draw: a pure function from code to number.
struct GumbelNoise(DrawKey);

impl GumbelNoise {
    fn new(draw: DrawKey) -> Self {
        Self(draw)
    }

    fn gumbel(&self, code: u32) -> f64 {
        gumbel_of(self.words(code / 4)[(code % 4) as usize])
    }

    /// Returns the bits of code `4 * group` and of the three codes after it.
    fn words(&self, group: u32) -> [u32; 4] {
        let DrawKey { seed, frame_index, codebook } = self.0;
        #[expect(clippy::cast_possible_truncation, reason = "the key is the seed's two halves; a codebook is below 32")]
        let (key, codebook) = ([seed as u32, (seed >> 32) as u32], codebook as u32);
        philox([group, codebook, frame_index, 0], key)
    }
}

/// Converts 32 random bits to standard Gumbel noise, `-ln(e)` of an exponential `e`. The
/// exponential race takes the largest `ln p` plus noise.
fn gumbel_of(bits: u32) -> f64 {
    let uniform = (f64::from(bits) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -(-uniform.ln()).ln()
}

/// Computes Philox 4x32-10: four pseudorandom words from a counter and a key.
#[expect(clippy::cast_possible_truncation, reason = "the halves of a 64-bit product")]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const ROUNDS: usize = 10;
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let first = MULTIPLIERS[0] * u64::from(counter[0]);
        let second = MULTIPLIERS[1] * u64::from(counter[2]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
    }
    counter
}
