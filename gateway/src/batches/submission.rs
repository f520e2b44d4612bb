//! The way of one line into the queue.

use std::sync::Arc;

use csm_queue::batches::BatchRecord;
use csm_shared::job::{JobId, Seed};

use super::outcome::LineFailure;
use super::request_line::RequestLine;
use crate::app::App;
use crate::http::Problem;
use crate::http::body::BufferedBody;
use crate::resources::DecodeRecording;
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
    submission(try_submit(app, batch, line, None).await)
}

fn submission(submitted: Result<(), Problem>) -> Submission {
    match submitted {
        Ok(()) => Submission::Accepted,
        Err(problem) if problem.is_passing() => Submission::Later,
        Err(problem) => {
            Submission::Refused(LineFailure { code: problem.code().to_owned(), message: problem.to_string() })
        }
    }
}

/// Puts a further job of a line into the queue, with a seed of its own.
pub(super) async fn submit_again(
    app: &App,
    batch: Arc<BatchRecord>,
    line: RequestLine,
    job: JobId,
    seed: Seed,
) -> Submission {
    submission(try_submit(app, batch, line, Some((job, seed))).await)
}

async fn try_submit(
    app: &App,
    batch: Arc<BatchRecord>,
    line: RequestLine,
    again: Option<(JobId, Seed)>,
) -> Result<(), Problem> {
    let memory = app.memory.begin(super::own_peer());
    let body = BufferedBody { bytes: line.body.clone().into(), memory };
    let model = app.model_name.clone();
    let read = move |_: &[u8], decode: &mut DecodeRecording<'_>| match again {
        None => line.request((&*batch).into(), &model, decode),
        Some((job, seed)) => line.request_again((&*batch).into(), job, seed, &model, decode),
    };
    let (job_request, memory) = parse(app, body, read).await?;
    submit(app, CheckedRequest { job_request, memory }).await?.cancel_on_drop.disarm();
    Ok(())
}
