//! Streams hold the samples of the files, however they were split.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_shared::audio::read;

use super::*;
use crate::{MP3_DELAY, MP3_FRAME_SAMPLES, MP3_RATES, SAMPLE_RATES, encode_file, resampled_len};

/// Lengths at the edges of blocks, packets and frames.
const LENGTHS: [usize; 12] = [1, 2, 15, 16, 31, 324, 479, 480, 481, 1_920, 9_601, 60_001];

fn speech(samples: usize) -> Vec<i16> {
    let wave = |n: f32| (n * 0.031).sin() * 9_000.0 + (n * 0.27).sin() * 4_000.0 * (n * 0.000_7).sin();
    (0..samples).map(|n| wave(n as f32) as i16).collect()
}

fn stream(mut encoder: StreamEncoder, samples: &[i16], split: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in samples.chunks(split) {
        bytes.append(&mut encoder.push(part).unwrap());
    }
    bytes.append(&mut encoder.finish().unwrap());
    bytes
}

fn streamed(format: AudioFormat, samples: &[i16], split: usize) -> Vec<u8> {
    stream(StreamEncoder::new(format, 7).unwrap(), samples, split)
}

fn at_rate(rate: u32, samples: &[i16], split: usize) -> Vec<i16> {
    let bytes = stream(StreamEncoder::at_rate(AudioFormat::Pcm, rate).unwrap(), samples, split);
    bytes.as_chunks::<2>().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect()
}

#[test]
fn a_stream_does_not_depend_on_its_splits() {
    let speech = speech(20_001);
    for format in AudioFormat::ALL.iter().copied() {
        let whole = streamed(format, &speech, speech.len());
        for split in [1, 479, 1_920, 9_600] {
            assert!(streamed(format, &speech, split) == whole, "{format} in parts of {split}");
        }
    }
    for rate in SAMPLE_RATES {
        let whole = at_rate(rate, &speech, speech.len());
        assert!(at_rate(rate, &speech, 1_921) == whole, "{rate}");
    }
}

#[test]
fn another_decoder_finds_the_samples_of_the_file_to_the_last() {
    for length in LENGTHS {
        let speech = speech(length);
        for format in [AudioFormat::Flac, AudioFormat::Opus] {
            let (streamed, file) = (streamed(format, &speech, 1_000), encode_file(&speech, format).unwrap());
            let (streamed, file) = (read(&streamed).unwrap().clip, read(&file).unwrap().clip);
            assert_eq!(streamed.samples().len(), length, "{format}");
            assert!(streamed.samples() == file.samples(), "{format}, {length} samples");
            assert!(format == AudioFormat::Opus || file.samples() == speech);
        }
        let wav = streamed(AudioFormat::Wav, &speech, 1_000);
        assert!(wav[44..] == pcm(&speech));
    }
}

#[test]
fn nothing_is_held_back_but_one_block() {
    for (format, most) in [(AudioFormat::Pcm, 0), (AudioFormat::Flac, 480), (AudioFormat::Opus, 480)] {
        let mut encoder = StreamEncoder::new(format, 1).unwrap();
        let mut heard = 0;
        let mut bytes = Vec::new();
        for pushed in 1..=20 {
            let before = bytes.len();
            bytes.append(&mut encoder.push(&speech(1_920)).unwrap());
            assert!(bytes.len() > before, "{format} is silent at {pushed}");
            heard = pushed * 1_920;
        }
        if format == AudioFormat::Flac {
            assert!(read(&bytes).unwrap().clip.samples().len() + most >= heard);
        }
    }
}

/// Returns the lengths of the frames of an MP3 file: each begins with the same head.
fn mp3_frames(bytes: &[u8]) -> usize {
    // MPEG-2 Layer III without CRC, 96 kb/s, 24 kHz: 288 bytes a frame.
    let frames = bytes.as_chunks::<288>();
    assert!(frames.1.is_empty(), "{} bytes behind the last frame", frames.1.len());
    for frame in frames.0 {
        assert_eq!(frame[..2], [0xff, 0xf3]);
        assert_eq!(frame[2] & 0xfc, 0xa4, "bit rate and sample rate");
        let main_data_begin = frame[4];
        assert_eq!(main_data_begin, 0, "a frame needs the one before it");
        assert!(!frame.windows(4).any(|name| name == b"Xing" || name == b"Info"));
    }
    frames.0.len()
}

#[test]
fn mp3_is_whole_frames_and_bodies_can_be_joined() {
    for length in LENGTHS {
        let speech = speech(length);
        let body = streamed(AudioFormat::Mp3, &speech, 700);
        assert!(body == encode_file(&speech, AudioFormat::Mp3).unwrap());
        let samples = mp3_frames(&body) * MP3_FRAME_SAMPLES;
        assert!(samples >= length + MP3_DELAY, "{length}: only {samples}");
        assert!(samples <= length + MP3_DELAY + 3 * MP3_FRAME_SAMPLES, "{length}: as many as {samples}");
        let joined = [body.as_slice(), &body, &body].concat();
        assert_eq!(read(&joined).unwrap().clip.samples().len(), 3 * read(&body).unwrap().clip.samples().len());
    }
}

#[test]
fn mp3_says_what_was_said_behind_its_delay() {
    let speech = speech(24_000);
    let heard = read(&streamed(AudioFormat::Mp3, &speech, 1_920)).unwrap().clip.samples().to_vec();
    let product =
        |delay: usize| -> f64 { speech.iter().zip(&heard[delay..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let best = (0..2_400).max_by(|a, b| product(*a).total_cmp(&product(*b))).unwrap();
    let power: f64 = speech.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    assert!(product(best) > 0.9 * power, "{} of {power} at {best} of {}", product(best), heard.len());
    // The decoder's filter bank is late as well.
    assert!((MP3_DELAY..=MP3_DELAY + 529).contains(&best), "{best}");
}

/// Returns the rate and the samples of each frame of an MP3 file at 96 kb/s.
fn frames_of_any_rate(mut bytes: &[u8]) -> Vec<(u32, usize)> {
    let mut frames = Vec::new();
    while let [0xff, second, third, ..] = *bytes {
        let mpeg_1 = second & 0xfe == 0xfa;
        assert!(mpeg_1 || second & 0xfe == 0xf2, "{second:#x}");
        let rates = if mpeg_1 { [44_100, 48_000] } else { [22_050, 24_000] };
        let rate = rates[usize::from(third >> 2 & 3)];
        let (kilobits, samples) = if mpeg_1 { ([0, 32, 40, 48, 56, 64, 80, 96], 1_152) } else { ([0; 8], 576) };
        let bits = if mpeg_1 { kilobits[usize::from(third >> 4)] * 1_000 } else { 96_000 };
        assert_eq!((bits, third >> 4), (96_000, if mpeg_1 { 7 } else { 10 }));
        let length = samples / 8 * bits / rate as usize + usize::from(third >> 1 & 1);
        frames.push((rate, samples));
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "{} bytes behind the last frame", bytes.len());
    frames
}

#[test]
fn mp3_at_other_rates_is_whole_frames_of_that_rate_and_that_length() {
    let speech = speech(48_001);
    for rate in MP3_RATES {
        let encoder = || StreamEncoder::at_rate(AudioFormat::Mp3, rate).unwrap();
        let body = stream(encoder(), &speech, 1_920);
        assert!(body == stream(encoder(), &speech, 701), "{rate}");
        let frames = frames_of_any_rate(&body);
        assert!(frames.iter().all(|frame| frame.0 == rate), "{rate}");
        let samples: usize = frames.iter().map(|frame| frame.1).sum();
        let least = resampled_len(48_001, rate) as usize + MP3_DELAY;
        assert!((least..=least + 3 * frames[0].1).contains(&samples), "{rate}: {samples}, at least {least}");
        // The reader gives 24 kHz again, so another pitch would be another length.
        let heard = read(&body).unwrap().clip.samples().len() as f64;
        let expected = samples as f64 * 24_000.0 / f64::from(rate);
        assert!((heard - expected).abs() < 1_500.0, "{rate}: {heard} of {expected}");
    }
}

#[test]
fn other_rates_keep_length_pitch_and_place() {
    let tone = |rate: u32, n: usize| (n as f32 / rate as f32 * std::f32::consts::TAU * 440.0).sin() * 12_000.0;
    let speech: Vec<i16> = (0..24_000).map(|n| tone(24_000, n) as i16).collect();
    for rate in SAMPLE_RATES {
        for length in LENGTHS {
            assert_eq!(
                at_rate(rate, &speech[..length.min(24_000)], 500).len() as u64,
                resampled_len(length.min(24_000) as u64, rate)
            );
        }
        let heard = at_rate(rate, &speech, 1_920);
        let worst = (500..heard.len() - 500).map(|n| (f32::from(heard[n]) - tone(rate, n)).abs()).fold(0.0, f32::max);
        assert!(worst < 60.0, "{rate}: {worst}");
    }
}

#[test]
fn other_rates_and_formats_are_refused() {
    assert!(StreamEncoder::at_rate(AudioFormat::Pcm, 11_025).is_err());
    assert!(StreamEncoder::at_rate(AudioFormat::Opus, 8_000).is_err());
    assert!(StreamEncoder::at_rate(AudioFormat::Mp3, 8_000).is_err());
}
