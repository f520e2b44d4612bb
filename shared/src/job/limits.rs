//! Every limit on a request, in one place, each with the HTTP status that a breach answers.
//!
//! The model's window is the one limit that is not a constant: it comes from the checkpoint's `config.json`
//! (see [`crate::prompt`]) and answers [`WINDOW_STATUS`].

use crate::audio::FRAME_MS;

/// A named bound on a request field.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Largest value allowed, in the unit of `unit`.
    pub max: u64,
    /// Smallest value allowed.
    pub min: u64,
    /// Unit of both, for messages; empty where there is none.
    pub unit: &'static str,
    /// HTTP status of a breach.
    pub status: u16,
}

impl Limit {
    /// True when `value` lies inside.
    #[must_use]
    pub const fn allows(&self, value: u64) -> bool {
        value >= self.min && value <= self.max
    }

    /// The limit as a reader sees it, such as `1 to 4096 characters`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} to {} {}", self.min, self.max, self.unit).trim_end().to_owned()
    }
}

/// Characters (Unicode scalar values) in the text of a job or of a context segment.
pub const TEXT_CHARS: Limit = Limit { min: 1, max: 4_096, unit: "characters", status: 422 };

/// Speaker number. CSM learned small numbers; they are spoken to the model as `[0]`.
pub const SPEAKER: Limit = Limit { min: 0, max: 9, unit: "", status: 422 };

/// Longest result asked for: more than the longest text takes at an ordinary pace.
pub const MAX_AUDIO_LENGTH_MS: Limit = Limit { min: FRAME_MS as u64, max: 600_000, unit: "ms", status: 422 };

/// Longest result whose samples also go with the job's events: what they hold stays in Redis for a while.
pub const LIVE_AUDIO_MS: Limit = Limit { min: FRAME_MS as u64, max: 120_000, unit: "ms", status: 422 };

/// Longest result when the request does not say, of a text that needs no more; a longer text gets what its sentences need.
pub const DEFAULT_MAX_AUDIO_LENGTH_MS: u64 = 10_000;

/// Longest single utterance, whatever was asked for: the reference implementation's own default.
pub const UTTERANCE_MS: u64 = 90_000;

/// What a sentence of a text may need at most, whatever the whole one may: this for each byte. English is spoken at about 15 characters a second, and
/// slow speech takes half as long again.
pub const SENTENCE_MS_PER_BYTE: u64 = 100;

/// And this on top, for pauses and short words.
pub const SENTENCE_MS: u64 = 2_000;

/// Sampling temperature: 0 (greedy) to this.
pub const TEMPERATURE_MAX: f32 = 2.0;

/// Sampling temperature when the request does not say.
pub const DEFAULT_TEMPERATURE: f32 = 0.9;

/// Codes kept by top-k.
pub const TOPK: Limit = Limit { min: 1, max: 2_048, unit: "codes", status: 422 };

/// Codes kept by top-k when the request does not say.
pub const DEFAULT_TOPK: u32 = 50;

/// Context segments of one job.
pub const CONTEXT_SEGMENTS: Limit = Limit { min: 0, max: 32, unit: "segments", status: 422 };

/// Audio of all context segments together.
pub const CONTEXT_AUDIO_MS: Limit = Limit { min: 0, max: 120_000, unit: "ms", status: 413 };

/// A request body as received, base64 and all.
pub const BODY_BYTES: Limit = Limit { min: 0, max: 24 * 1024 * 1024, unit: "bytes", status: 413 };

/// Status of a prompt and budget that together exceed the model's window.
pub const WINDOW_STATUS: u16 = 422;

/// Longest long-poll on a job, in seconds.
pub const WAIT_SECONDS: Limit = Limit { min: 0, max: 60, unit: "s", status: 422 };

/// Longest time that a caller may let a job wait in the queue, in seconds.
pub const EXPIRES_IN_SECONDS: Limit = Limit { min: 1, max: 7 * 24 * 3_600, unit: "s", status: 422 };

/// Characters of a tenant's name.
pub const TENANT_CHARS: Limit = Limit { min: 1, max: 64, unit: "characters", status: 422 };

/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_CHARS: Limit = Limit { min: 1, max: 255, unit: "characters", status: 400 };

/// Characters that are expected to be spoken in a second, as English is.
pub const CHARS_PER_SECOND: u64 = 15;
