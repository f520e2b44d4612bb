//! Reader of AIFF and AIFF-C files.

use super::adpcm::AdpcmRule;
use super::apple_layout::mix_of_layout;
use super::channel_mix::ChannelMix;
use super::chunks::{ChunkForm, Chunks, be16, be32};
use super::collector::{Source, ends_early};
use super::pcm::{self, Coding, PcmAudio};
use super::{ClipError, SourceLimit};

const AIFF: &str = "AIFF";
/// Length of a chunk from which on it is no promise: nobody knew it.
const OPEN_LENGTH_MIN: u64 = 2_000_000_000;

/// Returns true if the bytes begin like an AIFF file.
pub(super) fn is_aiff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"FORM") && matches!(bytes.get(8..12), Some(b"AIFF" | b"AIFC"))
}

/// Reads an AIFF file.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let broken = |reason: &str| ClipError::Broken { format: AIFF, reason: reason.to_owned() };
    let (mut common, mut sound, mut layout) = (None, None, None);
    for chunk in Chunks::new(ChunkForm::BIG_ENDIAN, bytes.get(12..).unwrap_or(&[])) {
        match &chunk.name {
            b"COMM" => common = Some(chunk.body()),
            b"CHAN" => layout = Some(chunk.body()),
            b"SSND" => sound = Some(chunk),
            _ => {}
        }
    }
    let common = common.ok_or_else(|| broken("it has no COMM chunk"))?;
    let sound = sound.ok_or_else(|| broken("it has no SSND chunk"))?;
    let (channels, bits, rate) = common_of(common).ok_or_else(|| broken("its COMM chunk is cut short"))?;
    let coding = coding_of(common.get(18..22), bits, channels)?;
    let offset = be32(sound.rest, 0).ok_or_else(|| broken("its SSND chunk is cut short"))? as usize;
    let data = sound.body().get(8 + offset..).unwrap_or(&[]);
    // A length of 0 was never filled in.
    let data = if sound.promised <= 8 { sound.rest.get(8..).unwrap_or(&[]) } else { data };
    let is_open = sound.promised >= OPEN_LENGTH_MIN;
    let missing = if is_open { 0 } else { sound.promised.saturating_sub(sound.rest.len() as u64) };
    let warnings = ends_early(AIFF, missing).into_iter().collect();
    if data.is_empty() {
        return Err(ClipError::Empty);
    }
    let mix =
        layout.and_then(|layout| mix_of_layout(layout, channels)).unwrap_or_else(|| ChannelMix::assumed(channels));
    pcm::decode(PcmAudio { format: AIFF, coding, rate, mix, data, warnings }, limit)
}

/// Reads channels, bits and rate of a COMM chunk. The rate is a float of 80 bits.
fn common_of(common: &[u8]) -> Option<(usize, u16, u32)> {
    let exponent = i32::from(be16(common, 8)? & 0x7fff) - 16_383;
    let mantissa = be32(common, 10)?;
    let rate = f64::from(mantissa) * 2f64.powi(exponent - 31);
    // A cast saturates, and the rate is checked later.
    Some((usize::from(be16(common, 0)?), be16(common, 6)?, rate.round() as u32))
}

fn coding_of(compression: Option<&[u8]>, bits: u16, channels: usize) -> Result<Coding, ClipError> {
    let bytes = usize::from(bits).div_ceil(8);
    let whole = |big_endian| match bytes {
        1..=8 => Ok(Coding::Integer { bytes, big_endian }),
        _ => Err(ClipError::Unsupported { format: AIFF, reason: format!("{bits} bits per sample are not 1 to 64") }),
    };
    Ok(match compression {
        None | Some(b"NONE" | b"twos") => whole(true)?,
        Some(b"in24") => Coding::Integer { bytes: 3, big_endian: true },
        Some(b"in32") => Coding::Integer { bytes: 4, big_endian: true },
        Some(b"sowt") => whole(false)?,
        Some(b"raw ") => Coding::Unsigned8,
        Some(b"fl32" | b"FL32") => Coding::Float { bytes: 4, big_endian: true },
        Some(b"fl64" | b"FL64") => Coding::Float { bytes: 8, big_endian: true },
        Some(b"alaw" | b"ALAW") => Coding::ALaw,
        Some(b"ulaw" | b"ULAW") => Coding::MuLaw,
        Some(b"ima4") => Coding::Adpcm { rule: AdpcmRule::ImaQuickTime, block: 34 * channels },
        Some(name) => {
            let reason = format!("its coding is {}", String::from_utf8_lossy(name).trim());
            return Err(ClipError::Unsupported { format: AIFF, reason });
        }
    })
}
