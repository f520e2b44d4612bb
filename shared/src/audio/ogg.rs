//! Decoder of Ogg files that hold Vorbis or Opus: from bytes to mono float samples at the file's
//! own rate (Opus: 48 kHz).

use std::io::{Cursor, ErrorKind};

use ::ogg::{OggReadError, Packet, PacketReader};
use symphonia::core::audio::{Channels, layouts};
use symphonia::core::codecs::audio::well_known::{CODEC_ID_OPUS, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::RegisterableAudioDecoder as _;
use symphonia::core::packet::Packet as DecoderPacket;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::codecs::VorbisDecoder;
use symphonia_adapter_libopus::OpusDecoder;

use super::mixdown::{Mixdown, refusal};
use super::vorbis;
use super::wav_decode::{DecodedAudio, allowed};
use super::{ClipError, SourceLimit};

/// Sample rate at which every Opus stream is decoded.
const OPUS_RATE: u32 = 48_000;
/// Bytes of the header of an Opus stream of one or two channels.
const OPUS_HEAD_BYTES: usize = 19;
/// Most channels of a stream: up to two, both decoders are certain to order them as expected here.
const MAX_CHANNELS: u8 = 2;
/// Most frames that the end position of a stream may cut off: those of the last packet.
const MAX_END_TRIM: u64 = 8_192;

/// The decoder of one stream.
struct OggDecoder {
    format: &'static str,
    decoder: Box<dyn AudioDecoder>,
    /// Frames at the start that do not belong to the recording.
    skipped: u64,
}

/// Decodes an Ogg file that holds one stream.
pub(super) fn ogg(bytes: &[u8], limit: SourceLimit) -> Result<DecodedAudio, ClipError> {
    let mut packets = Packets { reader: PacketReader::new(Cursor::new(bytes)), serial: None };
    let head = packets.expect()?;
    let mut codec = match head.data.as_slice() {
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', ..] => opus(head.data, &mut packets)?,
        [1, b'v', b'o', b'r', b'b', b'i', b's', ..] => vorbis(head.data, &mut packets)?,
        _ => return Err(ClipError::Unsupported("an Ogg file of neither Vorbis nor Opus".to_owned())),
    };
    let mut mixdown = Mixdown::new(codec.format, limit);
    while let Some(packet) = packets.next()? {
        let end = (packet.last_in_stream()).then(|| packet.absgp_page());
        let packet = DecoderPacket::new(0, Timestamp::ZERO, Duration::ZERO, packet.data);
        mixdown.take(codec.decoder.decode(&packet), 0)?;
        if let Some(end) = end {
            trim(&mut mixdown, end.saturating_sub(codec.skipped));
        }
    }
    mixdown.finish()
}

/// Removes the frames that the encoder added behind the end of the recording.
fn trim(mixdown: &mut Mixdown, frames: u64) {
    let added = (mixdown.frames() as u64).saturating_sub(frames);
    if added <= MAX_END_TRIM {
        mixdown.truncate(usize::try_from(frames).unwrap_or(usize::MAX));
    }
}

fn opus(head: Vec<u8>, packets: &mut Packets<'_>) -> Result<OggDecoder, ClipError> {
    const FORMAT: &str = "Ogg Opus";
    if head.len() < OPUS_HEAD_BYTES {
        return Err(broken(FORMAT, "its head is cut short"));
    }
    let skipped = u64::from(u16::from_le_bytes([head[10], head[11]]));
    let channels = channels(FORMAT, head[9])?;
    let comment = packets.expect()?;
    if !comment.data.starts_with(b"OpusTags") {
        return Err(broken(FORMAT, "its second packet holds no tags"));
    }
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_OPUS).with_sample_rate(OPUS_RATE).with_channels(channels);
    parameters.with_extra_data(head.into());
    let decoder = OpusDecoder::try_registry_new(&parameters, &AudioDecoderOptions::default());
    Ok(OggDecoder { format: FORMAT, decoder: decoder.map_err(|error| refusal(FORMAT, &error))?, skipped })
}

fn vorbis(head: Vec<u8>, packets: &mut Packets<'_>) -> Result<OggDecoder, ClipError> {
    const FORMAT: &str = "Ogg Vorbis";
    let [channel_count, rate @ ..] = *head
        .get(11..16)
        .and_then(|bytes| <&[u8; 5]>::try_from(bytes).ok())
        .ok_or_else(|| broken(FORMAT, "its head is cut short"))?;
    let rate = u32::from_le_bytes(rate);
    let channels = channels(FORMAT, channel_count)?;
    allowed(rate, channels.count())?;
    let comment = packets.expect()?;
    if !comment.data.starts_with(b"\x03vorbis") {
        return Err(broken(FORMAT, "its second packet holds no comments"));
    }
    let setup = packets.expect()?.data;
    vorbis::check(&setup).map_err(|reason| broken(FORMAT, reason))?;
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_VORBIS).with_sample_rate(rate).with_channels(channels);
    parameters.with_extra_data([head, setup].concat().into());
    let decoder = VorbisDecoder::try_new(&parameters, &AudioDecoderOptions::default());
    let decoder = Box::new(decoder.map_err(|error| refusal(FORMAT, &error))?);
    Ok(OggDecoder { format: FORMAT, decoder, skipped: 0 })
}

fn channels(format: &'static str, count: u8) -> Result<Channels, ClipError> {
    match count {
        1 => Ok(layouts::CHANNEL_LAYOUT_MONO),
        2 => Ok(layouts::CHANNEL_LAYOUT_STEREO),
        _ => Err(ClipError::Unsupported(format!("{format} of {count} channels; 1 to {MAX_CHANNELS} are taken"))),
    }
}

fn broken(format: &'static str, reason: &str) -> ClipError {
    ClipError::Broken { format, reason: reason.to_owned() }
}

/// The packets of a file's only stream.
struct Packets<'a> {
    reader: PacketReader<Cursor<&'a [u8]>>,
    serial: Option<u32>,
}

impl Packets<'_> {
    /// Returns the next packet; `None` at the end of the file, truncated or not.
    fn next(&mut self) -> Result<Option<Packet>, ClipError> {
        let packet = match self.reader.read_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(None),
            Err(OggReadError::ReadError(error)) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(broken("Ogg", &format!("{error}"))),
        };
        if *self.serial.get_or_insert(packet.stream_serial()) != packet.stream_serial() {
            return Err(ClipError::Unsupported("an Ogg file of more than one stream".to_owned()));
        }
        Ok(Some(packet))
    }

    /// Returns the next header packet.
    fn expect(&mut self) -> Result<Packet, ClipError> {
        self.next()?.ok_or_else(|| broken("Ogg", "it ends before its audio"))
    }
}
