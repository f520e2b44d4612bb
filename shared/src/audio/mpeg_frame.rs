//! Heads of MPEG audio frames, of layers I, II and III, and the tag that encoders put in the first.

use super::chunks::{be, be32, le32};

/// Bit rates in kbit/s by index; 0 stands for a free bit rate, which is not supported.
const LAYER_1: [u32; 15] = [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448];
#[rustfmt::skip]
const LAYER_2: [u32; 15] = [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
const LAYER_3: [u32; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
/// Bit rates of layer I at the lower sample rates.
const LOW_LAYER_1: [u32; 15] = [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256];
/// Bit rates of layers II and III at the lower sample rates.
const LOW: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
/// Sample rates of MPEG 1 by index; MPEG 2 has half of each, MPEG 2.5 a quarter.
const SAMPLE_RATES: [u32; 3] = [44_100, 48_000, 32_000];
/// Frames that the decoder delays, and one: the lead of the recording behind the encoder's delay.
const DECODER_DELAY: u64 = 529;

/// Head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MpegFrame {
    /// Layer: 1, 2 or 3.
    pub(super) layer: u8,
    /// Samples per second.
    pub(super) rate: u32,
    /// Channels: 1 or 2.
    pub(super) channels: usize,
    /// Bytes of the frame, its head included.
    pub(super) bytes: usize,
    /// Frames of audio.
    pub(super) samples: usize,
    mpeg_1: bool,
}

impl MpegFrame {
    /// Reads the head at the beginning; `None` if there is none.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [0xff, kind, rates, mode, ..] = *bytes else { return None };
        let (version, layer) = (kind >> 3 & 3, 4 - (kind >> 1 & 3));
        if kind & 0xe0 != 0xe0 || version == 1 || layer == 4 {
            return None;
        }
        let mpeg_1 = version == 3;
        let table = match (mpeg_1, layer) {
            (true, 1) => LAYER_1,
            (true, 2) => LAYER_2,
            (true, _) => LAYER_3,
            (false, 1) => LOW_LAYER_1,
            (false, _) => LOW,
        };
        let bits = table.get(usize::from(rates >> 4)).filter(|&&kilobits| kilobits > 0)? * 1_000;
        let slower = [2, 0, 1, 0][usize::from(version)];
        let rate = SAMPLE_RATES.get(usize::from(rates >> 2 & 3))? >> slower;
        let padding = u32::from(rates >> 1 & 1);
        let (bytes, samples) = match layer {
            1 => ((12 * bits / rate + padding) * 4, 384),
            3 if !mpeg_1 => (72 * bits / rate + padding, 576),
            _ => (144 * bits / rate + padding, 1_152),
        };
        let channels = if mode >> 6 == 3 { 1 } else { 2 };
        Some(Self { layer, rate, channels, bytes: bytes as usize, samples, mpeg_1 })
    }

    /// Returns whether both can stand in one stream of one encoder.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.layer, self.rate, self.mpeg_1) == (other.layer, other.rate, other.mpeg_1)
    }

    /// Returns whether both can be decoded by one decoder.
    pub(super) fn same_decoder(&self, other: &Self) -> bool {
        self.is_like(other) && self.channels == other.channels
    }

    /// Reads the tag of the encoder in the first frame of a file of `present` bytes. Such a frame
    /// holds no audio.
    pub(super) fn tag(&self, frame: &[u8], present: usize) -> Option<EncoderTag> {
        let side = match (self.mpeg_1, self.channels) {
            (true, 1) | (false, 2) => 17,
            (true, _) => 32,
            (false, _) => 9,
        };
        if self.layer != 3 {
            return None;
        }
        if frame.get(36..40) == Some(b"VBRI") {
            return Some(EncoderTag::default());
        }
        let tag = frame.get(4 + side..).filter(|tag| tag.starts_with(b"Xing") || tag.starts_with(b"Info"))?;
        let flags = be32(tag, 4)?;
        let fields = |below: u32| {
            let sizes = [(1, 4), (2, 4), (4, 100), (8, 4)];
            sizes.iter().filter(|field| flags & below & field.0 != 0).map(|field| field.1).sum::<usize>()
        };
        let mut frames = if flags & 1 == 0 { 0 } else { be32(tag, 8)? };
        let bytes = if flags & 2 == 0 { 0 } else { be32(tag, 8 + fields(1))? as usize };
        // Behind a file that is longer than its tag says, another one was joined to it.
        if bytes > 0 && present > bytes && present - bytes > bytes / 16 {
            frames = 0;
        }
        let encoder = tag.get(8 + fields(15)..)?;
        if ![&b"LAME"[..], b"Lavf", b"Lavc"].iter().any(|name| encoder.starts_with(name)) {
            return Some(EncoderTag::default());
        }
        let delays = be(encoder.get(21..24)?);
        let (delay, padding) = (delays >> 12, delays & 0xfff);
        let whole = u64::from(frames) * self.samples as u64;
        Some(EncoderTag { lead: delay + DECODER_DELAY, end: (whole + DECODER_DELAY).saturating_sub(padding), whole })
    }
}

/// Frames of audio that belong to the encoder and not to the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EncoderTag {
    /// Frames at the start.
    pub(super) lead: u64,
    /// Place of the first frame behind the recording.
    pub(super) end: u64,
    /// Frames of the whole file; 0 if unknown.
    pub(super) whole: u64,
}

/// Returns the bytes of the tag at the beginning that is no audio: ID3v2, ID3v1, APE or Lyrics3.
pub(super) fn tag_bytes(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'I', b'D', b'3', major, minor, flags, a, b, c, d, ..] if *major < 0xff && *minor < 0xff => {
            let length = [a, b, c, d].iter().fold(0, |length, &&byte| length << 7 | usize::from(byte & 0x7f));
            Some(10 + length + if flags & 0x10 == 0 { 0 } else { 10 })
        }
        [b'T', b'A', b'G', ..] if bytes.len() >= 128 => Some(128),
        [b'A', b'P', b'E', b'T', b'A', b'G', b'E', b'X', ..] => {
            let length = le32(bytes, 12)? as usize;
            // The flag of a head says that the length counts what follows it.
            let is_head = bytes.get(23)? & 0x20 != 0;
            Some(if is_head { 32 + length } else { 32 })
        }
        [b'L', b'Y', b'R', b'I', b'C', b'S', b'B', b'E', b'G', b'I', b'N', ..] => Some(bytes.len()),
        _ => None,
    }
}
