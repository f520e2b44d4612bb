//! Live audio: the samples of a job, sent with its progress events while it runs.
//!
//! Every sample of the recording goes out once, in order, and each event says how many came before
//! it. The samples carry the builtin mark. If the finished file carries another mark on top, its
//! samples differ, but their number is the same.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use csm_shared::audio::FRAME_SAMPLES;

/// Bytes of a sample.
const SAMPLE_BYTES: usize = 2;

/// Consecutive samples of one job: 24 kHz, mono, 16 bit.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AudioChunkWire", into = "AudioChunkWire")]
pub struct AudioChunk {
    offset: u64,
    pcm: Vec<u8>,
}

impl AudioChunk {
    /// Most samples that one event carries: 480 ms, 30 KiB in base64.
    pub const SAMPLES_MAX: usize = 6 * FRAME_SAMPLES;
    /// Most characters of base64 that one event carries.
    pub const BASE64_MAX: usize = (Self::SAMPLES_MAX * SAMPLE_BYTES).div_ceil(3) * 4;

    /// Creates a chunk of the samples `pcm` (16 bit, lowest byte first) that follow `offset`
    /// samples of the job. Returns `None` if `pcm` holds half a sample, no sample, or more than
    /// [`Self::SAMPLES_MAX`].
    #[must_use]
    pub fn new(offset: u64, pcm: &[u8]) -> Option<Self> {
        let fits = !pcm.is_empty() && pcm.len() <= Self::SAMPLES_MAX * SAMPLE_BYTES;
        let whole = pcm.len().is_multiple_of(SAMPLE_BYTES);
        let ends = offset.checked_add((pcm.len() / SAMPLE_BYTES) as u64).is_some();
        (fits && whole && ends).then(|| Self { offset, pcm: pcm.to_vec() })
    }

    /// Returns the number of samples of the job before this chunk.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the number of samples in this chunk.
    #[must_use]
    pub const fn samples(&self) -> u32 {
        (self.pcm.len() / SAMPLE_BYTES) as u32
    }

    /// Returns the number of samples of the job up to the end of this chunk.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.samples() as u64
    }

    /// Returns the samples: 16 bit, lowest byte first.
    #[must_use]
    pub fn pcm(&self) -> &[u8] {
        &self.pcm
    }
}

impl fmt::Debug for AudioChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioChunk({} samples from {})", self.samples(), self.offset)
    }
}

/// An [`AudioChunk`] as it is written in an event.
#[derive(Serialize, Deserialize)]
struct AudioChunkWire {
    offset: u64,
    samples: u32,
    pcm: String,
}

impl From<AudioChunk> for AudioChunkWire {
    fn from(audio: AudioChunk) -> Self {
        Self { offset: audio.offset, samples: audio.samples(), pcm: BASE64.encode(&audio.pcm) }
    }
}

impl TryFrom<AudioChunkWire> for AudioChunk {
    type Error = String;

    fn try_from(wire: AudioChunkWire) -> Result<Self, String> {
        let AudioChunkWire { offset, samples, pcm } = wire;
        if pcm.len() > Self::BASE64_MAX {
            return Err(format!(
                "audio.pcm: {} characters are not allowed; the limit is {}",
                pcm.len(),
                Self::BASE64_MAX
            ));
        }
        let pcm = BASE64.decode(pcm).map_err(|error| format!("audio.pcm: {error}"))?;
        let audio = Self::new(offset, &pcm).filter(|audio| audio.samples() == samples);
        audio.ok_or_else(|| format!("audio: {samples} samples from {offset} do not go with {} bytes of pcm", pcm.len()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn audio_is_read_as_it_was_written() {
        let most: Vec<u8> = (0..AudioChunk::SAMPLES_MAX * 2).map(|n| (n % 251) as u8).collect();
        for pcm in [&most[..2], &most[..4_000], &most] {
            let audio = AudioChunk::new(77, pcm).unwrap();
            let wire = to_value(&audio).unwrap();
            assert_eq!((wire["offset"].as_u64(), wire["samples"].as_u64()), (Some(77), Some(pcm.len() as u64 / 2)));
            assert!(wire["pcm"].as_str().unwrap().len() <= AudioChunk::BASE64_MAX);
            assert_eq!(audio.end(), 77 + pcm.len() as u64 / 2);
            let back: AudioChunk = from_value(wire).unwrap();
            assert_eq!((back.pcm(), back.offset()), (pcm, 77));
        }
        assert_eq!(
            to_value(AudioChunk::new(1, &[1, 0]).unwrap()).unwrap(),
            json!({"offset": 1, "samples": 1, "pcm": "AQA="})
        );
    }

    #[test]
    fn half_a_sample_none_and_too_many_are_no_audio() {
        for bytes in [0, 1, 3, AudioChunk::SAMPLES_MAX * 2 + 2] {
            assert_eq!(AudioChunk::new(0, &vec![0; bytes]), None, "{bytes}");
        }
        assert_eq!(AudioChunk::new(u64::MAX, &[0, 0]), None, "no count of samples");
    }

    #[test]
    fn audio_that_is_not_what_it_says_is_refused() {
        let read = |value: Value| from_value::<AudioChunk>(value).map_err(|error| error.to_string());
        for (pcm, samples, why) in [
            ("AQA=", 2, "audio: 2 samples from 1 do not go with 2 bytes of pcm"),
            ("AQAB", 1, "audio: 1 samples from 1 do not go with 3 bytes of pcm"),
            ("", 0, "audio: 0 samples from 1 do not go with 0 bytes of pcm"),
            ("A?A=", 1, "audio.pcm: Invalid symbol 63, offset 1."),
        ] {
            assert_eq!(read(json!({"offset": 1, "samples": samples, "pcm": pcm})).unwrap_err(), why);
        }
        let long = read(json!({"offset": 1, "samples": 1, "pcm": "A".repeat(AudioChunk::BASE64_MAX + 4)})).unwrap_err();
        assert_eq!(long, "audio.pcm: 30724 characters are not allowed; the limit is 30720");
    }
}
