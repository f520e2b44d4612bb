//! Checkpoints: the codes that a worker has spoken travel with its progress events, so that another worker can go on where
//! it was cut off.
//!
//! They are a field of their own beside the event in the job's stream; followers do not see it. Each entry carries the frames
//! since the last one, says which frame of the job comes first, and names by an [`Origin`] all that its frames depend on.
//! The ids fence them: a worker that lost its lease cannot write behind its successor. Whoever reads takes what is of its own
//! origin and without a gap from the first frame on. What is missing or unreadable costs the work, never the job.
//!
//! An entry of five frames is about 250 bytes, so a job in progress adds about 0.6 KB for each second of speech to Redis.

use redis::streams::{StreamId, StreamRangeReply};
use sha2::{Digest as _, Sha256};

use super::{EVENTS_MAX, Event, EventId, Live, READ_MAX, stream_key};
use crate::redis_client::RedisFault;
use csm_shared::audio::{CODEBOOKS, Frame};
use csm_shared::job::JobId;

/// The stream's field.
pub(super) const FIELD: &str = "codes";
/// Bits of one code.
const CODE_BITS: usize = 11;
/// Bytes of one frame.
const FRAME_BYTES: usize = CODEBOOKS * CODE_BITS / 8;
/// Bytes of an origin.
const ORIGIN_BYTES: usize = 16;

// A frame is a whole number of bytes.
const _: () = assert!((CODEBOOKS * CODE_BITS).is_multiple_of(8));

/// All that frames depend on, as a digest: two engines with the same origin go on with the same draws to the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin([u8; ORIGIN_BYTES]);

impl Origin {
    /// The origin that these facts make together.
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

/// A frame and the sentence of its job that it is of, from 0.
pub type SentenceFrame = (u16, Frame);

/// Frames of one job in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodesChunk {
    /// What they depend on.
    pub origin: Origin,
    /// Frames of the job before the first of them.
    pub from: u32,
    /// The frames, by ascending sentences.
    pub frames: Vec<SentenceFrame>,
}

impl CodesChunk {
    /// The chunk in bytes: origin, first frame, and for each sentence its number, the number of its frames and these, 11 bits a
    /// code, numbers with the lowest byte first. `None` where a code is too large or a sentence too long for that.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = self.origin.0.to_vec();
        bytes.extend(self.from.to_le_bytes());
        for run in self.frames.chunk_by(|a, b| a.0 == b.0) {
            bytes.extend(run[0].0.to_le_bytes());
            bytes.extend(u16::try_from(run.len()).ok()?.to_le_bytes());
            for (_, frame) in run {
                pack(frame, &mut bytes)?;
            }
        }
        Some(bytes)
    }

    /// Reads what [`CodesChunk::encode`] wrote; `None` of anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (origin, rest) = bytes.split_first_chunk()?;
        let (from, mut rest) = rest.split_first_chunk()?;
        let mut frames = Vec::new();
        while let Some((sentence, behind)) = rest.split_first_chunk() {
            let (count, behind) = behind.split_first_chunk()?;
            let (run, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*count)) * FRAME_BYTES)?;
            let sentence = u16::from_le_bytes(*sentence);
            frames.extend(run.chunks_exact(FRAME_BYTES).map(|frame| (sentence, unpack(frame))));
            rest = behind;
        }
        let ascends = frames.is_sorted_by_key(|(sentence, _)| *sentence);
        let chunk = Self { origin: Origin(*origin), from: u32::from_le_bytes(*from), frames };
        (rest.is_empty() && ascends).then_some(chunk)
    }
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

/// The frame of [`FRAME_BYTES`] bytes.
fn unpack(bytes: &[u8]) -> Frame {
    std::array::from_fn(|codebook| {
        let first = codebook * CODE_BITS;
        let around = |index: usize| bytes.get(first / 8 + index).map_or(0, |&byte| u32::from(byte) << (8 * index));
        let bits = around(0) | around(1) | around(2);
        (bits >> (first % 8)) & ((1 << CODE_BITS) - 1)
    })
}

/// What was spoken of a job, as far as it can be continued, and how much of it went out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumePoint {
    frames: Vec<SentenceFrame>,
    published: u64,
}

impl ResumePoint {
    /// Frames in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is nothing to continue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Samples of live audio that followers have been sent, by whichever attempt and of whatever origin. Nobody may be sent
    /// one of them again.
    #[must_use]
    pub const fn published(&self) -> u64 {
        self.published
    }

    /// The frames of each sentence from the first on, up to the last sentence that has any.
    #[must_use]
    pub fn into_sentences(self) -> Vec<Vec<Frame>> {
        let mut sentences = Vec::new();
        for (sentence, frame) in self.frames {
            sentences.resize(sentences.len().max(usize::from(sentence) + 1), Vec::new());
            sentences[usize::from(sentence)].push(frame);
        }
        sentences
    }

    /// Takes the next chunk. One behind a gap is left out; one that begins earlier tells the story anew from there.
    fn take(&mut self, chunk: CodesChunk) {
        let from = chunk.from as usize;
        if from > self.frames.len() {
            return;
        }
        self.frames.truncate(from);
        let ascends = |before: &SentenceFrame| chunk.frames.first().is_none_or(|first| first.0 >= before.0);
        if self.frames.last().is_none_or(ascends) {
            self.frames.extend(chunk.frames);
        }
    }
}

impl Live {
    /// What earlier attempts spoke of a job, of `origin` and without a gap, and how many samples they sent. Tries once.
    ///
    /// To be called by an attempt that has written its first event: from then on nobody before it can add anything.
    ///
    /// # Errors
    /// Redis is away. A job whose audio is not live can be begun anew; of one whose audio is, nothing may be sent.
    pub async fn resume_point(&self, job: &JobId, origin: Origin) -> Result<ResumePoint, RedisFault> {
        let key = stream_key(self.redis.prefix(), job);
        let (mut resume_point, mut last) = (ResumePoint::default(), EventId::START.to_string());
        // Trimming is approximate, so there may be some more.
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

/// Samples of the job up to the last of this entry.
fn audio_end(entry: &StreamId) -> Option<u64> {
    match serde_json::from_str(&entry.get::<String>("event")?).ok()? {
        Event::Progress { audio, .. } => Some(audio?.end()),
        Event::Started { .. } | Event::Done { .. } | Event::Error { .. } => None,
    }
}

#[cfg(test)]
mod tests;
