//! MP3 encoder of speech: LAME, mono, constant bit rate (MPEG-2 Layer III up to 24 kHz, MPEG-1 above).
//!
//! The bytes are frames and nothing else: no ID3 tag, no Xing or Info frame, and no bit reservoir.
//! Each frame is decoded without the frames before it, so bodies that a client joins decode to the
//! sum of their samples. MP3 has no place for a length: a decoder gives whole frames, with the
//! encoder's delay of [`DELAY`] samples before the speech and padding behind it.

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::AudioFormat;
use mp3lame_encoder::{Bitrate, Builder, Encoder, FlushGap, MonoPcm, Quality, max_required_buffer_size};

use super::EncodeError;

/// Bit rate, in bits a second. The mark is detected at 64,000 as well as at 128,000:
/// docs/benchmarks.
pub const BITRATE: u32 = 96_000;
/// Rates of MP3, in samples a second.
pub const RATES: [u32; 4] = [22_050, 24_000, 44_100, 48_000];
/// Samples of one frame at 24 kHz and below; above it a frame has twice as many.
pub const FRAME_SAMPLES: usize = 576;
/// Samples of silence that LAME puts before the speech. Decoders that know no tag add 529 of their
/// own, as ISO 11172-3 filter banks do.
pub const DELAY: usize = 576;

/// Stream of MP3 frames.
pub(super) struct Mp3Stream(Encoder);

impl Mp3Stream {
    /// Creates a stream at one of [`RATES`], whose samples come at that rate.
    pub(super) fn new(rate: u32) -> Result<Self, EncodeError> {
        if !RATES.contains(&rate) {
            return Err(failed(format!("{rate} samples a second")));
        }
        let mut builder = Builder::new().ok_or_else(|| failed("no memory"))?;
        builder.set_num_channels(1).map_err(failed)?;
        builder.set_sample_rate(rate).map_err(failed)?;
        builder.set_output_sample_rate(rate.try_into().ok()).map_err(failed)?;
        builder.set_brate(Bitrate::Kbps96).map_err(failed)?;
        builder.set_quality(Quality::Good).map_err(failed)?;
        builder.set_to_write_vbr_tag(false).map_err(failed)?;
        disable_reservoir(&mut builder)?;
        Ok(Self(builder.build().map_err(failed)?))
    }

    /// Encodes samples; returns the frames that are complete.
    pub(super) fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, EncodeError> {
        let mut frames = Vec::with_capacity(max_required_buffer_size(samples.len()));
        if !samples.is_empty() {
            self.0.encode_to_vec(MonoPcm(samples), &mut frames).map_err(failed)?;
        }
        Ok(frames)
    }

    /// Returns the last frames, padded with silence.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        let mut frames = Vec::with_capacity(max_required_buffer_size(0));
        self.0.flush_to_vec::<FlushGap>(&mut frames).map_err(failed)?;
        Ok(frames)
    }
}

/// Turns the bit reservoir off, for which the builder has no method.
#[expect(unsafe_code, reason = "LAME's setter takes the pointer that the builder owns")]
fn disable_reservoir(builder: &mut Builder) -> Result<(), EncodeError> {
    // SAFETY: the builder owns a valid LAME object, and the setter neither keeps nor frees it.
    let code = unsafe { mp3lame_encoder::ffi::lame_set_disable_reservoir(builder.as_ptr(), 1) };
    if code == 0 { Ok(()) } else { Err(failed(format!("lame_set_disable_reservoir: {code}"))) }
}

/// Encodes a complete file.
pub(super) fn encode(samples: &[i16]) -> Result<Vec<u8>, EncodeError> {
    let mut stream = Mp3Stream::new(SAMPLE_RATE)?;
    let mut file = stream.push(samples)?;
    file.append(&mut stream.finish()?);
    Ok(file)
}

fn failed(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::new(AudioFormat::Mp3, error)
}
