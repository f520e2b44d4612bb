//! Detection of a file's format by its content.

use super::collector::Source;
use super::foreign::foreign;
use super::mpeg_frame::tag_bytes;
use super::{ClipError, SourceLimit, aac, aiff, au, caf, flac, matroska, mp4, mpeg_audio, ogg, wav};

/// Most tags in front of the audio.
const MAX_TAGS: usize = 4;
/// Bytes of the head of an ID3v2 tag.
const TAG_HEAD_BYTES: usize = 10;

/// Reads a file of any format.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    if bytes.is_empty() {
        return Err(ClipError::Empty);
    }
    let audio = without_tags(bytes);
    let behind_tag = audio.len() < bytes.len();
    match audio {
        _ if wav::is_wav(audio) => wav::read(audio, limit),
        [b'f', b'L', b'a', b'C', ..] => flac::read(audio, limit),
        [b'O', b'g', b'g', b'S', ..] => ogg::read(audio, limit),
        [b'.', b's', b'n', b'd', ..] => au::read(audio, limit),
        [b'c', b'a', b'f', b'f', 0, 1, ..] => caf::read(audio, limit),
        _ if aiff::is_aiff(audio) => aiff::read(audio, limit),
        _ if audio.starts_with(&matroska::MAGIC) => matroska::read(audio, limit),
        _ if mp4::is_mp4(audio) => mp4::read(audio, limit),
        _ => stream(bytes, audio, behind_tag, limit),
    }
}

/// Reads a stream of frames without a head, or names what the file is instead.
fn stream(bytes: &[u8], audio: &[u8], behind_tag: bool, limit: SourceLimit) -> Result<Source, ClipError> {
    if let Some(found) = foreign(bytes) {
        return Err(found);
    }
    if let Some(at) = aac::first_adts(audio) {
        return aac::read_adts(&audio[at..], limit);
    }
    if let Some(at) = mpeg_audio::first_frame(audio, behind_tag) {
        return mpeg_audio::read(&audio[at..], limit);
    }
    // The length of the tag may be wrong: the audio may begin inside it.
    let inside = if behind_tag { bytes.get(TAG_HEAD_BYTES..).unwrap_or(&[]) } else { &[] };
    match mpeg_audio::first_frame(inside, true) {
        Some(at) => mpeg_audio::read(&inside[at..], limit),
        None => Err(ClipError::UnknownFormat),
    }
}

/// Returns the bytes behind the tags at the start.
fn without_tags(mut bytes: &[u8]) -> &[u8] {
    for _ in 0..MAX_TAGS {
        let is_tag = bytes.starts_with(b"ID3") || bytes.starts_with(b"APETAGEX");
        let Some(length) = tag_bytes(bytes).filter(|_| is_tag) else { break };
        bytes = bytes.get(length..).unwrap_or(&[]);
    }
    bytes
}
