//! Decoder of WAV files: from bytes to mono float samples at the file's own rate.
//!
//! The chunks are located here, because real files pad odd chunks and leave the length of piped
//! audio open, and hound refuses both. After that, hound reads the format and the samples from
//! those two chunks alone.

use std::io::{Chain, Read};

use hound::{SampleFormat, WavReader};

use super::{ClipError, MAX_SOURCE_CHANNELS, MAX_SOURCE_RATE, MIN_SOURCE_RATE, SourceLimit};

/// Longest `fmt ` chunk that is read; bytes behind it say nothing about PCM.
const MAX_FORMAT_BYTES: usize = 40;
/// Data length in the header of piped audio, written before the real length was known.
const OPEN_LENGTH: usize = u32::MAX as usize;

/// Decoded audio, mixed to mono.
#[derive(Debug)]
pub(super) struct DecodedAudio {
    /// Samples, at least one and all finite; nominally in [-1, 1).
    pub(super) mono: Vec<f32>,
    /// Samples per second, from `MIN_SOURCE_RATE` to `MAX_SOURCE_RATE`.
    pub(super) sample_rate: u32,
}

/// Decodes a WAV file.
pub(super) fn wav(bytes: &[u8], limit: SourceLimit) -> Result<DecodedAudio, ClipError> {
    let chunks = find_chunks(bytes)?;
    let header = minimal_header(&chunks);
    let reader = WavReader::new(header.as_slice().chain(chunks.data)).map_err(|error| unreadable(&error))?;
    let spec = reader.spec();
    allowed(spec.sample_rate, usize::from(spec.channels))?;
    if u64::from(reader.duration()) > limit.frames(spec.sample_rate) {
        return Err(limit.too_long(spec.sample_rate));
    }
    Ok(DecodedAudio { mono: read_mono(reader)?, sample_rate: spec.sample_rate })
}

/// Refuses an unsupported sample rate or number of channels.
pub(super) fn allowed(rate: u32, channels: usize) -> Result<(), ClipError> {
    if !(MIN_SOURCE_RATE..=MAX_SOURCE_RATE).contains(&rate) {
        let reason = format!("a sample rate of {rate} Hz is outside {MIN_SOURCE_RATE} to {MAX_SOURCE_RATE}");
        return Err(ClipError::Unsupported(reason));
    }
    if !(1..=usize::from(MAX_SOURCE_CHANNELS)).contains(&channels) {
        return Err(ClipError::Unsupported(format!("{channels} channels are more than {MAX_SOURCE_CHANNELS}")));
    }
    Ok(())
}

/// The two chunks of a WAV file that are read.
struct Chunks<'a> {
    format: &'a [u8],
    data: &'a [u8],
}

/// Walks the RIFF chunks up to the audio data.
fn find_chunks(bytes: &[u8]) -> Result<Chunks<'_>, ClipError> {
    if bytes.len() < 12 || &bytes[..4] != b"RIFF" || &bytes[8..12] != b"WAVE" {
        return Err(ClipError::NotWav("it does not begin with RIFF and WAVE"));
    }
    let mut rest = &bytes[12..];
    let mut format = None;
    // Each pass consumes at least the eight bytes of a chunk's header.
    while let Some((head, body)) = rest.split_at_checked(8) {
        let promised = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let present = promised.min(body.len());
        match &head[..4] {
            b"fmt " => format = Some(&body[..present.min(MAX_FORMAT_BYTES)]),
            b"data" => {
                let format = format.ok_or(ClipError::NotWav("its audio comes before its format"))?;
                return Ok(Chunks { format, data: audio_of(body, promised, format)? });
            }
            _ => {}
        }
        rest = body.get(promised.saturating_add(promised % 2)..).unwrap_or(&[]);
    }
    Err(ClipError::NotWav("it has no data chunk"))
}

/// Returns the audio in the data chunk; `body` begins there and reaches to the end of the file.
fn audio_of<'a>(body: &'a [u8], promised: usize, format: &[u8]) -> Result<&'a [u8], ClipError> {
    let data = if promised == OPEN_LENGTH {
        let block = format.get(12..14).map_or(1, |align| usize::from(u16::from_le_bytes([align[0], align[1]])));
        &body[..body.len() - body.len() % block.max(1)]
    } else {
        body.get(..promised).ok_or(ClipError::Truncated { promised, present: body.len() })?
    };
    if data.is_empty() { Err(ClipError::Empty) } else { Ok(data) }
}

/// Builds a WAV header that holds nothing but the format, to be followed by the audio.
fn minimal_header(chunks: &Chunks<'_>) -> Vec<u8> {
    // Both lengths are below MAX_SOURCE_BYTES.
    let length = |chunk: &[u8]| (chunk.len() as u32).to_le_bytes();
    let mut header = Vec::with_capacity(28 + MAX_FORMAT_BYTES);
    header.extend_from_slice(b"RIFF\0\0\0\0WAVEfmt "); // hound ignores the total length
    header.extend_from_slice(&length(chunks.format));
    header.extend_from_slice(chunks.format);
    header.extend_from_slice(b"data");
    header.extend_from_slice(&length(chunks.data));
    header
}

/// Reads all samples as floats and averages the channels of each frame.
fn read_mono(reader: WavReader<Chain<&[u8], &[u8]>>) -> Result<Vec<f32>, ClipError> {
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    match spec.sample_format {
        SampleFormat::Float => mix(reader.into_samples::<f32>(), channels),
        SampleFormat::Int => {
            if !matches!(spec.bits_per_sample, 8 | 16 | 24 | 32) {
                return Err(ClipError::Unsupported(format!("{} bits per sample", spec.bits_per_sample)));
            }
            let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f32;
            mix(reader.into_samples::<i32>().map(|sample| sample.map(|value| value as f32 * scale)), channels)
        }
    }
}

fn mix(samples: impl ExactSizeIterator<Item = hound::Result<f32>>, channels: usize) -> Result<Vec<f32>, ClipError> {
    let share = 1.0 / channels as f32;
    let mut mono = Vec::with_capacity(samples.len() / channels);
    let mut sum = 0.0;
    for (index, sample) in samples.enumerate() {
        let value = sample.map_err(|error| unreadable(&error))?;
        if !value.is_finite() {
            return Err(ClipError::Unsupported(format!("sample {index} is not a finite number")));
        }
        sum += value * share;
        if index % channels == channels - 1 {
            mono.push(sum);
            sum = 0.0;
        }
    }
    Ok(mono)
}

/// Converts an error of hound to a [`ClipError`]. The file was complete, so the format is what
/// hound rejects.
fn unreadable(error: &hound::Error) -> ClipError {
    ClipError::Unsupported(match error {
        hound::Error::FormatError(reason) => (*reason).to_owned(),
        hound::Error::IoError(_) => "its format chunk is cut short".to_owned(),
        _ => "its coding is neither PCM of 8, 16, 24 or 32 bits nor 32-bit float".to_owned(),
    })
}
