//! Reasons why a byte string is no [`Clip`](super::Clip).

use super::FORMATS;

/// Reason why a byte string is no [`Clip`](super::Clip). Each text is meant for the caller that sent
/// the bytes: it names the format found, and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    /// Bytes that begin like no format that is known by name.
    #[error("the format of the audio is unknown; send {FORMATS}, or convert it to WAV, e.g. `ffmpeg -i in out.wav`")]
    UnknownFormat,
    /// Audio or video in a format that is not read.
    #[error("the audio is {name}: convert it to WAV, e.g. `ffmpeg -i in.{extension} out.wav`")]
    Foreign {
        /// Name of the format.
        name: &'static str,
        /// Usual extension of its files.
        extension: &'static str,
    },
    /// A file that holds no sound.
    #[error("the file is {name}, not audio: send {FORMATS}")]
    NoAudio {
        /// Kind of the file.
        name: &'static str,
    },
    /// Bytes without the structure of a RIFF WAVE file.
    #[error("the audio is not a WAV file: {0}; save it as WAV again, e.g. `ffmpeg -i in out.wav`")]
    NotWav(&'static str),
    /// A coding, sample rate or channel count that is not supported.
    #[error(
        "the {format} file cannot be read: {reason}; convert it to WAV, e.g. `ffmpeg -i in -ac 1 -ar 24000 out.wav`"
    )]
    Unsupported {
        /// Name of the format.
        format: &'static str,
        /// Part that is not supported.
        reason: String,
    },
    /// A file of a known format that its decoder refuses.
    #[error("the {format} file is damaged: {reason}; record or export it again")]
    Broken {
        /// Name of the format.
        format: &'static str,
        /// The decoder's reason.
        reason: String,
    },
    /// A file without a single sample.
    #[error("the audio holds no samples; record or export it again")]
    Empty,
    /// Raw samples that end in the middle of a sample.
    #[error("the samples have {bytes} bytes, which is no whole number of 16-bit samples")]
    HalfSample {
        /// Bytes of the samples.
        bytes: usize,
    },
    /// A file larger than [`MAX_SOURCE_BYTES`](super::MAX_SOURCE_BYTES).
    #[error("the audio has {bytes} bytes, more than the limit of {}", super::MAX_SOURCE_BYTES)]
    TooLarge {
        /// Bytes of the file.
        bytes: usize,
    },
    /// A recording longer than [`MAX_SOURCE_SECONDS`](super::MAX_SOURCE_SECONDS), with more frames
    /// than [`MAX_SOURCE_FRAMES`](super::MAX_SOURCE_FRAMES), or longer than its reader may use.
    #[error("the recording lasts longer than the limit of {seconds} s at its sample rate")]
    TooLong {
        /// The limit at the recording's sample rate, in seconds.
        seconds: u32,
    },
}

impl ClipError {
    /// Returns true if a smaller or shorter file might be accepted.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::TooLong { .. })
    }
}
