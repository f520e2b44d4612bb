//! Reader of Ogg files that hold Vorbis, Opus or FLAC, one stream or several behind each other.

use super::collector::{Collector, PacketDecoder, Silence, Source, counted};
use super::flac::FlacHead;
use super::ogg_pages::{Packets, Page, Pages};
use super::opus_decode::{self, OPUS_RATE, OpusHead};
use super::{ClipError, SourceLimit, vorbis};

const OGG: &str = "Ogg";
const OPUS: &str = "Ogg Opus";
const VORBIS: &str = "Ogg Vorbis";
const FLAC: &str = "Ogg FLAC";
/// Most frames that the end position of a stream may cut off: those of the last packets.
const MAX_END_TRIM: u64 = 8_192;
/// Largest setup of a Vorbis stream, in bytes; encoders write 5,000.
const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// Reads an Ogg file.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let mut pages = Pages::new(bytes);
    let mut stream: Option<Stream> = None;
    let mut collector = Collector::new(OGG, limit);
    let (mut unknown, mut lost_pages, mut other_streams) = (None, 0, 0);
    for page in pages.by_ref() {
        if page.is_first() {
            let busy = stream.as_ref().is_some_and(|stream| stream.serial != page.serial && !stream.has_audio);
            match Kind::of(page.first_packet()) {
                Ok(_) if busy => other_streams += 1,
                Ok(kind) => {
                    collector.name(kind.format());
                    let before = stream.replace(Stream::new(page.serial, kind));
                    lost_pages += before.map_or(0, |before| before.packets.lost_pages);
                }
                Err(name) => unknown = unknown.or(Some(name)),
            }
        }
        if let Some(stream) = stream.as_mut().filter(|stream| stream.serial == page.serial) {
            stream.add(&page, &mut collector)?;
        }
    }
    let Some(stream) = stream else {
        return Err(match unknown {
            Some(name) => ClipError::Unsupported { format: OGG, reason: format!("its coding is {name}") },
            None => ClipError::Broken { format: OGG, reason: "it ends before its audio".to_owned() },
        });
    };
    if !stream.has_audio && stream.decoder.is_none() {
        return Err(collector.broken("it ends before its audio"));
    }
    lost_pages += stream.packets.lost_pages;
    if other_streams > 0 {
        collector.warn("the Ogg file holds several streams of audio at a time; the first is used".to_owned());
    }
    if lost_pages > 0 {
        let pages = counted(lost_pages, "page");
        collector.warn(format!("the Ogg file has {pages} missing or damaged; that audio is left out"));
    } else if pages.lost > 0 {
        collector.warn_outside("pages", pages.lost);
    }
    collector.finish()
}

/// Coding of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Opus,
    Vorbis,
    Flac,
}

impl Kind {
    /// Returns the coding by the first packet, or the name of one that is not read.
    fn of(packet: &[u8]) -> Result<Self, &'static str> {
        match packet {
            [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', ..] => Ok(Self::Opus),
            [1, b'v', b'o', b'r', b'b', b'i', b's', ..] => Ok(Self::Vorbis),
            [0x7f, b'F', b'L', b'A', b'C', ..] => Ok(Self::Flac),
            [b'S', b'p', b'e', b'e', b'x', ..] => Err("Speex"),
            [0x80, b't', b'h', b'e', b'o', b'r', b'a', ..] => Err("Theora (video without sound)"),
            [b'C', b'E', b'L', b'T', ..] => Err("CELT"),
            _ => Err("neither Vorbis nor Opus nor FLAC"),
        }
    }

    const fn format(self) -> &'static str {
        match self {
            Self::Opus => OPUS,
            Self::Vorbis => VORBIS,
            Self::Flac => FLAC,
        }
    }
}

/// Stream of a file.
struct Stream {
    serial: u32,
    kind: Kind,
    packets: Packets,
    /// Header packets so far, or the decoder once all are there.
    headers: Vec<Vec<u8>>,
    decoder: Option<Box<dyn PacketDecoder>>,
    flac: Option<FlacHead>,
    rate: u32,
    has_audio: bool,
    /// Frames decoded so far.
    decoded: u64,
    /// Frames decoded minus the position, known from the first position on.
    offset: Option<i128>,
}

impl Stream {
    fn new(serial: u32, kind: Kind) -> Self {
        Self {
            serial,
            kind,
            packets: Packets::default(),
            headers: Vec::new(),
            decoder: None,
            flac: None,
            rate: OPUS_RATE,
            has_audio: false,
            decoded: 0,
            offset: None,
        }
    }

    fn add(&mut self, page: &Page<'_>, collector: &mut Collector) -> Result<(), ClipError> {
        let mut packets = std::mem::take(&mut self.packets);
        let gap = packets.add(page, |packet| self.take(packet, collector))?;
        self.packets = packets;
        let Some(position) = page.position().filter(|_| self.has_audio) else { return Ok(()) };
        if gap {
            self.offset = None;
        }
        // A stream that was cut out of a longer one does not begin at 0, and behind a gap fewer frames
        // are decoded than the position says.
        let here = i128::from(self.decoded) - i128::from(position);
        if page.is_last() {
            let behind = here - self.offset.unwrap_or(here.min(0));
            if let Ok(behind @ 1..=MAX_END_TRIM) = u64::try_from(behind) {
                collector.remove_last(behind);
            }
        } else if self.offset.is_none() {
            self.offset = Some(here.min(0));
        }
        Ok(())
    }

    /// Takes a packet: a header, or audio.
    fn take(&mut self, packet: &[u8], collector: &mut Collector) -> Result<(), ClipError> {
        let Some(decoder) = &mut self.decoder else { return self.take_header(packet, collector) };
        let silence = match (self.kind, &self.flac) {
            (Kind::Flac, Some(head)) if packet.first() == Some(&0xff) => head.silence(packet),
            (Kind::Flac, _) => return Ok(()),
            (Kind::Opus, _) => Silence { frames: opus_decode::packet_frames(packet), rate: OPUS_RATE },
            (Kind::Vorbis, _) if packet.first().is_none_or(|first| first & 1 == 1) => return Ok(()),
            (Kind::Vorbis, _) => Silence { frames: 0, rate: self.rate },
        };
        self.has_audio = true;
        self.decoded += collector.decode(decoder.as_mut(), packet, silence)? as u64;
        Ok(())
    }

    fn take_header(&mut self, packet: &[u8], collector: &mut Collector) -> Result<(), ClipError> {
        let format = self.kind.format();
        let broken = |reason: &str| ClipError::Broken { format, reason: reason.to_owned() };
        if packet.len() > MAX_HEADER_BYTES && self.headers.len() != 1 {
            return Err(broken("a header is longer than any encoder's"));
        }
        // Comments are not kept: a picture may be in them.
        self.headers.push(if self.headers.len() == 1 {
            packet[..packet.len().min(8)].to_vec()
        } else {
            packet.to_vec()
        });
        match (self.kind, self.headers.as_slice()) {
            (Kind::Opus, [head, tags]) => {
                if !tags.starts_with(b"OpusTags") {
                    return Err(broken("its second packet holds no tags"));
                }
                let head = OpusHead::read(format, head)?;
                collector.skip_next(head.pre_skip.into());
                self.decoder = Some(Box::new(head.decoder(format)?));
            }
            (Kind::Vorbis, [head, comments, setup]) => {
                if !comments.starts_with(b"\x03vorbis") {
                    return Err(broken("its second packet holds no comments"));
                }
                let (decoder, rate) = vorbis::decoder(format, head, setup)?;
                self.rate = rate;
                self.decoder = Some(Box::new(decoder));
            }
            (Kind::Flac, [head]) => {
                let (head, _) = FlacHead::read(format, head.get(9..).unwrap_or(&[]))?;
                self.decoder = Some(Box::new(head.decoder(format)?));
                self.flac = Some(head);
            }
            _ => {}
        }
        if self.decoder.is_some() {
            self.headers = Vec::new();
        }
        Ok(())
    }
}
