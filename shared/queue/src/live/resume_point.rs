//! Resume points: generated codes travel with a job's progress events, so that another worker can
//! go on after an interruption.
//!
//! The codes are a field beside the event in the job's stream; followers do not see it. Each entry
//! carries the frames since the last one, and the number of the first of them in the job. An
//! [`Origin`] names everything that the frames depend on. The event ids fence the codes: a worker
//! that lost its lease cannot write behind its successor. A reader takes the entries of its own
//! origin that follow from the first frame without a gap. A missing or unreadable entry costs
//! repeated work, never the job.
//!
//! An entry of five frames is about 250 bytes, so a running job adds about 0.6 KB to Redis for each
//! second of speech.

use redis::streams::{StreamId, StreamRangeReply};
use sha2::{Digest as _, Sha256};

use super::{EVENTS_MAX, Event, EventId, Live, READ_MAX, stream_key};
use crate::redis_client::RedisFault;
use csm_shared::audio::{CODEBOOKS, Frame};
use csm_shared::job::JobId;

/// Name of the stream's field.
pub(super) const FIELD: &str = "codes";
/// Bits of one code.
const CODE_BITS: usize = 11;
/// Bytes of one frame.
const FRAME_BYTES: usize = CODEBOOKS * CODE_BITS / 8;
/// Bytes of an origin.
const ORIGIN_BYTES: usize = 16;

// A frame is a whole number of bytes.
const _: () = assert!((CODEBOOKS * CODE_BITS).is_multiple_of(8));

/// Digest of everything that frames depend on. Two engines with the same origin go on with the same
/// draws to the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin([u8; ORIGIN_BYTES]);

impl Origin {
    /// Computes the origin of these facts.
    #[must_use]
    pub fn of(facts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for fact in facts {
            hash.update((fact.len() as u64).to_le_bytes());
            hash.update(fact.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut origin = [0; ORIGIN_BYTES];
        origin.copy_from_slice(&digest[..ORIGIN_BYTES]);
        Self(origin)
    }
}

/// A frame of a job, with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentenceFrame {
    /// Number of the sentence in its job, from 0.
    pub sentence: u16,
    /// Number of the take of the sentence, from 0.
    pub take: u8,
    /// Codes of the frame.
    pub codes: Frame,
}

impl SentenceFrame {
    /// Returns the number of the sentence, then that of its take.
    const fn place(&self) -> (u16, u8) {
        (self.sentence, self.take)
    }
}

/// Frames of a sentence that a later attempt can go on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumedSentence {
    /// Number of the take that the frames are of, from 0.
    pub take: u8,
    /// The frames, from the first.
    pub frames: Vec<Frame>,
}

/// Consecutive frames of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodesChunk {
    /// Origin of the frames.
    pub origin: Origin,
    /// Frames of the job before this chunk.
    pub from: u32,
    /// The frames, by ascending sentence.
    pub frames: Vec<SentenceFrame>,
}

impl CodesChunk {
    /// Encodes the chunk: origin, first frame, and for each take of a sentence the number of the
    /// sentence, the number of the take, its count of frames and its frames. A code takes 11 bits;
    /// numbers have the lowest byte first. Returns `None` if a code is too large or a sentence too
    /// long.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = self.origin.0.to_vec();
        bytes.extend(self.from.to_le_bytes());
        for run in self.frames.chunk_by(|a, b| a.place() == b.place()) {
            bytes.extend(run[0].sentence.to_le_bytes());
            bytes.push(run[0].take);
            bytes.extend(u16::try_from(run.len()).ok()?.to_le_bytes());
            for frame in run {
                pack(&frame.codes, &mut bytes)?;
            }
        }
        Some(bytes)
    }

    /// Reads what [`CodesChunk::encode`] wrote; returns `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (origin, rest) = bytes.split_first_chunk()?;
        let (from, mut rest) = rest.split_first_chunk()?;
        let mut frames = Vec::new();
        while let Some((sentence, behind)) = rest.split_first_chunk() {
            let (&take, behind) = behind.split_first()?;
            let (count, behind) = behind.split_first_chunk()?;
            let (run, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*count)) * FRAME_BYTES)?;
            let sentence = u16::from_le_bytes(*sentence);
            let frame = |bytes| SentenceFrame { sentence, take, codes: unpack(bytes) };
            frames.extend(run.chunks_exact(FRAME_BYTES).map(frame));
            rest = behind;
        }
        let ascends = frames.windows(2).all(|pair| follows(&pair[0], &pair[1]));
        let chunk = Self { origin: Origin(*origin), from: u32::from_le_bytes(*from), frames };
        (rest.is_empty() && ascends).then_some(chunk)
    }
}

/// Returns true if `next` can be the frame behind `before`: of a later sentence, or of the same take.
fn follows(before: &SentenceFrame, next: &SentenceFrame) -> bool {
    next.sentence > before.sentence || next.place() == before.place()
}

fn pack(frame: &Frame, bytes: &mut Vec<u8>) -> Option<()> {
    let (mut waiting, mut bits) = (0_u32, 0);
    for &code in frame {
        if code >> CODE_BITS != 0 {
            return None;
        }
        waiting |= code << bits;
        bits += CODE_BITS;
        while bits >= 8 {
            bytes.push((waiting & 0xff) as u8);
            waiting >>= 8;
            bits -= 8;
        }
    }
    Some(())
}

/// Reads the frame in [`FRAME_BYTES`] bytes.
fn unpack(bytes: &[u8]) -> Frame {
    std::array::from_fn(|codebook| {
        let first = codebook * CODE_BITS;
        let around = |index: usize| bytes.get(first / 8 + index).map_or(0, |&byte| u32::from(byte) << (8 * index));
        let bits = around(0) | around(1) | around(2);
        (bits >> (first % 8)) & ((1 << CODE_BITS) - 1)
    })
}

/// State from which a job can be resumed: its generated frames, and how many samples were
/// published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumePoint {
    frames: Vec<SentenceFrame>,
    published: u64,
}

impl ResumePoint {
    /// Returns the number of frames that can be resumed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Returns whether there is nothing to resume.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Returns how many samples of live audio followers have been sent, by any attempt of any
    /// origin. None of them may be sent again.
    #[must_use]
    pub const fn published(&self) -> u64 {
        self.published
    }

    /// Returns the frames of each sentence, from the first up to the last sentence that has any.
    #[must_use]
    pub fn into_sentences(self) -> Vec<ResumedSentence> {
        let mut sentences = Vec::new();
        for SentenceFrame { sentence, take, codes } in self.frames {
            sentences.resize(sentences.len().max(usize::from(sentence) + 1), ResumedSentence::default());
            let resumed = &mut sentences[usize::from(sentence)];
            resumed.take = take;
            resumed.frames.push(codes);
        }
        sentences
    }

    /// Takes the next chunk. A chunk behind a gap is left out. A chunk that begins earlier replaces
    /// the frames from there on: those of another attempt, or of a take that was given up.
    fn take(&mut self, chunk: CodesChunk) {
        let from = chunk.from as usize;
        if from > self.frames.len() {
            return;
        }
        self.frames.truncate(from);
        let is_next = |before: &SentenceFrame| chunk.frames.first().is_none_or(|first| follows(before, first));
        if self.frames.last().is_none_or(is_next) {
            self.frames.extend(chunk.frames);
        }
    }
}

impl Live {
    /// Reads what earlier attempts of a job generated, of `origin` and without a gap, and how many
    /// samples they sent. Tries once.
    ///
    /// To be called by an attempt that has written its first event: from then on no earlier attempt
    /// can add anything.
    ///
    /// # Errors
    /// [`RedisFault`]. A job without live audio can then begin again; for a job with live audio
    /// nothing may be sent.
    pub async fn resume_point(&self, job: &JobId, origin: Origin) -> Result<ResumePoint, RedisFault> {
        let key = stream_key(self.redis.prefix(), job);
        let (mut resume_point, mut last) = (ResumePoint::default(), EventId::START.to_string());
        // Trimming is approximate, so a stream may hold more than `EVENTS_MAX` events.
        for _ in 0..2 * EVENTS_MAX / READ_MAX {
            let mut command = redis::cmd("XRANGE");
            command.arg(&key).arg(format!("({last}")).arg("+").arg("COUNT").arg(READ_MAX);
            let reply: StreamRangeReply = self.redis.command_once(&command).await?;
            let full = reply.ids.len() == READ_MAX;
            for entry in &reply.ids {
                last.clone_from(&entry.id);
                resume_point.published = resume_point.published.max(audio_end(entry).unwrap_or_default());
                if let Some(chunk) = chunk(entry).filter(|chunk| chunk.origin == origin) {
                    resume_point.take(chunk);
                }
            }
            if !full {
                break;
            }
        }
        Ok(resume_point)
    }
}

fn chunk(entry: &StreamId) -> Option<CodesChunk> {
    CodesChunk::decode(&entry.get::<Vec<u8>>(FIELD)?)
}

/// Returns the number of samples of the job up to the end of this entry.
fn audio_end(entry: &StreamId) -> Option<u64> {
    match serde_json::from_str(&entry.get::<String>("event")?).ok()? {
        Event::Progress { audio, .. } => Some(audio?.end()),
        Event::Started { .. } | Event::Done { .. } | Event::Error { .. } => None,
    }
}

#[cfg(test)]
mod tests;
