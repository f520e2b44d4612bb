//! Mono samples of a file, collected block by block under the limits.

use super::{ClipError, MAX_SOURCE_CHANNELS, MAX_SOURCE_RATE, MAX_WARNINGS, MIN_SOURCE_RATE, SourceLimit};

/// Damaged packets that are always tolerated: a file cut out of a longer one begins with some.
const DAMAGED_FREELY: u64 = 8;
/// Packets for each damaged packet beyond [`DAMAGED_FREELY`]: at most one in this many may be
/// damaged.
const DAMAGED_ONE_OF: u64 = 8;
/// Most parts of a file with sample rates of their own.
const MAX_SEGMENTS: usize = 64;

/// Decoded audio of a file, mixed to mono.
#[derive(Debug)]
pub(super) struct Source {
    /// Parts of one sample rate each, in order; at least one sample in all.
    pub(super) segments: Vec<Segment>,
    /// Sentences for the caller, at most [`MAX_WARNINGS`].
    pub(super) warnings: Vec<String>,
}

/// Part of a file that has one sample rate.
#[derive(Debug)]
pub(super) struct Segment {
    /// Samples, all finite, in [-1, 1].
    pub(super) mono: Vec<f32>,
    /// Samples per second, from `MIN_SOURCE_RATE` to `MAX_SOURCE_RATE`.
    pub(super) rate: u32,
}

/// Decoder of packets to mono samples.
pub(super) trait PacketDecoder {
    /// Decodes a packet. The samples hold until the next call.
    fn decode(&mut self, packet: &[u8]) -> Result<Mono<'_>, Fault>;
}

/// Decoded samples of a packet.
pub(super) struct Mono<'a> {
    /// Samples per second.
    pub(super) rate: u32,
    /// Samples, mixed to one channel.
    pub(super) samples: &'a [f32],
}

/// Silence in place of a damaged packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// Frames of the packet.
    pub(super) frames: usize,
    /// Samples per second.
    pub(super) rate: u32,
}

/// Reason why a packet gave no samples.
#[derive(Debug)]
pub(super) enum Fault {
    /// Damage of this packet alone.
    Damaged,
    /// Reason to refuse the whole file.
    Refused(ClipError),
}

impl From<ClipError> for Fault {
    fn from(error: ClipError) -> Self {
        Self::Refused(error)
    }
}

/// Refuses an unsupported sample rate or number of channels.
pub(super) fn allowed(format: &'static str, rate: u32, channels: usize) -> Result<(), ClipError> {
    if !(MIN_SOURCE_RATE..=MAX_SOURCE_RATE).contains(&rate) {
        let reason = format!("a sample rate of {rate} Hz is outside {MIN_SOURCE_RATE} to {MAX_SOURCE_RATE}");
        return Err(ClipError::Unsupported { format, reason });
    }
    if !(1..=usize::from(MAX_SOURCE_CHANNELS)).contains(&channels) {
        let reason = format!("its {channels} channels are not 1 to {MAX_SOURCE_CHANNELS}");
        return Err(ClipError::Unsupported { format, reason });
    }
    Ok(())
}

/// Returns a number with its noun in the right form.
pub(super) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns the warning about a file that ends `missing` bytes too early; `None` if it does not.
pub(super) fn ends_early(format: &str, missing: u64) -> Option<String> {
    let bytes = counted(missing, "byte");
    let sentence =
        || format!("the {format} file ends {bytes} before the length in its header; the audio up to there is used");
    (missing > 0).then(sentence)
}

/// Returns the warning about `more` bytes behind the audio.
pub(super) fn goes_on(format: &str, more: u64) -> String {
    let bytes = counted(more, "byte");
    format!("the {format} file goes on for {bytes} behind the length in its header; that part is not read")
}

/// Samples collected so far, with the counts that limit them.
pub(super) struct Collector {
    /// Name of the format, for messages.
    format: &'static str,
    limit: SourceLimit,
    segments: Vec<Segment>,
    warnings: Vec<String>,
    /// Seconds in the finished segments.
    spent: f64,
    /// Frames decoded in the current segment, including those that were cut off.
    decoded: u64,
    /// Most frames that the file can hold, as far as its reader knows.
    held_max: u64,
    /// Frames that are still to be cut off.
    to_skip: u64,
    packets: u64,
    damaged: u64,
}

impl Collector {
    pub(super) const fn new(format: &'static str, limit: SourceLimit) -> Self {
        Self {
            format,
            limit,
            segments: Vec::new(),
            warnings: Vec::new(),
            spent: 0.0,
            decoded: 0,
            held_max: u64::MAX,
            to_skip: 0,
            packets: 0,
            damaged: 0,
        }
    }

    /// Notes the most frames that the file can hold, so that no more memory is reserved.
    pub(super) const fn expect_at_most(&mut self, frames: u64) {
        self.held_max = frames;
    }

    /// Decodes a packet and adds its samples. A damaged packet becomes silence, so that later audio
    /// keeps its position. Returns the number of frames.
    pub(super) fn decode(
        &mut self,
        decoder: &mut dyn PacketDecoder,
        packet: &[u8],
        silence: Silence,
    ) -> Result<usize, ClipError> {
        self.packets += 1;
        match decoder.decode(packet) {
            Ok(mono) => {
                self.add(mono.samples, mono.rate)?;
                Ok(mono.samples.len())
            }
            Err(Fault::Damaged) => self.replace_damaged(silence).map(|()| silence.frames),
            Err(Fault::Refused(error)) => Err(error),
        }
    }

    /// Adds samples at `rate`; another rate than before begins a segment.
    pub(super) fn add(&mut self, samples: &[f32], rate: u32) -> Result<(), ClipError> {
        self.count(samples.len() as u64, rate)?;
        let skipped = samples.len().min(usize::try_from(self.to_skip).unwrap_or(usize::MAX));
        self.to_skip -= skipped as u64;
        if let Some(segment) = self.segments.last_mut() {
            segment.mono.extend_from_slice(&samples[skipped..]);
        }
        Ok(())
    }

    /// Cuts the next `frames` frames off.
    pub(super) fn skip_next(&mut self, frames: u64) {
        self.to_skip = frames;
    }

    /// Removes the last `frames` frames of the current segment.
    pub(super) fn remove_last(&mut self, frames: u64) {
        if let Some(segment) = self.segments.last_mut() {
            let kept = segment.mono.len().saturating_sub(usize::try_from(frames).unwrap_or(usize::MAX));
            segment.mono.truncate(kept);
        }
    }

    /// Sets the name of the format, once it is known.
    pub(super) fn name(&mut self, format: &'static str) {
        self.format = format;
    }

    /// Adds a sentence for the caller.
    pub(super) fn warn(&mut self, sentence: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(sentence);
        }
    }

    /// Warns of bytes that belong to none of the file's pages or frames.
    pub(super) fn warn_outside(&mut self, parts: &str, lost: usize) {
        let (bytes, format) = (counted(lost as u64, "byte"), self.format);
        self.warn(format!("the {format} file has {bytes} outside of whole {parts}, left out"));
    }

    fn replace_damaged(&mut self, silence: Silence) -> Result<(), ClipError> {
        self.damaged += 1;
        if self.damaged > DAMAGED_FREELY && self.damaged * DAMAGED_ONE_OF > self.packets {
            return Err(self.broken("too many of its packets are damaged"));
        }
        self.count(silence.frames as u64, silence.rate)?;
        let skipped = (silence.frames as u64).min(self.to_skip);
        self.to_skip -= skipped;
        if let Some(segment) = self.segments.last_mut() {
            segment.mono.resize(segment.mono.len() + silence.frames - skipped as usize, 0.0);
        }
        Ok(())
    }

    /// Counts frames before they are kept, and opens a segment if the rate is new.
    fn count(&mut self, frames: u64, rate: u32) -> Result<(), ClipError> {
        let current = self.segments.last().map(|segment| segment.rate);
        if current != Some(rate) {
            allowed(self.format, rate, 1)?;
            if let Some(before) = current {
                self.spent += self.decoded as f64 / f64::from(before);
            }
            if self.segments.len() == MAX_SEGMENTS {
                return Err(self.broken("its sample rate changes too often"));
            }
            self.decoded = 0;
            self.segments.push(Segment { mono: Vec::new(), rate });
        }
        let spent = (self.spent * f64::from(rate)).ceil() as u64;
        let most = self.limit.frames(rate).saturating_sub(spent);
        self.decoded = self.decoded.saturating_add(frames);
        if self.decoded > most {
            return Err(self.limit.too_long(rate));
        }
        if let [segment] = self.segments.as_mut_slice()
            && segment.mono.capacity() == 0
        {
            // Reserved once: a growing buffer would be held twice while it is moved. Pages that are
            // never written take no memory.
            let frames = most.min(self.held_max);
            segment.mono.reserve_exact(usize::try_from(frames).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    /// Returns the collected audio. A file without a single undamaged packet is reported as
    /// damaged, not as empty.
    pub(super) fn finish(mut self) -> Result<Source, ClipError> {
        if self.packets > 0 && self.damaged == self.packets {
            return Err(self.broken("none of its packets can be decoded"));
        }
        if self.segments.iter().all(|segment| segment.mono.is_empty()) {
            return Err(ClipError::Empty);
        }
        if self.damaged > 0 {
            let (damaged, packets, format) = (self.damaged, self.packets, self.format);
            let verb = if damaged == 1 { "is damaged and became" } else { "are damaged and became" };
            self.warn(format!("{damaged} of {packets} {format} packets {verb} silence"));
        }
        Ok(Source { segments: self.segments, warnings: self.warnings })
    }

    /// Returns a [`ClipError::Broken`] for this format.
    pub(super) fn broken(&self, reason: &str) -> ClipError {
        ClipError::Broken { format: self.format, reason: reason.to_owned() }
    }
}
