//! Corpus of the benchmark: speech of espeak-ng and of the toy voice. Every run makes it anew from
//! seeds.

mod espeak;
mod text;
mod toy_voice;

use csm_shared::audio::SAMPLE_RATE;

pub(crate) use espeak::Espeak;
pub(crate) use toy_voice::ToyVoice;

/// Lengths of the clips, in seconds.
pub(crate) const LENGTHS: [f32; 4] = [1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CorpusSource {
    /// espeak-ng: speech by formants, clean pauses.
    Espeak,
    /// The toy voice through the engine: speech of a small CSM, its band up to 8 kHz.
    ToyVoice,
}

impl CorpusSource {
    pub(crate) const ALL: [Self; 2] = [Self::Espeak, Self::ToyVoice];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Espeak => "espeak-ng",
            Self::ToyVoice => "toy voice",
        }
    }
}

/// Unmarked audio of a source, [`LENGTHS`]`[length]` seconds of it.
#[derive(Clone, Debug)]
pub(crate) struct Unmarked {
    pub(crate) source: CorpusSource,
    pub(crate) length: usize,
    /// Samples at 24 kHz, full scale 1.
    pub(crate) pcm: Vec<f32>,
}

pub(crate) fn samples_of(seconds: f32) -> usize {
    (seconds * SAMPLE_RATE as f32) as usize
}

/// Counts the samples of one clip of every length together.
pub(crate) fn samples_of_all() -> usize {
    LENGTHS.iter().map(|&seconds| samples_of(seconds)).sum()
}

/// Cuts an utterance into clips, one of each length, as far as it reaches. The longest come first.
fn cut(source: CorpusSource, utterance: &[f32]) -> Vec<Unmarked> {
    let (mut rest, mut clips) = (utterance, Vec::with_capacity(LENGTHS.len()));
    for (length, &seconds) in LENGTHS.iter().enumerate().rev() {
        let Some((pcm, later)) = rest.split_at_checked(samples_of(seconds)) else { continue };
        clips.push(Unmarked { source, length, pcm: pcm.to_vec() });
        rest = later;
    }
    clips
}
