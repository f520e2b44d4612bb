//! Recordings of callers, in every format.

use std::fs;
use std::path::Path;

use csm_shared::audio::{self, MAX_SOURCE_SECONDS};
use csm_testing::constant_flac::constant_flac;

use super::fuzz_run::FuzzTarget;
use super::without_digits;

/// Files of the tests of [`csm_shared::audio`].
const FILES: [&str; 13] = [
    "tone-51-vorbis.ogg",
    "tone-51.opus",
    "tone-alac.caf",
    "tone-flac.oga",
    "tone-fragmented.mp4",
    "tone-opus.ogg",
    "tone-vorbis.ogg",
    "tone.aac",
    "tone.flac",
    "tone.m4a",
    "tone.mp2",
    "tone.mp3",
    "tone.webm",
];
/// Beginning of each page of an Ogg file.
const OGG_PAGE: &[u8] = b"OggS";
/// Place of the checksum in a page.
const OGG_SUM: std::ops::Range<usize> = 22..26;
/// Place of the number of a page's segments, which follow it.
const OGG_SEGMENTS: usize = 26;

/// Reader of recordings.
pub(super) struct Recordings;

impl FuzzTarget for Recordings {
    const NAME: &'static str = "recordings";
    const INPUT_BYTES_MAX: usize = 64 * 1024;
    // The longest recording has 32 Mi frames of four bytes, in a vector that doubles when it grows.
    const PEAK_BYTES_MAX: usize = 320 * 1024 * 1024;
    const WORDS: &'static [&'static str] = &[
        "RIFF", "WAVE", "fmt ", "data", "LIST", "fLaC", "OggS", "OpusHead", "OpusTags", "vorbis", "ID3", "BCV", "ftyp",
        "moov", "trak", "stbl", "stsz", "stco", "esds", "mdat", "moof", "FORM", "AIFC", "COMM", "SSND", "caff", "desc",
        "pakt", ".snd",
    ];

    fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tests/data");
        let files: std::io::Result<Vec<_>> = FILES.iter().map(|name| fs::read(folder.join(name))).collect();
        let mut corpus = files?;
        corpus.push(constant_flac(24_000, 3));
        corpus.extend([(1, 16), (1, 8), (1, 24), (3, 32)].map(|(code, bits)| wav(code, bits)));
        Ok(corpus)
    }

    async fn read(&self, mut input: Vec<u8>) -> Result<String, String> {
        // Pages with a wrong checksum are dropped unread, so half of the inputs get a right one.
        if input.len().is_multiple_of(2) {
            mend_pages(&mut input);
        }
        match audio::read(&input).map(|read| read.clip) {
            Ok(clip) if clip.samples().is_empty() => Err("a clip without samples".to_owned()),
            Ok(clip) if clip.duration_ms() > u64::from(MAX_SOURCE_SECONDS) * 1_000 => {
                Err(format!("a clip of {} ms", clip.duration_ms()))
            }
            Ok(clip) => Ok(format!("clip of 2^{} samples", clip.samples().len().ilog2())),
            Err(error) => Ok(without_digits(&error.to_string())),
        }
    }
}

/// Writes the right checksum into each page of an Ogg file.
fn mend_pages(file: &mut [u8]) {
    let mut at = 0;
    // Each pass moves on by a page's head at least.
    while let Some(place) = file[at..].windows(OGG_PAGE.len()).position(|four| four == OGG_PAGE) {
        let start = at + place;
        let Some(page) = page_bytes(&file[start..]) else { return };
        let page = &mut file[start..start + page];
        page[OGG_SUM].fill(0);
        let sum = page.iter().fold(0, |sum: u32, &byte| {
            (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[OGG_SUM].copy_from_slice(&sum.to_le_bytes());
        at = start + page.len();
    }
}

/// Returns the length of the page at the beginning; `None` if it is cut off.
fn page_bytes(bytes: &[u8]) -> Option<usize> {
    let segments = usize::from(*bytes.get(OGG_SEGMENTS)?);
    let head = OGG_SEGMENTS + 1 + segments;
    let body: usize = bytes.get(OGG_SEGMENTS + 1..head)?.iter().map(|&bytes| usize::from(bytes)).sum();
    (head + body <= bytes.len()).then_some(head + body)
}

/// Makes a WAV file of a coding (1 for whole numbers, 3 for floats) at 16 kHz in two channels.
fn wav(coding: u16, bits: u16) -> Vec<u8> {
    const RATE: u32 = 16_000;
    const DATA_BYTES: u32 = 960;
    let block = 2 * bits / 8;
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&(36 + DATA_BYTES).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0");
    file.extend_from_slice(&coding.to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * u32::from(block)).to_le_bytes());
    file.extend_from_slice(&block.to_le_bytes());
    file.extend_from_slice(&bits.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&DATA_BYTES.to_le_bytes());
    file.resize(file.len() + DATA_BYTES as usize, 0);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_corpus_is_a_recording_and_mended_pages_are_right() {
        for mut file in Recordings.corpus().expect("a corpus") {
            assert!(audio::read(&file).is_ok(), "{:?}", audio::read(&file));
            let before = file.clone();
            mend_pages(&mut file);
            assert_eq!(file, before, "a right checksum stays");
        }
    }
}
