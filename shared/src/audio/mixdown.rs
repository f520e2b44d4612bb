//! The output of a packet decoder, collected as mono samples under the limits.

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::errors::Error;

use super::wav_decode::{DecodedAudio, allowed};
use super::{ClipError, SourceLimit};

/// Damaged packets that are always tolerated: a file cut out of a longer one begins with some.
const DAMAGED_FREELY: u64 = 8;
/// Packets for each damaged packet beyond [`DAMAGED_FREELY`]: at most one in this many may be
/// damaged.
const DAMAGED_ONE_OF: u64 = 8;

/// Mono samples collected so far, with the counts that limit them.
pub(super) struct Mixdown {
    /// Name of the format, for error messages.
    format: &'static str,
    limit: SourceLimit,
    mono: Vec<f32>,
    /// Samples of the last packet, with its channels interleaved.
    interleaved: Vec<f32>,
    /// Sample rate and channel count of the first packet.
    layout: Option<(u32, usize)>,
    /// Frames decoded so far, including those that the decoder cut off.
    decoded: u64,
    /// Frames of the last undamaged packet.
    usual: usize,
    packets: u64,
    damaged: u64,
}

impl Mixdown {
    pub(super) const fn new(format: &'static str, limit: SourceLimit) -> Self {
        Self {
            format,
            limit,
            mono: Vec::new(),
            interleaved: Vec::new(),
            layout: None,
            decoded: 0,
            usual: 0,
            packets: 0,
            damaged: 0,
        }
    }

    /// Adds a decoded packet. `announced` is the packet's number of frames according to the
    /// container, or 0 if unknown. The larger of `announced` and the decoded frames counts towards
    /// the limit, because frames cut off as padding cost as much time as others.
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
        if self.mono.capacity() == 0 {
            // Reserved once: a growing buffer would be held twice while it is moved. Pages that are
            // never written take no memory.
            self.mono.reserve_exact(self.limit.frames(rate) as usize);
        }
        self.interleaved.clear();
        buffer.copy_to_vec_interleaved(&mut self.interleaved);
        let share = 1.0 / channels as f32;
        self.mono.extend(self.interleaved.chunks_exact(channels).map(|frame| held(frame.iter().sum::<f32>() * share)));
        self.usual = frames;
        Ok(())
    }

    /// Puts silence in place of a damaged packet, so that later audio keeps its position.
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
        if self.decoded > self.limit.frames(rate) { Err(self.limit.too_long(rate)) } else { Ok(()) }
    }

    /// Returns the number of frames collected so far.
    pub(super) fn frames(&self) -> usize {
        self.mono.len()
    }

    /// Keeps the first `frames` frames.
    pub(super) fn truncate(&mut self, frames: usize) {
        self.mono.truncate(frames);
    }

    /// Returns the collected audio. A file without a single undamaged packet is reported as
    /// damaged, not as empty.
    pub(super) fn finish(self) -> Result<DecodedAudio, ClipError> {
        match self.layout {
            Some((sample_rate, _)) if !self.mono.is_empty() => Ok(DecodedAudio { mono: self.mono, sample_rate }),
            _ if self.damaged > 0 => Err(self.broken("none of its packets can be decoded")),
            _ => Err(ClipError::Empty),
        }
    }

    /// Converts an error of the decoder or demuxer to a [`ClipError`].
    pub(super) fn refusal(&self, error: &Error) -> ClipError {
        refusal(self.format, error)
    }

    /// Returns a [`ClipError::Broken`] for this format.
    pub(super) fn broken(&self, reason: &str) -> ClipError {
        ClipError::Broken { format: self.format, reason: reason.to_owned() }
    }
}

/// Converts an error of the decoder or demuxer for a file of `format` to a [`ClipError`].
pub(super) fn refusal(format: &'static str, error: &Error) -> ClipError {
    let reason = match error {
        Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        error => error.to_string(),
    };
    ClipError::Broken { format, reason }
}

/// Clamps a sample to full scale, because a lossy decoder may exceed it. A crafted file may even
/// yield infinities or NaN, which become 0.
fn held(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}
