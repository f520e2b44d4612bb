//! Detection of a file's format by its first bytes.

/// Bytes searched for the first MP3 frame: a file cut out of a stream begins in the middle of a
/// frame.
const MP3_SEARCH_BYTES: usize = 4_096;
/// Most tags in front of the audio.
const MAX_TAGS: usize = 4;
/// Bit rates of layer III in kbit/s by index: MPEG 1, then the lower sampling rates. Index 0 means
/// a free bit rate, which is not supported.
const BIT_RATES: [[u16; 15]; 2] = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
/// Sample rates of MPEG 1 by index; MPEG 2 has half of each, MPEG 2.5 a quarter.
const SAMPLE_RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// A file of a known format, without the tags in front of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Container<'a> {
    /// RIFF WAVE.
    Wav(&'a [u8]),
    /// Native FLAC, from its marker on.
    Flac(&'a [u8]),
    /// MPEG layer III, from its first frame on.
    Mp3(&'a [u8]),
    /// Ogg of any content.
    Ogg(&'a [u8]),
}

/// Detects the format of `bytes`; `None` if the format is unknown.
pub(super) fn container(bytes: &[u8]) -> Option<Container<'_>> {
    let audio = without_tags(bytes);
    match audio {
        [b'R', b'I', b'F', b'F', ..] => Some(Container::Wav(audio)),
        [b'f', b'L', b'a', b'C', ..] => Some(Container::Flac(audio)),
        [b'O', b'g', b'g', b'S', ..] => Some(Container::Ogg(audio)),
        _ => first_frame(audio).map(|at| Container::Mp3(&audio[at..])),
    }
}

/// Returns the bytes behind the ID3v2 tags at the start.
fn without_tags(mut bytes: &[u8]) -> &[u8] {
    for _ in 0..MAX_TAGS {
        let [b'I', b'D', b'3', _, _, flags, a, b, c, d, ..] = *bytes else { break };
        let length = [a, b, c, d].iter().fold(0, |length, &byte| length << 7 | usize::from(byte & 0x7f));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        bytes = bytes.get(10 + length + footer..).unwrap_or(&[]);
    }
    bytes
}

/// Finds the start of the first MP3 frame: another frame must follow it, or the file must end
/// there.
fn first_frame(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len().min(MP3_SEARCH_BYTES)).find(|&at| {
        let Some(length) = frame_bytes(&bytes[at..]) else { return false };
        match bytes.get(at + length..) {
            Some([]) => true,
            Some(next) => frame_bytes(next).is_some() && next[1] == bytes[at + 1],
            None => false,
        }
    })
}

/// Returns the length in bytes of the MP3 frame that begins at `bytes`.
fn frame_bytes(bytes: &[u8]) -> Option<usize> {
    let [0xff, kind, rates, _, ..] = *bytes else { return None };
    let (version, layer) = (kind >> 3 & 3, kind >> 1 & 3);
    if kind & 0xe0 != 0xe0 || version == 1 || layer != 1 {
        return None;
    }
    let mpeg_1 = version == 3;
    let kilobits = *BIT_RATES[usize::from(!mpeg_1)].get(usize::from(rates >> 4)).filter(|&&rate| rate > 0)?;
    let slower = [2, 0, 1, 0][usize::from(version)];
    let rate = SAMPLE_RATES.get(usize::from(rates >> 2 & 3))? >> slower;
    let per_frame = if mpeg_1 { 144_000 } else { 72_000 };
    let padding = u32::from(rates >> 1 & 1);
    Some((per_frame * u32::from(kilobits) / rate + padding) as usize)
}
