//! Tests of uncompressed files: WAV with wrong lengths and fields, every coding, and the other
//! containers.

use super::*;

/// Returns the body of a format chunk.
fn format(tag: u16, channels: u16, bits: u16, block: u16, extra: &[u8]) -> Vec<u8> {
    let mut format = tag.to_le_bytes().to_vec();
    format.extend(channels.to_le_bytes());
    format.extend(24_000_u32.to_le_bytes());
    format.extend(0_u32.to_le_bytes()); // bytes per second, which nobody needs
    format.extend(block.to_le_bytes());
    format.extend(bits.to_le_bytes());
    format.extend(extra);
    format
}

/// Returns a WAV file of 16-bit samples whose header gives `length` bytes of audio.
fn of_length(length: u32, tail: &[u8]) -> Vec<u8> {
    let data: Vec<u8> = (0..100_i16).flat_map(|sample| (100 * sample).to_le_bytes()).collect();
    let mut file = riff(&[(b"fmt ", &format(1, 1, 16, 2, &[])), (b"data", &data)]);
    let place = file.len() - data.len() - 4;
    file[place..place + 4].copy_from_slice(&length.to_le_bytes());
    file.extend(tail);
    file
}

/// Returns a chunk of AIFF.
fn aiff_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [name.as_slice(), &(body.len() as u32).to_be_bytes(), body].concat()
}

fn aiff() -> Vec<u8> {
    let common = b"\0\x01\0\0\0\x02\0\x10\x40\x0d\xbb\x80\0\0\0\0\0\0".as_slice();
    let sound = b"\0\0\0\0\0\0\0\0\0\x01\xff\xfe".as_slice();
    let body = [b"AIFF".as_slice(), &aiff_chunk(b"COMM", common), &aiff_chunk(b"SSND", sound)].concat();
    [b"FORM".as_slice(), &(body.len() as u32).to_be_bytes(), &body].concat()
}

fn au() -> Vec<u8> {
    let words = [24_u32, 4, 3, 24_000, 1].map(u32::to_be_bytes);
    [b".snd".as_slice(), words.as_flattened(), b"\0\x01\xff\xfe"].concat()
}

fn caf() -> Vec<u8> {
    let mut file = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    file.extend(24_000_f64.to_be_bytes());
    file.extend(b"lpcm");
    file.extend([0_u32, 2, 1, 1, 16].map(u32::to_be_bytes).as_flattened());
    file.extend(b"data\0\0\0\0\0\0\0\x08\0\0\0\0\0\x01\xff\xfe");
    file
}

fn w64() -> Vec<u8> {
    const GUID: &[u8] = b"\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a";
    let mut file = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0".to_vec();
    file.extend(0_u64.to_le_bytes());
    file.extend([b"wave", GUID, b"fmt ", GUID].concat());
    file.extend(40_u64.to_le_bytes());
    file.extend(format(1, 1, 16, 2, &[]));
    file.extend([b"data", GUID].concat());
    file.extend(28_u64.to_le_bytes());
    file.extend([1, 0, 0xfe, 0xff]);
    file
}

fn rf64() -> Vec<u8> {
    let mut long = vec![0; 8];
    long.extend(4_u64.to_le_bytes());
    long.extend([0; 12]);
    let mut file = riff(&[(b"ds64", &long), (b"fmt ", &format(1, 1, 16, 2, &[])), (b"data", &[1, 0, 0xfe, 0xff])]);
    file[..4].copy_from_slice(b"RF64");
    let place = file.len() - 8;
    file[place..place + 4].fill(0xff);
    [file, b"LIST\x04\0\0\0INFO".to_vec()].concat()
}

/// Returns a small file of each container and coding.
pub(super) fn every_file() -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..600_u32).map(|index| ((index * index * 7) >> 3) as u8 & 0x7f).collect();
    let codings =
        [(1, 8, 1), (1, 16, 2), (1, 24, 3), (1, 32, 4), (3, 32, 4), (6, 8, 1), (7, 8, 1), (2, 4, 60), (17, 4, 60)];
    let of_coding = |&(tag, bits, block): &(u16, u16, u16)| {
        riff(&[(b"fmt ", &format(tag, 1, bits, block, &[])), (b"data", &noise)])
    };
    codings.iter().map(of_coding).chain([aiff(), au(), caf(), w64(), rf64()]).collect()
}

#[test]
fn open_lengths_reach_to_the_end_without_a_warning() {
    for length in [0, 2_000_000_000, 0x7fff_ffff, 0x8000_0000, u32::MAX - 36, u32::MAX] {
        let recording = read(&of_length(length, &[])).unwrap();
        assert_eq!((recording.clip.samples().len(), recording.warnings.len()), (100, 0), "{length:#x}");
    }
}

#[test]
fn wrong_lengths_are_named() {
    let warnings = |file: &[u8]| {
        let recording = read(file).unwrap();
        (recording.clip.samples().len(), recording.warnings)
    };
    let long = "the WAV file ends 50 bytes before the length in its header; the audio up to there is used";
    assert_eq!(warnings(&of_length(250, &[])), (100, vec![long.to_owned()]));
    let short = "the WAV file goes on for 50 bytes behind the length in its header; that part is not read";
    assert_eq!(warnings(&of_length(150, &[])), (75, vec![short.to_owned()]));
    let (samples, odd) = warnings(&of_length(200, &[])[..of_length(200, &[]).len() - 1]);
    assert_eq!((samples, odd.len()), (99, 1));
    assert!(odd[0].contains("ends 1 byte before"), "{odd:?}");
    assert_eq!(warnings(&of_length(200, b"LIST\x04\0\0\0INFO")), (100, vec![]));
    assert_eq!(warnings(&of_length(200, &of_length(200, &[]))).1.len(), 1, "a second file is named");
}

#[test]
fn a_length_of_zero_in_front_of_chunks_is_one() {
    let empty = riff(&[(b"fmt ", &format(1, 1, 16, 2, &[])), (b"data", &[]), (b"LIST", b"INFO")]);
    assert_eq!(read(&empty), Err(ClipError::Empty));
}

#[test]
fn odd_chunks_are_stepped_over() {
    let plain = format(1, 1, 16, 2, &[]);
    let odd = riff(&[(b"fmt ", &plain), (b"LIST", b"abc"), (b"data", &[1, 0, 2, 0]), (b"id3 ", b"zz")]);
    assert_eq!(clip_of(&odd).unwrap().samples(), [1, 2]);
}

#[test]
fn containers_hold_the_same_samples() {
    for (name, file) in [("AIFF", aiff()), ("AU", au()), ("CAF", caf()), ("W64", w64()), ("RF64", rf64())] {
        let recording = read(&file).unwrap();
        assert_eq!((recording.clip.samples(), recording.warnings.len()), ([1_i16, -2].as_slice(), 0), "{name}");
    }
}

#[test]
fn twenty_four_bits_stand_at_either_end_of_thirty_two() {
    let guid = b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71";
    let extra = [b"\x16\0\x18\0\x04\0\0\0".as_slice(), guid].concat();
    let extensible = format(0xfffe, 1, 32, 4, &extra);
    let samples = |data: &[u8]| clip_of(&riff(&[(b"fmt ", &extensible), (b"data", data)])).unwrap().samples().to_vec();
    assert_eq!(samples(&[0, 0, 0x34, 0x12, 0, 0, 0xcc, 0xed]), [0x1234, -0x1234]);
    assert_eq!(samples(&[1, 0x34, 0x12, 0, 0xff, 0xcb, 0xed, 0xff]), [0x1234, -0x1234]);
}

#[test]
fn companded_samples_are_those_of_the_standard() {
    let samples = |tag, bytes: &[u8]| {
        clip_of(&riff(&[(b"fmt ", &format(tag, 1, 8, 1, &[])), (b"data", bytes)])).unwrap().samples().to_vec()
    };
    assert_eq!(samples(7, &[0xff, 0x7f, 0x80, 0x00, 0xe0]), [0, 0, 32_124, -32_124, 372]);
    assert_eq!(samples(6, &[0xd5, 0x55, 0xaa, 0x2a]), [8, -8, 32_256, -32_256]);
}
