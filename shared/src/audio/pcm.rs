//! Decoder of uncompressed samples, of A-law and mu-law, and of ADPCM, for every container.

use super::adpcm::AdpcmRule;
use super::channel_mix::ChannelMix;
use super::collector::{Collector, Fault, Mono, PacketDecoder, Silence, Source, allowed};
use super::{ClipError, SourceLimit};

/// Bytes decoded at a time, about.
const BLOCK_BYTES: usize = 64 * 1024;

/// Coding of the samples of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Whole numbers of 8 bits without sign.
    Unsigned8,
    /// Whole numbers of 1 to 8 bytes whose highest bits hold the sample.
    Integer {
        /// Bytes of a sample.
        bytes: usize,
        /// Whether the highest byte comes first.
        big_endian: bool,
    },
    /// Whole numbers of 24 bits in the lower bits of four bytes, lowest byte first.
    Low24In32,
    /// Floats of 4 or 8 bytes.
    Float {
        /// Bytes of a sample.
        bytes: usize,
        /// Whether the highest byte comes first.
        big_endian: bool,
    },
    /// G.711 A-law.
    ALaw,
    /// G.711 mu-law.
    MuLaw,
    /// Blocks of ADPCM.
    Adpcm {
        /// Rule of the blocks.
        rule: AdpcmRule,
        /// Bytes of a block of all channels.
        block: usize,
    },
}

impl Coding {
    /// Returns the bytes of the smallest unit that can be decoded: a frame, or a block of ADPCM.
    pub(super) fn unit(self, channels: usize) -> usize {
        match self {
            Self::Unsigned8 | Self::ALaw | Self::MuLaw => channels,
            Self::Integer { bytes, .. } | Self::Float { bytes, .. } => bytes * channels,
            Self::Low24In32 => 4 * channels,
            Self::Adpcm { block, .. } => block,
        }
    }
}

/// Samples of a file, with what is needed to decode them.
pub(super) struct PcmAudio<'a> {
    /// Name of the container, for messages.
    pub(super) format: &'static str,
    /// Coding of the samples.
    pub(super) coding: Coding,
    /// Samples per second.
    pub(super) rate: u32,
    /// Mix of the channels.
    pub(super) mix: ChannelMix,
    /// The samples.
    pub(super) data: &'a [u8],
    /// Sentences for the caller.
    pub(super) warnings: Vec<String>,
}

/// Decodes the samples of a file.
pub(super) fn decode(audio: PcmAudio<'_>, limit: SourceLimit) -> Result<Source, ClipError> {
    let unit = audio.coding.unit(audio.mix.channels());
    let mut decoder = PcmDecoder::new(audio.format, audio.coding, audio.rate, audio.mix)?;
    let mut collector = Collector::new(audio.format, limit);
    let is_cut = !audio.warnings.is_empty();
    audio.warnings.into_iter().for_each(|sentence| collector.warn(sentence));
    let blocked = matches!(audio.coding, Coding::Adpcm { .. });
    let tail = audio.data.len() % unit;
    let data = if blocked { audio.data } else { &audio.data[..audio.data.len() - tail] };
    if tail > 0 && !blocked && !is_cut {
        let format = audio.format;
        collector.warn(format!("the {format} file ends in the middle of a sample, which is left out"));
    }
    // A byte holds two samples at most, those of ADPCM.
    let frames = if blocked { 2 * data.len() } else { data.len() / unit };
    collector.expect_at_most(frames as u64);
    for block in data.chunks((BLOCK_BYTES / unit).max(1) * unit) {
        collector.decode(&mut decoder, block, Silence { frames: 0, rate: audio.rate })?;
    }
    collector.finish()
}

/// Decoder of blocks of samples.
pub(super) struct PcmDecoder {
    format: &'static str,
    coding: Coding,
    rate: u32,
    mix: ChannelMix,
    /// Frames so far.
    frames: u64,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
}

impl PcmDecoder {
    /// Makes a decoder, or refuses the rate or the channels.
    pub(super) fn new(format: &'static str, coding: Coding, rate: u32, mix: ChannelMix) -> Result<Self, ClipError> {
        allowed(format, rate, mix.channels())?;
        if coding.unit(mix.channels()) == 0 {
            return Err(ClipError::Broken { format, reason: "its blocks hold no samples".to_owned() });
        }
        Ok(Self { format, coding, rate, mix, frames: 0, interleaved: Vec::new(), mono: Vec::new() })
    }
}

impl PacketDecoder for PcmDecoder {
    fn decode(&mut self, packet: &[u8]) -> Result<Mono<'_>, Fault> {
        self.interleaved.clear();
        self.mono.clear();
        convert(self.coding, packet, self.mix.channels(), &mut self.interleaved);
        let added = self.mix.add(&self.interleaved, &mut self.mono);
        added.map_err(|fault| fault.refusal(self.format, self.frames))?;
        self.frames += self.mono.len() as u64;
        Ok(Mono { rate: self.rate, samples: &self.mono })
    }
}

/// Adds the samples of whole units as floats, full scale 1.
fn convert(coding: Coding, data: &[u8], channels: usize, out: &mut Vec<f32>) {
    match coding {
        Coding::Unsigned8 => out.extend(data.iter().map(|&byte| (f32::from(byte) - 128.0) / 128.0)),
        Coding::Integer { bytes, big_endian } => {
            out.extend(data.chunks_exact(bytes).map(|sample| high_bits(sample, big_endian)));
        }
        Coding::Low24In32 => {
            let low = data.as_chunks::<4>().0.iter().map(|&sample| i32::from_le_bytes(sample));
            out.extend(low.map(|sample| sample as f32 / 8_388_608.0));
        }
        Coding::Float { bytes: 8, big_endian } => {
            let floats = data.as_chunks::<8>().0.iter();
            out.extend(
                floats.map(|&bytes| {
                    (if big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) }) as f32
                }),
            );
        }
        Coding::Float { big_endian, .. } => {
            let floats = data.as_chunks::<4>().0.iter();
            out.extend(
                floats.map(|&bytes| if big_endian { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) }),
            );
        }
        Coding::ALaw => out.extend(data.iter().map(|&byte| a_law(byte) as f32 / 32_768.0)),
        Coding::MuLaw => out.extend(data.iter().map(|&byte| mu_law(byte) as f32 / 32_768.0)),
        Coding::Adpcm { rule, block } => {
            data.chunks(block.max(1)).for_each(|block| rule.decode(block, channels, out));
        }
    }
}

/// Reads a signed sample as a number of 32 bits whose highest bits it fills.
fn high_bits(sample: &[u8], big_endian: bool) -> f32 {
    let mut top = [0; 4];
    for (place, slot) in top.iter_mut().rev().enumerate().take(sample.len()) {
        *slot = if big_endian { sample[place] } else { sample[sample.len() - 1 - place] };
    }
    i32::from_le_bytes(top) as f32 / 2_147_483_648.0
}

fn a_law(byte: u8) -> i32 {
    let byte = byte ^ 0x55;
    let (segment, step) = (byte >> 4 & 7, i32::from(byte & 15) << 4);
    let value = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
    if byte & 0x80 == 0 { -value } else { value }
}

fn mu_law(byte: u8) -> i32 {
    let byte = !byte;
    let value = ((i32::from(byte & 15) << 3) + 0x84) << (byte >> 4 & 7);
    if byte & 0x80 == 0 { value - 0x84 } else { 0x84 - value }
}
