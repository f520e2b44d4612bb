//! Decoder of Vorbis packets.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::default::codecs::VorbisDecoder;

use super::channel_mix::ChannelMix;
use super::chunks::le32;
use super::codec::SymphoniaDecoder;
use super::collector::allowed;
use super::{ClipError, vorbis_setup};

/// Makes a decoder of a stream's first and third header packet, and returns the sample rate.
pub(super) fn decoder(format: &'static str, head: &[u8], setup: &[u8]) -> Result<(SymphoniaDecoder, u32), ClipError> {
    let broken = |reason: &str| ClipError::Broken { format, reason: reason.to_owned() };
    let (Some(&channels), Some(rate)) = (head.get(11), le32(head, 12)) else {
        return Err(broken("its head is cut short"));
    };
    let channels = usize::from(channels);
    allowed(format, rate, channels)?;
    let setup = vorbis_setup::checked(setup, channels).map_err(broken)?;
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_VORBIS).with_sample_rate(rate);
    parameters.with_extra_data([head, &setup].concat().into());
    // The decoder orders its channels as FLAC does.
    let decoder = SymphoniaDecoder::new(format, &parameters, ChannelMix::flac(channels), VorbisDecoder::try_new)?;
    Ok((decoder, rate))
}
