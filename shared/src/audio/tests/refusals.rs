//! Snapshots of refusals: each names the format that was found, and says what to do.

use super::formats::{MP3, VORBIS};
use super::*;

/// Returns the refusal of a file.
fn refusal(file: &[u8]) -> String {
    read(file).expect_err("a refusal").to_string()
}

/// Returns a WAV file of a coding.
fn of_coding(tag: u16, channels: u16, rate: u32) -> Vec<u8> {
    let mut file = wav(rate, channels, 16, SampleFormat::Int, 9, |_, _| 0.0);
    file[20..22].copy_from_slice(&tag.to_le_bytes());
    file
}

#[test]
fn every_refusal_names_the_format_and_what_to_do() {
    let not_finite = wav(24_000, 1, 32, SampleFormat::Float, 9, |_, _| f32::NAN);
    let good = wav(24_000, 1, 16, SampleFormat::Int, 9, |_, _| 0.1);
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("zeros", vec![0; 10_000]),
        ("AMR-NB", b"#!AMR\n\x3c".to_vec()),
        ("AMR-WB", b"#!AMR-WB\n\x3c".to_vec()),
        ("WMA", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9".to_vec()),
        ("AC-3", b"\x0b\x77\0\0\0\0".to_vec()),
        ("AVI", b"RIFF\0\0\0\0AVI LIST".to_vec()),
        ("MIDI", b"MThd\0\0\0\x06".to_vec()),
        ("PDF", b"%PDF-1.7".to_vec()),
        ("ZIP", b"PK\x03\x04\x14\0".to_vec()),
        ("HTML", b"\n<!DOCTYPE html>".to_vec()),
        ("JSON", br#"{"error":"none"}"#.to_vec()),
        ("text", "Grüße".into()),
        ("data URL", b"data:audio/wav;base64,UklGRg==".to_vec()),
        ("tag alone", b"ID3\x04\0\0\0\0\0\x0a".to_vec()),
        ("Speex", ogg_of(b"Speex   1.2rc1")),
        ("WAV without data", good[..36].to_vec()),
        ("WAV without samples", good[..44].to_vec()),
        ("GSM in WAV", of_coding(0x31, 1, 8_000)),
        ("unknown coding in WAV", of_coding(0x4242, 1, 24_000)),
        ("rate", wav(4_000, 1, 16, SampleFormat::Int, 9, |_, _| 0.0)),
        ("channels", wav(24_000, 9, 16, SampleFormat::Int, 9, |_, _| 0.0)),
        ("not finite", not_finite),
        ("FLAC head", b"fLaC".to_vec()),
        ("Ogg head", b"OggS".to_vec()),
        ("Vorbis head", VORBIS[..58].to_vec()),
        ("MP4 without index", b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42".to_vec()),
        ("WebM without tracks", b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x80".to_vec()),
        ("MP3 of noise", [&MP3[..60], &[0xff; 600]].concat()),
    ];
    let all: Vec<String> = files.iter().map(|(name, file)| format!("{name}: {}", refusal(file))).collect();
    insta::assert_snapshot!(all.join("\n"));
}

/// Returns an Ogg file of one packet.
fn ogg_of(packet: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = ::ogg::writing::PacketWriter::new(&mut file);
    writer.write_packet(packet.to_vec(), 1, ::ogg::writing::PacketWriteEndInfo::EndStream, 0).unwrap();
    drop(writer);
    file
}

#[test]
fn limits_are_refused_as_limits() {
    let long = wav(8_000, 1, 8, SampleFormat::Int, 8_000 * MAX_SOURCE_SECONDS as usize + 1, |_, _| 0.0);
    assert_eq!(read(&long), Err(ClipError::TooLong { seconds: MAX_SOURCE_SECONDS }));
    let large = read(&vec![0; MAX_SOURCE_BYTES + 1]);
    assert_eq!(large, Err(ClipError::TooLarge { bytes: MAX_SOURCE_BYTES + 1 }));
    assert!(large.is_err_and(|error| error.is_too_large()));
}
