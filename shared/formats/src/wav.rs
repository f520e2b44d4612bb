//! WAV encoder of speech.
//!
//! A LIST/INFO chunk, which any player shows, names the program and says that the speech was
//! generated.

use csm_shared::audio::format_chunk;
use csm_shared::job::AudioFormat;

use super::{EncodeError, metadata, pcm};
/// Texts of the LIST/INFO chunk: the program, and a comment.
const INFO: [(&[u8; 4], &str); 2] = [(b"ISFT", metadata::PROGRAM), (b"ICMT", metadata::NOTE)];
/// Bytes of a chunk's head: name and length.
const CHUNK_HEAD: usize = 8;

/// Encodes a complete WAV file: RIFF, PCM, 24 kHz, mono, 16 bit.
pub(super) fn encode(samples: &[i16]) -> Vec<u8> {
    let mut wav = Vec::with_capacity(encoded_len(samples.len()));
    push_head(&mut wav, b"RIFF", encoded_len(samples.len()) - CHUNK_HEAD);
    wav.extend_from_slice(b"WAVE");
    wav.extend_from_slice(&format_chunk());
    wav.extend_from_slice(&info_chunk());
    push_head(&mut wav, b"data", samples.len() * 2);
    wav.append(&mut pcm(samples));
    wav
}

/// Returns the length in bytes of a file of `samples` samples.
#[must_use]
pub fn encoded_len(samples: usize) -> usize {
    CHUNK_HEAD + b"WAVE".len() + format_chunk().len() + info_chunk().len() + CHUNK_HEAD + samples * 2
}

/// Returns the LIST/INFO chunk, of even length, its head included.
fn info_chunk() -> Vec<u8> {
    let mut entries = b"INFO".to_vec();
    for (name, text) in INFO {
        push_head(&mut entries, name, text.len() + 1); // the text ends in a zero
        entries.extend_from_slice(text.as_bytes());
        entries.push(0);
        entries.resize(entries.len().next_multiple_of(2), 0);
    }
    let mut chunk = Vec::with_capacity(CHUNK_HEAD + entries.len());
    push_head(&mut chunk, b"LIST", entries.len());
    chunk.append(&mut entries);
    chunk
}

/// Appends the name and length of a chunk. A length over 4 GiB (a day of speech) does not fit and
/// becomes the greatest value.
fn push_head(bytes: &mut Vec<u8>, name: &[u8; 4], length: usize) {
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// Returns the head of a stream at `rate` samples a second, whose length is not known: both sizes
/// are the greatest number, and the samples end with the stream. There is nothing else in the head,
/// because some readers expect the samples at byte 44.
pub(super) fn stream_head(rate: u32) -> Result<Vec<u8>, EncodeError> {
    let mut format = format_chunk();
    let bytes_per_second = rate.checked_mul(2).ok_or_else(|| EncodeError::new(AudioFormat::Wav, "sample rate"))?;
    format[12..16].copy_from_slice(&rate.to_le_bytes());
    format[16..20].copy_from_slice(&bytes_per_second.to_le_bytes());
    let mut head = Vec::new();
    push_head(&mut head, b"RIFF", usize::MAX);
    head.extend_from_slice(b"WAVE");
    head.extend_from_slice(&format);
    push_head(&mut head, b"data", usize::MAX);
    Ok(head)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_shared::audio::Clip;

    use super::*;

    fn speech(samples: usize) -> Vec<i16> {
        (0..samples).map(|n| ((n as f32 * 0.3).sin() * 16_000.0) as i16).collect()
    }

    #[test]
    fn hound_and_clip_read_back_what_was_written() {
        for samples in [0, 1, 481, 1_920] {
            let speech = speech(samples);
            let wav = encode(&speech);
            assert_eq!(wav.len(), encoded_len(samples));
            let mut reader = hound::WavReader::new(wav.as_slice()).unwrap();
            let spec = hound::WavSpec {
                channels: 1,
                sample_rate: 24_000,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            };
            assert_eq!(reader.spec(), spec);
            assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), speech);
            if samples > 0 {
                assert_eq!(Clip::from_wav(&wav).unwrap().samples(), speech);
            }
        }
    }

    #[test]
    fn the_chunks_fill_the_file_exactly() {
        let wav = encode(&speech(481));
        let length = |at: usize| u32::from_le_bytes(wav[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(length(4) + 8, wav.len());
        let mut names = Vec::new();
        let mut at = 12;
        while at < wav.len() {
            names.push(&wav[at..at + 4]);
            assert_eq!(length(at + 4) % 2, 0);
            at += 8 + length(at + 4);
        }
        assert_eq!(at, wav.len());
        assert_eq!(names, [b"fmt ", b"LIST", b"data"]);
    }

    #[test]
    fn the_file_says_that_it_was_generated() {
        let wav = encode(&speech(10));
        let holds = |text: &[u8]| wav.windows(text.len()).any(|window| window == text);
        assert!(holds(b"INFOISFT\x0a\0\0\0csm-fleet\0ICMT"));
        assert!(holds(b"AI-generated speech"));
    }

    #[test]
    fn a_stream_has_a_head_of_44_bytes_without_sizes() {
        let head = stream_head(8_000).unwrap();
        assert_eq!(head.len(), 44);
        assert_eq!((&head[4..8], &head[40..44]), (&[0xff; 4][..], &[0xff; 4][..]));
        assert_eq!((&head[24..28], &head[28..32]), (&8_000u32.to_le_bytes()[..], &16_000u32.to_le_bytes()[..]));
    }
}
