//! Decoders of the codings in Matroska and WebM.

use super::channel_mix::ChannelMix;
use super::collector::PacketDecoder;
use super::flac::FlacHead;
use super::matroska::{MATROSKA, Track, xiph_lengths};
use super::opus_decode::{OPUS_RATE, OpusHead};
use super::pcm::{Coding, PcmDecoder};
use super::{ClipError, aac, alac, mpeg_audio, vorbis};

/// Decoder of a track.
pub(super) struct TrackCodec {
    pub(super) decoder: Box<dyn PacketDecoder>,
    /// Samples per second.
    pub(super) rate: u32,
    /// Frames of a packet, as far as all have the same.
    pub(super) packet_frames: usize,
    /// Frames in front of the recording.
    pub(super) lead: u64,
}

/// Makes the decoder of a track, or names its coding.
pub(super) fn decoder_of(track: &Track<'_>, first: &[u8]) -> Result<TrackCodec, ClipError> {
    let broken = |reason: &str| ClipError::Broken { format: MATROSKA, reason: reason.to_owned() };
    let rate = track.rate.round() as u32;
    let delay = |rate: u32| (u128::from(track.delay) * u128::from(rate) + 500_000_000) / 1_000_000_000;
    let codec = |decoder, rate, packet_frames, lead| Ok(TrackCodec { decoder, rate, packet_frames, lead });
    match track.codec {
        b"A_OPUS" => {
            let head = OpusHead::read(MATROSKA, track.private)?;
            codec(Box::new(head.decoder(MATROSKA)?), OPUS_RATE, 0, head.pre_skip.into())
        }
        b"A_VORBIS" => {
            let cut = || broken("its Vorbis head is cut short");
            let (lengths, body) = xiph_lengths(track.private).ok_or_else(cut)?;
            let [head, comments] = lengths[..] else { return Err(cut()) };
            let (Some(head), Some(setup)) =
                (body.get(..head), head.checked_add(comments).and_then(|at| body.get(at..)))
            else {
                return Err(cut());
            };
            let (decoder, rate) = vorbis::decoder(MATROSKA, head, setup)?;
            codec(Box::new(decoder), rate, 0, 0)
        }
        b"A_FLAC" => {
            let (head, _) = FlacHead::read(MATROSKA, track.private)?;
            codec(Box::new(head.decoder(MATROSKA)?), head.rate, 0, 0)
        }
        b"A_AAC" => {
            let config = aac::AacConfig::read(track.private).ok_or_else(|| broken("its AAC head is cut short"))?;
            let lead = u64::try_from(delay(config.rate)).unwrap_or(0);
            codec(Box::new(config.decoder(MATROSKA)?), config.rate, aac::PACKET_FRAMES, lead)
        }
        b"A_ALAC" => {
            let (decoder, frames) = alac::decoder(MATROSKA, track.private)?;
            codec(Box::new(decoder), rate, frames, 0)
        }
        b"A_MPEG/L3" | b"A_MPEG/L2" | b"A_MPEG/L1" => {
            let decoder = mpeg_audio::packet_decoder(MATROSKA, first)?;
            codec(Box::new(decoder), rate, 1_152, u64::try_from(delay(rate)).unwrap_or(0))
        }
        name => match pcm_coding(track) {
            Some(coding) => {
                let mix = ChannelMix::assumed(track.channels.min(usize::from(u16::MAX)));
                codec(Box::new(PcmDecoder::new(MATROSKA, coding, rate, mix)?), rate, 0, 0)
            }
            None => {
                let name = match name {
                    b"A_AC3" | b"A_AC3/BSID9" | b"A_AC3/BSID10" => "AC-3".to_owned(),
                    b"A_EAC3" => "E-AC-3".to_owned(),
                    b"A_MS/ACM" => "a coding of Windows (ACM)".to_owned(),
                    name => name.strip_prefix(b"A_").unwrap_or(name).escape_ascii().to_string().replace("\\x00", ""),
                };
                Err(ClipError::Unsupported { format: MATROSKA, reason: format!("its coding is {name}") })
            }
        },
    }
}

fn pcm_coding(track: &Track<'_>) -> Option<Coding> {
    let bytes = usize::try_from(track.bits / 8).ok().filter(|bytes| (1..=8).contains(bytes))?;
    match track.codec {
        b"A_PCM/INT/LIT" if bytes == 1 => Some(Coding::Unsigned8),
        b"A_PCM/INT/LIT" => Some(Coding::Integer { bytes, big_endian: false }),
        b"A_PCM/INT/BIG" => Some(Coding::Integer { bytes, big_endian: true }),
        b"A_PCM/FLOAT/IEEE" if matches!(bytes, 4 | 8) => Some(Coding::Float { bytes, big_endian: false }),
        _ => None,
    }
}
