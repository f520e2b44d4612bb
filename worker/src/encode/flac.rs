//! FLAC encoder of speech: lossless, 24 kHz, mono, 16 bit, about half the bytes.

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::AudioFormat;
use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr as _, MetadataBlockData};
use flacenc::error::Verify as _;
use flacenc::source::MemSource;

use super::{EncodeError, metadata};
use crate::marks::Marked;

/// Type of the metadata block that holds a Vorbis comment.
const VORBIS_COMMENT: u8 = 4;
/// Vendor string of the comment: the encoder.
const VENDOR: &str = "flacenc";

/// Encodes a complete FLAC stream, with a Vorbis comment and the MD5 of its samples.
pub(super) fn encode(speech: &Marked) -> Result<Vec<u8>, EncodeError> {
    let config = flacenc::config::Encoder::default().into_verified().map_err(|(_, error)| failed(error))?;
    let samples: Vec<i32> = speech.samples().iter().copied().map(i32::from).collect();
    let source = MemSource::from_samples(&samples, 1, 16, SAMPLE_RATE as usize);
    let mut stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size).map_err(failed)?;
    let info = stream.stream_info_mut();
    // The encoder counts the last block, which is shorter; RFC 9639 does not. Readers would take
    // the stream for one of varying block sizes.
    info.set_block_sizes(config.block_size, config.block_size).map_err(failed)?;
    if samples.is_empty() {
        // Zero stands for unknown. The encoder would leave the initial values of its search.
        info.set_frame_sizes(0, 0).map_err(failed)?;
    }
    let comment = metadata::vorbis_comment(VENDOR);
    stream.add_metadata_block(MetadataBlockData::new_unknown(VORBIS_COMMENT, &comment).map_err(failed)?);
    let mut file = ByteSink::new();
    stream.write(&mut file).map_err(failed)?;
    Ok(file.into_inner())
}

fn failed(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::Encoder { format: AudioFormat::Flac, why: error.to_string() }
}
