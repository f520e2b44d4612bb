//! Decoders of symphonia behind [`PacketDecoder`].

use symphonia::core::audio::{Channels, layouts};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};

use super::ClipError;
use super::channel_mix::ChannelMix;
use super::collector::{Fault, Mono, PacketDecoder, allowed};

/// Decoder of symphonia, with the mix of its channels.
pub(super) struct SymphoniaDecoder {
    format: &'static str,
    decoder: Box<dyn AudioDecoder>,
    mix: ChannelMix,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
}

impl SymphoniaDecoder {
    /// Makes a decoder of `parameters` by `make`, whose channels are mixed by `mix`.
    pub(super) fn new<D: AudioDecoder + 'static>(
        format: &'static str,
        parameters: &AudioCodecParameters,
        mix: ChannelMix,
        make: impl FnOnce(&AudioCodecParameters, &AudioDecoderOptions) -> Result<D, Error>,
    ) -> Result<Self, ClipError> {
        let decoder = make(parameters, &AudioDecoderOptions::default()).map_err(|error| refusal(format, &error))?;
        Ok(Self { format, decoder: Box::new(decoder), mix, interleaved: Vec::new(), mono: Vec::new() })
    }
}

impl PacketDecoder for SymphoniaDecoder {
    fn decode(&mut self, packet: &[u8]) -> Result<Mono<'_>, Fault> {
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, packet);
        let buffer = match self.decoder.decode_ref(&packet) {
            Ok(buffer) => buffer,
            Err(Error::DecodeError(_) | Error::IoError(_)) => return Err(Fault::Damaged),
            Err(error) => return Err(refusal(self.format, &error).into()),
        };
        let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
        allowed(self.format, rate, channels)?;
        if channels != self.mix.channels() {
            self.mix = ChannelMix::assumed(channels);
        }
        self.interleaved.clear();
        buffer.copy_to_vec_interleaved(&mut self.interleaved);
        // A crafted file may make a lossy decoder yield infinities or no numbers.
        self.interleaved.iter_mut().filter(|sample| !sample.is_finite()).for_each(|sample| *sample = 0.0);
        self.mono.clear();
        self.mix.add(&self.interleaved, &mut self.mono).map_err(|fault| fault.refusal(self.format, 0))?;
        Ok(Mono { rate, samples: &self.mono })
    }
}

/// Returns symphonia's name of one or two channels.
pub(super) fn mono_or_stereo(channels: usize) -> Channels {
    if channels == 1 { layouts::CHANNEL_LAYOUT_MONO } else { layouts::CHANNEL_LAYOUT_STEREO }
}

/// Converts an error of a decoder for a file of `format` to a [`ClipError`].
fn refusal(format: &'static str, error: &Error) -> ClipError {
    match error {
        Error::IoError(_) => ClipError::Broken { format, reason: "it ends too early".to_owned() },
        Error::Unsupported(reason) => ClipError::Unsupported { format, reason: (*reason).to_owned() },
        error => ClipError::Broken { format, reason: error.to_string() },
    }
}
