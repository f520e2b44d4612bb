//! Pages of an Ogg file, and the packets of its streams. Damaged pages are stepped over.

/// Beginning of a page.
const MAGIC: &[u8] = b"OggS";
/// Bytes of a page's head in front of its table of segments.
const HEAD_BYTES: usize = 27;
/// Place of the checksum in a page.
const SUM: std::ops::Range<usize> = 22..26;
/// Most bytes that are summed up for pages with wrong checksums, in lengths of the file.
const WRONG_SUMS: usize = 8;
/// Granule position of a page on which no packet ends.
const NO_POSITION: u64 = u64::MAX;

/// Page of a stream.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    flags: u8,
    position: u64,
    /// Number of the page's stream.
    pub(super) serial: u32,
    sequence: u32,
    segments: &'a [u8],
    body: &'a [u8],
}

impl<'a> Page<'a> {
    /// Reads the page at the beginning; `None` if there is no whole and undamaged one.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..at + 4).map(|number| super::chunks::le(number) as u32);
        let page = bytes.get(..page_bytes(bytes)?)?;
        let count = usize::from(page[HEAD_BYTES - 1]);
        let (segments, body) = page[HEAD_BYTES..].split_at(count);
        if !page.starts_with(MAGIC) || page[4] != 0 || number(SUM.start)? != checksum(page) {
            return None;
        }
        Some(Self {
            flags: page[5],
            position: super::chunks::le(&page[6..14]),
            serial: number(14)?,
            sequence: number(18)?,
            segments,
            body,
        })
    }

    fn bytes(&self) -> usize {
        HEAD_BYTES + self.segments.len() + self.body.len()
    }

    fn continues(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Returns whether the page is the first of its stream.
    pub(super) fn is_first(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Returns whether the page is the last of its stream.
    pub(super) fn is_last(&self) -> bool {
        self.flags & 4 != 0
    }

    /// Returns the position of the stream behind the last packet that ends on this page.
    pub(super) fn position(&self) -> Option<u64> {
        (self.position != NO_POSITION).then_some(self.position)
    }

    /// Returns the first packet, as far as it lies on this page.
    pub(super) fn first_packet(&self) -> &'a [u8] {
        let whole = self.segments.iter().take_while(|&&length| length == 255).count() + 1;
        let length: usize = self.segments.iter().take(whole).map(|&length| usize::from(length)).sum();
        &self.body[..length]
    }
}

/// Returns the length of the page at the beginning; `None` if its table of segments is cut off.
fn page_bytes(bytes: &[u8]) -> Option<usize> {
    let count = usize::from(*bytes.get(HEAD_BYTES - 1)?);
    let segments = bytes.get(HEAD_BYTES..HEAD_BYTES + count)?;
    Some(HEAD_BYTES + count + segments.iter().map(|&length| usize::from(length)).sum::<usize>())
}

/// Pages of a file, in order.
pub(super) struct Pages<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes that may still be summed up for pages with wrong checksums, which may overlap.
    sums_left: usize,
    /// Bytes so far that belong to no page.
    pub(super) lost: usize,
}

impl<'a> Pages<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, sums_left: WRONG_SUMS * bytes.len(), lost: 0 }
    }
}

impl<'a> Iterator for Pages<'a> {
    type Item = Page<'a>;

    fn next(&mut self) -> Option<Page<'a>> {
        let start = self.at;
        // Each pass moves on by at least a byte.
        while let Some(place) = self.bytes[self.at..].windows(MAGIC.len()).position(|four| four == MAGIC) {
            self.at += place;
            if let Some(page) = Page::read(&self.bytes[self.at..]) {
                self.lost += self.at - start;
                self.at += page.bytes();
                return Some(page);
            }
            self.at += 1;
            let summed = page_bytes(&self.bytes[self.at - 1..]).unwrap_or(0);
            let Some(left) = self.sums_left.checked_sub(summed) else { break };
            self.sums_left = left;
        }
        self.lost += self.bytes.len() - start;
        self.at = self.bytes.len();
        None
    }
}

/// Packets of one stream, put together from its pages.
#[derive(Default)]
pub(super) struct Packets {
    /// Beginning of a packet that goes on on the next page.
    partial: Option<Vec<u8>>,
    next_sequence: Option<u32>,
    /// Pages that are missing so far.
    pub(super) lost_pages: u64,
}

impl Packets {
    /// Gives the packets that end on the page to `take`. Returns whether pages are missing in front
    /// of it.
    pub(super) fn add<E>(&mut self, page: &Page<'_>, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<bool, E> {
        let expected = self.next_sequence.replace(page.sequence.wrapping_add(1));
        let gap = expected.is_some_and(|expected| expected != page.sequence);
        if gap {
            // A page that was numbered anew counts as one.
            let missing = page.sequence.wrapping_sub(expected.unwrap_or_default());
            self.lost_pages += if missing < u32::MAX / 2 { u64::from(missing) } else { 1 };
            self.partial = None;
        }
        // Without its beginning, the rest of a packet is of no use.
        let mut skips = page.continues() && self.partial.is_none();
        let mut partial = if page.continues() { self.partial.take().unwrap_or_default() } else { Vec::new() };
        self.partial = None;
        let (mut start, mut end) = (0, 0);
        for &length in page.segments {
            end += usize::from(length);
            if length == 255 {
                continue;
            }
            let part = &page.body[start..end];
            if !skips && partial.is_empty() {
                take(part)?;
            } else if !skips {
                partial.extend_from_slice(part);
                take(&partial)?;
            }
            partial.clear();
            (start, skips) = (end, false);
        }
        if page.segments.last() == Some(&255) && !skips {
            partial.extend_from_slice(&page.body[start..end]);
            self.partial = Some(partial);
        }
        Ok(gap)
    }
}

/// Table of the checksum of a page, polynomial 0x04c11db7.
const CRC_32: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum >> 31 == 0 { sum << 1 } else { sum << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

/// Returns the checksum of a page, whose own field counts as zeros.
fn checksum(page: &[u8]) -> u32 {
    page.iter().enumerate().fold(0, |sum: u32, (place, &byte)| {
        let byte = if SUM.contains(&place) { 0 } else { byte };
        sum << 8 ^ CRC_32[(sum >> 24) as usize ^ usize::from(byte)]
    })
}
