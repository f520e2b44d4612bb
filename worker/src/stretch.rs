//! Time-stretch of speech: another tempo at the same pitch, sample by sample as the speech arrives.
//!
//! Source: W. Verhelst and M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high quality
//! time-scale modification of speech", ICASSP 1993.
//!
//! The output is a chain of input segments.
//! Every [`HOP`] samples the chain fades from the segment in use into another one, near the place that the tempo asks for.
//! Among the places within [`SEARCH`] samples, the chain takes the one most like the continuation of the segment in use.
//! The measure is the normalised cross-correlation over the fade.
//!
//! The search is bounded by two stages: all places in steps of [`THIN`] samples on averages of [`THIN`] samples, then all
//! places within one step of the best at the full rate.
//! The arithmetic is plain and in a fixed order, so equal input gives equal bits on every machine.

use std::f64::consts::FRAC_PI_2;

/// Slowest tempo.
const SLOWEST: f64 = 0.25;
/// Fastest tempo.
const FASTEST: f64 = 4.0;

/// Samples from one fade to the next, and of a fade: 15 ms at 24 kHz.
const HOP: usize = 360;
/// Samples of a segment, which fades in over one hop and out over the next: 30 ms at 24 kHz.
const WINDOW: usize = 2 * HOP;
/// Samples that a segment may start before or after the place that the tempo asks for: 10 ms at 24 kHz.
const SEARCH: f64 = 240.0;
/// Samples per step of the coarse search, at 24 kHz.
const THIN: usize = 4;
/// Samples taken in at once, at 24 kHz: they bound the memory of a long push.
const PART: usize = 2400;
/// Sums kept side by side, so that the compiler can use vector instructions without another order of additions.
const LANES: usize = 8;
/// Terms of the sine's series: enough for f32 on a quarter turn.
const SINE_TERMS: u32 = 8;

/// Number of samples that a stretch by `speed` makes of `n` samples: `round(n / speed)`.
pub(crate) fn stretched_len(n: usize, speed: f64) -> usize {
    (n as f64 / bounded(speed)).round() as usize
}

/// Limits a tempo to what [`TimeStretch`] can do; a tempo that is not a number becomes 1.
fn bounded(speed: f64) -> f64 {
    if speed.is_nan() { 1.0 } else { speed.clamp(SLOWEST, FASTEST) }
}

/// Stretch of one stream of mono speech at 24 kHz.
///
/// The output depends on the speed and the concatenated input alone, not on the sizes of the pushes.
/// Its length is [`stretched_len`] of the input's, and its first and last samples are the input's.
#[derive(Debug, Clone)]
pub(crate) struct TimeStretch {
    speed: f64,
    /// Weights of a fade of one hop.
    rise: Vec<f32>,
    /// Input that is still needed.
    kept: Vec<f32>,
    /// Number of input samples dropped, which is the position of the first kept one.
    dropped: usize,
    /// Number of output samples made.
    made: usize,
    /// Input position that continues the segment in use.
    next: usize,
}

/// Places where the next segment may start, as input positions.
#[derive(Clone, Copy)]
struct Places {
    first: usize,
    last: usize,
    /// Place that the tempo asks for; it wins a tie.
    wanted: usize,
}

/// Samples that the input from a place on should resemble, a number of samples after that place.
struct Likeness<'a> {
    samples: &'a [f32],
    after: usize,
}

impl TimeStretch {
    /// Starts a stream whose tempo is `speed` times that of its input: 2.0 is twice as fast, half as many samples.
    ///
    /// The range is 0.25 to 4.0; a speed outside becomes the nearest limit.
    /// At 1.0 all samples pass untouched and without delay.
    pub(crate) fn new(speed: f64) -> Self {
        let rise = fade_weights(HOP);
        Self { speed: bounded(speed), rise, kept: Vec::new(), dropped: 0, made: 0, next: 0 }
    }

    /// Takes the next samples in and returns the output that is ready.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        if self.speed == 1.0 {
            return samples.to_vec();
        }
        let mut out = Vec::new();
        for part in samples.chunks(PART) {
            self.kept.extend_from_slice(part);
            let before = self.made;
            loop {
                let places = self.places(HOP);
                if places.last + WINDOW > self.received() {
                    break;
                }
                self.hop(HOP, places, &mut out);
            }
            if self.made > before {
                self.forget();
            }
        }
        out
    }

    /// Ends the stream and returns the rest of the output.
    pub(crate) fn finish(mut self) -> Vec<f32> {
        let (mut out, n) = (Vec::new(), self.received());
        let total = if self.speed == 1.0 { 0 } else { stretched_len(n, self.speed) };
        let hop = HOP.min(n / 2);
        if hop == 0 {
            return self.kept.iter().copied().cycle().take(total).collect();
        }
        while self.made + 3 * hop <= total {
            let places = self.places(hop).up_to(n - 2 * hop);
            self.hop(hop, places, &mut out);
        }
        self.end(total.saturating_sub(self.made), hop, &mut out);
        out
    }

    /// Makes the last `left` samples, of which the last one is the input's last.
    ///
    /// The place of the last segment is given by the input's end.
    /// A segment between that one and the one in use is chosen to fit both.
    fn end(&mut self, left: usize, hop: usize, out: &mut Vec<f32>) {
        let n = self.received();
        let fade = hop.min(left.saturating_sub(1) / 2);
        let end = (n + fade).saturating_sub(left);
        let places = self.places(fade).up_to(n - 2 * fade);
        let likenesses = [
            Likeness { samples: self.window(self.next, fade), after: 0 },
            Likeness { samples: self.window(end, fade), after: fade },
        ];
        let place = self.search(places, &likenesses);
        self.fade_into(place, fade, out);
        self.fade_into(end, fade, out);
        out.extend_from_slice(self.window(self.next, left - 2 * fade));
    }

    /// Makes `hop` samples, a fade into the place that best continues the segment in use.
    fn hop(&mut self, hop: usize, places: Places, out: &mut Vec<f32>) {
        let place = self.search(places, &[Likeness { samples: self.window(self.next, hop), after: 0 }]);
        self.fade_into(place, hop, out);
    }

    /// Makes `fade` samples that lead from the segment in use to the one at `place`, which is in use from then on.
    fn fade_into(&mut self, place: usize, fade: usize, out: &mut Vec<f32>) {
        let other;
        let rise = if fade == HOP {
            &self.rise
        } else {
            other = fade_weights(fade);
            &other
        };
        let pairs = self.window(self.next, fade).iter().zip(self.window(place, fade));
        out.extend(pairs.zip(rise).map(|((old, new), weight)| old + (new - old) * weight));
        self.made += fade;
        self.next = place + fade;
    }

    /// Places for a segment that is in full use `fade` output samples from now.
    fn places(&self, fade: usize) -> Places {
        let wanted = ((self.made + fade) as f64 * self.speed).round() - fade as f64;
        let position = |at: f64| at.max(0.0) as usize;
        Places { first: position(wanted - SEARCH), last: position(wanted + SEARCH), wanted: position(wanted) }
    }

    /// Finds the place whose input best resembles all `likenesses`.
    fn search(&self, places: Places, likenesses: &[Likeness]) -> usize {
        let span = places.last - places.first;
        let thinned: Vec<_> = likenesses
            .iter()
            .map(|l| (thin(l.samples), thin(self.window(places.first + l.after, span + l.samples.len()))))
            .collect();
        let coarse = places.best(THIN, |place| {
            let at = (place - places.first) / THIN;
            thinned.iter().map(|(sought, input)| similarity(sought, input.get(at..).unwrap_or_default())).sum()
        });
        let near = Places {
            first: places.first.max(coarse.saturating_sub(THIN - 1)),
            last: places.last.min(coarse + THIN - 1),
            wanted: places.wanted,
        };
        near.best(1, |place| {
            likenesses.iter().map(|l| similarity(l.samples, self.window(place + l.after, l.samples.len()))).sum()
        })
    }

    /// Number of input samples so far.
    fn received(&self) -> usize {
        self.dropped + self.kept.len()
    }

    /// The `len` input samples from the position `at` on.
    fn window(&self, at: usize, len: usize) -> &[f32] {
        let start = at.saturating_sub(self.dropped);
        self.kept.get(start..start + len).unwrap_or_default()
    }

    /// Drops the input before the earliest place that any later fade can need.
    fn forget(&mut self) {
        let first = self.next.min(self.places(0).first).min(self.places(HOP).first);
        let old = first.saturating_sub(self.dropped).min(self.kept.len());
        self.kept.drain(..old);
        self.dropped += old;
    }
}

impl Places {
    /// Leaves out the places after `limit`; at least that one stays.
    fn up_to(self, limit: usize) -> Self {
        Self { first: self.first.min(limit), last: self.last.min(limit), wanted: self.wanted.min(limit) }
    }

    /// The place with the highest score, in steps from the first; of equal ones, the nearest to the wanted, then the first.
    fn best(self, step: usize, score: impl Fn(usize) -> f32) -> usize {
        let mut best = (self.first, f32::NEG_INFINITY);
        for place in (self.first..=self.last).step_by(step) {
            let found = score(place);
            let nearer = place.abs_diff(self.wanted) < best.0.abs_diff(self.wanted);
            if found > best.1 || (found == best.1 && nearer) {
                best = (place, found);
            }
        }
        best.0
    }
}

/// Averages of each [`THIN`] samples.
fn thin(samples: &[f32]) -> Vec<f32> {
    samples.chunks_exact(THIN).map(|part| part.iter().sum::<f32>() / THIN as f32).collect()
}

/// Normalised cross-correlation of `a` and the start of `b`, -1 to 1; 0 if either is silent.
fn similarity(a: &[f32], b: &[f32]) -> f32 {
    let len = a.len().min(b.len());
    let (a, b) = (a.get(..len).unwrap_or_default(), b.get(..len).unwrap_or_default());
    let (mut ab, mut aa, mut bb) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for (x, y) in a.chunks(LANES).zip(b.chunks(LANES)) {
        let sums = ab.iter_mut().zip(&mut aa).zip(&mut bb);
        for ((x, y), ((ab, aa), bb)) in x.iter().zip(y).zip(sums) {
            *ab += x * y;
            *aa += x * x;
            *bb += y * y;
        }
    }
    let sum = |lanes: [f32; LANES]| lanes.iter().sum::<f32>();
    let norm = sum(aa).sqrt() * sum(bb).sqrt();
    if norm > 0.0 { sum(ab) / norm } else { 0.0 }
}

/// Weights that rise over `len` samples as the first half of a Hann window: sin² of 0 to a quarter turn.
///
/// The weights and their mirror image add up to 1, so a fade never exceeds the louder of its two sides.
fn fade_weights(len: usize) -> Vec<f32> {
    let weight = |i| sine(i as f64 / len as f64 * FRAC_PI_2).powi(2) as f32;
    (0..len).map(weight).collect()
}

/// Sine of an angle of a quarter turn at most, by its series: the system's sine differs between platforms.
fn sine(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for k in 1..SINE_TERMS {
        term *= -x * x / f64::from(2 * k * (2 * k + 1));
        sum += term;
    }
    sum
}
