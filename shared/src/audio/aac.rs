//! AAC: its decoder, what it can decode, and the reader of ADTS streams.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::default::codecs::AacDecoder;

use super::channel_mix::ChannelMix;
use super::codec::{SymphoniaDecoder, mono_or_stereo};
use super::collector::{Collector, Silence, Source, allowed};
use super::{ClipError, SourceLimit};

const AAC: &str = "AAC";
/// Sample rates by their index.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Frames of a packet of AAC-LC.
pub(super) const PACKET_FRAMES: usize = 1_024;
/// Bytes of the head of an ADTS frame without its checksum.
const ADTS_HEAD_BYTES: usize = 7;
/// Bytes searched for the first ADTS frame.
const ADTS_SEARCH_BYTES: usize = 4_096;
/// ADTS frames of one layout that have to follow each other at the beginning.
const ADTS_FRAMES_MIN: usize = 2;

/// Head of an ADTS frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AdtsHead {
    object: u8,
    rate_index: usize,
    channels: u8,
    head_bytes: usize,
    frame_bytes: usize,
    blocks: u8,
}

impl AdtsHead {
    fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; ADTS_HEAD_BYTES] = bytes.first_chunk()?;
        let frame_bytes = usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5]) >> 5;
        let head_bytes = if head[1] & 1 == 0 { ADTS_HEAD_BYTES + 2 } else { ADTS_HEAD_BYTES };
        let rate_index = usize::from(head[2] >> 2 & 15);
        (head[0] == 0xff && head[1] & 0xf6 == 0xf0 && frame_bytes > head_bytes && rate_index < RATES.len()).then_some(
            Self {
                object: (head[2] >> 6) + 1,
                rate_index,
                channels: (head[2] & 1) << 2 | head[3] >> 6,
                head_bytes,
                frame_bytes,
                blocks: (head[6] & 3) + 1,
            },
        )
    }

    fn follows(&self, first: &Self) -> bool {
        (self.object, self.rate_index, self.channels) == (first.object, first.rate_index, first.channels)
    }
}

/// Finds the first ADTS frame: others of its layout follow it, or the file ends with it.
pub(super) fn first_adts(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len().min(ADTS_SEARCH_BYTES)).find(|&start| {
        let Some(first) = AdtsHead::read(&bytes[start..]) else { return false };
        let mut at = start;
        for _ in 0..=ADTS_FRAMES_MIN {
            match AdtsHead::read(bytes.get(at..).unwrap_or(&[])) {
                Some(head) if head.follows(&first) => at += head.frame_bytes,
                Some(_) => return false,
                None => return at == bytes.len() || at > bytes.len() && at > start + first.frame_bytes,
            }
        }
        true
    })
}

/// Reads an ADTS stream that begins with a frame.
pub(super) fn read_adts(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let broken = |reason: &str| ClipError::Broken { format: AAC, reason: reason.to_owned() };
    let first = AdtsHead::read(bytes).ok_or_else(|| broken("it ends before its audio"))?;
    let config = AacConfig {
        object: first.object,
        rate: RATES[first.rate_index],
        channels: first.channels,
        sbr: false,
        short_frames: false,
    };
    let mut decoder = config.decoder(AAC)?;
    let mut collector = Collector::new(AAC, limit);
    let (mut at, mut lost) = (0, 0);
    // Each pass moves on by at least a byte.
    while at + ADTS_HEAD_BYTES <= bytes.len() {
        let Some(head) = AdtsHead::read(&bytes[at..]).filter(|head| head.follows(&first)) else {
            if lost == 0 && bytes[at..].starts_with(b"TAG") || bytes[at..].starts_with(b"APETAGEX") {
                break;
            }
            (at, lost) = (at + 1, lost + 1);
            continue;
        };
        if head.blocks != 1 {
            return Err(ClipError::Unsupported { format: AAC, reason: "its frames hold several blocks".to_owned() });
        }
        let Some(frame) = bytes.get(at + head.head_bytes..at + head.frame_bytes) else {
            lost += bytes.len() - at;
            break;
        };
        collector.decode(&mut decoder, frame, Silence { frames: PACKET_FRAMES, rate: config.rate })?;
        at += head.frame_bytes;
    }
    if lost > 0 {
        collector.warn_outside("frames", lost);
    }
    collector.finish()
}

/// Facts from an AudioSpecificConfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AacConfig {
    /// Audio object type: 2 is AAC-LC.
    pub(super) object: u8,
    /// Samples per second.
    pub(super) rate: u32,
    /// Channel configuration: 0 if the stream describes its channels itself.
    pub(super) channels: u8,
    /// Whether spectral band replication is signalled.
    pub(super) sbr: bool,
    /// Whether packets have 960 frames.
    pub(super) short_frames: bool,
}

impl AacConfig {
    /// Reads an AudioSpecificConfig; `None` if it is cut short.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut bits = HighBits { bytes, at: 0 };
        let object = bits.object()?;
        let rate = bits.rate()?;
        let channels = bits.read(4)? as u8;
        let sbr = matches!(object, 5 | 29);
        let short_frames = bits.read(1)? == 1;
        // An extension behind the configuration signals band replication too.
        let extended = (0..16).any(|skip| {
            let mut bits = HighBits { bytes, at: bits.at + skip };
            bits.read(11) == Some(0x2b7) && bits.object() == Some(5) && bits.read(1) == Some(1)
        });
        Some(Self { object, rate, channels, sbr: sbr || extended, short_frames })
    }

    /// Makes the decoder, or names what the stream holds if there is none.
    pub(super) fn decoder(&self, format: &'static str) -> Result<SymphoniaDecoder, ClipError> {
        let channels = usize::from(self.channels);
        let name = match (self.object, channels) {
            (29, _) => "HE-AAC v2",
            (5, _) => "HE-AAC",
            (2, _) if self.sbr => "HE-AAC",
            (2, 1 | 2) if !self.short_frames => {
                allowed(format, self.rate, channels)?;
                let mut parameters = AudioCodecParameters::new();
                parameters.for_codec(CODEC_ID_AAC).with_sample_rate(self.rate);
                parameters.with_channels(mono_or_stereo(channels));
                let mix = ChannelMix::assumed(channels);
                return SymphoniaDecoder::new(format, &parameters, mix, AacDecoder::try_new);
            }
            (2, 1 | 2) => "AAC-LC of 960 frames a packet",
            (2, _) => "AAC-LC of more than two channels",
            (1, _) => "AAC Main",
            (3, _) => "AAC SSR",
            (4, _) => "AAC LTP",
            (23, _) => "AAC-LD",
            (39, _) => "AAC-ELD",
            (42, _) => "xHE-AAC",
            _ => "AAC of a rare profile",
        };
        Err(ClipError::Unsupported { format, reason: format!("its coding is {name}") })
    }
}

/// A reader of bits, highest bit first.
struct HighBits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl HighBits<'_> {
    fn read(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn object(&mut self) -> Option<u8> {
        match self.read(5)? {
            31 => Some(32 + self.read(6)? as u8),
            object => Some(object as u8),
        }
    }

    fn rate(&mut self) -> Option<u32> {
        match self.read(4)? as usize {
            15 => self.read(24),
            index => RATES.get(index).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_configuration_names_what_is_not_low_complexity() {
        let lc = AacConfig { object: 2, rate: 44_100, channels: 2, sbr: false, short_frames: false };
        assert_eq!(AacConfig::read(&[0x12, 0x10]), Some(lc));
        let refusals = [
            (&[0x2b, 0x92, 0x08, 0x00][..], "HE-AAC;"),
            (&[0x13, 0x10, 0x56, 0xe5, 0x98], "HE-AAC;"),
            (&[0xeb, 0x8a, 0x08, 0x00], "HE-AAC v2;"),
            (&[0x11, 0xb0], "AAC-LC of more than two channels"),
            (&[0x12, 0x14], "960 frames"),
            (&[0xf8, 0xe8, 0x50, 0x00], "AAC-ELD"),
        ];
        for (config, name) in refusals {
            let refusal = AacConfig::read(config).unwrap().decoder("MP4").err().unwrap().to_string();
            assert!(refusal.contains(name), "{config:x?}: {refusal}");
        }
    }
}
