//! Tests that every format decodes to the same clip. The files hold half a second of 440 Hz at half
//! of full scale. `shared/tests/data/make.sh` made them with ffmpeg, not with the decoders under
//! test.

use super::*;

const FLAC: &[u8] = include_bytes!("../../../tests/data/tone.flac");
const MP3: &[u8] = include_bytes!("../../../tests/data/tone.mp3");
pub(super) const VORBIS: &[u8] = include_bytes!("../../../tests/data/tone-vorbis.ogg");
pub(super) const OPUS: &[u8] = include_bytes!("../../../tests/data/tone-opus.ogg");
/// All files, one of each format.
pub(super) const FILES: [&[u8]; 4] = [FLAC, MP3, VORBIS, OPUS];

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
    let clip = read(FLAC).unwrap().clip;
    assert_eq!(clip.samples().len(), TONE_SAMPLES);
    for (i, &sample) in clip.samples().iter().enumerate() {
        let expected = 0.5 * (TAU * 440.0 * i as f32 / 24_000.0).sin();
        assert!((f32::from(sample) / 32_768.0 - expected).abs() < 2e-3, "sample {i}: {sample}");
    }
}

#[test]
fn every_format_becomes_the_tone() {
    // ffmpeg lowers the level by 3 dB when it turns one channel into two, as for the Vorbis file.
    let files = [("FLAC", FLAC, 0.5), ("MP3", MP3, 0.5), ("Vorbis", VORBIS, 0.354), ("Opus", OPUS, 0.5)];
    for (name, file, expected) in files {
        let clip = read(file).unwrap().clip;
        let (level, rest) = tone_and_rest(&clip);
        assert!(clip.samples().len().abs_diff(TONE_SAMPLES) <= 1, "{name}: {} samples", clip.samples().len());
        assert!((level - expected).abs() < 0.03, "{name}: the tone stands at {level}");
        assert!(rest < 0.1, "{name}: {rest} is no tone");
    }
}

#[test]
fn a_wav_file_is_told_by_its_content() {
    let file = wav(24_000, 1, 16, SampleFormat::Int, 100, sine(440.0, 24_000));
    assert_eq!(read(&file).map(|read| read.clip), Clip::from_wav(&file));
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
    let clip = read(&MP3[300..MP3.len() - 50]).unwrap().clip;
    assert!(clip.samples().len() > 9_000, "{} samples", clip.samples().len());
    assert!(tone_and_rest(&clip).0 > 0.4);
}

#[test]
fn a_file_that_was_cut_off_says_what_it_holds() {
    for (name, file) in [("Vorbis", VORBIS), ("Opus", OPUS), ("FLAC", FLAC), ("MP3", MP3)] {
        match read(&file[..file.len() * 9 / 10]) {
            Ok(read) => assert!(read.clip.samples().len() < TONE_SAMPLES, "{name}"),
            // The Ogg files hold their tone in one page, which the cut destroys.
            Err(error) => assert!(matches!(error, ClipError::Empty | ClipError::Broken { .. }), "{name}: {error}"),
        }
    }
}

#[test]
fn what_is_no_audio_is_told_so() {
    for bytes in [b"".as_slice(), b"hello", b"ID3", b"\xff\xfb", b"<html>", &[0; 10_000], &[0xff; 10_000]] {
        assert_eq!(read(bytes), Err(ClipError::UnknownFormat));
    }
    assert!(matches!(read(b"fLaC"), Err(ClipError::Broken { format: "FLAC", .. })));
    assert!(matches!(read(b"OggS"), Err(ClipError::Broken { format: "Ogg", .. })));
    assert_eq!(read(&vec![0; MAX_SOURCE_BYTES + 1]), Err(ClipError::TooLarge { bytes: MAX_SOURCE_BYTES + 1 }));
    let text = read(b"hello").unwrap_err().to_string();
    assert_eq!(text, "the audio is not WAV, FLAC, MP3, Ogg Vorbis or Ogg Opus");
}
