//! Decoder of a body in HTTP/1.1 chunks, fed with pieces as they arrive.

/// Position in the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Digits of the next chunk's size, which is this much so far.
    Size(usize),
    /// Data of a chunk, of which this much is missing.
    Data(usize),
    /// Line end behind the data of a chunk.
    LineEnd,
    /// End of the body.
    End,
}

/// Decoder between two pieces.
#[derive(Debug)]
pub(crate) struct ChunkedBody(Step);

impl ChunkedBody {
    /// Begins a body.
    pub(crate) const fn new() -> Self {
        Self(Step::Size(0))
    }

    /// Returns true if the body has ended by its last chunk.
    pub(crate) fn has_ended(&self) -> bool {
        self.0 == Step::End
    }

    /// Decodes a piece, and passes the data in it to `take`.
    pub(crate) fn push(&mut self, mut piece: &[u8], mut take: impl FnMut(&[u8])) {
        while let Some((&byte, rest)) = piece.split_first() {
            self.0 = match self.0 {
                Step::End => return,
                Step::Data(missing) => {
                    let (data, behind) = piece.split_at(missing.min(piece.len()));
                    take(data);
                    piece = behind;
                    if data.len() == missing { Step::LineEnd } else { Step::Data(missing - data.len()) }
                }
                step => {
                    piece = rest;
                    step.after_byte(byte)
                }
            };
        }
    }
}

impl Step {
    fn after_byte(self, byte: u8) -> Self {
        match (self, char::from(byte)) {
            (Self::Size(0), '\n') => Self::End,
            (Self::Size(size), '\n') => Self::Data(size),
            (Self::Size(size), digit) => {
                digit.to_digit(16).map_or(self, |digit| Self::Size(size * 16 + digit as usize))
            }
            (Self::LineEnd, '\n') => Self::Size(0),
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_found_wherever_the_pieces_are_cut() {
        let body = b"3\r\nabc\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
        for cut in 1..body.len() {
            let (mut decoder, mut data) = (ChunkedBody::new(), Vec::new());
            for piece in body.chunks(cut) {
                decoder.push(piece, |bytes| data.extend_from_slice(bytes));
            }
            assert_eq!(data, b"abcabcdefghijklmnopqrstuvwxyz", "pieces of {cut}");
            assert!(decoder.has_ended());
        }
        let mut cut_off = ChunkedBody::new();
        cut_off.push(&body[..20], |_| {});
        assert!(!cut_off.has_ended());
    }
}
