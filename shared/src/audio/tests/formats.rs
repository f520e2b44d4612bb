//! Tests that every format decodes to the same clip. The files hold half a second of 440 Hz at half
//! of full scale. `shared/tests/data/make.sh` made them with ffmpeg, not with the decoders under
//! test.

use super::*;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/data/", $name))
    };
}

pub(super) const FLAC: &[u8] = file!("tone.flac");
pub(super) const MP3: &[u8] = file!("tone.mp3");
pub(super) const VORBIS: &[u8] = file!("tone-vorbis.ogg");
pub(super) const OPUS: &[u8] = file!("tone-opus.ogg");
pub(super) const M4A: &[u8] = file!("tone.m4a");
pub(super) const WEBM: &[u8] = file!("tone.webm");
/// Files of every format that is not uncompressed, with the level of their tone. ffmpeg lowers the
/// level by 3 dB when it turns one channel into two, as for the first Vorbis file. The centre of six
/// channels weighs 1 / (2 + √2).
pub(super) const FILES: [(&str, &[u8], f32); 13] = [
    ("FLAC", FLAC, 0.5),
    ("MP3", MP3, 0.5),
    ("Vorbis", VORBIS, 0.354),
    ("Opus", OPUS, 0.5),
    ("M4A", M4A, 0.5),
    ("fragmented MP4", file!("tone-fragmented.mp4"), 0.5),
    ("ALAC in CAF", file!("tone-alac.caf"), 0.5),
    ("WebM", WEBM, 0.5),
    ("FLAC in Ogg", file!("tone-flac.oga"), 0.5),
    ("AAC", file!("tone.aac"), 0.5),
    ("layer II", file!("tone.mp2"), 0.5),
    ("Opus of six channels", file!("tone-51.opus"), 0.146),
    ("Vorbis of six channels", file!("tone-51-vorbis.ogg"), 0.146),
];
/// Files that do not say where the recording ends; ffmpeg does not cut them either.
const UNTRIMMED: [&str; 4] = ["M4A", "fragmented MP4", "AAC", "layer II"];

/// Samples of the tone.
const TONE_SAMPLES: usize = 12_000;

/// Returns the level of 440 Hz in a clip (full scale 1) and the largest remaining sample without
/// it, away from both ends.
fn tone_and_rest(clip: &Clip) -> (f32, f32) {
    let samples = clip.to_f32();
    let inside = 2_400..9_600;
    let wave = |i: usize| (TAU * 440.0 * i as f32 / 24_000.0).sin_cos();
    let mean = 2.0 / inside.len() as f32;
    let (a, b) = inside.clone().fold((0.0, 0.0), |(a, b), i| (a + samples[i] * wave(i).0, b + samples[i] * wave(i).1));
    let (a, b) = (a * mean, b * mean);
    let rest = inside.map(|i| (samples[i] - a * wave(i).0 - b * wave(i).1).abs()).fold(0.0, f32::max);
    (a.hypot(b), rest)
}

#[test]
fn a_flac_file_comes_back_sample_for_sample() {
    let clip = clip_of(FLAC).unwrap();
    assert_eq!(clip.samples().len(), TONE_SAMPLES);
    for (i, &sample) in clip.samples().iter().enumerate() {
        let expected = 0.5 * (TAU * 440.0 * i as f32 / 24_000.0).sin();
        assert!((f32::from(sample) / 32_768.0 - expected).abs() < 2e-3, "sample {i}: {sample}");
    }
}

#[test]
fn every_format_becomes_the_tone() {
    for (name, file, expected) in FILES {
        let Recording { clip, warnings } = read(file).unwrap();
        let (level, rest) = tone_and_rest(&clip);
        let most = if UNTRIMMED.contains(&name) { 3_000 } else { 1 };
        assert!(clip.samples().len().abs_diff(TONE_SAMPLES) <= most, "{name}: {} samples", clip.samples().len());
        assert!((level / expected - 1.0).abs() < 0.1, "{name}: the tone stands at {level}");
        assert!(rest < 0.3 * expected, "{name}: {rest} is no tone");
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
    }
}

#[test]
fn a_wav_file_is_told_by_its_content() {
    let file = wav(24_000, 1, 16, SampleFormat::Int, 100, sine(440.0, 24_000));
    assert_eq!(clip_of(&file), Clip::from_wav(&file));
}

#[test]
fn bare_samples_are_taken_as_they_are() {
    assert_eq!(Clip::from_pcm(&[1, 0, 0xfe, 0xff]).unwrap().samples(), [1, -2]);
    assert_eq!(Clip::from_pcm(&[1, 0, 2]), Err(ClipError::HalfSample { bytes: 3 }));
    assert_eq!(Clip::from_pcm(&[]), Err(ClipError::Empty));
    let seconds = MAX_SOURCE_SECONDS as usize;
    assert!(Clip::from_pcm(&vec![0; seconds * 48_000]).is_ok());
    let longer = Clip::from_pcm(&vec![0; seconds * 48_000 + 2]);
    assert_eq!(longer, Err(ClipError::TooLong { seconds: MAX_SOURCE_SECONDS }));
}

#[test]
fn a_tag_in_front_is_stepped_over() {
    let mut tag = b"ID3\x04\0\0\0\0\x01\x02".to_vec();
    tag.resize(10 + 130, 0xff);
    for file in [MP3, FLAC] {
        assert_eq!(read(&[tag.as_slice(), file].concat()), read(file));
    }
}

#[test]
fn a_piece_of_an_mp3_is_read() {
    let clip = clip_of(&MP3[300..MP3.len() - 50]).unwrap();
    assert!(clip.samples().len() > 9_000, "{} samples", clip.samples().len());
    assert!(tone_and_rest(&clip).0 > 0.4);
}

#[test]
fn a_file_that_was_cut_off_gives_what_it_holds_with_a_warning() {
    for (name, file, _) in FILES {
        let whole = clip_of(file).unwrap().samples().len();
        match read(&file[..file.len() * 9 / 10]) {
            Ok(read) => {
                assert!(read.clip.samples().len() < whole, "{name}");
                assert_eq!(read.warnings.len(), 1, "{name}: {:?}", read.warnings);
            }
            // The tone of these is in one page, or the index is at the end.
            Err(error) => assert!(matches!(error, ClipError::Empty | ClipError::Broken { .. }), "{name}: {error}"),
        }
    }
}

#[test]
fn a_flac_file_is_whole_whatever_stands_behind_it() {
    for tail in [b"\n".as_slice(), &[0; 300], b"TAG and more", &FLAC[..40]] {
        let recording = read(&[FLAC, tail].concat()).unwrap();
        assert_eq!(recording.clip, clip_of(FLAC).unwrap());
        assert_eq!(recording.warnings, [""; 0]);
    }
}

#[test]
fn a_damaged_flac_frame_becomes_silence_with_a_warning() {
    let mut file = FLAC.to_vec();
    let place = file.len() - 1_500;
    file[place] ^= 0xff;
    let recording = read(&file).unwrap();
    assert_eq!(recording.clip.samples().len(), TONE_SAMPLES);
    assert_eq!(recording.warnings, ["1 of 6 FLAC packets is damaged and became silence"]);
}

#[test]
fn lengths_of_blocks_in_a_flac_head_do_not_matter() {
    let mut file = FLAC.to_vec();
    file[8..12].fill(0);
    assert_eq!(read(&file), read(FLAC));
}

#[test]
fn joined_mp3_files_are_read_to_the_end() {
    let one = clip_of(MP3).unwrap().samples().len();
    let Recording { clip, warnings } = read(&[MP3, MP3].concat()).unwrap();
    assert!(clip.samples().len() > 2 * one && clip.samples().len() < 2 * one + 3_000, "{clip:?} of {one}");
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn tags_around_an_mp3_are_stepped_over() {
    let id3v1 = [b"TAG".as_slice(), &[0; 125]].concat();
    assert_eq!(read(&[MP3, &id3v1].concat()), read(MP3));
    // The length of the tag is too small by a picture.
    let tag = [b"ID3\x03\0\0\0\0\0\x20".as_slice(), &b"picture ".repeat(700)].concat();
    let start = 10 + usize::from(MP3[9]);
    assert_eq!(clip_of(&[&tag, &MP3[start..]].concat()), clip_of(MP3));
}
