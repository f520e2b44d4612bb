//! Events of a job, as its followers receive them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::AudioChunk;
use csm_shared::job::{Failure, FailureClass, Invalid, JobRecord, JobState, Receipt};

/// Sequence of the terminal event of an attempt: nothing can follow it.
const TERMINAL_SEQUENCE: u64 = u64::MAX;

/// Position of an event in its job's stream: `<attempt>-<sequence>`, which is also its id in the
/// Redis Stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// Number of the claim; 0 before the first.
    pub attempt: u64,
    /// Position within the attempt, from 1.
    pub sequence: u64,
}

impl EventId {
    /// Position before every event.
    pub const START: Self = Self { attempt: 0, sequence: 0 };

    /// Returns the position of the terminal event of a job whose last claim was `attempt`.
    #[must_use]
    pub const fn terminal(attempt: u64) -> Self {
        Self { attempt, sequence: TERMINAL_SEQUENCE }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.attempt, self.sequence)
    }
}

impl FromStr for EventId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // No job is claimed that often. Redis itself would refuse to read on after the very last
        // id.
        let attempt = |text: &str| text.parse().ok().filter(|&attempt: &u64| attempt < u64::MAX);
        let parts = text.split_once('-').and_then(|(a, s)| Some((attempt(a)?, s.parse().ok()?)));
        let (attempt, sequence) =
            parts.ok_or_else(|| Invalid::malformed("Last-Event-ID", text, "<attempt>-<sequence>, two numbers"))?;
        Ok(Self { attempt, sequence })
    }
}

/// An event of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A worker began an attempt.
    Started {
        /// Name of the worker process.
        worker: String,
    },
    /// More audio exists.
    Progress {
        /// Frames of 80 ms so far.
        frames: u32,
        /// The frame budget.
        max_frames: u32,
        /// The samples since the last event that had any, for a job whose delivery is live. All of
        /// them in order are the recording: as many as the receipt of [`Event::Done`] says. There
        /// are more samples if an attempt of another build or model generated less than an earlier
        /// attempt had sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audio: Option<AudioChunk>,
    },
    /// The result is committed. Terminal.
    Done {
        /// Receipt of the result.
        receipt: Box<Receipt>,
    },
    /// There will be no result. Terminal. Its name in Redis is `error`, as ever; its name in
    /// server-sent events is [`Event::name`].
    #[serde(alias = "no_result")]
    Error {
        /// `failed`, `cancelled` or `expired`.
        state: JobState,
        /// The failure, for a failed job.
        failure: Option<Failure>,
    },
}

impl Event {
    /// Returns true if no event follows this one.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Error { .. })
    }

    /// Returns the event's name in server-sent events. None of these names may be `error`, which
    /// browsers give to a lost connection.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Progress { .. } => "progress",
            Self::Done { .. } => "done",
            Self::Error { .. } => "no_result",
        }
    }

    /// Returns the terminal event of a job that has ended, or `None` for one that has not.
    #[must_use]
    pub fn of_end(record: &JobRecord) -> Option<Self> {
        match (record.state, &record.receipt) {
            (JobState::Queued | JobState::Running, _) => None,
            (JobState::Succeeded, Some(receipt)) => Some(Self::Done { receipt: Box::new(receipt.clone()) }),
            (JobState::Succeeded, None) => {
                let failure = Failure::new(FailureClass::Resource, "the receipt of this result is missing");
                Some(Self::Error { state: JobState::Failed, failure: Some(failure) })
            }
            (state, _) => {
                let failure = record.failure.clone().filter(|_| state == JobState::Failed);
                Some(Self::Error { state, failure })
            }
        }
    }
}

/// An event with its position.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveEvent {
    /// Position in the job's stream.
    pub id: EventId,
    /// The event itself.
    pub event: Event,
}
