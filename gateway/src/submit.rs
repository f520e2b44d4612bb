//! Checked requests, their way into the queue, and the cancellation of jobs whose caller leaves.

use std::time::Duration;

use csm_queue::queue::{Cancel, Enqueue, Queue, QueueError, Ticket};
use csm_shared::job::{Invalid, JobId, JobSpec, JobState, Reason};
use csm_shared::process::telemetry::JOBS_ACCEPTED_TOTAL;
use csm_shared::process::traces::TraceContext;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::app::App;
use crate::caller::Caller;
use crate::fields::FieldError;
use crate::http::Problem;
use crate::http::body::BufferedBody;
use crate::recordings::store_recordings;
use crate::resources::{DecodeRecording, MemoryGrant};

/// Copies of a body that its reading holds at most: the body, a string with its escapes resolved,
/// and the bytes of its base64.
const PARSE_COPIES: usize = 3;

/// Request for a job, checked by the constructors of its fields.
#[derive(Clone, Debug)]
pub(crate) struct JobRequest {
    /// Id, tenant and terms of the job.
    pub(crate) ticket: Ticket,
    /// Payload of the job.
    pub(crate) spec: JobSpec,
    /// True if the same request may come again and mean the same job.
    pub(crate) repeats: bool,
}

/// Reader of a face's request body. The model's window is not checked by it.
pub(crate) type ReadRequest = fn(&[u8], &Caller, &mut DecodeRecording<'_>) -> Result<JobRequest, FieldError>;

/// Request that can be submitted, with the memory of its recordings.
pub(crate) struct CheckedRequest {
    /// The request.
    pub(crate) job_request: JobRequest,
    /// Memory of the request until it is in the queue.
    pub(crate) memory: MemoryGrant,
}

/// Job in the queue.
pub(crate) struct Submitted {
    /// Cancels the job when dropped. Disarmed for repeatable requests, whose caller can come back.
    pub(crate) cancel_on_drop: CancelOnDrop,
    /// State of the job.
    pub(crate) state: JobState,
    /// Predicted wait, if known.
    pub(crate) wait: Option<Duration>,
    /// True if an operator holds the job's lane back.
    pub(crate) paused: bool,
    /// True if the same request came before and made this job.
    pub(crate) repeated: bool,
}

/// Guard of a job: the job is cancelled if the guard is dropped before [`CancelOnDrop::disarm`].
pub(crate) struct CancelOnDrop {
    app: App,
    id: JobId,
    armed: bool,
}

impl CancelOnDrop {
    /// Guards a job that is in the queue already.
    pub(crate) fn of(app: &App, id: JobId) -> Self {
        Self { app: app.clone(), id, armed: true }
    }

    /// Returns the id of the job.
    pub(crate) const fn id(&self) -> JobId {
        self.id
    }

    /// Ends the guard without a cancellation: the job has ended, or goes on without its caller.
    pub(crate) fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (app, id) = (self.app.clone(), self.id);
        self.app.tasks.spawn(async move {
            match cancel(&app, app.patient_queue.for_accepted_job(), id).await {
                Ok(outcome) => tracing::info!(job = %id, ?outcome, "cancelled job of caller that left"),
                Err(error) => tracing::warn!(job = %id, error = %error, "cannot cancel job of caller that left"),
            }
        });
    }
}

/// Reads a request and checks it against the model's window.
///
/// Both run on a blocking thread, because a large request takes a core for a while. The thread owns
/// the memory. If the caller leaves, the thread decodes no further recording.
pub(crate) async fn parse_and_check(
    app: &App,
    body: BufferedBody,
    read: ReadRequest,
    caller: Caller,
) -> Result<CheckedRequest, Problem> {
    let read = move |body: &[u8], caller: &Caller, decode: &mut DecodeRecording<'_>| {
        Ok((Some(read(body, caller, decode)?), ()))
    };
    let (checked, ()) = parse_and_check_some(app, body, read, caller).await?;
    checked.ok_or_else(|| Problem::internal("a request became no job"))
}

/// Reads a request that also says something of its answer, and that may need no job. Checks the job
/// like [`parse_and_check`].
pub(crate) async fn parse_and_check_some<T: Send + 'static>(
    app: &App,
    body: BufferedBody,
    read: impl FnOnce(&[u8], &Caller, &mut DecodeRecording<'_>) -> Result<(Option<JobRequest>, T), FieldError>
    + Send
    + 'static,
    caller: Caller,
) -> Result<(Option<CheckedRequest>, T), Problem> {
    let checker = app.clone();
    let read = move |bytes: &[u8], decode: &mut DecodeRecording<'_>| {
        let (job_request, answer) = read(bytes, &caller, decode)?;
        if let Some(job_request) = &job_request {
            checker.window_check.check(&job_request.spec)?;
        }
        Ok((job_request, answer))
    };
    let ((job_request, answer), memory) = parse(app, body, read).await?;
    Ok((job_request.map(|job_request| CheckedRequest { job_request, memory }), answer))
}

/// Reads a request on a blocking thread. Returns what was read, with the memory of its recordings.
pub(crate) async fn parse<T: Send + 'static>(
    app: &App,
    body: BufferedBody,
    read: impl FnOnce(&[u8], &mut DecodeRecording<'_>) -> Result<T, FieldError> + Send + 'static,
) -> Result<(T, MemoryGrant), Problem> {
    let BufferedBody { bytes, mut memory } = body;
    memory.grow_to(PARSE_COPIES * bytes.len()).await?;
    let thread = app.decoder.thread().await?;
    let (app, runtime, left) = (app.clone(), Handle::current(), CancellationToken::new());
    let _cancels_when_dropped = left.clone().drop_guard();
    let parsed = tokio::task::spawn_blocking(move || {
        let _thread = thread;
        let before = memory.bytes();
        let mut decode = |file: &[u8], most_ms| app.decoder.decode(&runtime, &left, &mut memory, file, most_ms);
        let parsed = read(&bytes, &mut decode)?;
        drop(bytes);
        memory.shrink_to(memory.bytes() - before);
        Ok::<_, Problem>((parsed, memory))
    });
    parsed.instrument(tracing::info_span!("check")).await.map_err(Problem::internal)?
}

/// Enqueues a job.
///
/// Long recordings go to the store before. Both calls run in a task of its own, which always runs
/// to its end and owns the memory of the request. If the call to the queue were dropped half way,
/// the job could be accepted after its cancellation. If the caller leaves meanwhile, the guard is
/// dropped with the task's result.
pub(crate) async fn submit(app: &App, checked: CheckedRequest) -> Result<Submitted, Problem> {
    let CheckedRequest { mut job_request, memory } = checked;
    refuse_late(app, &job_request).await?;
    let (id, lane) = (job_request.ticket.id, job_request.spec.lane);
    let cancel_on_drop = CancelOnDrop { app: app.clone(), id: job_request.ticket.id, armed: !job_request.repeats };
    job_request.spec.trace = TraceContext::current();
    let enqueue = async move {
        let _memory = memory;
        let context = std::mem::take(&mut job_request.spec.context);
        let stored = store_recordings(&cancel_on_drop.app.temporary_objects, context);
        job_request.spec.context = match Box::pin(stored).await {
            Ok(context) => context,
            Err(problem) => {
                cancel_on_drop.disarm();
                return Err(problem);
            }
        };
        match cancel_on_drop.app.queue.enqueue(&job_request.ticket, &job_request.spec).await {
            Ok(Enqueue::Accepted { wait }) => {
                Ok(Submitted { cancel_on_drop, state: JobState::Queued, wait, paused: false, repeated: false })
            }
            Ok(Enqueue::Paused) => {
                Ok(Submitted { cancel_on_drop, state: JobState::Queued, wait: None, paused: true, repeated: false })
            }
            // If the caller named no job, this very call was made before and its reply was lost.
            Ok(Enqueue::Exists(state)) => {
                Ok(Submitted { cancel_on_drop, state, wait: None, paused: false, repeated: job_request.repeats })
            }
            // The reply may be lost while the job is in the queue; the dropped guard cancels it.
            Err(error @ QueueError::Redis(_)) => Err(error.into()),
            Err(error) => {
                cancel_on_drop.disarm();
                Err(error.into())
            }
        }
    };
    let enqueue = enqueue.instrument(tracing::info_span!("enqueue", job = %id, lane = lane.name()));
    let submitted = app.tasks.spawn(enqueue).await.map_err(Problem::internal)??;
    if submitted.repeated {
        tracing::info!(job = %submitted.cancel_on_drop.id, state = %submitted.state, "repeated request for job");
    } else {
        metrics::counter!(JOBS_ACCEPTED_TOTAL, "lane" => lane.name()).increment(1);
        tracing::info!(job = %submitted.cancel_on_drop.id, lane = lane.name(), "accepted job");
    }
    Ok(submitted)
}

/// Refuses a job whose deadline is over. A repeated request is never refused for its deadline: the
/// answer names its job, however late.
async fn refuse_late(app: &App, job_request: &JobRequest) -> Result<(), Problem> {
    let Ticket { id, deadline: Some(deadline), .. } = &job_request.ticket else { return Ok(()) };
    let now = Timestamp::now();
    if *deadline > now || (job_request.repeats && app.queue.record(id).await?.is_some()) {
        return Ok(());
    }
    let (reason, status) = (Reason::OutOfRange, 422);
    Err(Invalid {
        field: "deadline".into(),
        value: deadline.to_string(),
        limit: format!("later than {now}"),
        reason,
        status,
    }
    .into())
}

/// Cancels a job, and publishes the end to its followers if the job ended by it.
pub(crate) async fn cancel(app: &App, queue: &Queue, id: JobId) -> Result<Cancel, QueueError> {
    let outcome = queue.cancel(&id).await?;
    if outcome == Cancel::Cancelled {
        app.live.conclude(queue, &id).await?;
    }
    Ok(outcome)
}
