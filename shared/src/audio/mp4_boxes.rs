//! Boxes of MP4 files.

use super::chunks::{be, be32, be64};

/// Longest walk, in boxes of one level.
const MAX_BOXES: usize = 65_536;

/// Box of a file.
#[derive(Clone, Copy)]
pub(super) struct Mp4Box<'a> {
    /// Name.
    pub(super) name: [u8; 4],
    /// Body, as far as it is there.
    pub(super) body: &'a [u8],
    /// Whether the body is there to its end.
    pub(super) is_whole: bool,
    /// Place of the box within the bytes that were walked.
    pub(super) start: usize,
}

/// Boxes of one level, in order.
pub(super) struct Boxes<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
}

/// Walks over the boxes in `bytes`.
pub(super) fn boxes(bytes: &[u8]) -> Boxes<'_> {
    Boxes { bytes, at: 0, left: MAX_BOXES }
}

/// Returns the body of the first box of this name.
pub(super) fn child<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|found| found.name == *name).map(|found| found.body)
}

/// Returns the body of the box that a path of names leads to.
pub(super) fn descend<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, name| child(bytes, name))
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Mp4Box<'a>;

    fn next(&mut self) -> Option<Mp4Box<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (start, rest) = (self.at, self.bytes.get(self.at..)?);
        let name = *rest.get(4..8)?.first_chunk()?;
        let (head, length) = match be32(rest, 0)? {
            0 => (8, rest.len() as u64),
            1 => (16, be64(rest, 8)?),
            length => (8, u64::from(length)),
        };
        let length = usize::try_from(length).ok().filter(|&length| length >= head)?;
        self.at = start.saturating_add(length);
        let body = rest.get(head..length.min(rest.len()))?;
        Some(Mp4Box { name, body, is_whole: length <= rest.len(), start })
    }
}

/// Numbers of a table of a full box, whose rows have `columns` numbers of 32 bits. `at` is the
/// place of the number of rows.
pub(super) fn table(body: &[u8], at: usize, columns: usize) -> impl Iterator<Item = &[u8]> + '_ {
    let rows = be32(body, at).unwrap_or(0) as usize;
    body.get(at + 4..).unwrap_or(&[]).chunks_exact(4 * columns).take(rows)
}

/// Reads a number of 32 bits in a row of a table.
pub(super) fn column(row: &[u8], index: usize) -> u32 {
    row.get(4 * index..4 * index + 4).map_or(0, |bytes| be(bytes) as u32)
}
