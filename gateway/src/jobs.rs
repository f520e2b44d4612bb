//! `/v1/jobs`: the native face, with one file for each route, its request and its documents.

mod audio;
mod cancel;
mod create;
mod documents;
mod events;
mod get;
mod put;
mod request;

pub(crate) use audio::get_audio;
pub(crate) use cancel::cancel_job;
pub(crate) use create::create_job;
pub(crate) use events::job_events;
pub(crate) use get::get_job;
pub(crate) use put::put_job;

use csm_shared::job::{JobId, JobRecord};

use crate::app::App;
use crate::http::Problem;

/// Reads the job id of a path. Text that is no id names no job.
fn job_id(id: &str) -> Result<JobId, Problem> {
    id.parse().map_err(|_| Problem::no_job(id))
}

/// Reads the record of the job that a path names.
async fn record(app: &App, id: &str) -> Result<JobRecord, Problem> {
    app.queue.record(&job_id(id)?).await?.ok_or_else(|| Problem::no_job(id))
}
