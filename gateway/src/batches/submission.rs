//! The way of one line into the queue.

use std::sync::Arc;

use csm_queue::batches::BatchRecord;

use super::outcome::LineFailure;
use super::request_line::RequestLine;
use crate::app::App;
use crate::http::Problem;
use crate::http::body::BufferedBody;
use crate::submit::{CheckedRequest, parse, submit};

/// Outcome of a submission.
pub(super) enum Submission {
    /// The line's job is in the queue, or was before.
    Accepted,
    /// The line cannot run.
    Refused(LineFailure),
    /// The queue, or a part of this gateway, has no room for now.
    Later,
}

/// Puts the job of a line into the queue. Repeating the call is harmless.
pub(super) async fn submit_line(app: &App, batch: Arc<BatchRecord>, line: RequestLine) -> Submission {
    match try_submit(app, batch, line).await {
        Ok(()) => Submission::Accepted,
        Err(problem) if problem.is_passing() => Submission::Later,
        Err(problem) => {
            Submission::Refused(LineFailure { code: problem.code().to_owned(), message: problem.to_string() })
        }
    }
}

async fn try_submit(app: &App, batch: Arc<BatchRecord>, line: RequestLine) -> Result<(), Problem> {
    let memory = app.memory.begin(super::own_peer());
    let body = BufferedBody { bytes: line.body.clone().into(), memory };
    let model = app.model_name.clone();
    let (job_request, memory) = parse(app, body, move |_, decode| line.request(&batch, &model, decode)).await?;
    submit(app, CheckedRequest { job_request, memory }).await?.cancel_on_drop.disarm();
    Ok(())
}
