//! Reader of WAV files: RIFF, RIFX, RF64, BW64 and Sony Wave64.
//!
//! Lengths in real files are often wrong: a streamed file has none, an upload was cut off, a writer
//! counted in 32 bits. Only the fields that decide how samples are read have to be right.

use super::adpcm::AdpcmRule;
use super::channel_mix::ChannelMix;
use super::chunks::{Chunk, ChunkForm, Chunks, be16, be32, le, le16, le32};
use super::collector::{Source, ends_early, goes_on};
use super::pcm::{self, Coding, PcmAudio};
use super::{ClipError, SourceLimit, mpeg_audio};

const WAV: &str = "WAV";
/// First 16 bytes of a Wave64 file; the GUID begins with `riff`.
const W64_MAGIC: [u8; 16] = *b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0";
/// Length of data from which on a length is no promise: writers that do not know the length write
/// 2,000,000,000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, or one of these minus the header.
const OPEN_LENGTH_MIN: u64 = 2_000_000_000;
/// Codings by their tag that other software calls by these names.
const NAMED_CODINGS: [(u16, &str); 12] = [
    (0x0022, "DSP Group TrueSpeech"),
    (0x0031, "GSM 6.10"),
    (0x0042, "G.723.1"),
    (0x0045, "G.726 ADPCM"),
    (0x0064, "G.726 ADPCM"),
    (0x0069, "Voxware"),
    (0x00ff, "AAC"),
    (0x0160, "WMA"),
    (0x0161, "WMA"),
    (0x0162, "WMA Professional"),
    (0x2000, "AC-3"),
    (0xf1ac, "FLAC"),
];

/// Returns true if the bytes begin like a WAV file of any size of lengths.
pub(super) fn is_wav(bytes: &[u8]) -> bool {
    let riff = bytes.len() >= 12 && matches!(&bytes[..4], b"RIFF" | b"RIFX" | b"RF64" | b"BW64");
    riff && &bytes[8..12] == b"WAVE" || bytes.starts_with(&W64_MAGIC)
}

/// Reads a WAV file.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    if !is_wav(bytes) {
        return Err(ClipError::NotWav("it does not begin with RIFF and WAVE"));
    }
    let (form, head) = match bytes[0] {
        b'r' => (ChunkForm::W64, 40),
        _ if bytes.starts_with(b"RIFX") => (ChunkForm::BIG_ENDIAN, 12),
        _ => (ChunkForm::RIFF, 12),
    };
    let mut chunks = Chunks::new(form, bytes.get(head..).unwrap_or(&[]));
    let (mut format, mut long_length) = (None, None);
    while let Some(chunk) = chunks.next() {
        match &chunk.name {
            b"fmt " => format = Some(chunk.body()),
            b"ds64" => long_length = chunk.body().get(8..16).map(le),
            b"data" => {
                let format = format.ok_or(ClipError::NotWav("its audio comes before its format"))?;
                let format = Format::read(format, bytes.starts_with(b"RIFX"))?;
                let data = data_of(&chunk, long_length, chunks);
                return decode(&format, data, limit);
            }
            _ => {}
        }
    }
    Err(ClipError::NotWav("it has no data chunk"))
}

fn decode(format: &Format, (data, warnings): (&[u8], Vec<String>), limit: SourceLimit) -> Result<Source, ClipError> {
    if data.is_empty() {
        return Err(ClipError::Empty);
    }
    if matches!(format.tag, 0x50 | 0x55) {
        return mpeg_audio::read(data, limit);
    }
    let coding = format.coding(data)?;
    let channels = usize::from(format.channels);
    let mix = format.mask.map_or_else(|| ChannelMix::assumed(channels), |mask| ChannelMix::of_mask(mask, channels));
    pcm::decode(PcmAudio { format: WAV, coding, rate: format.rate, mix, data, warnings }, limit)
}

/// Returns the bytes of audio, with sentences about a length that is wrong. `behind` begins at the
/// chunk behind the data.
fn data_of<'a>(chunk: &Chunk<'a>, long_length: Option<u64>, behind: Chunks<'a>) -> (&'a [u8], Vec<String>) {
    let present = chunk.rest.len() as u64;
    let promised = match long_length {
        Some(length) if chunk.promised == u64::from(u32::MAX) => length,
        _ => chunk.promised,
    };
    // A length of 0 was never filled in, unless whole chunks follow.
    let open = promised >= OPEN_LENGTH_MIN || promised == 0 && !is_chunks(chunk.rest);
    if open {
        return (chunk.rest, Vec::new());
    }
    if promised > present {
        return (chunk.rest, ends_early(WAV, promised - present).into_iter().collect());
    }
    let (data, after) = chunk.rest.split_at(promised as usize);
    let mut warnings = Vec::new();
    if behind.into_iter().any(|chunk| matches!(&chunk.name, b"data" | b"RIFF")) || !is_chunks(after) && after.len() > 1
    {
        warnings.push(goes_on(WAV, after.len() as u64));
    }
    (data, warnings)
}

/// Returns whether the bytes are chunks to the end, or none.
fn is_chunks(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(&[0]).filter(|rest| rest.len() % 2 == 0).unwrap_or(bytes);
    let mut end = Some(0);
    for chunk in Chunks::new(ChunkForm::RIFF, bytes) {
        let printable = chunk.name.iter().all(|letter| (b' '..=b'~').contains(letter));
        end = (printable && chunk.promised <= chunk.rest.len() as u64)
            .then(|| bytes.len() - chunk.rest.len() + chunk.promised as usize);
        if end.is_none() {
            break;
        }
    }
    end.is_some_and(|end| end + 1 >= bytes.len())
}

/// Format of the samples.
struct Format {
    tag: u16,
    channels: u16,
    rate: u32,
    block: u16,
    bits: u16,
    /// Bits that hold the sample, at the top of `bits`.
    valid_bits: u16,
    mask: Option<u32>,
    big_endian: bool,
}

impl Format {
    fn read(chunk: &[u8], big_endian: bool) -> Result<Self, ClipError> {
        let short = || ClipError::Broken { format: WAV, reason: "its format chunk is cut short".to_owned() };
        let number = |at| if big_endian { be16(chunk, at) } else { le16(chunk, at) };
        let long = |at| if big_endian { be32(chunk, at) } else { le32(chunk, at) };
        let bits = number(14).unwrap_or(8);
        let mut format = Self {
            tag: number(0).ok_or_else(short)?,
            channels: number(2).ok_or_else(short)?,
            rate: long(4).ok_or_else(short)?,
            block: number(12).ok_or_else(short)?,
            bits,
            valid_bits: bits,
            mask: None,
            big_endian,
        };
        if format.tag == 0xfffe {
            format.tag = number(24).ok_or_else(short)?;
            format.valid_bits = number(18).filter(|&bits| bits > 0).unwrap_or(bits);
            format.mask = long(20).filter(|&mask| mask != 0);
        }
        Ok(format)
    }

    /// Returns the coding of the samples in `data`.
    fn coding(&self, data: &[u8]) -> Result<Coding, ClipError> {
        let unsupported = |reason: String| ClipError::Unsupported { format: WAV, reason };
        let (channels, block) = (usize::from(self.channels.max(1)), usize::from(self.block));
        let big_endian = self.big_endian;
        match self.tag {
            1 => Ok(match self.sample_bytes() {
                1 => Coding::Unsigned8,
                4 if self.valid_bits.min(self.bits) == 24 && is_low(data) => Coding::Low24In32,
                bytes @ 2..=8 => Coding::Integer { bytes, big_endian },
                _ => return Err(unsupported(format!("{} bits per sample are not 1 to 64", self.bits))),
            }),
            3 if matches!(self.bits, 32 | 64) => Ok(Coding::Float { bytes: usize::from(self.bits / 8), big_endian }),
            3 => Err(unsupported(format!("floats of {} bits are neither of 32 nor of 64", self.bits))),
            6 => Ok(Coding::ALaw),
            7 => Ok(Coding::MuLaw),
            2 | 17 => {
                let rule = if self.tag == 2 { AdpcmRule::Microsoft } else { AdpcmRule::ImaWav };
                if block < rule.head_bytes(channels) || channels > 2 {
                    return Err(unsupported(format!("ADPCM in blocks of {block} bytes, {channels} channels")));
                }
                Ok(Coding::Adpcm { rule, block })
            }
            tag => Err(unsupported(match NAMED_CODINGS.iter().find(|named| named.0 == tag) {
                Some((_, name)) => format!("its coding is {name}"),
                None => format!("its coding {tag:#06x} is unknown"),
            })),
        }
    }

    /// Returns the bytes of a sample: those of its bits, or more if the block says so.
    fn sample_bytes(&self) -> usize {
        let (block, channels) = (usize::from(self.block), usize::from(self.channels.max(1)));
        let by_bits = usize::from(self.bits).div_ceil(8);
        let by_block = if block.is_multiple_of(channels) { block / channels } else { 0 };
        match (by_bits, by_block) {
            (0, _) => by_block,
            (3, 4) => 4,
            _ => by_bits,
        }
    }
}

/// Returns whether 24-bit samples stand in the lower bits of their four bytes, as some writers put
/// them. The standard puts them at the top, and the lowest byte is 0.
fn is_low(data: &[u8]) -> bool {
    let samples = data.as_chunks::<4>().0;
    samples.iter().any(|sample| sample[0] != 0)
        && samples.iter().all(|sample| matches!(sample[3], 0 | 0xff) && (sample[3] == 0xff) == (sample[2] >= 0x80))
}
