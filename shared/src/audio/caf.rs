//! Reader of Core Audio Format files.

use super::adpcm::AdpcmRule;
use super::apple_layout::mix_of_layout;
use super::channel_mix::ChannelMix;
use super::chunks::{ChunkForm, Chunks, be32, be64};
use super::collector::{Collector, PacketDecoder, Silence, Source, ends_early};
use super::mp4_entry::aac_config_of_cookie;
use super::opus_decode::{OPUS_RATE, OpusHead};
use super::pcm::{self, Coding, PcmAudio};
use super::{ClipError, SourceLimit, aac, alac};

const CAF: &str = "CAF";
/// Flags of uncompressed samples.
const FLOAT: u32 = 1;
const LOWEST_FIRST: u32 = 2;
/// Most packets of a file.
const MAX_PACKETS: usize = 512 * 1024;
/// Most frames that the packet table may cut off: those of the last packets.
const MAX_END_TRIM: u64 = 8_192;
/// Bytes of the head of the packet table.
const TABLE_HEAD_BYTES: usize = 24;

/// Chunks of a file that are read.
#[derive(Default)]
struct Parts<'a> {
    description: Option<&'a [u8]>,
    layout: Option<&'a [u8]>,
    cookie: &'a [u8],
    table: &'a [u8],
    data: &'a [u8],
    missing: u64,
}

/// Reads a CAF file.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let mut parts = Parts::default();
    for chunk in Chunks::new(ChunkForm::CAF, bytes.get(8..).unwrap_or(&[])) {
        match &chunk.name {
            b"desc" => parts.description = Some(chunk.body()),
            b"chan" => parts.layout = Some(chunk.body()),
            b"kuki" => parts.cookie = chunk.body(),
            b"pakt" => parts.table = chunk.body(),
            b"data" => {
                // A number of edits stands in front of the samples.
                parts.data = chunk.body().get(4..).unwrap_or(&[]);
                let open = chunk.promised == u64::MAX;
                parts.missing = if open { 0 } else { chunk.promised.saturating_sub(chunk.rest.len() as u64) };
            }
            _ => {}
        }
    }
    let description = parts
        .description
        .filter(|description| description.len() >= 32)
        .ok_or_else(|| ClipError::Broken { format: CAF, reason: "it has no description of its audio".to_owned() })?;
    if parts.data.is_empty() {
        return Err(ClipError::Empty);
    }
    let number = |at| be32(description, at).unwrap_or(0);
    let rate = f64::from_bits(be64(description, 0).unwrap_or(0)).round() as u32;
    let (name, flags, channels, bits) = (&description[8..12], number(12), number(24) as usize, number(28));
    let (bytes, big_endian) = (bits.div_ceil(8) as usize, flags & LOWEST_FIRST == 0);
    let coding = match name {
        b"lpcm" if flags & FLOAT != 0 && matches!(bits, 32 | 64) => Coding::Float { bytes, big_endian },
        b"lpcm" if flags & FLOAT == 0 && (1..=8).contains(&bytes) => Coding::Integer { bytes, big_endian },
        b"alaw" => Coding::ALaw,
        b"ulaw" => Coding::MuLaw,
        b"ima4" => Coding::Adpcm { rule: AdpcmRule::ImaQuickTime, block: 34 * channels.min(usize::from(u16::MAX)) },
        b"alac" | b"aac " | b"opus" => return packets(&parts, name, channels, number(16) as usize, limit),
        name => {
            let reason = format!("its coding is {}", name.escape_ascii().to_string().trim());
            return Err(ClipError::Unsupported { format: CAF, reason });
        }
    };
    let channels = channels.min(usize::from(u16::MAX));
    let mix = parts.layout.and_then(|layout| mix_of_layout(layout, channels));
    let mix = mix.unwrap_or_else(|| ChannelMix::assumed(channels));
    let warnings = ends_early(CAF, parts.missing).into_iter().collect();
    pcm::decode(PcmAudio { format: CAF, coding, rate, mix, data: parts.data, warnings }, limit)
}

/// Decodes the packets that the packet table delimits.
fn packets(
    parts: &Parts<'_>,
    name: &[u8],
    channels: usize,
    one_size: usize,
    limit: SourceLimit,
) -> Result<Source, ClipError> {
    let broken = |reason: &str| ClipError::Broken { format: CAF, reason: reason.to_owned() };
    let (mut decoder, silence): (Box<dyn PacketDecoder>, Silence) = match name {
        b"alac" => {
            let cookie = bare_cookie(parts.cookie);
            let (decoder, frames) = alac::decoder(CAF, cookie)?;
            (Box::new(decoder), Silence { frames, rate: be32(cookie, 20).unwrap_or(0) })
        }
        b"opus" => {
            let channels = u8::try_from(channels).unwrap_or(u8::MAX);
            let head = OpusHead::of(CAF, channels, 0, 0, &[0])?;
            (Box::new(head.decoder(CAF)?), Silence { frames: 0, rate: OPUS_RATE })
        }
        _ => {
            let config = aac_config_of_cookie(parts.cookie);
            let config = config.ok_or_else(|| broken("its AAC configuration is cut short"))?;
            (Box::new(config.decoder(CAF)?), Silence { frames: aac::PACKET_FRAMES, rate: config.rate })
        }
    };
    let mut collector = Collector::new(CAF, limit);
    ends_early(CAF, parts.missing).into_iter().for_each(|sentence| collector.warn(sentence));
    let valid = be64(parts.table, 8).unwrap_or(0);
    collector.skip_next(be32(parts.table, 16).unwrap_or(0).into());
    let (mut sizes, mut data) = (parts.table.get(TABLE_HEAD_BYTES..).unwrap_or(&[]), parts.data);
    let mut decoded = 0;
    for _ in 0..MAX_PACKETS {
        let size = if one_size > 0 { Some(one_size) } else { next_size(&mut sizes) };
        let Some((packet, rest)) = size.filter(|&size| size > 0).and_then(|size| data.split_at_checked(size)) else {
            break;
        };
        decoded += collector.decode(decoder.as_mut(), packet, silence)? as u64;
        data = rest;
    }
    let behind = decoded.saturating_sub(valid + u64::from(be32(parts.table, 16).unwrap_or(0)));
    if valid > 0 && behind <= MAX_END_TRIM {
        collector.remove_last(behind);
    }
    collector.finish()
}

/// Returns the ALAC configuration without the boxes that QuickTime puts in front of it.
fn bare_cookie(mut cookie: &[u8]) -> &[u8] {
    for name in [b"frma", b"alac"] {
        if cookie.get(4..8) == Some(name) {
            cookie = cookie.get(12..).unwrap_or(&[]);
        }
    }
    cookie
}

/// Reads a size of the packet table: seven bits a byte, highest first.
fn next_size(sizes: &mut &[u8]) -> Option<usize> {
    let mut size = 0_usize;
    for _ in 0..5 {
        let (&byte, rest) = sizes.split_first()?;
        (size, *sizes) = (size << 7 | usize::from(byte & 0x7f), rest);
        if byte & 0x80 == 0 {
            return Some(size);
        }
    }
    None
}
