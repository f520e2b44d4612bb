//! Elements of EBML, the language of Matroska and WebM, as one flat walk.
//!
//! Elements that hold others are entered, not stepped over, so that those of unknown length need no
//! care: a browser's recorder knows no lengths.

use super::chunks::be;

/// Element of a file.
pub(super) struct Element<'a> {
    /// Identifier, its marker included.
    pub(super) id: u32,
    /// Body, as far as it is there; empty if the element was entered.
    pub(super) body: &'a [u8],
    /// Bytes of the body that are missing at the end of the file.
    pub(super) missing: usize,
}

impl Element<'_> {
    /// Reads the body as a number without sign.
    pub(super) fn number(&self) -> u64 {
        be(&self.body[..self.body.len().min(8)])
    }

    /// Reads the body as a signed number.
    pub(super) fn signed(&self) -> i64 {
        let unused = 64 - 8 * self.body.len().clamp(1, 8) as u32;
        (self.number() << unused).cast_signed() >> unused
    }

    /// Reads the body as a float.
    pub(super) fn float(&self) -> f64 {
        match self.body.len() {
            4 => f64::from(f32::from_bits(self.number() as u32)),
            _ => f64::from_bits(self.number()),
        }
    }
}

/// Elements in order, entering those whose identifiers are listed.
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    entered: &'static [u32],
}

impl<'a> Elements<'a> {
    pub(super) fn new(bytes: &'a [u8], entered: &'static [u32]) -> Self {
        Self { bytes, at: 0, entered }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (id, id_bytes) = variable_number(self.bytes.get(self.at..)?, 4, false)?;
        let (length, length_bytes) = variable_number(self.bytes.get(self.at + id_bytes..)?, 8, true)?;
        self.at += id_bytes + length_bytes;
        let id = id as u32;
        let rest = self.bytes.get(self.at..)?;
        if self.entered.contains(&id) {
            return Some(Element { id, body: &[], missing: 0 });
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let body = &rest[..length.min(rest.len())];
        self.at += body.len();
        Some(Element { id, body, missing: length - body.len() })
    }
}

/// Reads a number of variable length, and its length. The first byte's leading zeros count the
/// bytes that follow; its marker is kept in identifiers and cleared in lengths.
pub(super) fn variable_number(bytes: &[u8], most: usize, clear: bool) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let count = first.leading_zeros() as usize + 1;
    let number = be(bytes.get(..count).filter(|_| count <= most)?);
    Some((if clear { number & !(1 << (7 * count)) } else { number }, count))
}
