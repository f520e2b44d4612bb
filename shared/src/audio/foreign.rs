//! Names of the formats that are not read, by the first bytes of a file.

use super::ClipError;

/// Bytes that are looked at to tell text from other data.
const TEXT_BYTES: usize = 4_096;
/// Length of a packet of an MPEG transport stream.
const TRANSPORT_PACKET_BYTES: usize = 188;

/// Beginnings of audio and video files: name, usual extension, place, bytes.
const MEDIA: [(&str, &str, usize, &[u8]); 24] = [
    ("AMR-WB", "awb", 0, b"#!AMR-WB"),
    ("AMR-NB", "amr", 0, b"#!AMR"),
    ("WMA or another ASF file", "wma", 0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("AC-3", "ac3", 0, b"\x0b\x77"),
    ("DTS", "dts", 0, b"\x7f\xfe\x80\x01"),
    ("ADIF AAC", "aac", 0, b"ADIF"),
    ("LATM AAC", "aac", 0, b"\x56\xe0"),
    ("WavPack", "wv", 0, b"wvpk"),
    ("Monkey's Audio", "ape", 0, b"MAC "),
    ("True Audio", "tta", 0, b"TTA1"),
    ("Musepack", "mpc", 0, b"MPCK"),
    ("Musepack", "mpc", 0, b"MP+"),
    ("QOA", "qoa", 0, b"qoaf"),
    ("DSD", "dsf", 0, b"DSD "),
    ("DSD", "dff", 0, b"FRM8"),
    ("RealAudio", "ra", 0, b".ra\xfd"),
    ("RealMedia", "rm", 0, b".RMF"),
    ("NIST Sphere", "sph", 0, b"NIST_1A"),
    ("Creative Voice", "voc", 0, b"Creative Voice File"),
    ("8SVX", "iff", 8, b"8SVX"),
    ("AVI video", "avi", 8, b"AVI "),
    ("Flash video", "flv", 0, b"FLV\x01"),
    ("MPEG video", "mpg", 0, b"\0\0\x01\xba"),
    ("MPEG video", "mpg", 0, b"\0\0\x01\xb3"),
];
/// Beginnings of files without sound.
const OTHER: [(&str, usize, &[u8]); 21] = [
    ("MIDI (notes)", 0, b"MThd"),
    ("MIDI (notes)", 8, b"RMID"),
    ("an index of a CD", 8, b"CDDA"),
    ("a PDF document", 0, b"%PDF"),
    ("a ZIP archive", 0, b"PK\x03\x04"),
    ("a ZIP archive", 0, b"PK\x05\x06"),
    ("a RAR archive", 0, b"Rar!"),
    ("a 7z archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a gzip file", 0, b"\x1f\x8b"),
    ("a zstd file", 0, b"\x28\xb5\x2f\xfd"),
    ("an xz file", 0, b"\xfd7zXZ"),
    ("a PNG picture", 0, b"\x89PNG"),
    ("a JPEG picture", 0, b"\xff\xd8\xff"),
    ("a GIF picture", 0, b"GIF8"),
    ("a WebP picture", 8, b"WEBP"),
    ("a BMP picture", 0, b"BM6"),
    ("a program", 0, b"\x7fELF"),
    ("a program", 0, b"MZ\x90"),
    ("a Python pickle or PyTorch file", 0, b"\x80\x02"),
    ("a NumPy array", 0, b"\x93NUMPY"),
    ("an HDF5 file", 0, b"\x89HDF"),
];

/// Returns the refusal of a file whose format is known and not read.
pub(super) fn foreign(bytes: &[u8]) -> Option<ClipError> {
    let begins = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((name, extension, ..)) = MEDIA.iter().find(|media| begins(media.2, media.3)) {
        return Some(ClipError::Foreign { name, extension });
    }
    if let Some((name, ..)) = OTHER.iter().find(|other| begins(other.1, other.2)) {
        return Some(ClipError::NoAudio { name });
    }
    if bytes.len() > 2 * TRANSPORT_PACKET_BYTES && (0..3).all(|packet| bytes[packet * TRANSPORT_PACKET_BYTES] == 0x47) {
        return Some(ClipError::Foreign { name: "MPEG transport stream", extension: "ts" });
    }
    text(&bytes[..bytes.len().min(TEXT_BYTES)]).map(|name| ClipError::NoAudio { name })
}

/// Returns what kind of text the bytes are; `None` if they are none.
fn text(bytes: &[u8]) -> Option<&'static str> {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        // A character may be cut at the end.
        Err(error) if error.valid_up_to() + 4 > bytes.len() => str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.chars().any(|letter| letter.is_control() && !letter.is_whitespace() && letter != '\u{1b}') {
        return None;
    }
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let lower = start.get(..start.len().min(64)).unwrap_or(start).to_ascii_lowercase();
    Some(match lower.as_bytes() {
        [] => return None,
        [b'<', b'!' | b'h', ..] => "an HTML page",
        [b'<', ..] => "an XML text",
        [b'{' | b'[', ..] => "a JSON text",
        _ if lower.starts_with("data:") => "a data URL (the base64 behind its comma is the audio)",
        _ if lower.starts_with("http") => "the text of a URL",
        _ if lower.starts_with("#extm3u") => "a playlist",
        _ if lower.starts_with("version https://git-lfs") => "a Git LFS pointer",
        _ => "a text",
    })
}
