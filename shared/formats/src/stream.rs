//! Encoder of a stream in any format.

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::AudioFormat;

use super::flac::FlacStream;
use super::mp3::Mp3Stream;
use super::opus::OpusStream;
use super::resample::Resampler;
use super::{EncodeError, pcm, wav};

/// Encoder of one stream. Each call returns the bytes that are complete, so nothing waits for a
/// buffer to fill: at most 20 ms of FLAC and Opus, one frame of MP3, and 40 ms of resampling are
/// held back.
///
/// The bytes do not depend on how the samples were split over the calls.
pub struct StreamEncoder {
    coding: Coding,
    /// Head that goes out with the first bytes.
    head: Vec<u8>,
}

enum Coding {
    Pcm(Box<Resampler>),
    Flac(Box<FlacStream>),
    Opus(Box<OpusStream>),
    Mp3(Box<Resampler>, Mp3Stream),
}

impl StreamEncoder {
    /// Creates the encoder of a stream at 24 kHz. `serial` tells chained Opus streams apart.
    ///
    /// # Errors
    /// [`EncodeError`]: the encoder of the format failed.
    pub fn new(format: AudioFormat, serial: u32) -> Result<Self, EncodeError> {
        let (coding, head) = match format {
            AudioFormat::Pcm | AudioFormat::Wav | AudioFormat::Mp3 => return Self::at_rate(format, SAMPLE_RATE),
            AudioFormat::Flac => {
                let stream = FlacStream::new()?;
                let head = stream.head()?;
                (Coding::Flac(Box::new(stream)), head)
            }
            AudioFormat::Opus => {
                let mut stream = OpusStream::new(serial)?;
                let head = stream.head()?;
                (Coding::Opus(Box::new(stream)), head)
            }
        };
        Ok(Self { coding, head })
    }

    /// Creates the encoder of bare samples or WAV at one of [`SAMPLE_RATES`](super::SAMPLE_RATES), or
    /// of MP3 at one of [`MP3_RATES`](super::MP3_RATES).
    ///
    /// # Errors
    /// [`EncodeError`]: another format or rate.
    pub fn at_rate(format: AudioFormat, rate: u32) -> Result<Self, EncodeError> {
        let resampler = Box::new(Resampler::new(rate)?);
        let (coding, head) = match format {
            AudioFormat::Pcm => (Coding::Pcm(resampler), Vec::new()),
            AudioFormat::Wav => (Coding::Pcm(resampler), wav::stream_head(rate)?),
            AudioFormat::Mp3 => (Coding::Mp3(resampler, Mp3Stream::new(rate)?), Vec::new()),
            other => return Err(EncodeError::new(other, format!("{rate} samples a second"))),
        };
        Ok(Self { coding, head })
    }

    /// Encodes samples.
    ///
    /// # Errors
    /// [`EncodeError`]: the encoder failed; the stream cannot go on.
    pub fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, EncodeError> {
        let coded = match &mut self.coding {
            Coding::Pcm(resampler) => pcm(&resampler.push(samples)?),
            Coding::Flac(stream) => stream.push(samples)?,
            Coding::Opus(stream) => stream.push(samples)?,
            Coding::Mp3(resampler, stream) => stream.push(&resampler.push(samples)?)?,
        };
        Ok(behind(&mut self.head, coded))
    }

    /// Returns the end of the stream.
    ///
    /// # Errors
    /// [`EncodeError`]: the encoder failed; the stream must not look complete.
    pub fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        let coded = match self.coding {
            Coding::Pcm(resampler) => pcm(&resampler.finish()?),
            Coding::Flac(stream) => stream.finish()?,
            Coding::Opus(stream) => stream.finish()?,
            Coding::Mp3(resampler, mut stream) => {
                let mut frames = stream.push(&resampler.finish()?)?;
                frames.append(&mut stream.finish()?);
                frames
            }
        };
        Ok(behind(&mut self.head, coded))
    }
}

/// Returns `coded` behind the head, which goes out once.
fn behind(head: &mut Vec<u8>, mut coded: Vec<u8>) -> Vec<u8> {
    if head.is_empty() {
        return coded;
    }
    let mut bytes = std::mem::take(head);
    bytes.append(&mut coded);
    bytes
}

#[cfg(test)]
mod tests;
