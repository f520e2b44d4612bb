//! Reader of FLAC files, and the decoder of FLAC frames for other containers.
//!
//! Frames are found here by their heads and checksums: the demuxer of symphonia loses the last
//! frame if anything follows it.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_FLAC;

use super::channel_mix::ChannelMix;
use super::codec::SymphoniaDecoder;
use super::collector::{Collector, Fault, Mono, PacketDecoder, Silence, Source, allowed};
use super::flac_frame::{FlacFrame, Frames, is_undamaged};
use super::{ClipError, SourceLimit};

const FLAC: &str = "FLAC";
/// Bytes of a STREAMINFO block.
const STREAMINFO_BYTES: usize = 34;
/// Bit in a block's head that marks the last block.
const LAST_BLOCK: u8 = 0x80;
/// Kind of a block of comments.
const COMMENTS: u8 = 4;
/// Comment that names the channels by a mask.
const MASK_COMMENT: &[u8] = b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x";

/// Reads a FLAC file.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let (head, audio) = FlacHead::read(FLAC, bytes)?;
    let mut decoder = head.decoder(FLAC)?;
    let mut collector = Collector::new(FLAC, limit);
    let (mut decoded, mut lost, mut is_cut) = (0, 0, false);
    for frame in Frames::new(audio, head.channels) {
        lost += frame.lost;
        is_cut = frame.is_cut;
        if !is_cut {
            let silence = Silence { frames: frame.head.samples, rate: head.rate };
            decoded += collector.decode(&mut decoder, frame.bytes, silence)? as u64;
        }
    }
    if lost > 0 {
        collector.warn_outside("frames", lost);
    }
    if decoded < head.samples {
        let samples = head.samples;
        collector.warn(format!("the {FLAC} file holds {decoded} of the {samples} samples that its head promises"));
    } else if is_cut {
        collector.warn(format!("the {FLAC} file ends in the middle of a frame, which is left out"));
    }
    collector.finish()
}

/// Decoder of whole frames. A frame with a wrong checksum is not decoded.
pub(super) struct FlacDecoder(SymphoniaDecoder);

impl PacketDecoder for FlacDecoder {
    fn decode(&mut self, packet: &[u8]) -> Result<Mono<'_>, Fault> {
        if is_undamaged(packet) { self.0.decode(packet) } else { Err(Fault::Damaged) }
    }
}

/// Facts from the head of a FLAC stream.
pub(super) struct FlacHead {
    info: Vec<u8>,
    /// Samples per second.
    pub(super) rate: u32,
    channels: usize,
    /// Frames of the stream; 0 if unknown.
    samples: u64,
    mix: ChannelMix,
}

impl FlacHead {
    /// Reads the marker and the blocks behind it. Returns the head and the bytes of the audio.
    pub(super) fn read<'a>(format: &'static str, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ClipError> {
        let broken = |reason: &str| ClipError::Broken { format, reason: reason.to_owned() };
        let mut rest = bytes.strip_prefix(b"fLaC").ok_or_else(|| broken("it has no FLAC head"))?;
        let (mut info, mut mask) = (None, None);
        // Each pass consumes at least the four bytes of a block's head.
        while let Some((head, body)) = rest.split_at_checked(4) {
            let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
            let (block, after) = body.split_at_checked(length).ok_or_else(|| broken("it ends before its audio"))?;
            match head[0] & !LAST_BLOCK {
                0 if length == STREAMINFO_BYTES => info = Some(block),
                COMMENTS => mask = mask_of(block),
                _ => {}
            }
            rest = after;
            if head[0] & LAST_BLOCK != 0 {
                break;
            }
        }
        let info = info.ok_or_else(|| broken("it does not say its rate and channels"))?;
        Ok((Self::of_info(format, info, mask)?, rest))
    }

    fn of_info(format: &'static str, info: &[u8], mask: Option<u32>) -> Result<Self, ClipError> {
        let rate = u32::from(info[10]) << 12 | u32::from(info[11]) << 4 | u32::from(info[12]) >> 4;
        let channels = usize::from(info[12] >> 1 & 7) + 1;
        let samples = u64::from(info[13] & 15) << 32 | super::chunks::be(&info[14..18]);
        allowed(format, rate, channels)?;
        let mix = mask.map_or_else(|| ChannelMix::flac(channels), |mask| ChannelMix::of_mask(mask, channels));
        let mut info = info.to_vec();
        // Some encoders write lengths of blocks that are not those of the blocks, or 0.
        info[..4].copy_from_slice(&[0, 16, 0xff, 0xff]);
        Ok(Self { info, rate, channels, samples, mix })
    }

    /// Makes a decoder of the frames.
    pub(super) fn decoder(&self, format: &'static str) -> Result<FlacDecoder, ClipError> {
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_FLAC).with_extra_data(self.info.clone().into());
        let make = symphonia::default::codecs::FlacDecoder::try_new;
        Ok(FlacDecoder(SymphoniaDecoder::new(format, &parameters, self.mix.clone(), make)?))
    }

    /// Returns the silence in place of a damaged frame.
    pub(super) fn silence(&self, frame: &[u8]) -> Silence {
        Silence { frames: FlacFrame::read(frame).map_or(0, |head| head.samples), rate: self.rate }
    }
}

/// Returns the channel mask in a block of comments.
fn mask_of(comments: &[u8]) -> Option<u32> {
    let place = comments.windows(MASK_COMMENT.len()).position(|part| part.eq_ignore_ascii_case(MASK_COMMENT))?;
    let digits = &comments[place + MASK_COMMENT.len()..];
    let count = digits.iter().take(8).take_while(|digit| digit.is_ascii_hexdigit()).count();
    u32::from_str_radix(str::from_utf8(&digits[..count]).ok()?, 16).ok()
}
