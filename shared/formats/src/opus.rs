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
pub use opus::Application;
use opus::{Bitrate, Channels, Encoder};
use sha2::{Digest as _, Sha256};

use super::{EncodeError, metadata, pcm};

/// Bit rate, in bits a second.
pub const BITRATE: i32 = 64_000;
/// Samples of one packet: 20 ms, the longest that every mode of Opus supports.
const PACKET_SAMPLES: usize = 480;
/// Packets of one page of a file: 1 s, the most that RFC 7845 recommends.
const FILE_PAGE_PACKETS: usize = 50;
/// Packets of one page of a stream, so that each leaves at once.
const STREAM_PAGE_PACKETS: usize = 1;
/// Longest packet of 20 ms that Opus has, in bytes.
const PACKET_BYTES_MAX: usize = 1_275;
/// Granule positions per sample: Ogg Opus counts them at 48 kHz.
const POSITIONS_PER_SAMPLE: u64 = 48_000 / SAMPLE_RATE as u64;

/// Encodes a complete Ogg Opus stream. Decoded after RFC 7845, it has as many samples as `samples`,
/// in step with them.
pub(super) fn encode(samples: &[i16]) -> Result<Vec<u8>, EncodeError> {
    encode_at(samples, BITRATE, Application::Audio)
}

/// Encodes a complete Ogg Opus stream at another bit rate, in bits a second.
///
/// # Errors
/// [`EncodeError`]: libopus refused the settings.
pub fn encode_at(samples: &[i16], bitrate: i32, application: Application) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder::new(SAMPLE_RATE, Channels::Mono, application).map_err(failed)?;
    encoder.set_bitrate(Bitrate::Bits(bitrate)).map_err(failed)?;
    let mut stream = OpusStream::with_encoder(encoder, serial(samples), FILE_PAGE_PACKETS)?;
    let mut file = stream.head()?;
    file.append(&mut stream.push(samples)?);
    file.append(&mut stream.finish()?);
    Ok(file)
}

/// Stream of Opus packets in Ogg pages.
pub(super) struct OpusStream {
    encoder: Encoder,
    ogg: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    page_packets: usize,
    /// Samples by which the coding is late.
    delay: usize,
    /// Packets so far.
    packets: usize,
    /// Samples of the packet that is not full yet.
    rest: Vec<i16>,
}

impl OpusStream {
    /// Creates a stream with one packet a page. Chained streams must differ in `serial`.
    pub(super) fn new(serial: u32) -> Result<Self, EncodeError> {
        let mut encoder = Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Audio).map_err(failed)?;
        encoder.set_bitrate(Bitrate::Bits(BITRATE)).map_err(failed)?;
        Self::with_encoder(encoder, serial, STREAM_PAGE_PACKETS)
    }

    fn with_encoder(mut encoder: Encoder, serial: u32, page_packets: usize) -> Result<Self, EncodeError> {
        let delay = usize::try_from(encoder.get_lookahead().map_err(failed)?).map_err(failed)?;
        let ogg = PacketWriter::new(Vec::new());
        Ok(Self { encoder, ogg, serial, page_packets, delay, packets: 0, rest: Vec::new() })
    }

    /// Returns the two header pages.
    pub(super) fn head(&mut self) -> Result<Vec<u8>, EncodeError> {
        let pre_skip = u16::try_from(self.pre_skip()).map_err(failed)?;
        self.write(head(pre_skip), PacketWriteEndInfo::EndPage, 0)?;
        self.write(tags(), PacketWriteEndInfo::EndPage, 0)?;
        Ok(self.take())
    }

    /// Encodes samples; returns the pages that are complete.
    pub(super) fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, EncodeError> {
        self.rest.extend_from_slice(samples);
        let full = self.rest.len() / PACKET_SAMPLES * PACKET_SAMPLES;
        let rest = self.rest.split_off(full);
        for packet in std::mem::replace(&mut self.rest, rest).chunks(PACKET_SAMPLES) {
            let coded = self.encode(packet)?;
            let position = (self.packets * PACKET_SAMPLES) as u64 * POSITIONS_PER_SAMPLE;
            let ends_page = self.packets.is_multiple_of(self.page_packets);
            let info = if ends_page { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            self.write(coded, info, position)?;
        }
        Ok(self.take())
    }

    /// Flushes the encoder's delay; returns the last pages. The last one says where the samples
    /// end.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        let samples = self.packets * PACKET_SAMPLES + self.rest.len();
        let end = self.pre_skip() + samples as u64 * POSITIONS_PER_SAMPLE;
        let packets = (samples + self.delay).div_ceil(PACKET_SAMPLES).max(1);
        while self.packets < packets {
            let mut packet = std::mem::take(&mut self.rest);
            packet.resize(PACKET_SAMPLES, 0);
            let coded = self.encode(&packet)?;
            let last = self.packets == packets;
            let info = if last { PacketWriteEndInfo::EndStream } else { PacketWriteEndInfo::NormalPacket };
            let position = (self.packets * PACKET_SAMPLES) as u64 * POSITIONS_PER_SAMPLE;
            self.write(coded, info, if last { end } else { position })?;
        }
        Ok(self.take())
    }

    fn pre_skip(&self) -> u64 {
        self.delay as u64 * POSITIONS_PER_SAMPLE
    }

    fn encode(&mut self, packet: &[i16]) -> Result<Vec<u8>, EncodeError> {
        self.packets += 1;
        self.encoder.encode_vec(packet, PACKET_BYTES_MAX).map_err(failed)
    }

    fn write(&mut self, packet: Vec<u8>, info: PacketWriteEndInfo, position: u64) -> Result<(), EncodeError> {
        self.ogg.write_packet(packet, self.serial, info, position).map_err(failed)
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.ogg.inner_mut())
    }
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

/// Returns the serial number of a file, a hash of the samples: the same speech gives the same file.
fn serial(samples: &[i16]) -> u32 {
    let digest = Sha256::digest(pcm(samples));
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn failed(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::new(AudioFormat::Opus, error)
}
