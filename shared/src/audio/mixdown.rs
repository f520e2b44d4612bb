//! What a packet-wise decoder yields, gathered as mono samples under the limits.

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::errors::Error;

use super::ClipError;
use super::wav_decode::{DecodedAudio, allowed, frame_limit};

/// Packets that may be damaged before their share counts: a file that was cut out of a longer one begins with such.
const DAMAGED_FREELY: u64 = 8;
/// Beyond that, at most one of so many packets may be damaged.
const DAMAGED_ONE_OF: u64 = 8;

/// Mono samples in the making.
pub(super) struct Mixdown {
    /// Name of the format, for errors.
    format: &'static str,
    mono: Vec<f32>,
    /// One packet's samples, channel by channel.
    interleaved: Vec<f32>,
    /// Rate and channels of the first packet.
    layout: Option<(u32, usize)>,
    /// Frames that were decoded, those that the decoder cut off included.
    decoded: u64,
    /// Frames of the last packet that was whole.
    usual: usize,
    packets: u64,
    damaged: u64,
}

impl Mixdown {
    pub(super) fn new(format: &'static str) -> Self {
        Self {
            format,
            mono: Vec::new(),
            interleaved: Vec::new(),
            layout: None,
            decoded: 0,
            usual: 0,
            packets: 0,
            damaged: 0,
        }
    }

    /// Takes what a packet was decoded to. `announced` are its frames by the container, 0 where that is not known: frames
    /// that the decoder takes off as padding cost time as others do.
    pub(super) fn take(
        &mut self,
        decoded: Result<GenericAudioBufferRef<'_>, Error>,
        announced: u64,
    ) -> Result<(), ClipError> {
        self.packets += 1;
        match decoded {
            Ok(buffer) => self.add(&buffer, announced),
            Err(Error::DecodeError(_) | Error::IoError(_)) => self.skip(),
            Err(error) => Err(self.refusal(&error)),
        }
    }

    fn add(&mut self, buffer: &GenericAudioBufferRef<'_>, announced: u64) -> Result<(), ClipError> {
        let frames = buffer.frames();
        let layout = (buffer.spec().rate(), buffer.spec().channels().count());
        if *self.layout.get_or_insert(layout) != layout {
            return Err(self.broken("its rate or its channels change on the way"));
        }
        let (rate, channels) = layout;
        allowed(rate, channels)?;
        self.count(announced.max(frames as u64), rate)?;
        self.interleaved.clear();
        buffer.copy_to_vec_interleaved(&mut self.interleaved);
        let share = 1.0 / channels as f32;
        self.mono.extend(self.interleaved.chunks_exact(channels).map(|frame| held(frame.iter().sum::<f32>() * share)));
        self.usual = frames;
        Ok(())
    }

    /// Puts silence where a damaged packet was, so that what follows keeps its place.
    fn skip(&mut self) -> Result<(), ClipError> {
        self.damaged += 1;
        if self.damaged > DAMAGED_FREELY && self.damaged * DAMAGED_ONE_OF > self.packets {
            return Err(self.broken("too many of its packets are damaged"));
        }
        if let Some((rate, _)) = self.layout {
            self.count(self.usual as u64, rate)?;
            self.mono.resize(self.mono.len() + self.usual, 0.0);
        }
        Ok(())
    }

    fn count(&mut self, frames: u64, rate: u32) -> Result<(), ClipError> {
        self.decoded = self.decoded.saturating_add(frames);
        let limit = frame_limit(rate);
        let seconds = (limit / u64::from(rate.max(1))) as u32;
        if self.decoded > limit { Err(ClipError::TooLong { seconds }) } else { Ok(()) }
    }

    /// Frames gathered so far.
    pub(super) fn frames(&self) -> usize {
        self.mono.len()
    }

    /// Takes the last frames off.
    pub(super) fn truncate(&mut self, frames: usize) {
        self.mono.truncate(frames);
    }

    /// What was gathered. A file of which no packet was whole is damaged, not empty.
    pub(super) fn finish(self) -> Result<DecodedAudio, ClipError> {
        match self.layout {
            Some((sample_rate, _)) if !self.mono.is_empty() => Ok(DecodedAudio { mono: self.mono, sample_rate }),
            _ if self.damaged > 0 => Err(self.broken("none of its packets can be decoded")),
            _ => Err(ClipError::Empty),
        }
    }

    /// A decoder's or demuxer's refusal as ours.
    pub(super) fn refusal(&self, error: &Error) -> ClipError {
        refusal(self.format, error)
    }

    /// A refusal of our own.
    pub(super) fn broken(&self, reason: &str) -> ClipError {
        ClipError::Broken { format: self.format, reason: reason.to_owned() }
    }
}

/// A decoder's or demuxer's refusal of a file of `format` as ours.
pub(super) fn refusal(format: &'static str, error: &Error) -> ClipError {
    let reason = match error {
        Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        error => error.to_string(),
    };
    ClipError::Broken { format, reason }
}

/// A lossy decoder may run over full scale and, from a crafted file, to anything.
fn held(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}
