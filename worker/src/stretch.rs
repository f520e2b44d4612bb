//! Time-stretch of speech: another tempo at the same pitch, made while the speech arrives.
//!
//! Source: W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
//! time-scale modification of speech", ICASSP 1993.
//!
//! The output consists of segments of the input.
//! Every 15 ms the output fades from the current segment into a new one, near the place that the speed gives.
//! If the input after the current segment lies within 10 ms of that place, the output continues there.
//! Otherwise the new segment is the one within 10 ms that is most similar to that continuation.
//! The measure is the normalised cross-correlation over the fade.
//!
//! Two stages bound the cost of the search: the first compares averages of four samples at every fourth place.
//! The second compares the samples themselves at each place less than four samples from the first stage's result.
//! All arithmetic is plain and in a fixed order, so equal input gives equal bits on every machine.

/// Slowest speed of a stretch, as a factor of the input's tempo.
const SLOWEST: f64 = 0.25;
/// Fastest speed of a stretch, as a factor of the input's tempo.
const FASTEST: f64 = 4.0;

/// Samples of a fade, and from the start of one fade to the next: 15 ms at 24 kHz.
const HOP: usize = 360;
/// Samples of a segment, which fades in over one hop and out over the next: 30 ms at 24 kHz.
const WINDOW: usize = 2 * HOP;
/// Most samples between a segment's start and the place that the speed gives: 10 ms at 24 kHz.
const SEARCH: usize = 240;
/// Samples between the places of the first stage of the search: 6 kHz instead of 24 kHz.
const STEP: usize = 4;
/// Samples of a push that are processed together, which bounds the memory: 100 ms at 24 kHz.
const PART: usize = 2400;
/// Number of sums computed side by side, so that vector instructions need no other order of additions.
const LANES: usize = 8;
/// Terms of the sine's series: the error stays under 1e-11 on a quarter turn.
const SINE_TERMS: u32 = 8;

/// Counts the samples that a stretch of `n` samples makes: `round(n / speed)`.
///
/// The speed is limited as in [`TimeStretch::new`].
pub(crate) fn stretched_len(n: usize, speed: f64) -> usize {
    (n as f64 / bounded(speed)).round() as usize
}

/// Limits a speed to the range of [`TimeStretch::new`].
fn bounded(speed: f64) -> f64 {
    if speed.is_nan() { 1.0 } else { speed.clamp(SLOWEST, FASTEST) }
}

/// Stretch of one stream of mono speech at 24 kHz.
///
/// The output depends on the speed and the concatenated input alone, never on the sizes of the pushes.
/// The output's length is [`stretched_len`] of the input's length.
/// An output of three samples or more begins with the input's first sample and ends with the input's last.
/// Input waits for at most 50 ms, or 25 ms plus 15 ms times the speed, whichever is longer.
#[derive(Debug, Clone)]
pub(crate) struct TimeStretch {
    speed: f64,
    /// Weights of the new segment over a fade of one hop.
    rise: Vec<f32>,
    /// Input samples that later output may need.
    kept: Vec<f32>,
    /// Number of input samples dropped, which is the position of the first kept sample.
    dropped: usize,
    /// Number of output samples made.
    made: usize,
    /// Input position at which the current segment continues.
    next: usize,
}

/// Range of input positions at which the new segment may start, and the position that the speed gives.
#[derive(Debug, Clone, Copy)]
struct Places {
    first: usize,
    last: usize,
    wanted: usize,
}

impl TimeStretch {
    /// Starts a stream at `speed` times the input's tempo: 2.0 is twice as fast, half as many samples.
    ///
    /// The range is 0.25 to 4.0: a speed outside the range becomes the nearest limit, and NaN becomes 1.0.
    /// At 1.0 all samples pass untouched and without delay.
    pub(crate) fn new(speed: f64) -> Self {
        let rise = fade_weights(HOP);
        Self { speed: bounded(speed), rise, kept: Vec::new(), dropped: 0, made: 0, next: 0 }
    }

    /// Takes the next input samples and returns the output that is ready.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        if self.speed == 1.0 {
            return samples.to_vec();
        }
        let mut out = Vec::new();
        for part in samples.chunks(PART) {
            self.kept.extend_from_slice(part);
            while self.places(HOP).last + WINDOW <= self.received() {
                self.hop(HOP, &mut out);
            }
            self.forget();
        }
        out
    }

    /// Ends the stream and returns the rest of the output.
    pub(crate) fn finish(mut self) -> Vec<f32> {
        let (n, mut out) = (self.received(), Vec::new());
        let (total, hop) = (stretched_len(n, self.speed), HOP.min(n / 2));
        if hop == 0 {
            return self.kept.iter().copied().cycle().take(total).collect();
        }
        while self.made + 3 * hop <= total {
            self.hop(hop, &mut out);
        }
        self.end(total.saturating_sub(self.made), hop, &mut out);
        out
    }

    /// Makes the last `left` samples, fewer than three hops, up to the input's last sample.
    ///
    /// The input's end determines the place of the last segment.
    /// A segment between the current and the last one is chosen to resemble both.
    fn end(&mut self, left: usize, hop: usize, out: &mut Vec<f32>) {
        let fade = hop.min(left.saturating_sub(1) / 2);
        let last = (self.received() + fade).saturating_sub(left);
        let place = self
            .search(self.places_in_input(fade), &[(self.window(self.next, fade), 0), (self.window(last, fade), fade)]);
        self.fade_into(place, fade, out);
        self.fade_into(last, fade, out);
        out.extend_from_slice(self.window(self.next, left - 2 * fade));
    }

    /// Makes `hop` samples: the current segment's continuation, or a fade into the segment most like the continuation.
    fn hop(&mut self, hop: usize, out: &mut Vec<f32>) {
        let places = self.places_in_input(hop);
        let near = (places.first..=places.last).contains(&self.next);
        let place = if near { self.next } else { self.search(places, &[(self.window(self.next, hop), 0)]) };
        self.fade_into(place, hop, out);
    }

    /// Makes `fade` samples from the current segment to the segment at `place`, which becomes the current one.
    fn fade_into(&mut self, place: usize, fade: usize, out: &mut Vec<f32>) {
        let short = (fade != HOP).then(|| fade_weights(fade));
        let rise = short.as_ref().unwrap_or(&self.rise);
        let pairs = self.window(self.next, fade).iter().zip(self.window(place, fade));
        out.extend(pairs.zip(rise).map(|((old, new), weight)| old + (new - old) * weight));
        self.made += fade;
        self.next = place + fade;
    }

    /// Computes the places for a segment that is fully faded in after `fade` more output samples.
    fn places(&self, fade: usize) -> Places {
        let wanted = ((self.made + fade) as f64 * self.speed).round() - fade as f64;
        let first = (wanted - SEARCH as f64).max(0.0) as usize;
        Places { first, last: first + 2 * SEARCH, wanted: wanted.max(0.0) as usize }
    }

    /// Computes the places as [`Self::places`] does, moved back to where the input suffices for two fades.
    fn places_in_input(&self, fade: usize) -> Places {
        let (places, limit) = (self.places(fade), self.received().saturating_sub(2 * fade));
        let first = places.first.min(limit.saturating_sub(2 * SEARCH)).max(self.dropped).min(limit);
        Places { first, last: places.last.min(limit), wanted: places.wanted.min(limit) }
    }

    /// Finds the place at which the input is most similar to the pattern that it resembles least.
    ///
    /// A pattern is the samples that the new segment should resemble, and how far from the segment's start.
    fn search(&self, places: Places, patterns: &[(&[f32], usize)]) -> usize {
        let span = places.last - places.first;
        let input = |after, len| averages(self.window(places.first + after, span + len));
        let averaged: Vec<_> = patterns.iter().map(|(p, after)| (averages(p), input(*after, p.len()))).collect();
        let coarse = places.best(STEP, |place| {
            let at = (place - places.first) / STEP;
            averaged.iter().map(|(p, input)| similarity(p, input.get(at..).unwrap_or_default())).fold(1.0, f32::min)
        });
        let first = places.first.max(coarse.saturating_sub(STEP - 1));
        let near = Places { first, last: places.last.min(coarse + STEP - 1), ..places };
        near.best(1, |place| {
            patterns.iter().map(|(p, after)| similarity(p, self.window(place + after, p.len()))).fold(1.0, f32::min)
        })
    }

    /// Counts the input samples received.
    fn received(&self) -> usize {
        self.dropped + self.kept.len()
    }

    /// Reads `len` input samples from the position `at` on.
    fn window(&self, at: usize, len: usize) -> &[f32] {
        let start = at.saturating_sub(self.dropped);
        self.kept.get(start..start + len).unwrap_or_default()
    }

    /// Drops the input before the earliest position that later output can need.
    fn forget(&mut self) {
        let first = self.next.min(self.places(0).first).min(self.places(HOP).first);
        let old = first.saturating_sub(self.dropped).min(self.kept.len());
        self.kept.drain(..old);
        self.dropped += old;
    }
}

impl Places {
    /// Finds the place with the highest score among every `step`th place.
    ///
    /// Of equal scores, the place nearest to the wanted one counts; of equal distances, the first place.
    fn best(self, step: usize, score: impl Fn(usize) -> f32) -> usize {
        let (mut best, mut highest) = (self.first, f32::NEG_INFINITY);
        for place in (self.first..=self.last).step_by(step) {
            let found = score(place);
            let nearer = place.abs_diff(self.wanted) < best.abs_diff(self.wanted);
            if found > highest || (found == highest && nearer) {
                (best, highest) = (place, found);
            }
        }
        best
    }
}

/// Averages every [`STEP`] samples.
fn averages(samples: &[f32]) -> Vec<f32> {
    samples.chunks_exact(STEP).map(|part| part.iter().sum::<f32>() / STEP as f32).collect()
}

/// Computes the normalised cross-correlation of `a` and the start of `b`: -1 to 1, and 0 if one is silent.
fn similarity(a: &[f32], b: &[f32]) -> f32 {
    let (mut ab, mut aa, mut bb) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let b = b.get(..a.len()).unwrap_or_default();
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        let sums = ab.iter_mut().zip(&mut aa).zip(&mut bb);
        for ((a, b), ((ab, aa), bb)) in a.iter().zip(b).zip(sums) {
            *ab += a * b;
            *aa += a * a;
            *bb += b * b;
        }
    }
    let sum = |lanes: [f32; LANES]| lanes.iter().sum::<f32>();
    let norm = sum(aa).sqrt() * sum(bb).sqrt();
    if norm > 0.0 { sum(ab) / norm } else { 0.0 }
}

/// Computes weights that rise over `len` samples as the first half of a Hann window does.
///
/// A fade mixes two samples by weights that add up to 1, so the louder sample bounds the result.
fn fade_weights(len: usize) -> Vec<f32> {
    let angle = |i| i as f64 / len as f64 * std::f64::consts::FRAC_PI_2;
    (0..len).map(|i| sine(angle(i))).map(|sine| (sine * sine) as f32).collect()
}

/// Computes the sine of an angle from 0 to a quarter turn by the sine's series.
///
/// The standard library's sine may differ between platforms.
fn sine(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for k in 1..SINE_TERMS {
        term *= -x * x / f64::from(2 * k * (2 * k + 1));
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    const RATE: f64 = 24_000.0;
    const SPEEDS: [f64; 8] = [0.25, 0.5, 0.8, 0.97, 1.25, 1.5, 2.0, 4.0];

    fn stretch(input: &[f32], speed: f64, push: usize) -> Vec<f32> {
        let mut stream = TimeStretch::new(speed);
        let mut out: Vec<f32> = input.chunks(push).flat_map(|part| stream.push(part)).collect();
        out.extend(stream.finish());
        out
    }

    /// Makes a tone of ten harmonics whose first and last samples are not zero.
    fn tone(pitch: f64, n: usize) -> Vec<f32> {
        let partial = |i: usize, h: f64| 0.2 * (TAU * pitch * h * i as f64 / RATE + h).sin() / h;
        (0..n).map(|i| (1..=10).map(|h| partial(i, f64::from(h))).sum::<f64>() as f32).collect()
    }

    /// Makes pulses of 90 to 190 Hz through two formants, with silence from 40 % to 50 % of the length.
    fn speech(n: usize) -> Vec<f32> {
        let (mut phase, mut formants) = (1.0_f64, [[0.0; 2]; 2]);
        let sample = |i: usize| {
            let t = i as f64 / RATE;
            let mut x = if phase >= 1.0 { 0.1 } else { 0.0 };
            phase = phase.fract() + (140.0 + 50.0 * (TAU * 0.7 * t).sin()) / RATE;
            for (past, formant) in formants.iter_mut().zip([600.0 + 150.0 * (TAU * 1.1 * t).sin(), 1500.0]) {
                x += 1.9 * (TAU * formant / RATE).cos() * past[0] - 0.95 * 0.95 * past[1];
                *past = [x, past[0]];
            }
            if (2 * n / 5..n / 2).contains(&i) { 0.0 } else { x as f32 }
        };
        (0..n).map(sample).collect()
    }

    fn power(samples: &[f32]) -> f64 {
        samples.iter().map(|x| f64::from(x * x)).sum::<f64>() / samples.len() as f64
    }

    fn peak(samples: impl IntoIterator<Item = f32>) -> f32 {
        samples.into_iter().fold(0.0, |most, x| most.max(x.abs()))
    }

    #[test]
    fn output_has_the_exact_length_the_ends_and_the_peak() {
        let known =
            [(0, 0.5, 0), (1, 2.0, 1), (1, 4.0, 0), (100, 1.5, 67), (9, 0.0, 36), (9, 9.0, 2), (9, f64::NAN, 9)];
        assert!(known.into_iter().all(|(n, speed, len)| stretched_len(n, speed) == len));
        let input = speech(240_000);
        for speed in SPEEDS.into_iter().chain([1.0, 1.01, 3.3]) {
            for n in (0..8).chain((8..3000).step_by(97)).chain([100, 719, 720, 721, 10_000, 240_000]) {
                let (input, out) = (&input[..n], stretch(&input[..n], speed, 1920));
                assert_eq!(out.len(), (n as f64 / speed).round() as usize, "{n} by {speed}");
                assert!(out.len() < 3 || (out.first(), out.last()) == (input.first(), input.last()), "{n} by {speed}");
                assert!(peak(out) <= peak(input.to_vec()) * 1.000_001, "{n} by {speed}");
            }
        }
        assert_eq!(stretch(&[f32::NAN, f32::INFINITY, f32::MAX, 1e-40].repeat(2250), 1.5, 1920).len(), 6000);
    }

    #[test]
    fn output_is_independent_of_the_pushes() {
        let (input, bits) = (speech(30_000), |x: &f32| x.to_bits());
        for speed in SPEEDS {
            let whole = stretch(&input, speed, input.len());
            for push in [1, 7, 359, 2401] {
                let same = stretch(&input, speed, push).iter().map(bits).eq(whole.iter().map(bits));
                assert!(same, "pushes of {push} at {speed}");
            }
        }
    }

    #[test]
    fn speed_one_is_the_identity_without_delay() {
        let (mut stream, input) = (TimeStretch::new(1.0), speech(5000));
        assert_eq!((stream.push(&input), stream.finish()), (input, Vec::new()));
    }

    #[test]
    fn lag_and_memory_are_bounded() {
        let input = speech(60_000);
        for speed in SPEEDS {
            let (mut stream, mut made) = (TimeStretch::new(speed), 0);
            for (i, part) in input.chunks(120).enumerate() {
                made += stream.push(part).len();
                let lag = (120 * (i + 1)) as f64 - made as f64 * speed;
                assert!(lag <= (600.0 + 360.0 * speed).max(1200.0), "lag of {lag} samples at {speed}");
            }
            stream.push(&input);
            assert!(stream.kept.capacity() < 8000, "{} samples of memory at {speed}", stream.kept.capacity());
        }
    }

    #[test]
    fn tone_keeps_its_period_and_energy_without_clicks() {
        for (speed, period) in SPEEDS.into_iter().flat_map(|speed| [(speed, 120), (speed, 133)]) {
            let input = tone(RATE / period as f64, 36_060);
            let out = stretch(&input, speed, 1920);
            let mean = power(&out);
            assert!(
                out.rchunks_exact(480).all(|part| (0.7..1.3).contains(&(power(part) / mean))),
                "dropout at {speed}"
            );
            let step = |x: &[f32]| peak(x.windows(2).map(|pair| pair[1] - pair[0]));
            assert!(step(&out) <= 1.01 * step(&input), "click at {speed}");
            let steady = &out[..out.len() * 7 / 8]; // the place of the last segment ignores the period
            let product = |lag: &usize| steady.iter().zip(&steady[*lag..]).map(|(x, y)| f64::from(x * y)).sum::<f64>();
            let found = (60..200).max_by(|a, b| product(a).total_cmp(&product(b)));
            assert_eq!(found, Some(period), "at {speed}");
            let change = peak(steady.iter().zip(&steady[period..]).map(|(x, y)| x - y));
            assert!(change < 1e-3 * peak(input), "join at {speed}: {change}");
        }
    }

    #[test]
    fn events_of_speech_keep_their_place_and_energy() {
        let input = speech(72_000);
        assert!(stretch(&input, 0.97, 1920)[..7500] == input[..7500], "a join within 10 ms");
        for speed in SPEEDS.into_iter().skip(1) {
            let out = stretch(&input, speed, 1920);
            let edges = [out.iter().position(|x| *x == 0.0), out.iter().rposition(|x| *x == 0.0)];
            for (edge, share) in edges.into_iter().zip([0.4, 0.5]) {
                let off = edge.unwrap_or_default() as f64 - share * out.len() as f64;
                assert!(off.abs() < 0.03 * RATE, "an edge of the silence is {off} samples off at {speed}");
            }
            let ratio = power(&out) / power(&input);
            assert!((0.9..1.1).contains(&ratio), "power times {ratio} at {speed}");
        }
    }

    #[test]
    fn parts_compute_what_they_promise() {
        assert!((similarity(&[0.1, 0.2, -0.1], &[2.0, 4.0, -2.0, 9.0]) - 1.0).abs() < 1e-6);
        assert_eq!(similarity(&[0.1; 9], &[0.0; 9]), 0.0);
        assert_eq!(Places { first: 2, last: 9, wanted: 6 }.best(2, |_| 0.0), 6);
        let hann = |i: usize| 0.5 - 0.5 * (TAU * i as f64 / WINDOW as f64).cos();
        assert!((0..HOP).zip(fade_weights(HOP)).all(|(i, weight)| (f64::from(weight) - hann(i)).abs() < 1e-7));
    }
}
