//! Decoders of FLAC and MP3 files: from bytes to mono float samples at the file's own rate.
//!
//! Tags, pictures and seek tables are skipped here, so that the demuxers see audio alone. The
//! demuxers get a source that cannot seek. With seeking they would estimate a file's length from
//! its end, and cut the file at that estimate.

use std::io::Read;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::default::codecs::{FlacDecoder, MpaDecoder};
use symphonia::default::formats::{FlacReader, MpaReader};

use super::mixdown::{Mixdown, refusal};
use super::wav_decode::{DecodedAudio, allowed};
use super::{ClipError, SourceLimit};

const FLAC: &str = "FLAC";
const MP3: &str = "MP3";
/// Bytes of a STREAMINFO block.
const STREAMINFO_BYTES: usize = 34;
/// Bit in a block's header that marks the last block.
const LAST_BLOCK: u8 = 0x80;

/// Decodes a FLAC file.
pub(super) fn flac(bytes: &[u8], limit: SourceLimit) -> Result<DecodedAudio, ClipError> {
    let broken = |reason: &str| ClipError::Broken { format: FLAC, reason: reason.to_owned() };
    let mut rest = bytes.get(4..).unwrap_or(&[]);
    let mut info = None;
    // Each pass consumes at least the four bytes of a block's header.
    loop {
        let (head, body) = rest.split_at_checked(4).ok_or_else(|| broken("it ends before its audio"))?;
        let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
        let (block, after) = body.split_at_checked(length).ok_or_else(|| broken("it ends before its audio"))?;
        if head[0] & !LAST_BLOCK == 0 && length == STREAMINFO_BYTES {
            info = Some(block);
        }
        rest = after;
        if head[0] & LAST_BLOCK != 0 {
            break;
        }
    }
    let info = info.ok_or_else(|| broken("it does not say its rate and channels"))?;
    let mut head = vec![b'f', b'L', b'a', b'C', LAST_BLOCK, 0, 0, STREAMINFO_BYTES as u8];
    head.extend_from_slice(info);
    let reader = FlacReader::try_new(stream(head.chain(rest)), FormatOptions::default());
    decode(Mixdown::new(FLAC, limit), reader.map_err(|error| refusal(FLAC, &error))?, |parameters, options| {
        Ok(Box::new(FlacDecoder::try_new(parameters, options)?))
    })
}

/// Decodes an MP3 stream that begins with a frame.
pub(super) fn mp3(bytes: &[u8], limit: SourceLimit) -> Result<DecodedAudio, ClipError> {
    let reader = MpaReader::try_new(stream(bytes), FormatOptions::default());
    decode(Mixdown::new(MP3, limit), reader.map_err(|error| refusal(MP3, &error))?, |parameters, options| {
        Ok(Box::new(MpaDecoder::try_new(parameters, options)?))
    })
}

fn stream<'a>(bytes: impl Read + Send + Sync + 'a) -> MediaSourceStream<'a> {
    // The source can only be read in order.
    MediaSourceStream::new(
        Box::new(ReadOnlySource::new(bytes)),
        symphonia::core::io::MediaSourceStreamOptions::default(),
    )
}

fn decode(
    mut mixdown: Mixdown,
    mut reader: impl FormatReader,
    decoder: impl FnOnce(&AudioCodecParameters, &AudioDecoderOptions) -> Result<Box<dyn AudioDecoder>, Error>,
) -> Result<DecodedAudio, ClipError> {
    let track = reader.first_track(TrackType::Audio).ok_or(ClipError::Empty)?;
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { return Err(ClipError::Empty) };
    let channels = parameters.channels.as_ref().map_or(1, |channels| channels.count());
    allowed(parameters.sample_rate.unwrap_or_default(), channels)?;
    let mut decoder = decoder(parameters, &AudioDecoderOptions::default()).map_err(|error| mixdown.refusal(&error))?;
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => mixdown.take(decoder.decode(&packet), packet.block_dur().get())?,
            Ok(None) => break,
            // A truncated file yields the audio that it still holds.
            Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(mixdown.refusal(&error)),
        }
    }
    mixdown.finish()
}
