//! Opus encoder of speech: libopus at 24 kHz, mono, in an Ogg stream as RFC 7845 has it.
//!
//! The mark must survive the coding, so the bit rate was chosen by measurement. The test clips are
//! 24 of a synthetic voice and 24 of hiss, of 2.5 s each. Each cell holds how many were detected in
//! the decoded stream, and the least score `z`. Detected means `z > 6`.
//!
//! | b/s | voice, `Voip` | voice, `Audio` | hiss, `Voip` | hiss, `Audio` | bytes of a clip |
//! |---|---|---|---|---|---|
//! | not coded | 24, 10.9 | 24, 10.9 | 24, 11.0 | 24, 11.0 | 120,000 |
//! | 64,000 | 24, 9.9 | 24, 9.8 | 24, 10.0 | 24, 10.5 | 20,600 |
//! | 48,000 | 24, 7.5 | 24, 8.2 | 24, 9.4 | 24, 9.8 | 15,200 |
//! | 32,000 | 23, 5.7 | 24, 6.4 | 24, 8.6 | 24, 7.9 | 10,200 |
//! | 24,000 | 22, 5.5 | 22, 5.3 | 24, 7.2 | 24, 7.1 | 7,800 |
//! | 16,000 | 1, 2.8 | 7, 3.4 | 20, 4.8 | 19, 5.2 | 5,400 |
//!
//! At 64,000 a tenth of the score is lost, which leaves room for what a caller does to the file.
//! Below 48,000, short clips come near the threshold.

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::AudioFormat;
use ogg::{PacketWriteEndInfo, PacketWriter};
use opus::{Application, Bitrate, Channels};
use sha2::{Digest as _, Sha256};

use super::{EncodeError, metadata, pcm};
use crate::marks::Marked;

/// Bit rate, in bits a second.
pub(super) const BITRATE: i32 = 64_000;
/// Samples of one packet: 20 ms, the longest that every mode of Opus supports.
const PACKET_SAMPLES: usize = 480;
/// Packets of one page: 1 s, the most that RFC 7845 recommends.
const PAGE_PACKETS: usize = 50;
/// Longest packet of 20 ms that Opus has, in bytes.
const PACKET_BYTES_MAX: usize = 1_275;
/// Granule positions per sample: Ogg Opus counts them at 48 kHz.
const POSITIONS_PER_SAMPLE: u64 = 48_000 / SAMPLE_RATE as u64;

/// Encodes a complete Ogg Opus stream. Decoded after RFC 7845, it has as many samples as `speech`,
/// in step with them.
pub(super) fn encode(speech: &Marked) -> Result<Vec<u8>, EncodeError> {
    encode_at(speech, BITRATE, Application::Audio)
}

pub(super) fn encode_at(speech: &Marked, bitrate: i32, application: Application) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = opus::Encoder::new(SAMPLE_RATE, Channels::Mono, application).map_err(failed)?;
    encoder.set_bitrate(Bitrate::Bits(bitrate)).map_err(failed)?;
    let delay = usize::try_from(encoder.get_lookahead().map_err(failed)?).map_err(failed)?;
    let pre_skip = delay as u64 * POSITIONS_PER_SAMPLE;
    let end = pre_skip + speech.samples().len() as u64 * POSITIONS_PER_SAMPLE;
    let packets = (speech.samples().len() + delay).div_ceil(PACKET_SAMPLES).max(1);

    let serial = serial(speech);
    let mut ogg = PacketWriter::new(Vec::new());
    let mut write = |packet: Vec<u8>, info, position| ogg.write_packet(packet, serial, info, position).map_err(failed);
    write(head(u16::try_from(pre_skip).map_err(failed)?), PacketWriteEndInfo::EndPage, 0)?;
    write(tags(), PacketWriteEndInfo::EndPage, 0)?;
    let mut speech = speech.samples().chunks(PACKET_SAMPLES);
    for packet in 1..=packets {
        let mut samples = speech.next().unwrap_or_default().to_vec();
        samples.resize(PACKET_SAMPLES, 0); // flushes the encoder's delay
        let coded = encoder.encode_vec(&samples, PACKET_BYTES_MAX).map_err(failed)?;
        let (info, position) = match packet {
            last if last == packets => (PacketWriteEndInfo::EndStream, end),
            _ => {
                let position = (packet * PACKET_SAMPLES) as u64 * POSITIONS_PER_SAMPLE;
                let full = packet % PAGE_PACKETS == 0;
                (if full { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket }, position)
            }
        };
        write(coded, info, position)?;
    }
    Ok(ogg.into_inner())
}

/// Returns the identification header: version 1, mono, no gain, channel mapping 0.
fn head(pre_skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend_from_slice(&pre_skip.to_le_bytes());
    head.extend_from_slice(&SAMPLE_RATE.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    head
}

/// Returns the comment header.
fn tags() -> Vec<u8> {
    let mut tags = b"OpusTags".to_vec();
    tags.append(&mut metadata::vorbis_comment(opus::version()));
    tags
}

/// Returns the serial number of the stream, a hash of the samples. Chained streams must differ in
/// it, and the same speech should give the same file.
fn serial(speech: &Marked) -> u32 {
    let digest = Sha256::digest(pcm(speech));
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn failed(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::Encoder { format: AudioFormat::Opus, why: error.to_string() }
}
