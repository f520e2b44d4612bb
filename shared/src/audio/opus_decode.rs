//! Opus: the head of a stream, and the decoder of its packets.

use super::ClipError;
use super::channel_mix::ChannelMix;
use super::chunks::le16;
use super::collector::{Fault, Mono, PacketDecoder, allowed};

/// Sample rate at which every Opus stream is decoded.
pub(super) const OPUS_RATE: u32 = 48_000;
/// Frames of the longest packet: 120 ms.
const MAX_PACKET_FRAMES: usize = 5_760;
/// Beginning of a head.
pub(super) const HEAD_MAGIC: &[u8] = b"OpusHead";
/// Bytes of a head without a channel mapping.
const HEAD_BYTES: usize = 19;

/// Head of an Opus stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OpusHead {
    channels: u8,
    /// Frames at the start that do not belong to the recording, at 48 kHz.
    pub(super) pre_skip: u16,
    /// Output gain, in 1/256 dB.
    gain: i16,
    family: u8,
    streams: u8,
    coupled: u8,
    mapping: Vec<u8>,
}

impl OpusHead {
    /// Reads the head as Ogg and Matroska hold it.
    pub(super) fn read(format: &'static str, head: &[u8]) -> Result<Self, ClipError> {
        let broken = |reason: &str| ClipError::Broken { format, reason: reason.to_owned() };
        let cut = || broken("its Opus head is cut short");
        if !head.starts_with(HEAD_MAGIC) || head.len() < HEAD_BYTES {
            return Err(cut());
        }
        let gain = i16::from_le_bytes([head[16], head[17]]);
        Self::of(format, head[9], le16(head, 10).ok_or_else(cut)?, gain, &head[18..])
    }

    /// Makes a head of its fields; `mapping` begins with the mapping family.
    pub(super) fn of(
        format: &'static str,
        channels: u8,
        pre_skip: u16,
        gain: i16,
        mapping: &[u8],
    ) -> Result<Self, ClipError> {
        let broken = |reason: &str| ClipError::Broken { format, reason: reason.to_owned() };
        allowed(format, OPUS_RATE, channels.into())?;
        let family = mapping.first().copied().unwrap_or(0);
        let (streams, coupled, mapping) = match (family, mapping.get(1..)) {
            (0, _) if channels <= 2 => (1, channels - 1, (0..channels).collect()),
            (1 | 255, Some([streams, coupled, mapping @ ..])) if mapping.len() >= channels.into() => {
                (*streams, *coupled, mapping[..channels.into()].to_vec())
            }
            (0 | 1 | 255, _) => return Err(broken("its channel mapping is damaged")),
            _ => {
                let reason = format!("its coding is Opus of channel mapping {family}");
                return Err(ClipError::Unsupported { format, reason });
            }
        };
        let decoded = usize::from(streams) + usize::from(coupled);
        let known = mapping.iter().all(|&index| index == 255 || usize::from(index) < decoded);
        if streams == 0 || coupled > streams || decoded > 255 || !known {
            return Err(broken("its channel mapping is damaged"));
        }
        Ok(Self { channels, pre_skip, gain, family, streams, coupled, mapping })
    }

    /// Makes the decoder of the stream.
    pub(super) fn decoder(&self, format: &'static str) -> Result<OpusDecoder, ClipError> {
        let decoder = opus::MSDecoder::new(OPUS_RATE, self.streams, self.coupled, &self.mapping);
        let channels = usize::from(self.channels);
        let mix = if self.family == 1 { ChannelMix::vorbis(channels) } else { ChannelMix::assumed(channels) };
        Ok(OpusDecoder {
            decoder: decoder.map_err(|error| ClipError::Broken { format, reason: error.to_string() })?,
            gain: 10f32.powf(f32::from(self.gain) / (20.0 * 256.0)),
            mix,
            interleaved: vec![0.0; MAX_PACKET_FRAMES * channels],
            mono: Vec::with_capacity(MAX_PACKET_FRAMES),
        })
    }
}

/// Decoder of the packets of an Opus stream.
pub(super) struct OpusDecoder {
    decoder: opus::MSDecoder,
    /// Factor of the output gain.
    gain: f32,
    mix: ChannelMix,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
}

impl PacketDecoder for OpusDecoder {
    fn decode(&mut self, packet: &[u8]) -> Result<Mono<'_>, Fault> {
        if packet.is_empty() {
            return Err(Fault::Damaged);
        }
        let frames = self.decoder.decode_float(packet, &mut self.interleaved, false).map_err(|_| Fault::Damaged)?;
        let interleaved = &mut self.interleaved[..frames * self.mix.channels()];
        for sample in &mut *interleaved {
            *sample = if sample.is_finite() { *sample * self.gain } else { 0.0 };
        }
        self.mono.clear();
        self.mix.add(interleaved, &mut self.mono).map_err(|_| Fault::Damaged)?;
        Ok(Mono { rate: OPUS_RATE, samples: &self.mono })
    }
}

/// Returns the frames of a packet at 48 kHz by its first byte; 0 if the packet is damaged.
pub(super) fn packet_frames(packet: &[u8]) -> usize {
    opus::packet::get_nb_samples(packet, OPUS_RATE).unwrap_or(0)
}
