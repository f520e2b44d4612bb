//! Ogg Opus, decoded after RFC 7845: length, alignment, mark.

use std::io::Cursor;

use ::opus::{Channels, Decoder};
use csm_formats::opus::{Application, BITRATE, encode_at};
use csm_shared::audio::read;
use ogg::PacketReader;

use super::*;
use crate::marks::{DETECTED_ABOVE, Verdict};

/// A stream as a player decodes it.
struct DecodedOpus {
    samples: Vec<f32>,
    /// Granule position of the last page.
    end: u64,
    pages: usize,
}

/// Decodes at 24 kHz, drops the pre-skip, and cuts at the last granule position.
fn play(file: &[u8]) -> DecodedOpus {
    let mut reader = PacketReader::new(Cursor::new(file));
    let head = reader.read_packet().unwrap().unwrap();
    assert_eq!(head.data[..8], *b"OpusHead");
    assert_eq!((head.data[8], head.data[9], head.data.len()), (1, 1, 19));
    assert!(head.first_in_stream() && head.last_in_page());
    let pre_skip = u64::from(u16::from_le_bytes([head.data[10], head.data[11]]));
    let tags = reader.read_packet().unwrap().unwrap();
    assert_eq!(tags.data[..8], *b"OpusTags");
    assert!(tags.last_in_page() && tags.absgp_page() == 0);
    let mut decoder = Decoder::new(24_000, Channels::Mono).unwrap();
    let (mut samples, mut end, mut pages, mut over) = (Vec::new(), 0, 0, false);
    while let Some(packet) = reader.read_packet().unwrap() {
        assert!(!over, "packets behind the end");
        let mut pcm = vec![0.0; 5_760];
        let decoded = decoder.decode_float(&packet.data, &mut pcm, false).unwrap();
        samples.extend_from_slice(&pcm[..decoded]);
        if packet.last_in_page() {
            assert!(packet.absgp_page() >= end, "positions go back");
            end = packet.absgp_page();
            pages += 1;
            over = packet.last_in_stream();
            assert!(over || end == 2 * samples.len() as u64, "a page's position is that of its last sample");
        }
    }
    assert!(over, "no end of stream");
    samples.truncate(end as usize / 2);
    samples.drain(..pre_skip as usize / 2);
    DecodedOpus { samples, end: end - pre_skip, pages }
}

#[test]
fn every_length_comes_back_exactly() {
    for length in LENGTHS {
        let played = play(&encode(&speech(length), AudioFormat::Opus).unwrap());
        assert_eq!((played.samples.len(), played.end), (length, 2 * length as u64));
        assert!(played.pages <= 1 + length / 24_000, "{length}: {} pages", played.pages);
    }
}

#[test]
fn another_reader_finds_as_many_samples_and_the_mark() {
    for length in LENGTHS.into_iter().filter(|&length| length > 0) {
        let file = encode(&speech(length), AudioFormat::Opus).unwrap();
        assert_eq!(read(&file).unwrap().clip.samples().len(), length);
    }
    let clip = read(&encode(&speech(60_000), AudioFormat::Opus).unwrap()).unwrap().clip;
    let detection = watermark().detector().detect(&clip.to_f32());
    assert_eq!(detection.verdict, Verdict::Detected, "{detection:?}");
}

#[test]
fn what_is_heard_is_in_step_with_what_was_said() {
    let speech = speech(48_000);
    let played = play(&encode(&speech, AudioFormat::Opus).unwrap()).samples;
    let said = speech.to_f32();
    let product = |lag: usize, late: bool| -> f32 {
        let (early, late) = if late { (&said, &played) } else { (&played, &said) };
        early.iter().zip(&late[lag..]).map(|(a, b)| a * b).sum()
    };
    let power: f32 = said.iter().map(|sample| sample * sample).sum();
    let together = product(0, true);
    assert!(together > 0.8 * power, "{together} of {power}");
    for lag in 1..200 {
        assert!(product(lag, true) < together && product(lag, false) < together, "lag {lag}");
    }
}

#[test]
fn other_speech_has_another_serial_number() {
    let serial = |samples: usize| encode(&speech(samples), AudioFormat::Opus).unwrap()[14..18].to_vec();
    assert_ne!(serial(480), serial(481));
}

/// Returns the least score of the clips, how many of them are detected, and the mean bytes of a
/// clip.
fn scores(clips: &[Marked], bitrate: i32, application: Application) -> (f32, usize, usize) {
    let detector = watermark().detector();
    let (mut least, mut found, mut bytes) = (f32::INFINITY, 0, 0);
    for clip in clips {
        let file = encode_at(clip.samples(), bitrate, application).unwrap();
        let detection = detector.detect(&play(&file).samples);
        least = least.min(detection.z);
        found += usize::from(detection.verdict == Verdict::Detected);
        bytes += file.len();
    }
    (least, found, bytes / clips.len())
}

#[test]
fn the_mark_survives() {
    let clips: Vec<Marked> = (0..24).map(|seed| mark(&voice(seed, 60_000))).collect();
    let (least, found, bytes) = scores(&clips, BITRATE, Application::Audio);
    println!("2.5 s at {BITRATE} b/s: {found} of 24 found, least z {least:.1}, {bytes} bytes");
    assert_eq!(found, 24, "least z {least}");
    assert!(least > 1.2 * DETECTED_ABOVE, "{least}");
}

#[test]
#[ignore = "measures the bit rates"]
fn bit_rates() {
    let detector = watermark().detector();
    for (name, sound) in [("voice", voice as fn(u64, usize) -> Vec<f32>), ("hiss", hiss)] {
        let clips: Vec<Marked> = (0..24).map(|seed| mark(&sound(seed, 60_000))).collect();
        let plain = clips.iter().map(|clip| detector.detect(&clip.to_f32()).z).fold(f32::INFINITY, f32::min);
        println!("{name}, not coded: least z {plain:.1}");
        for application in [Application::Voip, Application::Audio] {
            for bitrate in [16_000, 24_000, 32_000, 48_000, 64_000] {
                let (least, found, bytes) = scores(&clips, bitrate, application);
                println!("{name} {application:?} {bitrate}: {found} of 24, least z {least:.1}, {bytes} bytes");
            }
        }
    }
}
