//! FLAC encoder of speech (RFC 9639): lossless, 24 kHz, mono, 16 bit, about half the bytes.

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::AudioFormat;
use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr as _, MetadataBlockData, Stream, StreamInfo};
use flacenc::config;
use flacenc::error::{Verified, Verify as _};
use flacenc::source::{Fill as _, FrameBuf, MemSource};

use super::{EncodeError, metadata};

/// Type of the metadata block that holds a Vorbis comment.
const VORBIS_COMMENT: u8 = 4;
/// Vendor string of the comment: the encoder.
const VENDOR: &str = "flacenc";
/// Samples of one block of a stream: 20 ms. A file has blocks of 4,096.
const STREAM_BLOCK: usize = 480;
/// Bits of a sample.
const BITS: usize = 16;

/// Encodes a complete FLAC stream, with a Vorbis comment and the MD5 of its samples.
pub(super) fn encode(samples: &[i16]) -> Result<Vec<u8>, EncodeError> {
    let config = settings()?;
    let samples: Vec<i32> = samples.iter().copied().map(i32::from).collect();
    let source = MemSource::from_samples(&samples, 1, BITS, SAMPLE_RATE as usize);
    let mut stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size).map_err(failed)?;
    let info = stream.stream_info_mut();
    // The encoder counts the last block, which is shorter; RFC 9639 does not. Readers would take
    // the stream for one of varying block sizes.
    info.set_block_sizes(config.block_size, config.block_size).map_err(failed)?;
    if samples.is_empty() {
        // Zero stands for unknown. The encoder would leave the initial values of its search.
        info.set_frame_sizes(0, 0).map_err(failed)?;
    }
    write_with_comment(stream)
}

/// Stream of FLAC blocks. Length and MD5 are unknown at its start, for which the format has zeros.
pub(super) struct FlacStream {
    config: Verified<config::Encoder>,
    info: StreamInfo,
    /// Number of blocks so far.
    blocks: usize,
    /// Samples of the block that is not full yet.
    rest: Vec<i32>,
}

impl FlacStream {
    pub(super) fn new() -> Result<Self, EncodeError> {
        let mut info = StreamInfo::new(SAMPLE_RATE as usize, 1, BITS).map_err(failed)?;
        info.set_block_sizes(STREAM_BLOCK, STREAM_BLOCK).map_err(failed)?;
        info.set_frame_sizes(0, 0).map_err(failed)?;
        Ok(Self { config: settings()?, info, blocks: 0, rest: Vec::new() })
    }

    /// Returns the stream's head: marker, STREAMINFO and a Vorbis comment.
    pub(super) fn head(&self) -> Result<Vec<u8>, EncodeError> {
        write_with_comment(Stream::with_stream_info(self.info.clone()))
    }

    /// Encodes samples; returns the blocks that are full.
    pub(super) fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, EncodeError> {
        self.rest.extend(samples.iter().copied().map(i32::from));
        let mut bytes = Vec::new();
        let full = self.rest.len() / STREAM_BLOCK * STREAM_BLOCK;
        let rest = self.rest.split_off(full);
        for block in std::mem::replace(&mut self.rest, rest).chunks(STREAM_BLOCK) {
            bytes.append(&mut self.block(block)?);
        }
        Ok(bytes)
    }

    /// Returns the last block, which may be shorter.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() { Ok(Vec::new()) } else { self.block(&rest) }
    }

    fn block(&mut self, samples: &[i32]) -> Result<Vec<u8>, EncodeError> {
        let mut buffer = FrameBuf::with_size(1, STREAM_BLOCK).map_err(failed)?;
        buffer.fill_interleaved(samples).map_err(failed)?;
        let frame = flacenc::encode_fixed_size_frame(&self.config, &buffer, self.blocks, &self.info);
        let mut sink = ByteSink::new();
        frame.map_err(failed)?.write(&mut sink).map_err(failed)?;
        self.blocks += 1;
        Ok(sink.into_inner())
    }
}

fn settings() -> Result<Verified<config::Encoder>, EncodeError> {
    config::Encoder::default().into_verified().map_err(|(_, error)| failed(error))
}

fn write_with_comment(mut stream: Stream) -> Result<Vec<u8>, EncodeError> {
    let comment = metadata::vorbis_comment(VENDOR);
    stream.add_metadata_block(MetadataBlockData::new_unknown(VORBIS_COMMENT, &comment).map_err(failed)?);
    let mut file = ByteSink::new();
    stream.write(&mut file).map_err(failed)?;
    Ok(file.into_inner())
}

fn failed(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::new(AudioFormat::Flac, error)
}
