//! Base64 as clients write it: plain or as a data URL, on one line or on many, in the standard or
//! the URL-safe alphabet, with its padding or without.
//!
//! Nothing is guessed. A text that could be read in two ways is refused, and so is a text that was
//! cut off in the middle of a byte.

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};

/// Rules of decoding: padding may be missing, and bits behind the last whole byte must be zero.
const RULES: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// Decoder of the alphabet with `+` and `/`.
const STANDARD_DECODER: GeneralPurpose = GeneralPurpose::new(&STANDARD, RULES);
/// Decoder of the alphabet with `-` and `_`.
const URL_SAFE_DECODER: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, RULES);

/// Characters of base64 that make whole bytes together.
const GROUP: usize = 4;
/// Characters that are decoded at a time if blanks stand between them; a multiple of [`GROUP`].
const BLOCK: usize = 1_024 * GROUP;
/// Longest scheme of an address, in bytes.
const SCHEME_BYTES_MAX: usize = 16;
/// Longest text that may be the name of a file, in bytes.
const FILE_NAME_BYTES_MAX: usize = 1_024;
/// Longest extension of a file's name, in bytes.
const EXTENSION_BYTES_MAX: usize = 5;

/// Reason why a text is no base64, for its sender. Places count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Base64Error {
    /// No character at all, blanks aside.
    #[error("there is nothing but blanks")]
    Empty,
    /// Address in the place of data.
    #[error("an address is not fetched: send the content of the file")]
    Address,
    /// Name of a file in the place of data.
    #[error("a file's name is not opened: send the content of the file")]
    FileName,
    /// Data URL whose data has another form.
    #[error("a data URL must say \";base64,\" in front of its data")]
    DataUrl,
    /// Character of neither alphabet.
    #[error("{char:?} is character {place}: only A to Z, a to z, 0 to 9, + and / (or - and _), and = at the end")]
    Stray {
        /// The character.
        char: char,
        /// Its place.
        place: usize,
    },
    /// Character of the other alphabet.
    #[error("{char:?} is character {place}: + and / do not stand beside - and _")]
    OtherAlphabet {
        /// The character.
        char: char,
        /// Its place.
        place: usize,
    },
    /// `=` before the end, or more of them than fit.
    #[error("'=' is character {place}: only one or two of them end a text")]
    Padding {
        /// Place of the first one.
        place: usize,
    },
    /// Blank within a group of characters.
    #[error("a blank is character {place}, inside a group of four: a form may have turned + into a blank")]
    Blank {
        /// Place of the blank.
        place: usize,
    },
    /// End in the middle of a byte.
    #[error("{symbols} characters of base64 end in the middle of a byte: the text was cut off")]
    CutOff {
        /// Characters, blanks and padding aside.
        symbols: usize,
    },
}

/// Decodes a text in time and memory that grow with its length. Beside the bytes only one block of
/// [`BLOCK`] characters is copied.
///
/// Takes `data:<any type>;base64,` in front, line breaks anywhere, and blanks at the ends of lines
/// and between groups of four characters. Takes either alphabet, and one or two `=` at the end, or
/// none.
///
/// # Errors
/// [`Base64Error`] names the character and its place.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, Base64Error> {
    let start = payload_start(text)?;
    let layout = Layout::of(text, start);
    let Layout { symbols, padding, is_url_safe, has_blanks } =
        layout.map_err(|error| if start == 0 && is_file_name(text) { Base64Error::FileName } else { error })?;
    if symbols == 0 {
        return Err(padding.map_or(Base64Error::Empty, |at| Base64Error::Padding { place: place(text, at) }));
    }
    let decoder = if is_url_safe { &URL_SAFE_DECODER } else { &STANDARD_DECODER };
    let payload = &text.as_bytes()[start..];
    // The estimate of a block counts its padding, too.
    let mut bytes = Vec::with_capacity(base64::decoded_len_estimate(symbols + GROUP));
    let decoded = if has_blanks {
        decode_in_blocks(decoder, payload, &mut bytes)
    } else {
        decoder.decode_vec(payload, &mut bytes)
    };
    decoded.map_err(|error| match (error, padding) {
        (DecodeError::InvalidByte(..), Some(at)) if symbols % GROUP != 1 => {
            Base64Error::Padding { place: place(text, at) }
        }
        _ => Base64Error::CutOff { symbols },
    })?;
    Ok(bytes)
}

/// Decodes what stands between the blanks.
fn decode_in_blocks(decoder: &GeneralPurpose, payload: &[u8], bytes: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut block = Vec::with_capacity(BLOCK);
    for &byte in payload.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        block.push(byte);
        if block.len() == BLOCK {
            decoder.decode_vec(&block, bytes)?;
            block.clear();
        }
    }
    decoder.decode_vec(&block, bytes)
}

/// Returns the offset of the data in a text, which is behind the head of a data URL.
fn payload_start(text: &str) -> Result<usize, Base64Error> {
    let trimmed = text.trim_ascii_start();
    let starts_with = |head: &str| trimmed.get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head));
    if starts_with("data:") {
        let head = trimmed.split(',').next().filter(|head| head.len() < trimmed.len()).ok_or(Base64Error::DataUrl)?;
        let last = head.rsplit(';').next().unwrap_or_default();
        let is_base64 = head.contains(';') && last.trim_ascii().eq_ignore_ascii_case("base64");
        return if is_base64 { Ok(text.len() - trimmed.len() + head.len() + 1) } else { Err(Base64Error::DataUrl) };
    }
    let scheme = trimmed.bytes().take(SCHEME_BYTES_MAX).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    if scheme > 0 && trimmed[scheme..].starts_with("://") { Err(Base64Error::Address) } else { Ok(0) }
}

/// Returns whether a text that is no base64 looks like a file's name.
fn is_file_name(text: &str) -> bool {
    let name = text.trim_ascii();
    if name.len() > FILE_NAME_BYTES_MAX || name.contains(['\n', '\r']) {
        return false;
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let has_extension = (1..=EXTENSION_BYTES_MAX).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    has_extension || name.starts_with(['.', '~', '\\']) || name.get(1..3) == Some(":\\")
}

/// Returns the place of the character at an offset, from 1.
fn place(text: &str, offset: usize) -> usize {
    text.char_indices().take_while(|&(start, _)| start <= offset).count()
}

/// Counts of the characters of a text that may be base64.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    /// Characters, blanks and padding aside.
    symbols: usize,
    /// Offset of the first `=`.
    padding: Option<usize>,
    is_url_safe: bool,
    has_blanks: bool,
}

impl Layout {
    /// Reads the characters behind an offset. Refuses all that stand in a wrong place.
    fn of(text: &str, start: usize) -> Result<Self, Base64Error> {
        let mut layout = Self::default();
        let mut alphabet = None;
        // Blank that splits a group, unless a line ends behind it.
        let (mut split, mut line_ended) = (None, true);
        for (offset, &byte) in text.as_bytes().iter().enumerate().skip(start) {
            let char = || text[offset..].chars().next().unwrap_or_default();
            if let Some(blank) = split.filter(|_| !byte.is_ascii_whitespace()) {
                return Err(Base64Error::Blank { place: place(text, blank) });
            }
            match byte {
                b'\n' | b'\r' => (layout.has_blanks, split, line_ended) = (true, None, true),
                _ if byte.is_ascii_whitespace() => {
                    let splits = !line_ended && !layout.symbols.is_multiple_of(GROUP) && layout.padding.is_none();
                    (layout.has_blanks, split) = (true, split.or(splits.then_some(offset)));
                }
                b'=' => layout.padding = layout.padding.or(Some(offset)),
                _ if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_') => {
                    if let Some(padding) = layout.padding {
                        return Err(Base64Error::Padding { place: place(text, padding) });
                    }
                    let is_url_safe = matches!(byte, b'-' | b'_');
                    if !byte.is_ascii_alphanumeric() && *alphabet.get_or_insert(is_url_safe) != is_url_safe {
                        return Err(Base64Error::OtherAlphabet { char: char(), place: place(text, offset) });
                    }
                    (layout.symbols, line_ended) = (layout.symbols + 1, false);
                }
                _ => return Err(Base64Error::Stray { char: char(), place: place(text, offset) }),
            }
        }
        layout.is_url_safe = alphabet.unwrap_or_default();
        Ok(layout)
    }
}

#[cfg(test)]
mod tests;
