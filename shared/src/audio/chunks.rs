//! Walk over the chunks of RIFF, RF64, BW64, W64, AIFF and CAF: one walker for all of them.

/// Longest walk, in chunks.
const MAX_CHUNKS: usize = 4_096;

/// Form of the head of each chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkForm {
    /// Bytes of a chunk's name: 4, or 16 for the GUIDs of W64, which begin with the four letters.
    name_bytes: usize,
    /// Bytes of a chunk's length: 4 or 8.
    length_bytes: usize,
    big_endian: bool,
    /// Whether the length counts the head too.
    counts_head: bool,
    /// Each chunk begins at a multiple of this.
    alignment: u64,
}

impl ChunkForm {
    /// RIFF, RF64 and BW64.
    pub(super) const RIFF: Self =
        Self { name_bytes: 4, length_bytes: 4, big_endian: false, counts_head: false, alignment: 2 };
    /// RIFX and AIFF.
    pub(super) const BIG_ENDIAN: Self = Self { big_endian: true, ..Self::RIFF };
    /// Sony Wave64.
    pub(super) const W64: Self =
        Self { name_bytes: 16, length_bytes: 8, big_endian: false, counts_head: true, alignment: 8 };
    /// Core Audio Format.
    pub(super) const CAF: Self =
        Self { name_bytes: 4, length_bytes: 8, big_endian: true, counts_head: false, alignment: 1 };

    fn head_bytes(self) -> usize {
        self.name_bytes + self.length_bytes
    }
}

/// Chunk of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    /// First four letters of the name.
    pub(super) name: [u8; 4],
    /// Length of the body by the head of the chunk; may exceed the file.
    pub(super) promised: u64,
    /// Bytes from the body on, to the end of the file.
    pub(super) rest: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Returns the body, as far as it is there.
    pub(super) fn body(&self) -> &'a [u8] {
        &self.rest[..self.rest.len().min(usize::try_from(self.promised).unwrap_or(usize::MAX))]
    }
}

/// Chunks of a file, in order.
pub(super) struct Chunks<'a> {
    form: ChunkForm,
    rest: &'a [u8],
    left: usize,
}

impl<'a> Chunks<'a> {
    /// Begins at the first chunk of `bytes`.
    pub(super) fn new(form: ChunkForm, bytes: &'a [u8]) -> Self {
        Self { form, rest: bytes, left: MAX_CHUNKS }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = self.rest.split_at_checked(self.form.head_bytes())?;
        let (name, length) = head.split_at(self.form.name_bytes);
        let mut length = if self.form.big_endian { be(length) } else { le(length) };
        if self.form.counts_head {
            length = length.saturating_sub(head.len() as u64);
        }
        let next = length.saturating_add(length.wrapping_neg() % self.form.alignment);
        self.rest = usize::try_from(next).ok().and_then(|next| rest.get(next..)).unwrap_or(&[]);
        Some(Chunk { name: name.first_chunk().copied().unwrap_or_default(), promised: length, rest })
    }
}

/// Reads a number of at most eight bytes, lowest byte first.
pub(super) fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Reads a number of at most eight bytes, highest byte first.
pub(super) fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Reads a number of 16 bits, lowest byte first; `None` behind the end.
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|bytes| le(bytes) as u16)
}

/// Reads a number of 32 bits, lowest byte first; `None` behind the end.
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|bytes| le(bytes) as u32)
}

/// Reads a number of 16 bits, highest byte first; `None` behind the end.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|bytes| be(bytes) as u16)
}

/// Reads a number of 32 bits, highest byte first; `None` behind the end.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|bytes| be(bytes) as u32)
}

/// Reads a number of 64 bits, highest byte first; `None` behind the end.
pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8).map(be)
}
