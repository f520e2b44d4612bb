//! One reader of a job's events for all followers of the job in this process.
//!
//! The reader keeps the last few events, and followers take them from there. A follower that is
//! further behind reads the stream itself until it has caught up. So a job costs one read for each
//! message, however many follow it, and a slow follower holds nothing that grows.
//!
//! Messages wake the reader. Beside them it looks at the job's record, because an end may be
//! written without an event: seldom while the job waits in the queue, more often while it runs.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::event_log::{EventLog, SharedEvent};
use super::subscriptions::{Subscription, Subscriptions};
use super::{Event, EventId, LiveEvent};
use crate::queue::{Queue, QueueError};
use crate::redis_client::RedisFault;
use csm_shared::job::{JobId, JobState};

/// Largest number of events that a reader keeps: 3.2 s of live audio, 250 KB in base64.
const KEPT_MAX: usize = 8;
/// Mean pause between two looks at the record of a job that waits in the queue.
const QUEUED_LOOK_EVERY: Duration = Duration::from_secs(15);
/// Mean pause between two looks at the record of a job that runs, or while no messages arrive.
const RUNNING_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Readers of the jobs that are followed, one for each job.
#[derive(Default)]
pub(super) struct JobReaders(Mutex<HashMap<JobId, Weak<JobReader>>>);

/// Handle on the reader of a job. The reader ends when its last handle is dropped.
pub(super) struct JobReader {
    job: JobId,
    state: watch::Receiver<ReaderState>,
    readers: Arc<JobReaders>,
    _stop: DropGuard,
}

/// What a reader has found so far.
#[derive(Default)]
struct ReaderState {
    /// Position behind which `events` go on without a gap; `None` before the first read.
    from: Option<EventId>,
    /// Last events of the job, up to [`KEPT_MAX`].
    events: VecDeque<SharedEvent>,
    /// End of the job by its record, if the stream has no terminal event.
    end: Option<LiveEvent>,
    /// Fault that ended the reader.
    fault: Option<QueueError>,
}

/// What a follower at some position is to do next.
pub(super) enum NextStep {
    /// Read the stream up to this position.
    CatchUp(EventId),
    /// Take these events.
    Take(Vec<SharedEvent>),
    /// Take the end, which no event tells.
    End(LiveEvent),
    /// Wait for a change.
    Wait,
}

impl JobReaders {
    /// Returns the reader of a job; starts one if there is none, or if the last one failed.
    pub(super) fn of(subscriptions: &Subscriptions, queue: &Queue, job: JobId, state: JobState) -> Arc<JobReader> {
        let readers = subscriptions.readers();
        let mut by_job = readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = by_job.get(&job).and_then(Weak::upgrade);
        if let Some(reader) = &known
            && reader.state.borrow().fault.is_none()
        {
            return Arc::clone(reader);
        }
        let reader = Arc::new(JobReader::start(subscriptions, queue, job, state));
        by_job.insert(job, Arc::downgrade(&reader));
        // The drop of `known` may take the lock.
        drop(by_job);
        reader
    }
}

impl JobReader {
    fn start(subscriptions: &Subscriptions, queue: &Queue, job: JobId, job_state: JobState) -> Self {
        let ((sender, state), stop) = (watch::channel(ReaderState::default()), CancellationToken::new());
        let task = ReaderTask {
            // Subscribed before the first read, so that no event is missed between the two.
            subscription: subscriptions.subscribe(&job),
            queue: queue.through(subscriptions.redis().clone()),
            log: EventLog::new(subscriptions, &job),
            job,
            last: EventId::START,
            waits: job_state == JobState::Queued,
            state: sender,
        };
        let until = stop.clone();
        tokio::spawn(async move { until.run_until_cancelled(task.run()).await });
        Self { job, state, readers: Arc::clone(subscriptions.readers()), _stop: stop.drop_guard() }
    }

    /// Returns a view of what the reader finds.
    pub(super) fn view(&self) -> ReaderView {
        ReaderView(self.state.clone())
    }
}

impl Drop for JobReader {
    fn drop(&mut self) {
        let mut by_job = self.readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if by_job.get(&self.job).is_some_and(|reader| std::ptr::eq(reader.as_ptr(), self)) {
            by_job.remove(&self.job);
        }
    }
}

/// A follower's view of what the reader of its job finds.
pub(super) struct ReaderView(watch::Receiver<ReaderState>);

impl ReaderView {
    /// Returns what a follower that has all events up to `last` is to do.
    pub(super) fn next_step(&mut self, last: EventId) -> Result<NextStep, QueueError> {
        let state = self.0.borrow_and_update();
        if let Some(from) = state.from.filter(|from| last < *from) {
            return Ok(NextStep::CatchUp(from));
        }
        let events: Vec<_> = state.events.iter().filter(|event| event.id > last).cloned().collect();
        match (events.is_empty(), &state.end, &state.fault) {
            (false, _, _) => Ok(NextStep::Take(events)),
            (true, Some(end), _) => Ok(NextStep::End(end.clone())),
            (true, None, Some(fault)) => Err(fault.clone()),
            (true, None, None) => Ok(NextStep::Wait),
        }
    }

    /// Returns once the reader has found something since the last [`ReaderView::next_step`].
    pub(super) async fn changed(&mut self) -> Result<(), QueueError> {
        let gone = |_| QueueError::Redis(RedisFault::Unavailable("the reader of the events ended".to_owned()));
        self.0.changed().await.map_err(gone)
    }
}

/// Result of a look at a job's record.
enum Look {
    /// The job still waits in the queue.
    Waits,
    /// The job runs, or has run since the last look.
    Runs,
    /// The job has ended.
    Ended(LiveEvent),
}

struct ReaderTask {
    subscription: Subscription,
    queue: Queue,
    log: EventLog,
    job: JobId,
    /// Position of the last event read.
    last: EventId,
    /// Whether the job waited in the queue when its record was last seen, and nothing came since.
    waits: bool,
    state: watch::Sender<ReaderState>,
}

impl ReaderTask {
    async fn run(mut self) {
        if let Err(fault) = self.read_to_end().await {
            self.state.send_modify(|state| state.fault = Some(fault));
        }
    }

    /// Reads until the end of the job is known.
    async fn read_to_end(&mut self) -> Result<(), QueueError> {
        let tail = self.log.tail().await?;
        self.last = tail.as_ref().map_or(EventId::START, |tail| tail.id);
        let end = tail.filter(|tail| tail.event.is_terminal()).map(Arc::unwrap_or_clone);
        let ended = end.is_some();
        self.state.send_modify(|state| (state.from, state.end) = (Some(self.last), end));
        if ended {
            return Ok(());
        }
        loop {
            let woken = tokio::time::timeout(self.pause(), self.subscription.woken()).await.is_ok();
            let look = if woken { Look::Runs } else { self.look().await? };
            if matches!(look, Look::Waits) {
                continue;
            }
            // Events that were written before the end come before it.
            if self.read_news().await?.is_break() {
                return Ok(());
            }
            if let Look::Ended(end) = look {
                self.state.send_modify(|state| state.end = Some(end));
                return Ok(());
            }
        }
    }

    /// Returns the time until the next look at the record. It is jittered, so that readers that
    /// began together do not look together.
    fn pause(&self) -> Duration {
        let seldom = self.waits && self.subscription.is_confirmed();
        let mean = if seldom { QUEUED_LOOK_EVERY } else { RUNNING_LOOK_EVERY };
        mean.mul_f64(rand::rng().random_range(0.75..1.25))
    }

    async fn look(&mut self) -> Result<Look, QueueError> {
        let Some(record) = self.queue.record(&self.job).await? else {
            return Err(QueueError::Redis(RedisFault::Unavailable(format!("job {} is no longer known", self.job))));
        };
        if let Some(event) = Event::of_end(&record) {
            return Ok(Look::Ended(LiveEvent { id: EventId::terminal(record.attempt), event }));
        }
        let waited = std::mem::replace(&mut self.waits, record.state == JobState::Queued);
        Ok(if waited && self.waits { Look::Waits } else { Look::Runs })
    }

    /// Reads what the stream holds behind the last event. Breaks at a terminal event.
    async fn read_news(&mut self) -> Result<ControlFlow<()>, QueueError> {
        loop {
            let (events, more) = self.log.read_after(self.last).await?;
            let Some(last) = events.last() else { return Ok(ControlFlow::Continue(())) };
            self.waits = false;
            self.last = last.id;
            let ended = last.event.is_terminal();
            self.state.send_modify(|state| state.push(events));
            if ended {
                return Ok(ControlFlow::Break(()));
            }
            if !more {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }
}

impl ReaderState {
    fn push(&mut self, events: Vec<SharedEvent>) {
        self.events.extend(events);
        while self.events.len() > KEPT_MAX {
            self.from = self.events.pop_front().map(|event| event.id).or(self.from);
        }
    }
}
