//! Every limit on a request, in one place, each with the HTTP status of a breach.
//!
//! Only the model's window is not a constant: it comes from the model's `config.json` (see
//! [`crate::prompt`]), and a breach answers [`WINDOW_STATUS`].

use crate::audio::FRAME_MS;
use crate::text::control::PAUSE_MS_MAX;

/// A named bound on a request field.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Largest value allowed, in `unit`.
    pub max: u64,
    /// Smallest value allowed, in `unit`.
    pub min: u64,
    /// Unit of `min` and `max`, for messages; empty if there is none.
    pub unit: &'static str,
    /// HTTP status of a breach.
    pub status: u16,
}

impl Limit {
    /// Returns true if `value` lies within the limit.
    #[must_use]
    pub const fn allows(&self, value: u64) -> bool {
        value >= self.min && value <= self.max
    }

    /// Formats the limit for a message, such as `1 to 4096 characters`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} to {} {}", self.min, self.max, self.unit).trim_end().to_owned()
    }
}

/// Characters (Unicode scalar values) in the text of a job or of a context segment.
pub const TEXT_CHARS: Limit = Limit { min: 1, max: 4_096, unit: "characters", status: 422 };

/// Turns of a dialogue.
pub const TURNS: Limit = Limit { min: 1, max: 64, unit: "turns", status: 422 };

/// Silence after a turn, in milliseconds.
pub const PAUSE_MS: Limit = Limit { min: 0, max: PAUSE_MS_MAX as u64, unit: "ms", status: 422 };

/// Pronunciations of words in a text.
pub const PRONUNCIATIONS: Limit = Limit { min: 0, max: 100, unit: "pronunciations", status: 422 };

/// Characters of a word, and of what is said for it.
pub const PRONUNCIATION_CHARS: Limit = Limit { min: 1, max: 100, unit: "characters", status: 422 };

/// Characters of a text with its pronunciations: twice the longest text.
pub const SAID_CHARS: Limit = Limit { min: 1, max: 2 * TEXT_CHARS.max, unit: "characters", status: 422 };

/// Speaker number. CSM was trained with small numbers; the prompt names speaker 0 as `[0]`.
pub const SPEAKER: Limit = Limit { min: 0, max: 9, unit: "", status: 422 };

/// Longest result that a request may ask for: more than the longest text takes at an ordinary pace.
pub const MAX_AUDIO_LENGTH_MS: Limit = Limit { min: FRAME_MS as u64, max: 600_000, unit: "ms", status: 422 };

/// Longest result whose samples also go out with the job's events; limited because the samples stay
/// in Redis for a while.
pub const LIVE_AUDIO_MS: Limit = Limit { min: FRAME_MS as u64, max: 120_000, unit: "ms", status: 422 };

/// Slowest tempo of the speech, as in OpenAI's speech API.
pub const SPEED_MIN: f64 = 0.25;
/// Fastest tempo of the speech, as in OpenAI's speech API.
pub const SPEED_MAX: f64 = 4.0;

/// Default length of a result for a text that needs no more; a longer text gets what its sentences
/// need.
pub const DEFAULT_MAX_AUDIO_LENGTH_MS: u64 = 10_000;

/// Longest single utterance, whatever the request asks for: the default of the reference
/// implementation.
pub const UTTERANCE_MS: u64 = 90_000;

/// Audio allowed per byte of a sentence, in milliseconds: English at 15 characters a second, times
/// 1.5 for slow speech.
pub const SENTENCE_MS_PER_BYTE: u64 = 100;

/// Fixed part of a sentence's allowance, in milliseconds, for pauses and short words. The part by
/// bytes, [`SENTENCE_MS_PER_BYTE`], is added.
pub const SENTENCE_MS: u64 = 2_000;

/// Highest sampling temperature; the lowest is 0 (greedy).
pub const TEMPERATURE_MAX: f32 = 2.0;

/// Default sampling temperature.
pub const DEFAULT_TEMPERATURE: f32 = 0.9;

/// Number of codes that top-k keeps.
pub const TOPK: Limit = Limit { min: 1, max: 2_048, unit: "codes", status: 422 };

/// Default number of codes that top-k keeps.
pub const DEFAULT_TOPK: u32 = 50;

/// Number of context segments of one job.
pub const CONTEXT_SEGMENTS: Limit = Limit { min: 0, max: 32, unit: "segments", status: 422 };

/// Length of the audio of all context segments together.
pub const CONTEXT_AUDIO_MS: Limit = Limit { min: 0, max: 120_000, unit: "ms", status: 413 };

/// Size of a request body as received, base64 included.
pub const BODY_BYTES: Limit = Limit { min: 0, max: 24 * 1024 * 1024, unit: "bytes", status: 413 };

/// HTTP status if prompt and budget together exceed the model's window.
pub const WINDOW_STATUS: u16 = 422;

/// Length of a long-poll on a job, in seconds.
pub const WAIT_SECONDS: Limit = Limit { min: 0, max: 60, unit: "s", status: 422 };

/// Time that a caller may let a job wait in the queue, in seconds.
pub const EXPIRES_IN_SECONDS: Limit = Limit { min: 1, max: 7 * 24 * 3_600, unit: "s", status: 422 };

/// Characters of a tenant's name.
pub const TENANT_CHARS: Limit = Limit { min: 1, max: 64, unit: "characters", status: 422 };

/// Bytes of an [`AudioName`](super::AudioName): a store key keeps room for attempt, writer and prefix.
pub const AUDIO_NAME_BYTES: Limit = Limit { min: 1, max: 300, unit: "bytes", status: 422 };

/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_CHARS: Limit = Limit { min: 1, max: 255, unit: "characters", status: 400 };

/// Length of the secret behind the ids that idempotency keys name, in bytes.
pub const ID_SECRET_BYTES: Limit = Limit { min: 16, max: 1_024, unit: "bytes", status: 422 };

/// Expected pace of speech, in characters a second: that of English.
pub const CHARS_PER_SECOND: u64 = 15;
