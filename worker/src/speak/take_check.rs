//! Check of a take: of one try to speak a sentence.
//!
//! CSM sometimes drops words, stops in the middle of one, falls silent or repeats itself. The figures of
//! a take show most of this. A take with a fault is given up, and the sentence is spoken again with
//! other draws.

use clap::Args;
use csm_shared::audio::{FRAME_SAMPLES, Frame, SAMPLE_RATE};
use csm_shared::job::{FinishReason, TakeFault};

use super::join::{BLOCK_SAMPLES, is_silent};

/// Most takes of a sentence, the first included.
pub(super) const TAKES_MAX: u8 = 4;
/// Time that a text may be too short by, in seconds: single words are said quickly.
const SHORT_TEXT_S: f32 = 0.4;
/// Frames from which on repetitions are counted.
const REPETITION_FRAMES_MIN: usize = 10;
/// Samples at the end that are compared with the speech before them: 20 ms.
const END_SAMPLES: usize = 2 * BLOCK_SAMPLES;
/// Level from which on a sample is at full scale.
const FULL_SCALE: f32 = 0.999;

/// Limits of the check.
#[derive(Args, Clone, Copy, Debug, PartialEq)]
pub struct TakeLimits {
    /// Further takes of a sentence whose audio has a fault, 0 to 3
    #[arg(long, env = "CSM_RETAKES", default_value_t = Self::default().retakes, value_name = "N", value_parser = clap::value_parser!(u8).range(0..i64::from(TAKES_MAX)))]
    pub retakes: u8,
    /// Letters and digits that a second of speech has at most
    #[arg(long, env = "CSM_TAKE_LETTERS_PER_SECOND", default_value_t = Self::default().take_letters_per_second, value_name = "N", value_parser = positive)]
    pub take_letters_per_second: f32,
    /// Share of a take that may be silence, 0 to 1
    #[arg(long, env = "CSM_TAKE_SILENCE", default_value_t = Self::default().take_silence, value_name = "SHARE", value_parser = share)]
    pub take_silence: f32,
    /// Share of frames that may repeat the frame before them, 0 to 1
    #[arg(long, env = "CSM_TAKE_REPETITION", default_value_t = Self::default().take_repetition, value_name = "SHARE", value_parser = share)]
    pub take_repetition: f32,
    /// Level of the last 20 ms, as a multiple of the level of the speech
    #[arg(long, env = "CSM_TAKE_END_LEVEL", default_value_t = Self::default().take_end_level, value_name = "LEVEL", value_parser = positive)]
    pub take_end_level: f32,
    /// Share of samples that may be at full scale, 0 to 1
    #[arg(long, env = "CSM_TAKE_CLIPPING", default_value_t = Self::default().take_clipping, value_name = "SHARE", value_parser = share)]
    pub take_clipping: f32,
}

impl Default for TakeLimits {
    fn default() -> Self {
        Self {
            retakes: 2,
            take_letters_per_second: 30.0,
            take_silence: 0.8,
            take_repetition: 0.5,
            take_end_level: 1.0,
            take_clipping: 0.01,
        }
    }
}

fn positive(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number: &f32| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0 is needed".to_owned())
}

fn share(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "a number from 0 to 1 is needed".to_owned())
}

/// A finished take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Take<'a> {
    /// Text that was to be spoken.
    pub(super) text: &'a str,
    /// Codes of the frames.
    pub(super) codes: &'a [Frame],
    /// Samples of the frames, 24 kHz, full scale 1.
    pub(super) pcm: &'a [f32],
    /// Reason why the take ended.
    pub(super) finish: FinishReason,
}

/// Check of the takes of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TakeCheck {
    /// Nothing but emptiness is a fault: random weights make noise.
    Emptiness,
    /// All limits apply.
    Limits(TakeLimits),
}

impl TakeCheck {
    /// Returns the first fault of a take.
    pub(super) fn fault(&self, take: Take<'_>) -> Option<TakeFault> {
        if take.codes.is_empty() {
            return Some(TakeFault::Empty);
        }
        let Self::Limits(limits) = self else { return None };
        let faults = [
            (TakeFault::Runaway, take.finish == FinishReason::Runaway),
            (TakeFault::TooShort, take.is_too_short(limits.take_letters_per_second)),
            (TakeFault::Silent, take.silence() > limits.take_silence),
            (TakeFault::Repeated, take.repetition() > limits.take_repetition),
            (TakeFault::LoudEnd, take.end_level() > limits.take_end_level),
            (TakeFault::Clipped, take.clipping() > limits.take_clipping),
        ];
        faults.into_iter().find(|(_, found)| *found).map(|(fault, _)| fault)
    }

    /// Returns the number of takes that a sentence may have if its takes have this fault.
    pub(super) const fn takes_max(&self, fault: TakeFault) -> u8 {
        match self {
            Self::Limits(limits) if !matches!(fault, TakeFault::Empty) => limits.retakes + 1,
            _ => TAKES_MAX,
        }
    }
}

impl Take<'_> {
    /// Returns whether the whole text cannot have been said in the time. A take that was cut off by its
    /// budget is short by request.
    fn is_too_short(&self, letters_per_second: f32) -> bool {
        let letters = self.text.chars().filter(|char| char.is_alphanumeric()).count();
        let seconds = (self.codes.len() * FRAME_SAMPLES) as f32 / SAMPLE_RATE as f32;
        self.finish == FinishReason::Eos && letters as f32 / letters_per_second > seconds + SHORT_TEXT_S
    }

    /// Returns the share of silence.
    fn silence(&self) -> f32 {
        let blocks = self.pcm.chunks(BLOCK_SAMPLES);
        let silent = blocks.clone().filter(|block| is_silent(block)).count();
        silent as f32 / blocks.len().max(1) as f32
    }

    /// Returns the share of frames that are equal to the frame before them.
    fn repetition(&self) -> f32 {
        if self.codes.len() < REPETITION_FRAMES_MIN {
            return 0.0;
        }
        let repeated = self.codes.windows(2).filter(|pair| pair[0] == pair[1]).count();
        repeated as f32 / self.codes.len() as f32
    }

    /// Returns the level of the end as a multiple of that of the speech; 0 for a take that did not end
    /// by itself.
    fn end_level(&self) -> f32 {
        if self.finish != FinishReason::Eos {
            return 0.0;
        }
        let sound: Vec<&[f32]> = self.pcm.chunks(BLOCK_SAMPLES).filter(|block| !is_silent(block)).collect();
        let (power, samples) =
            sound.iter().fold((0.0, 0), |(power, samples), block| (power + energy(block), samples + block.len()));
        if samples == 0 {
            return 0.0;
        }
        let end = &self.pcm[self.pcm.len().saturating_sub(END_SAMPLES)..];
        ((energy(end) / end.len() as f32) / (power / samples as f32)).sqrt()
    }

    /// Returns the share of samples at full scale.
    fn clipping(&self) -> f32 {
        let clipped = self.pcm.iter().filter(|sample| sample.abs() >= FULL_SCALE).count();
        clipped as f32 / self.pcm.len().max(1) as f32
    }
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text of 26 letters, which take 0.9 s at least.
    const TEXT: &str = "The quick brown fox ran to its den.";

    fn codes(frames: u32) -> Vec<Frame> {
        (0..frames).map(|frame| [frame; 32]).collect()
    }

    /// A voice that fades out over its last 50 ms.
    fn voice(frames: usize) -> Vec<f32> {
        let samples = frames * FRAME_SAMPLES;
        let fade = |n: usize| ((samples - n) as f32 / 1_200.0).min(1.0);
        (0..samples).map(|n| 0.3 * (n as f32 * 0.1).sin() * fade(n)).collect()
    }

    fn fault(codes: &[Frame], pcm: &[f32], finish: FinishReason) -> Option<TakeFault> {
        TakeCheck::Limits(TakeLimits::default()).fault(Take { text: TEXT, codes, pcm, finish })
    }

    #[test]
    fn good_speech_has_no_fault() {
        assert_eq!(fault(&codes(30), &voice(30), FinishReason::Eos), None);
        assert_eq!(fault(&codes(3), &voice(3), FinishReason::Length), None, "short by request");
        let cut = &voice(40)[..30 * FRAME_SAMPLES];
        assert_eq!(fault(&codes(30), cut, FinishReason::Length), None, "cut off by request");
    }

    #[test]
    fn each_fault_is_found() {
        let eos = FinishReason::Eos;
        assert_eq!(fault(&[], &[], eos), Some(TakeFault::Empty));
        assert_eq!(fault(&codes(30), &voice(30), FinishReason::Runaway), Some(TakeFault::Runaway));
        assert_eq!(fault(&codes(5), &voice(5), eos), Some(TakeFault::TooShort));
        let silent = [voice(5), vec![0.001; 25 * FRAME_SAMPLES]].concat();
        assert_eq!(fault(&codes(30), &silent, eos), Some(TakeFault::Silent));
        let stuck: Vec<Frame> = codes(30).into_iter().map(|frame| [frame[0] / 3; 32]).collect();
        assert_eq!(fault(&stuck, &voice(30), eos), Some(TakeFault::Repeated));
        let loudest = |n: usize| if n < 30 * FRAME_SAMPLES - 1_200 { 0.1 } else { 0.3 };
        let cut: Vec<f32> = (0..30 * FRAME_SAMPLES).map(|n| loudest(n) * (n as f32 * 0.1).sin()).collect();
        assert_eq!(fault(&codes(30), &cut, eos), Some(TakeFault::LoudEnd));
        let clipped: Vec<f32> = voice(30).into_iter().map(|sample| (sample * 4.0).clamp(-1.0, 1.0)).collect();
        assert_eq!(fault(&codes(30), &clipped, eos), Some(TakeFault::Clipped));
        let noise = TakeCheck::Emptiness.fault(Take { text: TEXT, codes: &stuck, pcm: &silent, finish: eos });
        assert_eq!(noise, None, "random weights make noise");
    }

    #[test]
    fn an_empty_take_is_always_tried_again_and_others_as_the_limit_says() {
        let none = TakeCheck::Limits(TakeLimits { retakes: 0, ..TakeLimits::default() });
        assert_eq!([none.takes_max(TakeFault::Empty), none.takes_max(TakeFault::Silent)], [4, 1]);
        assert_eq!(TakeCheck::Limits(TakeLimits::default()).takes_max(TakeFault::Runaway), 3);
    }
}
