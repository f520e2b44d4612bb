//! Problems from the errors of other crates.

use std::time::Duration;

use axum::http::StatusCode;
use csm_queue::queue::QueueError;
use csm_queue::redis_client::RedisFault;
use csm_shared::job::{Invalid, Reason};
use csm_shared::store::StoreError;

use super::catalogue::ProblemCode;
use super::{Problem, RETRY_FULL_SECONDS, RETRY_MAX_SECONDS};
use crate::fields::FieldError;
use crate::resources::{DecodeError, NoMemory};

impl From<Reason> for ProblemCode {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::OutOfRange => Self::OutOfRange,
            Reason::Malformed => Self::Malformed,
            Reason::WindowExceeded => Self::WindowExceeded,
            Reason::TooLarge => Self::TooLarge,
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let detail = match invalid.reason {
            Reason::Malformed => format!("{}: {} is not {}.", invalid.field, invalid.value, invalid.limit),
            _ => format!("{invalid}."),
        };
        let status = StatusCode::from_u16(invalid.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
        let mut problem = Self::with_status(invalid.reason.into(), status, detail);
        let extra = &mut problem.0.extra;
        (extra.field, extra.value, extra.limit) = (Some(invalid.field), Some(invalid.value), Some(invalid.limit));
        problem
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Invalid(invalid) => invalid.into(),
            FieldError::Overloaded => DecodeError::Overloaded.into(),
        }
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Overloaded => {
                Self::overloaded("Too many requests with recordings are being read at once. Try again.")
            }
            DecodeError::Clip(error) => Self::internal(error),
        }
    }
}

impl From<NoMemory> for Problem {
    fn from(_: NoMemory) -> Self {
        Self::overloaded("Other requests hold the memory that this one needs. Try again.")
    }
}

/// Returns the time in which a wait shrinks to `limit` if no job joins, in whole seconds.
fn retry_busy(wait: Duration, limit: Duration) -> u32 {
    let seconds = wait.saturating_sub(limit).as_millis().div_ceil(1_000);
    u32::try_from(seconds).unwrap_or(RETRY_MAX_SECONDS).clamp(1, RETRY_MAX_SECONDS)
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full { lane, depth, limit } => {
                let detail = format!("Lane {lane} holds {depth} jobs; the limit is {limit}.");
                Self::new(ProblemCode::LaneFull, detail).retry_after(RETRY_FULL_SECONDS)
            }
            QueueError::TenantFull { tenant, open, limit } => {
                let detail = format!("Tenant {tenant} has {open} jobs waiting and running; the limit is {limit}.");
                Self::new(ProblemCode::TenantFull, detail).retry_after(RETRY_FULL_SECONDS)
            }
            QueueError::LaneBytesFull { lane, bytes, limit } => {
                let detail = format!("The requests of lane {lane} take {bytes} bytes; the limit is {limit}.");
                Self::new(ProblemCode::LaneFull, detail).retry_after(RETRY_FULL_SECONDS)
            }
            QueueError::TenantBytesFull { tenant, bytes, limit } => {
                let detail = format!("The requests of tenant {tenant} take {bytes} bytes; the limit is {limit}.");
                Self::new(ProblemCode::TenantFull, detail).retry_after(RETRY_FULL_SECONDS)
            }
            QueueError::TenantRate { tenant, limit, pause } => {
                let detail =
                    format!("Tenant {tenant} creates and cancels jobs too often; the limit is {limit} a minute.");
                Self::new(ProblemCode::TenantRate, detail).retry_after(retry_busy(pause, Duration::ZERO))
            }
            QueueError::Busy { lane, wait, limit } => {
                let (wait_s, limit_s) = (wait.as_secs_f64(), limit.as_secs_f64());
                let detail =
                    format!("A job in lane {lane} would wait about {wait_s:.1} s; the limit is {limit_s:.1} s.");
                Self::new(ProblemCode::QueueBusy, detail).retry_after(retry_busy(wait, limit))
            }
            QueueError::TooLate { lane, wait } => {
                let detail = format!(
                    "A job in lane {lane} would wait about {:.1} s, beyond its deadline. A later try would come later still.",
                    wait.as_secs_f64()
                );
                Self::new(ProblemCode::DeadlineTooNear, detail)
            }
            QueueError::Closed => {
                let detail = "The queue takes no new jobs for the moment, by an operator's order.";
                Self::new(ProblemCode::IntakeClosed, detail).retry_after(RETRY_FULL_SECONDS)
            }
            QueueError::Conflict(job) => {
                let detail = "The key or id was used for another request. Repeat that one exactly, or use a new one.";
                Self::new(ProblemCode::IdempotencyMismatch, detail).about(job)
            }
            QueueError::Unreadable { id, why } => {
                let detail = "The record of this job is damaged, or was written by another version of this service.";
                Self::new(ProblemCode::RecordUnreadable, detail).about(id).because(why)
            }
            QueueError::Redis(RedisFault::Unsupported(what)) => {
                let detail = "Redis, as it is set up here, cannot promise durability \"fsync\". Nothing was accepted.";
                Self::new(ProblemCode::DurabilityUnavailable, detail).because(what)
            }
            error if error.is_transient() => Self::unavailable(error),
            error => Self::internal(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_permanent() { Self::store_unusable(error) } else { Self::unavailable(error) }
    }
}
