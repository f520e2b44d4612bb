//! Frames of a FLAC stream: found by their heads, ended by their checksums.

/// Smallest frame: its head, a subframe of a constant, and the checksum.
const FRAME_BYTES_MIN: usize = 8;
/// Heads behind a frame that are tried as its end. A head has a checksum of its own, so that one of
/// the first is right unless the frame is damaged.
const ENDS_TRIED: usize = 16;
/// Longest head.
const HEAD_BYTES_MAX: usize = 16;

/// Head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlacFrame {
    /// Frames of audio.
    pub(super) samples: usize,
    /// Number of channels.
    pub(super) channels: usize,
}

impl FlacFrame {
    /// Reads the head at the beginning; `None` if there is none, or its checksum is wrong.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let head @ [0xff, 0xf8 | 0xf9, sizes, layout, first, ..] = *bytes.first_chunk::<5>()? else { return None };
        let (size, rate) = (head[2] >> 4, sizes & 15);
        let (assignment, bits) = (layout >> 4, layout >> 1 & 7);
        if size == 0 || rate == 15 || assignment > 10 || bits == 3 || layout & 1 == 1 {
            return None;
        }
        let number_bytes = match first.leading_ones() {
            0 => 1,
            ones @ 2..=7 => ones as usize,
            _ => return None,
        };
        let mut at = 4 + number_bytes;
        let mut extra = |bytes_used: usize| {
            let value = bytes.get(at..at + bytes_used).map(super::chunks::be);
            at += bytes_used;
            value
        };
        let samples = match size {
            1 => 192,
            2..=5 => 144 << size,
            6 => extra(1)? as usize + 1,
            7 => extra(2)? as usize + 1,
            _ => 1 << size,
        };
        extra(match rate {
            12 => 1,
            13 | 14 => 2,
            _ => 0,
        })?;
        let right = bytes.get(at).is_some_and(|&sum| sum == crc_8(&bytes[..at]));
        let channels = if assignment < 8 { usize::from(assignment) + 1 } else { 2 };
        right.then_some(Self { samples, channels })
    }
}

/// Frame of a stream.
pub(super) struct Frame<'a> {
    /// Its head.
    pub(super) head: FlacFrame,
    /// Its bytes.
    pub(super) bytes: &'a [u8],
    /// Bytes in front of the frame that belong to none.
    pub(super) lost: usize,
    /// Whether the frame is cut off, or damaged, at the end of the stream.
    pub(super) is_cut: bool,
}

/// Frames of a stream, in order.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    channels: usize,
}

impl<'a> Frames<'a> {
    /// Begins at the first frame of `bytes`.
    pub(super) fn new(bytes: &'a [u8], channels: usize) -> Self {
        Self { bytes, at: 0, channels }
    }

    /// Finds the next head from a place on.
    fn head_from(&self, from: usize) -> Option<(usize, FlacFrame)> {
        let end = self.bytes.len();
        (from..end).filter(|&at| self.bytes[at] == 0xff).find_map(|at| {
            let head = FlacFrame::read(&self.bytes[at..end.min(at + HEAD_BYTES_MAX)])?;
            (head.channels == self.channels).then_some((at, head))
        })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let (start, head) = self.head_from(self.at)?;
        let lost = start - self.at;
        let (mut sum, mut summed, mut first_end) = (0, start, None);
        let mut from = start + FRAME_BYTES_MIN;
        for _ in 0..ENDS_TRIED {
            let Some((end, _)) = self.head_from(from) else { break };
            sum = crc_16(sum, &self.bytes[summed..end]);
            (summed, from) = (end, end + 1);
            first_end.get_or_insert(end);
            if sum == 0 {
                self.at = end;
                return Some(Frame { head, bytes: &self.bytes[start..end], lost, is_cut: false });
            }
        }
        let Some(end) = first_end else {
            self.at = self.bytes.len();
            let whole = whole_frame(&self.bytes[start..]);
            let bytes = whole.unwrap_or(&self.bytes[start..]);
            return Some(Frame { head, bytes, lost, is_cut: whole.is_none() });
        };
        self.at = end;
        Some(Frame { head, bytes: &self.bytes[start..end], lost, is_cut: false })
    }
}

/// Returns the longest part that is a frame by its checksum. The decoder does not mind bytes behind
/// the frame.
fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    let mut sum = crc_16(0, &bytes[..bytes.len().min(FRAME_BYTES_MIN)]);
    let mut whole = None;
    for (at, byte) in bytes.iter().enumerate().skip(FRAME_BYTES_MIN) {
        whole = if sum == 0 { Some(at) } else { whole };
        sum = crc_16(sum, std::slice::from_ref(byte));
    }
    whole = if sum == 0 { Some(bytes.len()) } else { whole };
    whole.map(|end| &bytes[..end])
}

/// Returns whether a frame ends with its checksum: the sum over both is 0.
pub(super) fn is_undamaged(frame: &[u8]) -> bool {
    frame.len() >= FRAME_BYTES_MIN && crc_16(0, frame) == 0
}

fn crc_8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| {
        (0..8).fold(sum ^ byte, |sum: u8, _| if sum & 0x80 == 0 { sum << 1 } else { sum << 1 ^ 0x07 })
    })
}

/// Table of the checksum of 16 bits, polynomial 0x8005.
const CRC_16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x8005 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

fn crc_16(sum: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(sum, |sum, &byte| sum << 8 ^ CRC_16[usize::from(sum >> 8) ^ usize::from(byte)])
}
