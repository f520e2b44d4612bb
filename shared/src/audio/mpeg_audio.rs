//! Reader of MPEG audio: MP3, and the layers I and II.
//!
//! Frames are found one by one, so that tags, damage and a second file behind the first are seen.
//! Delay and padding are removed as far as the encoder's tag names them, as ffmpeg does.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};
use symphonia::default::codecs::MpaDecoder;

use super::channel_mix::ChannelMix;
use super::codec::{SymphoniaDecoder, mono_or_stereo};
use super::collector::{Collector, Silence, Source};
use super::mpeg_frame::{EncoderTag, MpegFrame, tag_bytes};
use super::{ClipError, SourceLimit};

const MP3: &str = "MP3";
/// Bytes searched for the first frame: a file cut out of a stream begins in the middle of a frame.
const SEARCH_BYTES: usize = 4_096;
/// Bytes searched behind a tag, whose length may be wrong: a picture may be left over.
const SEARCH_BEHIND_TAG_BYTES: usize = 1024 * 1024;
/// Frames of one kind that have to follow each other at the beginning.
const FRAMES_MIN: usize = 3;
/// Bytes outside of any frame that are no cause for a warning: padding, or the rest of a frame that
/// was cut through.
const LOST_FREELY: usize = 2_048;

/// Finds the first frame: others of its kind follow it, or the file ends with it.
pub(super) fn first_frame(bytes: &[u8], behind_tag: bool) -> Option<usize> {
    let search = if behind_tag { SEARCH_BEHIND_TAG_BYTES } else { SEARCH_BYTES };
    (0..bytes.len().min(search)).find(|&start| {
        let Some(first) = MpegFrame::read(&bytes[start..]) else { return false };
        let mut at = start;
        for found in 0..FRAMES_MIN {
            match MpegFrame::read(bytes.get(at..).unwrap_or(&[])) {
                Some(frame) if frame.is_like(&first) => at += frame.bytes,
                Some(_) => return false,
                None => {
                    return at == bytes.len() || found > 0 && tag_bytes(bytes.get(at..).unwrap_or(b"TAG")).is_some();
                }
            }
        }
        true
    })
}

/// Reads a stream that begins with a frame.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let mut reader = Reader {
        bytes,
        collector: Collector::new(MP3, limit),
        decoder: None,
        position: 0,
        tag: None,
        is_behind_tag: false,
    };
    let (mut at, mut lost, mut in_step) = (0, 0, true);
    // Each pass moves on by at least a byte.
    while at + 4 <= bytes.len() {
        if let Some(tag) = tag_bytes(&bytes[at..]) {
            at += tag.min(bytes.len() - at).max(1);
            (in_step, reader.is_behind_tag) = (false, true);
            continue;
        }
        match reader.frame_at(at, in_step) {
            Some(frame) if at + frame.bytes <= bytes.len() => {
                reader.take(&frame, &bytes[at..at + frame.bytes])?;
                (at, in_step) = (at + frame.bytes, true);
            }
            Some(frame) if in_step => {
                // The bits of a frame may stand in the frames before it, so that little is missing.
                let mut whole = bytes[at..].to_vec();
                whole.resize(frame.bytes, 0);
                reader.take(&frame, &whole)?;
                reader.collector.warn(format!("the {MP3} file ends in the middle of a frame"));
                break;
            }
            _ => (at, lost, in_step) = (at + 1, lost + 1, false),
        }
    }
    if lost > LOST_FREELY {
        reader.collector.warn_outside("frames", lost);
    }
    reader.collector.finish()
}

struct Reader<'a> {
    bytes: &'a [u8],
    collector: Collector,
    decoder: Option<(MpegFrame, SymphoniaDecoder)>,
    /// Frames of audio so far, including those of the encoder.
    position: u64,
    tag: Option<EncoderTag>,
    /// Whether the next frame follows a tag, as at the beginning of a joined file.
    is_behind_tag: bool,
}

impl Reader<'_> {
    /// Returns the frame at a place. Out of step, the next frame has to be there too.
    fn frame_at(&self, at: usize, in_step: bool) -> Option<MpegFrame> {
        let frame = MpegFrame::read(&self.bytes[at..])?;
        let next = at + frame.bytes;
        let follows = |next: &[u8]| MpegFrame::read(next).is_some_and(|next| next.is_like(&frame));
        let sure = in_step || next == self.bytes.len() || self.bytes.get(next..).is_some_and(follows);
        sure.then_some(frame)
    }

    fn take(&mut self, frame: &MpegFrame, bytes: &[u8]) -> Result<(), ClipError> {
        let is_first = self.tag.is_none();
        if is_first || std::mem::take(&mut self.is_behind_tag) {
            let tag = frame.tag(bytes, self.bytes.len());
            if is_first {
                self.collector.skip_next(tag.unwrap_or_default().lead);
                self.tag = Some(tag.unwrap_or_default());
            }
            if tag.is_some() {
                return Ok(());
            }
        }
        let decoder = match &mut self.decoder {
            Some((made_for, decoder)) if made_for.same_decoder(frame) => decoder,
            slot => &mut slot.insert((*frame, decoder_of(frame)?)).1,
        };
        let silence = Silence { frames: frame.samples, rate: frame.rate };
        let decoded = self.collector.decode(decoder, bytes, silence)? as u64;
        self.position += decoded;
        let tag = self.tag.unwrap_or_default();
        if self.position > tag.end && self.position - decoded < tag.whole {
            self.collector.remove_last((self.position - tag.end).min(decoded));
        }
        Ok(())
    }
}

/// Makes a decoder of frames like `frame`.
fn decoder_of(frame: &MpegFrame) -> Result<SymphoniaDecoder, ClipError> {
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec([CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3][usize::from(frame.layer - 1)]);
    parameters.with_sample_rate(frame.rate).with_channels(mono_or_stereo(frame.channels));
    SymphoniaDecoder::new(MP3, &parameters, ChannelMix::assumed(frame.channels), MpaDecoder::try_new)
}

/// Makes a decoder of the layer III frames that another container holds.
pub(super) fn packet_decoder(format: &'static str, packet: &[u8]) -> Result<SymphoniaDecoder, ClipError> {
    let broken = || ClipError::Broken { format, reason: "its first packet is no MP3 frame".to_owned() };
    decoder_of(&MpegFrame::read(packet).ok_or_else(broken)?)
}
