//! Lines of a text as bytes, each within a limit.

use std::io::BufRead;

use super::input::{InputFault, too_long};

/// Longest line of an input file, in bytes: a request with a recording of a few seconds.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Mark that some editors put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawLine {
    /// Number of the line, from 1.
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

/// Lines of a text, in its order. Of a line that is too long only its length is kept.
pub(super) struct RawLines<R> {
    text: R,
    number: u64,
}

impl<R: BufRead> RawLines<R> {
    pub(super) const fn new(text: R) -> Self {
        Self { text, number: 0 }
    }

    /// Reads the next line, to its end however long; `None` at the end of the text.
    fn read(&mut self) -> std::io::Result<Option<(Vec<u8>, u64)>> {
        let (mut line, mut length) = (Vec::new(), 0_u64);
        loop {
            let block = self.text.fill_buf()?;
            if block.is_empty() {
                return Ok((length > 0).then_some((line, length)));
            }
            let end = block.iter().position(|&byte| byte == b'\n');
            let part = &block[..end.unwrap_or(block.len())];
            let room = (LINE_BYTES_MAX + 1).saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            length += part.len() as u64;
            let used = end.map_or(block.len(), |end| end + 1);
            self.text.consume(used);
            if end.is_some() {
                return Ok(Some((line, length)));
            }
        }
    }
}

impl<R: BufRead> Iterator for RawLines<R> {
    type Item = Result<RawLine, InputFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut bytes, length) = match self.read() {
            Ok(read) => read?,
            Err(error) => return Some(Err(InputFault::Read(error))),
        };
        self.number += 1;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if self.number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        Some(if bytes.len() > LINE_BYTES_MAX {
            Err(too_long(self.number, length))
        } else {
            Ok(RawLine { number: self.number, bytes })
        })
    }
}
