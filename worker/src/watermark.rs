//! The builtin watermark: every sample that leaves a worker has gone through here, or it does not leave.
//!
//! Speech is marked as it streams out of the codec, 425 to 4800 Hz, by a keyed pattern of level changes of 1.5 dB
//! ([`MarkStream`]). The holder of the key finds it again in the delivered audio or in a piece of it ([`Detector`]). The
//! encoder ([`crate::wav`]) takes [`Marked`] alone, and only this module makes one.
//!
//! # What was measured
//! Marked clips found, and their least score `z`; found means `z > 6`. Recordings: 24 sentences spoken by espeak-ng in
//! four voices, cut up. Voice: the synthetic voice of the tests (which repeat the first half of these clips), a fifth of
//! it pauses, cut 137 ms in.
//!
//! | clips | 1 s | 2 s | 2.5 s | 5 s |
//! |---|---|---|---|---|
//! | recordings, 16 bit | 122 of 123, 5.9 | 56 of 56, 11.4 | 43 of 43, 12.7 | 19 of 19, 16.0 |
//! | voice, also 12 or 30 dB softer, upside down, 16 kHz and back | | 24 of 24, 8.0 | 24 of 24, 9.9 | |
//! | voice, 8 kHz and back / noise 30 dB below | | | 24 of 24, 7.8 / 6.4 | |
//! | the tiny model's codec, any codes or one frame over and over | | 9.4 | | |
//! | hiss at -40, -70, -80 dBFS | | 11.2, 11.1, 10.6 | | |
//! | hiss at 1, 0.5, 0.3 steps of 16 bit | | | | 13.4, 10.9, 7.5 |
//!
//! The null, unmarked clips and marked ones under other keys: 96,400 scores on the recordings, mean 2.4, greatest 4.95;
//! 14,400 on voice, hiss, bursts, loops and tones, greatest 4.7. With 200 more keys on the recordings and ten damaged
//! copies of each, and on noises: 190,600 scores, greatest 5.43, eleven of them in the grey band from 5 to 6.
//!
//! # What it cannot do
//! * Silence has nothing to mark and passes as it is; a single steady tone carries next to nothing.
//! * Rounding to 16 bit drowns the mark where audio is fainter than about -95 dBFS (half a step RMS).
//! * Below about 1 s a clip is too short for a sure answer: it is marked all the same, and the verdict says so.
//! * Changed speed or pitch, and neural codecs (our own included, when speech returns as context), are expected to
//!   remove it. Whoever holds the key can forge it.

mod detect;
mod embed;
mod key;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

pub use detect::{DETECTED_ABOVE, Detection, Detector, INCONCLUSIVE_ABOVE, MIN_FILLED_SECONDS, MIN_SECONDS, Verdict};
pub use embed::MarkStream;
pub use key::{DEVELOPMENT_SECRET, KeyId, MIN_SECRET_BYTES, WatermarkKey};

/// Samples of the self-test's clip: 3 s.
const SELF_TEST_SAMPLES: usize = 72_000;
/// Greatest value of the self-test's noise.
const SELF_TEST_PEAK: f32 = 0.1;

/// Why a watermark cannot be trusted. No text repeats a secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WatermarkError {
    /// The secret is too short.
    #[error("the watermark secret has {bytes} bytes, fewer than the {MIN_SECRET_BYTES} it needs")]
    WeakSecret {
        /// Bytes of the secret.
        bytes: usize,
    },
    /// The secret consists of hexadecimal digits, an odd number of them.
    #[error("the watermark secret is hexadecimal, but its last byte lacks a digit")]
    OddHex,
    /// The self-test did not find the mark in the clip that it had marked.
    #[error("the watermark's self-test marked a clip and did not find the mark (z = {z:.1})")]
    MarkLost {
        /// The detector's score.
        z: f32,
    },
    /// The self-test found the mark where there was none.
    #[error("the watermark's self-test found a mark in an unmarked clip (z = {z:.1})")]
    MarkInvented {
        /// The detector's score.
        z: f32,
    },
}

/// One deployment's mark, ready to be put on any number of utterances at once. Cloning shares its tables.
#[derive(Clone)]
pub struct Watermark {
    key: WatermarkKey,
    plan: Arc<embed::Plan>,
}

impl Watermark {
    /// The mark of `key`.
    #[must_use]
    pub fn new(key: &WatermarkKey) -> Self {
        Self { key: key.clone(), plan: Arc::new(embed::Plan::new(&key.chips())) }
    }

    /// The public name of the key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key.id()
    }

    /// Begins one utterance.
    #[must_use]
    pub fn stream(&self) -> MarkStream {
        MarkStream::new(Arc::clone(&self.plan))
    }

    /// A detector for this mark.
    #[must_use]
    pub fn detector(&self) -> Detector {
        Detector::new(&self.key)
    }

    /// Marks a fixed clip and looks for the mark in it, and in the clip as it was. To be called before the first
    /// utterance; a worker whose test fails must not speak.
    ///
    /// # Errors
    /// [`WatermarkError::MarkLost`], [`WatermarkError::MarkInvented`].
    pub fn self_test(&self) -> Result<(), WatermarkError> {
        let clip = self_test_clip();
        let mut stream = self.stream();
        let mut marked = stream.push(&clip);
        marked.append(stream.finish());
        let detector = self.detector();
        let with_mark = detector.detect(&marked.to_f32());
        if with_mark.verdict != Verdict::Detected {
            return Err(WatermarkError::MarkLost { z: with_mark.z });
        }
        let without_mark = detector.detect(&clip);
        if without_mark.verdict == Verdict::Detected {
            return Err(WatermarkError::MarkInvented { z: without_mark.z });
        }
        Ok(())
    }
}

impl fmt::Debug for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watermark({})", self.key_id())
    }
}

/// White noise, the same in every process.
fn self_test_clip() -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut uniform = || random.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0;
    (0..SELF_TEST_SAMPLES).map(|_| SELF_TEST_PEAK * uniform()).collect()
}

/// Audio that has gone through the mark: 24 kHz, mono, 16 bit. Only a [`MarkStream`] makes one that holds samples.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Marked {
    samples: Vec<i16>,
}

impl Marked {
    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// The samples as floats in [-1, 1), as a [`Detector`] takes them.
    #[must_use]
    pub fn to_f32(&self) -> Vec<f32> {
        self.samples.iter().map(|&sample| f32::from(sample) / 32_768.0).collect()
    }

    /// Puts `next` behind this. The pieces of one stream, in order, are the utterance.
    pub fn append(&mut self, mut next: Self) {
        self.samples.append(&mut next.samples);
    }
}

impl fmt::Debug for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Marked({} samples)", self.samples.len())
    }
}
