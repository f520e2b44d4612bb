//! Decoder of ALAC packets.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_ALAC;
use symphonia::default::codecs::AlacDecoder;

use super::ClipError;
use super::channel_mix::ChannelMix;
use super::chunks::be32;
use super::codec::SymphoniaDecoder;
use super::collector::allowed;

/// Bytes of the configuration that the decoder needs.
const COOKIE_BYTES: usize = 24;
/// Most frames of a packet; encoders write 4,096. The decoder reserves memory for it.
const MAX_PACKET_FRAMES: u32 = 16_384;

/// Makes a decoder of the configuration ("magic cookie"), and returns the frames of a packet.
pub(super) fn decoder(format: &'static str, cookie: &[u8]) -> Result<(SymphoniaDecoder, usize), ClipError> {
    let broken = || ClipError::Broken { format, reason: "its ALAC configuration is damaged".to_owned() };
    let cookie = cookie.get(..COOKIE_BYTES).ok_or_else(broken)?;
    let frames = be32(cookie, 0).filter(|frames| (1..=MAX_PACKET_FRAMES).contains(frames)).ok_or_else(broken)?;
    let (bits, channels) = (cookie[5], usize::from(cookie[9]));
    allowed(format, be32(cookie, 20).unwrap_or_default(), channels)?;
    if !matches!(bits, 16 | 20 | 24 | 32) {
        return Err(broken());
    }
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_ALAC).with_extra_data(cookie.into());
    let decoder = SymphoniaDecoder::new(format, &parameters, ChannelMix::assumed(channels), AlacDecoder::try_new)?;
    Ok((decoder, frames as usize))
}
