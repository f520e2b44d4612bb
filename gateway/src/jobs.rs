//! One verb a file.

pub(crate) mod cancel_job;
pub(crate) mod create_job;
pub(crate) mod detect_watermark;
pub(crate) mod generate;
pub(crate) mod get_audio;
pub(crate) mod get_job;
pub(crate) mod job_events;
pub(crate) mod put_job;
pub(crate) mod ws;

use csm_shared::job::{JobId, JobRecord};

use crate::app::App;
use crate::problem::Problem;

/// The job that a path names. What is no id is no job either.
fn job_id(id: &str) -> Result<JobId, Problem> {
    id.parse().map_err(|_| Problem::no_job(id))
}

/// The record of the job that a path names.
async fn record(app: &App, id: &str) -> Result<JobRecord, Problem> {
    app.queue.record(&job_id(id)?).await?.ok_or_else(|| Problem::no_job(id))
}
