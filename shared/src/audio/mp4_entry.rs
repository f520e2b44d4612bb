//! Description of the sound in an MP4 track, and its decoder.

use super::channel_mix::ChannelMix;
use super::chunks::{be16, be32, be64};
use super::collector::PacketDecoder;
use super::flac::FlacHead;
use super::mp4::MP4;
use super::mp4_boxes::{boxes, child};
use super::opus_decode::{OPUS_RATE, OpusHead};
use super::pcm::{Coding, PcmDecoder};
use super::{ClipError, aac, alac, apple_layout};

/// Codings that are not read, by their names in the file.
const NAMED: [(&[u8; 4], &str); 13] = [
    (b"samr", "AMR-NB"),
    (b"sawb", "AMR-WB"),
    (b"sawp", "AMR-WB+"),
    (b"ac-3", "AC-3"),
    (b"ec-3", "E-AC-3"),
    (b"ac-4", "AC-4"),
    (b"dtsc", "DTS"),
    (b"enca", "encrypted"),
    (b"drms", "encrypted"),
    (b"QDM2", "QDesign Music"),
    (b"Qclp", "Qualcomm PureVoice"),
    (b"agsm", "GSM 6.10"),
    (b"ima4", "IMA ADPCM in QuickTime"),
];

/// Description of the sound of a track.
pub(super) struct Entry {
    /// Decoder; `None` if it is made of the first packet (MP3).
    pub(super) decoder: Option<Box<dyn PacketDecoder>>,
    /// Samples per second.
    pub(super) rate: u32,
    /// Frames of a packet.
    pub(super) packet_frames: usize,
    /// Frames in front of the recording, unless an edit says otherwise.
    pub(super) lead: u64,
    /// Bytes of a frame of uncompressed sound.
    pub(super) frame_bytes: Option<u64>,
}

/// Reads the first description of a track.
pub(super) fn read_entry(descriptions: &[u8]) -> Result<Entry, ClipError> {
    let broken = || ClipError::Broken { format: MP4, reason: "its sound has no description".to_owned() };
    let entry = boxes(descriptions.get(8..).unwrap_or(&[])).next().ok_or_else(broken)?;
    let body = entry.body;
    let version = be16(body, 8).ok_or_else(broken)?;
    let (channels, bits) = (be16(body, 16).ok_or_else(broken)?, be16(body, 18).ok_or_else(broken)?);
    let rate = u32::from(be16(body, 24).ok_or_else(broken)?);
    let head = match version {
        1 => 44,
        2 => 64,
        _ => 28,
    };
    let sound = Sound {
        name: entry.name,
        channels: if version == 2 { be32(body, 40).unwrap_or(0) as usize } else { channels.into() },
        bits: if version == 2 { be32(body, 48).unwrap_or(0) as usize } else { bits.into() },
        flags: if version == 2 { be32(body, 52).unwrap_or(0) } else { 0 },
        rate: if version == 2 { f64::from_bits(be64(body, 32).unwrap_or(0)) as u32 } else { rate },
        children: body.get(head..).unwrap_or(&[]),
    };
    sound.entry()
}

/// Fields of a description.
struct Sound<'a> {
    name: [u8; 4],
    channels: usize,
    bits: usize,
    flags: u32,
    rate: u32,
    children: &'a [u8],
}

impl Sound<'_> {
    fn entry(&self) -> Result<Entry, ClipError> {
        let unsupported = |reason: String| ClipError::Unsupported { format: MP4, reason };
        match &self.name {
            b"mp4a" => self.mpeg_4(),
            b".mp3" | b"ms\0\x55" => Ok(self.mp3()),
            b"alac" => {
                let cookie = self.child(b"alac").and_then(|cookie| cookie.get(4..)).unwrap_or(&[]);
                let (decoder, packet_frames) = alac::decoder(MP4, cookie)?;
                let rate = be32(cookie, 20).unwrap_or(self.rate);
                Ok(Entry { decoder: Some(Box::new(decoder)), rate, packet_frames, lead: 0, frame_bytes: None })
            }
            b"Opus" => self.opus(),
            b"fLaC" => {
                let blocks = self.child(b"dfLa").and_then(|blocks| blocks.get(4..)).unwrap_or(&[]);
                let (head, _) = FlacHead::read(MP4, &[b"fLaC", blocks].concat())?;
                let decoder = Some(Box::new(head.decoder(MP4)?) as Box<dyn PacketDecoder>);
                Ok(Entry { decoder, rate: head.rate, packet_frames: 0, lead: 0, frame_bytes: None })
            }
            name => match self.pcm_coding() {
                Some(coding) => self.pcm(coding),
                None => Err(unsupported(match NAMED.iter().find(|named| named.0 == name) {
                    Some((_, "encrypted")) => "it is encrypted".to_owned(),
                    Some((_, name)) => format!("its coding is {name}"),
                    None => format!("its coding {} is unknown", name.escape_ascii()),
                })),
            },
        }
    }

    /// Returns a child, which QuickTime may put into a `wave` box.
    fn child(&self, name: &[u8; 4]) -> Option<&[u8]> {
        child(self.children, name).or_else(|| child(child(self.children, b"wave")?, name))
    }

    fn mp3(&self) -> Entry {
        Entry { decoder: None, rate: self.rate, packet_frames: 1_152, lead: 0, frame_bytes: None }
    }

    /// Reads the configuration of MPEG-4 audio.
    fn mpeg_4(&self) -> Result<Entry, ClipError> {
        let unsupported = |reason: &str| ClipError::Unsupported { format: MP4, reason: reason.to_owned() };
        let broken = || ClipError::Broken { format: MP4, reason: "its AAC configuration is cut short".to_owned() };
        let (object, config) = self.child(b"esds").and_then(decoder_config).ok_or_else(broken)?;
        match object {
            0x40 | 0x66..=0x68 => {
                let config = aac::AacConfig::read(config).ok_or_else(broken)?;
                let decoder = Some(Box::new(config.decoder(MP4)?) as Box<dyn PacketDecoder>);
                Ok(Entry { decoder, rate: config.rate, packet_frames: aac::PACKET_FRAMES, lead: 0, frame_bytes: None })
            }
            0x69 | 0x6b => Ok(self.mp3()),
            0xa5 => Err(unsupported("its coding is AC-3")),
            0xa9 => Err(unsupported("its coding is DTS")),
            0xdd => Err(unsupported("its coding is Vorbis in MP4")),
            _ => Err(unsupported("its coding is unknown MPEG-4 audio")),
        }
    }

    fn opus(&self) -> Result<Entry, ClipError> {
        let broken = || ClipError::Broken { format: MP4, reason: "its Opus head is cut short".to_owned() };
        let head = self.child(b"dOps").filter(|head| head.len() >= 11).ok_or_else(broken)?;
        let pre_skip = be16(head, 2).unwrap_or(0);
        let gain = be16(head, 8).unwrap_or(0).cast_signed();
        let head = OpusHead::of(MP4, head[1], pre_skip, gain, &head[10..])?;
        let decoder = Some(Box::new(head.decoder(MP4)?) as Box<dyn PacketDecoder>);
        Ok(Entry { decoder, rate: OPUS_RATE, packet_frames: 0, lead: pre_skip.into(), frame_bytes: None })
    }

    fn pcm(&self, coding: Coding) -> Result<Entry, ClipError> {
        let layout = self.child(b"chan").and_then(|layout| layout.get(4..));
        let mix = layout.and_then(|layout| apple_layout::mix_of_layout(layout, self.channels));
        let mix = mix.unwrap_or_else(|| ChannelMix::assumed(self.channels));
        let frame_bytes = coding.unit(self.channels) as u64;
        let decoder = PcmDecoder::new(MP4, coding, self.rate, mix)?;
        let decoder = Some(Box::new(decoder) as Box<dyn PacketDecoder>);
        Ok(Entry { decoder, rate: self.rate, packet_frames: 0, lead: 0, frame_bytes: Some(frame_bytes) })
    }

    /// Returns the coding of uncompressed sound.
    fn pcm_coding(&self) -> Option<Coding> {
        let lowest_first = || {
            let inner = child(self.children, b"wave").and_then(|wave| child(wave, b"enda"));
            inner.and_then(|enda| be16(enda, 0)) == Some(1)
        };
        let (bytes, bits) = (self.bits.div_ceil(8), self.bits);
        Some(match &self.name {
            b"raw " => Coding::Unsigned8,
            b"NONE" if bits == 8 => Coding::Unsigned8,
            b"twos" | b"NONE" if (8..=32).contains(&bits) => Coding::Integer { bytes, big_endian: true },
            b"sowt" if (8..=32).contains(&bits) => Coding::Integer { bytes, big_endian: false },
            b"in24" => Coding::Integer { bytes: 3, big_endian: !lowest_first() },
            b"in32" => Coding::Integer { bytes: 4, big_endian: !lowest_first() },
            b"fl32" => Coding::Float { bytes: 4, big_endian: !lowest_first() },
            b"fl64" => Coding::Float { bytes: 8, big_endian: !lowest_first() },
            b"alaw" => Coding::ALaw,
            b"ulaw" => Coding::MuLaw,
            b"lpcm" if self.flags & 1 == 1 && matches!(bits, 32 | 64) => {
                Coding::Float { bytes, big_endian: self.flags & 2 != 0 }
            }
            b"lpcm" if (8..=32).contains(&bits) => Coding::Integer { bytes, big_endian: self.flags & 2 != 0 },
            _ => return None,
        })
    }
}

/// Returns the object type and the configuration in a box of descriptors.
fn decoder_config(esds: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, body) = descriptor(esds.get(4..)?)?;
    let body = if tag == 3 {
        let flags = *body.get(2)?;
        let url = if flags & 0x40 == 0 { 0 } else { 1 + usize::from(*body.get(3)?) };
        let skipped = 3 + if flags & 0x80 == 0 { 0 } else { 2 } + url + if flags & 0x20 == 0 { 0 } else { 2 };
        descriptor(body.get(skipped..)?).filter(|inner| inner.0 == 4)?.1
    } else {
        Some(body).filter(|_| tag == 4)?
    };
    let config = descriptor(body.get(13..)?).filter(|inner| inner.0 == 5).map_or(&[][..], |inner| inner.1);
    Some((*body.first()?, config))
}

/// Reads a descriptor: its tag and its body, as far as it is there.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&tag, mut rest) = bytes.split_first()?;
    let mut length = 0;
    for _ in 0..4 {
        let (&byte, after) = rest.split_first()?;
        (length, rest) = (length << 7 | usize::from(byte & 0x7f), after);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((tag, &rest[..length.min(rest.len())]))
}

/// Returns the AAC configuration in the descriptors that CAF keeps in its `kuki` chunk, with or
/// without the four bytes in front that MP4 has.
pub(super) fn aac_config_of_cookie(cookie: &[u8]) -> Option<aac::AacConfig> {
    let head: &[u8] = if cookie.first() == Some(&0) { &[] } else { &[0; 4] };
    aac::AacConfig::read(decoder_config(&[head, cookie].concat())?.1)
}
