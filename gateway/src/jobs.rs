//! `/v1/jobs`: the native face, with one file for each route, its request and its documents.

mod audio;
mod cancel;
mod create;
mod cues;
mod documents;
mod events;
mod get;
mod put;
mod request;
mod sentences;

pub(crate) use audio::get_audio;
pub(crate) use cancel::cancel_job;
pub(crate) use create::create_job;
pub(crate) use cues::job_cues;
pub(crate) use events::job_events;
pub(crate) use get::get_job;
pub(crate) use put::put_job;
pub(crate) use request::read as read_job;
pub(crate) use sentences::speak_sentence;

use axum::http::HeaderMap;
use csm_queue::queue::Queue;
use csm_shared::job::{JobRecord, JobState, Receipt};

use crate::caller::own_record;
use crate::http::Problem;

/// Returns the receipt of a job that has succeeded, or the refusal of one that has none.
fn receipt(record: JobRecord) -> Result<Receipt, Problem> {
    match record {
        JobRecord { state: JobState::Succeeded, receipt: Some(receipt), .. } => Ok(receipt),
        JobRecord { id, state, failure, .. } if state.is_final() => Err(Problem::no_audio(id, state, failure)),
        JobRecord { id, state, .. } => Err(Problem::not_finished(id, state)),
    }
}

/// Reads the record of the job that a path names, for the job's own tenant. Text that is no id
/// names no job.
async fn record(queue: &Queue, headers: &HeaderMap, id: &str) -> Result<JobRecord, Problem> {
    let none = || Problem::no_job(id);
    let job = id.parse().map_err(|_| none())?;
    own_record(queue, headers, job).await?.ok_or_else(none)
}
