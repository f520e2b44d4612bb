//! Tests of [`read`] and [`Clip`]: accepted recordings, the clips made of them, and refusals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod formats;
mod mixing;
mod pcm_files;
mod refusals;

use std::f32::consts::TAU;
use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};
use proptest::prelude::*;

use super::*;

/// Reads a file and drops the warnings.
fn clip_of(file: &[u8]) -> Result<Clip, ClipError> {
    read(file).map(|recording| recording.clip)
}

/// Writes a WAV file with `frames` frames of `value(frame, channel)`, full scale 1.
fn wav(
    rate: u32,
    channels: u16,
    bits: u16,
    format: SampleFormat,
    frames: usize,
    value: impl Fn(usize, u16) -> f32,
) -> Vec<u8> {
    let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: format };
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).unwrap();
    for frame in 0..frames {
        for channel in 0..channels {
            let x = value(frame, channel);
            match format {
                SampleFormat::Float => writer.write_sample(x).unwrap(),
                SampleFormat::Int => {
                    let scale = 2f64.powi(i32::from(bits) - 1);
                    writer.write_sample((f64::from(x) * scale).round().clamp(-scale, scale - 1.0) as i32).unwrap();
                }
            }
        }
    }
    writer.finalize().unwrap();
    file.into_inner()
}

fn sine(hertz: f32, rate: u32) -> impl Fn(usize, u16) -> f32 {
    move |frame, _| 0.5 * (TAU * hertz * frame as f32 / rate as f32).sin()
}

/// Builds a RIFF file by hand: each chunk with its header, and a pad byte if its length is odd.
fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
    for (name, body) in chunks {
        file.extend_from_slice(*name);
        file.extend_from_slice(&(body.len() as u32).to_le_bytes());
        file.extend_from_slice(body);
        file.resize(file.len() + body.len() % 2, 0);
    }
    file
}

#[test]
fn a_24k_mono_16_bit_file_comes_back_sample_for_sample() {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).step_by(7).collect();
    let clip = Clip::from_samples(samples.clone());
    let read = Clip::from_wav(&clip.to_wav()).unwrap();
    assert_eq!(read.samples(), samples);
    assert_eq!(read.to_f32().into_iter().map(to_i16).collect::<Vec<_>>(), samples);
}

#[test]
fn hound_reads_what_to_wav_writes() {
    let wav = Clip::from_samples(vec![1, -2, 3]).to_wav();
    let mut reader = hound::WavReader::new(wav.as_slice()).unwrap();
    assert_eq!(
        reader.spec(),
        WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int }
    );
    assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), [1, -2, 3]);
    assert_eq!(wav.len() as u32 - 8, u32::from_le_bytes(wav[4..8].try_into().unwrap()));
}

#[test]
fn every_bit_depth_gives_the_same_clip() {
    let expected = Clip::from_wav(&wav(24_000, 1, 16, SampleFormat::Int, 999, sine(440.0, 24_000))).unwrap();
    for (bits, format, tolerance) in [
        (8, SampleFormat::Int, 129),
        (24, SampleFormat::Int, 1),
        (32, SampleFormat::Int, 1),
        (32, SampleFormat::Float, 1),
    ] {
        let clip = Clip::from_wav(&wav(24_000, 1, bits, format, 999, sine(440.0, 24_000))).unwrap();
        assert_eq!(clip.samples().len(), 999);
        for (a, b) in clip.samples().iter().zip(expected.samples()) {
            assert!(a.abs_diff(*b) <= tolerance, "{bits} bits {format:?}: {a} for {b}");
        }
    }
}

#[test]
fn resampling_keeps_the_tone_its_level_and_its_place() {
    for rate in [8_000, 11_025, 16_000, 22_050, 23_999, 32_000, 44_100, 48_000, 96_000, 192_000] {
        let frames = rate as usize / 2 + 17;
        let clip = Clip::from_wav(&wav(rate, 1, 16, SampleFormat::Int, frames, sine(1_000.0, rate))).unwrap();
        assert_eq!(clip.samples().len(), clip_resample::resampled_len(frames, rate), "{rate} Hz");
        // Away from the ends, where the filter sees the cut, the tone equals the one made at
        // 24 kHz, so no delay is left.
        let (tone, expected) = (clip.to_f32(), sine(1_000.0, SAMPLE_RATE));
        let inside = 2_400..tone.len() - 2_400;
        let worst = inside.map(|i| (tone[i] - expected(i, 0)).abs()).fold(0.0f32, f32::max);
        assert!(worst < 2e-3, "{rate} Hz: off by {worst}");
    }
}

#[test]
fn resampled_lengths_are_rounded() {
    assert_eq!(clip_resample::resampled_len(44_100, 44_100), 24_000);
    assert_eq!(clip_resample::resampled_len(1, 192_000), 1);
    assert_eq!(clip_resample::resampled_len(3, 8_000), 9);
    assert_eq!(clip_resample::resampled_len(100, 44_100), 54); // 54.42
    assert_eq!(clip_resample::resampled_len(101, 44_100), 55); // 54.97
    for frames in [1, 2, 3, 100, 1_023, 1_024, 1_025] {
        for rate in [8_000, 44_100, 192_000] {
            let clip = Clip::from_wav(&wav(rate, 1, 16, SampleFormat::Int, frames, sine(440.0, rate))).unwrap();
            assert_eq!(clip.samples().len(), clip_resample::resampled_len(frames, rate));
        }
    }
}

#[test]
fn a_wav_file_that_calls_for_a_warning_is_no_whole_wav_file() {
    let file = wav(24_000, 1, 16, SampleFormat::Int, 100, |_, _| 0.1);
    assert!(read(&file[..file.len() - 10]).is_ok());
    let refused = Clip::from_wav(&file[..file.len() - 10]).unwrap_err().to_string();
    assert!(refused.contains("10 bytes before the length"), "{refused}");
}

#[test]
fn durations_and_frames() {
    let clip = |n| Clip::from_samples(vec![0; n]);
    assert_eq!((clip(0).duration_ms(), clip(0).frames()), (0, 0));
    assert_eq!((clip(1_920).duration_ms(), clip(1_920).frames()), (80, 1));
    assert_eq!((clip(1_921).duration_ms(), clip(1_921).frames()), (80, 2));
}

fn any_wav() -> impl Strategy<Value = Vec<u8>> {
    let rates = prop::sample::select(vec![1, 8_000, 22_050, 24_000, 44_100, 192_000, u32::MAX / 64]);
    let depths = prop::sample::select(vec![
        (8, SampleFormat::Int),
        (16, SampleFormat::Int),
        (24, SampleFormat::Int),
        (32, SampleFormat::Int),
        (32, SampleFormat::Float),
    ]);
    (rates, 1u16..=9, depths, 0usize..50).prop_map(|(rate, channels, (bits, format), frames)| {
        wav(rate, channels, bits, format, frames, sine(440.0, rate))
    })
}

proptest! {
    #[test]
    fn no_byte_string_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), as_riff in any::<bool>()) {
        let file = if as_riff { [b"RIFF\0\0\0\0WAVE".as_slice(), &bytes].concat() } else { bytes };
        let _ = Clip::from_wav(&file);
    }

    #[test]
    fn no_damaged_wav_panics(
        mut file in any_wav(),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        cut_it in any::<bool>(),
    ) {
        for (place, byte) in hits {
            let header = file.len().min(80);
            file[place.index(header)] = byte;
        }
        if cut_it {
            file.truncate(cut.index(file.len()));
        }
        if let Ok(clip) = Clip::from_wav(&file) {
            prop_assert!(!clip.samples().is_empty());
        }
    }
}

#[test]
fn a_recording_longer_than_its_reader_may_use_is_refused() {
    for (rate, seconds) in [(24_000, 3), (8_000, 3), (48_000, 3)] {
        let file = wav(rate, 1, 16, SampleFormat::Int, rate as usize * seconds, |_, _| 0.1);
        assert_eq!(read_within(&file, 3_000).map(|read| read.clip.duration_ms()), Ok(3_000), "{rate} Hz");
        assert_eq!(read_within(&file, 2_999), Err(ClipError::TooLong { seconds: 2 }), "{rate} Hz");
        assert!(read_within(&file, 0).is_err_and(|error| error.is_too_large()));
    }
}
