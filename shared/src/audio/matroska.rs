//! Reader of the audio in Matroska and WebM files.

use super::collector::{Collector, PacketDecoder, Silence, Source};
use super::ebml::{Element, Elements, variable_number};
use super::matroska_codec::decoder_of;
use super::{ClipError, SourceLimit};

pub(super) const MATROSKA: &str = "WebM or Matroska";
/// First bytes of a file.
pub(super) const MAGIC: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];
/// Most packets of a track: ten minutes of Opus in packets of 2.5 ms, and as many again.
const MAX_PACKETS: usize = 512 * 1024;

/// Identifiers of elements.
mod id {
    pub(super) const SEGMENT: u32 = 0x1853_8067;
    pub(super) const TRACKS: u32 = 0x1654_ae6b;
    pub(super) const TRACK: u32 = 0xae;
    pub(super) const AUDIO: u32 = 0xe1;
    pub(super) const CLUSTER: u32 = 0x1f43_b675;
    pub(super) const BLOCK_GROUP: u32 = 0xa0;
    pub(super) const BLOCK: u32 = 0xa1;
    pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(super) const DISCARD_PADDING: u32 = 0x75a2;
    pub(super) const TRACK_NUMBER: u32 = 0xd7;
    pub(super) const TRACK_TYPE: u32 = 0x83;
    pub(super) const CODEC: u32 = 0x86;
    pub(super) const CODEC_PRIVATE: u32 = 0x63a2;
    pub(super) const CODEC_DELAY: u32 = 0x56aa;
    pub(super) const ENCODINGS: u32 = 0x6d80;
    pub(super) const RATE: u32 = 0xb5;
    pub(super) const CHANNELS: u32 = 0x9f;
    pub(super) const BITS: u32 = 0x6264;
}

/// Elements that hold those that are read.
const ENTERED: [u32; 6] = [id::SEGMENT, id::TRACKS, id::TRACK, id::AUDIO, id::CLUSTER, id::BLOCK_GROUP];

/// Track of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Track<'a> {
    number: u64,
    kind: u64,
    /// Name of the coding.
    pub(super) codec: &'a [u8],
    /// Head of the stream.
    pub(super) private: &'a [u8],
    /// Nanoseconds in front of the recording.
    pub(super) delay: u64,
    /// Samples per second.
    pub(super) rate: f64,
    /// Number of channels.
    pub(super) channels: usize,
    /// Bits of a sample.
    pub(super) bits: u64,
    is_encoded: bool,
}

impl<'a> Track<'a> {
    fn set(&mut self, element: &Element<'a>) {
        match element.id {
            id::TRACK_NUMBER => self.number = element.number(),
            id::TRACK_TYPE => self.kind = element.number(),
            id::CODEC => self.codec = element.body.trim_ascii_end(),
            id::CODEC_PRIVATE => self.private = element.body,
            id::CODEC_DELAY => self.delay = element.number(),
            id::RATE => self.rate = element.float(),
            id::CHANNELS => self.channels = usize::try_from(element.number()).unwrap_or(usize::MAX),
            id::BITS => self.bits = element.number(),
            id::ENCODINGS => self.is_encoded = true,
            _ => {}
        }
    }
}

/// Packet of a track.
struct BlockPacket<'a> {
    data: &'a [u8],
    /// Nanoseconds at the end that do not belong to the recording.
    padding: u64,
}

/// Reads the first track of audio.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let unsupported = |reason: &str| ClipError::Unsupported { format: MATROSKA, reason: reason.to_owned() };
    let mut tracks: Vec<Track<'_>> = Vec::new();
    let mut sound: Option<Track<'_>> = None;
    let (mut packets, mut missing) = (Vec::new(), 0);
    for element in Elements::new(bytes, &ENTERED) {
        missing = element.missing;
        match element.id {
            id::TRACK => tracks.push(Track { channels: 1, rate: 8_000.0, ..Track::default() }),
            id::BLOCK | id::SIMPLE_BLOCK => {
                let sound = sound.get_or_insert_with(|| sound_of(&tracks));
                if missing == 0 && variable_number(element.body, 8, true).is_some_and(|found| found.0 == sound.number) {
                    add_packets(element.body, &mut packets);
                }
                if packets.len() > MAX_PACKETS {
                    return Err(unsupported("it holds more packets than ten minutes of speech do"));
                }
            }
            id::DISCARD_PADDING => {
                if let Some(packet) = packets.last_mut() {
                    packet.padding = u64::try_from(element.signed()).unwrap_or(0);
                }
            }
            _ => {
                if let Some(track) = tracks.last_mut() {
                    track.set(&element);
                }
            }
        }
        if tracks.len() > usize::from(u8::MAX) {
            return Err(unsupported("it holds too many tracks"));
        }
    }
    let several = tracks.iter().filter(|track| track.kind == 2).count() > 1;
    let sound = sound.unwrap_or_else(|| sound_of(&tracks));
    if sound.kind != 2 {
        return Err(ClipError::NoAudio { name: "a WebM or Matroska file without sound" });
    }
    if sound.is_encoded {
        return Err(unsupported("its sound is compressed once more, or encrypted"));
    }
    let mut collector = Collector::new(MATROSKA, limit);
    if several {
        collector.warn(format!("the {MATROSKA} file holds several tracks of sound; the first is used"));
    }
    if missing > 0 {
        collector.warn(format!("the {MATROSKA} file ends in the middle of a block; the audio up to there is used"));
    }
    decode(&sound, &packets, &mut collector)?;
    collector.finish()
}

fn sound_of<'a>(tracks: &[Track<'a>]) -> Track<'a> {
    tracks.iter().find(|track| track.kind == 2).cloned().unwrap_or_default()
}

fn decode(sound: &Track<'_>, packets: &[BlockPacket<'_>], collector: &mut Collector) -> Result<(), ClipError> {
    let Some(first) = packets.first() else { return Ok(()) };
    let mut codec = decoder_of(sound, first.data)?;
    collector.skip_next(codec.lead);
    for packet in packets {
        let silence = Silence { frames: codec.packet_frames, rate: codec.rate };
        let decoder: &mut dyn PacketDecoder = codec.decoder.as_mut();
        let frames = collector.decode(decoder, packet.data, silence)? as u64;
        let padding = (u128::from(packet.padding) * u128::from(codec.rate) + 500_000_000) / 1_000_000_000;
        collector.remove_last(u64::try_from(padding).unwrap_or(u64::MAX).min(frames));
    }
    Ok(())
}

/// Adds the packets of a block, which may be laced.
fn add_packets<'a>(block: &'a [u8], packets: &mut Vec<BlockPacket<'a>>) {
    let Some((_, head)) = variable_number(block, 8, true) else { return };
    let (Some(&flags), Some(body)) = (block.get(head + 2), block.get(head + 3..)) else { return };
    let lengths = match flags >> 1 & 3 {
        0 => Some((Vec::new(), body)),
        1 => xiph_lengths(body),
        2 => fixed_lengths(body),
        _ => ebml_lengths(body),
    };
    let Some((lengths, mut body)) = lengths else { return };
    for length in lengths {
        let Some((data, rest)) = body.split_at_checked(length) else { return };
        packets.push(BlockPacket { data, padding: 0 });
        body = rest;
    }
    packets.push(BlockPacket { data: body, padding: 0 });
}

/// Reads lengths that are sums of bytes, all but the last packet's.
pub(super) fn xiph_lengths(body: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let (&count, mut body) = body.split_first()?;
    let mut lengths = Vec::new();
    for _ in 0..count {
        let mut length = 0;
        loop {
            let (&byte, rest) = body.split_first()?;
            (length, body) = (length + usize::from(byte), rest);
            if byte < 255 {
                break;
            }
        }
        lengths.push(length);
    }
    Some((lengths, body))
}

fn fixed_lengths(body: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let (&count, body) = body.split_first()?;
    Some((vec![body.len() / (usize::from(count) + 1); count.into()], body))
}

fn ebml_lengths(body: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let (&count, mut body) = body.split_first()?;
    let mut lengths = Vec::new();
    let mut length = 0_i64;
    for index in 0..count {
        let (number, bytes) = variable_number(body, 8, true)?;
        let number = i64::try_from(number).ok()?;
        // Behind the first, a length is a difference, in the middle of its range.
        let middle = if index == 0 { 0 } else { (1 << (7 * bytes - 1)) - 1 };
        length = length.checked_add(number - middle)?;
        lengths.push(usize::try_from(length).ok()?);
        body = &body[bytes..];
    }
    Some((lengths, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laced_blocks_are_cut_into_their_packets() {
        let body: Vec<u8> = (0..8).collect();
        let lacings: [(u8, &[u8], [usize; 3]); 3] =
            [(2, &[2, 1, 3], [1, 3, 4]), (4, &[2], [2, 2, 4]), (6, &[2, 0x81, 0xc1], [1, 3, 4])];
        for (flags, head, lengths) in lacings {
            let block = [&[0x81, 0, 0, flags], head, &body].concat();
            let mut packets = Vec::new();
            add_packets(&block, &mut packets);
            let found: Vec<usize> = packets.iter().map(|packet| packet.data.len()).collect();
            assert_eq!(found, lengths, "flags {flags}");
            assert_eq!(packets.iter().flat_map(|packet| packet.data.to_vec()).collect::<Vec<u8>>(), body);
        }
    }

    #[test]
    fn lengths_beyond_a_block_give_no_packets() {
        for (flags, head) in [(2, vec![1, 255, 255]), (6, vec![1, 0x40]), (6, vec![2, 0x81, 0x80])] {
            let block = [vec![0x81, 0, 0, flags], head].concat();
            let mut packets = Vec::new();
            add_packets(&block, &mut packets);
            assert_eq!(packets.len(), 0);
        }
    }
}
