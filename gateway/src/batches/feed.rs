//! The feeding of one batch: its lines enter the bulk lane a few at a time, and their outcomes are
//! written in shards.
//!
//! The state of the work is what is written: shards in the store, and the number of complete ones in
//! the record. A gateway that takes a batch over reads the lines behind them again. Their jobs have the
//! ids that they had, so what is in the queue or has ended is found and nothing is done twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use csm_queue::batches::{Batch, BatchStatus};
use csm_queue::queue::QueueError;
use csm_shared::job::{JobId, JobState};
use csm_shared::process::telemetry::BATCH_LINES_TOTAL;
use csm_shared::store::StoreError;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::fault::FeedFault;
use super::feeder::TenantShares;
use super::finish::kept_until;
use super::keys;
use super::outcome::Outcome;
use super::request_line::RequestLine;
use super::results::outcomes;
use super::shard::{LineState, SHARD_LINES, Shard};
use super::store_reader::StoreLines;
use super::submission::{Submission, submit_line};
use crate::app::App;
use crate::submit::cancel;

/// Time between two looks at the jobs of a batch.
const TICK: Duration = Duration::from_millis(200);
/// Time between two renewals of the lease, at which the record is written and orders are read.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Pause after the queue refused a line, or while live callers wait.
const HOLD: Duration = Duration::from_secs(1);
/// Fewest lines of a batch in the lane.
const WINDOW_MIN: usize = 8;
/// Bytes of requests that are in the lane or on their way.
const WINDOW_BYTES: usize = 8 * 1024 * 1024;
/// Shards whose lines have not all ended. One slow line holds back no more.
const SHARDS_OPEN_MAX: usize = 64;
/// Calls to Redis at a time.
const CALLS_AT_ONCE: usize = 16;

/// Reason why the rest of a batch is not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    Cancelled,
    Expired,
}

impl Drain {
    const fn code(self) -> &'static str {
        match self {
            Self::Cancelled => "batch_cancelled",
            Self::Expired => "batch_expired",
        }
    }

    fn message(self) -> String {
        match self {
            Self::Cancelled => "The batch was cancelled before the line was spoken.".to_owned(),
            Self::Expired => "The window of the batch was over before the line was spoken.".to_owned(),
        }
    }
}

/// A batch at work.
pub(super) struct Feed {
    app: App,
    owner: Arc<str>,
    batch: Batch,
    shares: TenantShares,
    lines: StoreLines,
    /// True behind the last line.
    read_all: bool,
    /// Shards behind the committed ones, in their order.
    shards: VecDeque<Shard>,
    /// Jobs whose outcomes are written, and before which the saved record will begin.
    noted: Vec<JobId>,
    renew_at: Instant,
    hold_until: Instant,
}

impl Feed {
    /// Takes up a validated batch behind its committed lines.
    pub(super) fn new(app: App, owner: Arc<str>, batch: Batch, shares: TenantShares) -> Result<Self, FeedFault> {
        let record = &batch.record;
        let damaged = || FeedFault::Damaged("a batch at work without lines".to_owned());
        let key = record.lines_key.as_deref().and_then(|key| key.parse().ok()).ok_or_else(damaged)?;
        let lines = StoreLines::new(app.store.clone(), key, record.committed.offset, record.lines_bytes);
        let now = Instant::now();
        Ok(Self {
            app,
            owner,
            batch,
            shares,
            lines,
            read_all: false,
            shards: VecDeque::new(),
            noted: Vec::new(),
            renew_at: now,
            hold_until: now,
        })
    }

    /// Feeds the lines until all outcomes are written. Returns the batch as it then is.
    pub(super) async fn run(mut self) -> Result<Batch, FeedFault> {
        loop {
            self.renew_if_due().await?;
            let drain = self.drain();
            self.read_lines(drain).await?;
            match drain {
                None => self.submit_waiting().await?,
                Some(drain) => self.call_off(drain).await?,
            }
            self.observe(drain).await?;
            let committed = self.write_shards().await?;
            if self.read_all && self.shards.is_empty() {
                self.renew().await?;
                return Ok(self.batch);
            }
            if !committed || drain.is_none() {
                let stop = self.app.stop.clone();
                stop.run_until_cancelled(tokio::time::sleep(TICK)).await.ok_or(FeedFault::Stopped)?;
            }
        }
    }

    /// Returns the reason why the rest is not spoken, if there is one.
    fn drain(&self) -> Option<Drain> {
        if self.batch.cancel {
            return Some(Drain::Cancelled);
        }
        (Timestamp::now().as_second() >= self.batch.record.times.expires_at).then_some(Drain::Expired)
    }

    async fn renew_if_due(&mut self) -> Result<(), FeedFault> {
        if Instant::now() >= self.renew_at { self.renew().await } else { Ok(()) }
    }

    /// Writes the record, renews the lease and reads the orders.
    async fn renew(&mut self) -> Result<(), FeedFault> {
        let (drain, now) = (self.drain(), Timestamp::now().as_second());
        let record = &mut self.batch.record;
        let open = || self.shards.iter();
        record.completed = record.committed.completed + open().map(|shard| shard.completed).sum::<u64>();
        record.failed = record.committed.failed + open().map(|shard| shard.failed).sum::<u64>();
        match drain {
            Some(Drain::Cancelled) => {
                record.status = BatchStatus::Cancelling;
                record.times.cancelling_at.get_or_insert(now);
            }
            Some(Drain::Expired) => drop(record.times.expired_at.get_or_insert(now)),
            None => {}
        }
        let saved = self.app.batches.save(record, &self.owner).await?;
        self.batch = saved.ok_or(FeedFault::LeaseLost)?;
        self.renew_at = Instant::now() + RENEW_EVERY;
        self.forget_noted().await;
        self.give_way().await?;
        Ok(())
    }

    /// Drops the records and events of jobs whose outcomes are written. What is left by a fault
    /// expires within a day.
    async fn forget_noted(&mut self) {
        let jobs = std::mem::take(&mut self.noted);
        let (queue, live) = (self.app.patient_queue.for_accepted_job(), &self.app.live);
        let forgotten = async {
            queue.forget(&jobs).await?;
            let events =
                stream::iter(jobs).map(|job| async move { live.forget(&job).await }).buffer_unordered(CALLS_AT_ONCE);
            events.try_collect::<()>().await.map_err(QueueError::from)
        };
        if let Err(error) = forgotten.await {
            tracing::debug!(error = %error, "cannot forget jobs of batch");
        }
    }

    /// Holds back while live callers wait.
    async fn give_way(&mut self) -> Result<(), FeedFault> {
        let stats = self.app.status_queue.stats().await?;
        if stats.lanes.first().is_some_and(|live| live.depth > live.running) {
            self.hold_until = Instant::now() + HOLD;
        }
        Ok(())
    }

    /// Reads lines up to the window.
    async fn read_lines(&mut self, drain: Option<Drain>) -> Result<(), FeedFault> {
        if drain.is_none() && (self.batch.paused || Instant::now() < self.hold_until) {
            return Ok(());
        }
        let window = match drain {
            None => self.shares.window(&self.batch.record.tenant).max(WINDOW_MIN),
            Some(_) => SHARD_LINES * SHARDS_OPEN_MAX,
        };
        let open = |shard: &Shard| shard.open_places().count();
        let mut in_lane: usize = self.shards.iter().map(open).sum();
        let bytes = |shard: &Shard| shard.lines.iter().map(|line| line.request.body.len()).sum::<usize>();
        let mut in_bytes: usize = self.shards.iter().map(bytes).sum();
        while !self.read_all && in_lane < window && in_bytes < WINDOW_BYTES {
            if self.shards.back().is_none_or(|shard| shard.closed) {
                if self.shards.len() == SHARDS_OPEN_MAX {
                    break;
                }
                self.shards.push_back(Shard::new(self.lines.offset()));
            }
            let Some(line) = self.lines.next().await? else {
                self.read_all = true;
                match self.shards.back_mut() {
                    Some(shard) if shard.lines.is_empty() => drop(self.shards.pop_back()),
                    Some(shard) => shard.closed = true,
                    None => {}
                }
                break;
            };
            let request = RequestLine::from_json(&line)?;
            (in_lane, in_bytes) = (in_lane + 1, in_bytes + request.body.len());
            let job = request.job(&self.batch.record.id);
            if let Some(shard) = self.shards.back_mut() {
                shard.push(request, job);
                if shard.closed {
                    self.adopt_written().await?;
                }
            }
        }
        if self.read_all { self.adopt_written().await } else { Ok(()) }
    }

    /// Takes the outcomes of the last shard from the store if an earlier lease has written them. The
    /// record may not say so: Redis can lose the end of what it was told.
    async fn adopt_written(&mut self) -> Result<(), FeedFault> {
        if self.shards.back().is_none_or(|shard| !shard.closed || shard.written) {
            return Ok(());
        }
        let number = self.batch.record.committed.shards + self.shards.len() as u64 - 1;
        let written = match self.app.store.get(&keys::shard(&self.batch.record.id, number)?).await {
            Err(StoreError::NotFound(_)) => return Ok(()),
            written => written?,
        };
        let Some(shard) = self.shards.back_mut() else { return Ok(()) };
        for outcome in outcomes(&written) {
            let outcome = outcome?;
            if let Some(place) = shard.lines.iter().position(|line| line.request.line == outcome.line) {
                shard.end(place, outcome);
            }
        }
        Ok(())
    }

    /// Puts the lines that wait into the queue, until it refuses one for now.
    async fn submit_waiting(&mut self) -> Result<(), FeedFault> {
        if self.batch.paused || Instant::now() < self.hold_until {
            return Ok(());
        }
        let waiting = places(&self.shards, |state| matches!(state, LineState::Waiting));
        let record = Arc::new(self.batch.record.clone());
        let requests: Vec<_> = waiting.iter().map(|&at| self.shards[at.0].lines[at.1].request.clone()).collect();
        let mut submissions = stream::iter(waiting.into_iter().zip(requests))
            .map(|(at, request)| {
                let (app, record) = (self.app.clone(), Arc::clone(&record));
                async move { (at, submit_line(&app, record, request).await) }
            })
            .buffered(CALLS_AT_ONCE);
        let mut ended = Vec::new();
        while let Some((at, submission)) = submissions.next().await {
            match submission {
                Submission::Accepted => ended.push((at, None)),
                Submission::Refused(failure) => ended.push((at, Some(failure))),
                // The calls that are dropped here are repeated later, as those of lost answers are.
                Submission::Later => {
                    self.hold_until = Instant::now() + HOLD;
                    break;
                }
            }
        }
        drop(submissions);
        for ((shard, place), failure) in ended {
            let line = &mut self.shards[shard].lines[place];
            match failure {
                None => line.state = LineState::Submitted,
                Some(failure) => {
                    let outcome = Outcome::failed(&line.request, line.job, &failure.code, failure.message);
                    self.shards[shard].end(place, outcome);
                }
            }
        }
        Ok(())
    }

    /// Ends the lines that are not in the queue, and cancels the others.
    async fn call_off(&mut self, drain: Drain) -> Result<(), FeedFault> {
        let waiting = places(&self.shards, |state| matches!(state, LineState::Waiting));
        let states = self.states(&waiting).await?;
        for ((shard, place), state) in waiting.into_iter().zip(states) {
            let line = &mut self.shards[shard].lines[place];
            if state.is_some() {
                // An earlier lease on the batch has submitted the line.
                line.state = LineState::Submitted;
            } else {
                let outcome = Outcome::failed(&line.request, line.job, drain.code(), drain.message());
                self.shards[shard].end(place, outcome);
            }
        }
        let submitted = places(&self.shards, |state| matches!(state, LineState::Submitted));
        let jobs: Vec<_> = submitted.iter().map(|&at| self.shards[at.0].lines[at.1].job).collect();
        let (app, queue) = (&self.app, self.app.patient_queue.for_accepted_job());
        let calls = stream::iter(submitted.into_iter().zip(jobs))
            .map(|(at, job)| async move { cancel(app, queue, job).await.map(|_| at) })
            .buffer_unordered(CALLS_AT_ONCE);
        let cancelled: Vec<_> = calls.try_collect().await?;
        for (shard, place) in cancelled {
            self.shards[shard].lines[place].state = LineState::Cancelled;
        }
        Ok(())
    }

    /// Records the outcomes of the jobs that have ended since the last look.
    async fn observe(&mut self, drain: Option<Drain>) -> Result<(), FeedFault> {
        let in_queue = places(&self.shards, |state| matches!(state, LineState::Submitted | LineState::Cancelled));
        let states = self.states(&in_queue).await?;
        let mut ended = Vec::new();
        for (at, state) in in_queue.into_iter().zip(states) {
            match state {
                Some(state) if state.is_final() => ended.push((at, self.shards[at.0].lines[at.1].job)),
                Some(_) => {}
                // Redis has lost the job. It is submitted again, and speaks the same.
                None => self.shards[at.0].lines[at.1].state = LineState::Waiting,
            }
        }
        let queue = self.app.patient_queue.for_accepted_job();
        let reads = stream::iter(ended)
            .map(|(at, job)| async move { queue.record(&job).await.map(|record| (at, record)) })
            .buffer_unordered(CALLS_AT_ONCE);
        let records: Vec<_> = reads.try_collect().await?;
        for ((shard, place), record) in records {
            let line = &self.shards[shard].lines[place];
            let outcome = record.and_then(|record| match (record.state, drain) {
                (JobState::Cancelled, Some(drain)) => {
                    Some(Outcome::failed(&line.request, line.job, drain.code(), drain.message()))
                }
                _ => Outcome::of_record(&line.request, &record),
            });
            if let Some(outcome) = outcome {
                self.shards[shard].end(place, outcome);
            }
        }
        Ok(())
    }

    async fn states(&self, at: &[(usize, usize)]) -> Result<Vec<Option<JobState>>, FeedFault> {
        let jobs: Vec<JobId> = at.iter().map(|&(shard, place)| self.shards[shard].lines[place].job).collect();
        Ok(self.app.patient_queue.for_accepted_job().states(&jobs).await?)
    }

    /// Writes the shards whose lines have all ended, and commits those that follow the committed ones.
    async fn write_shards(&mut self) -> Result<bool, FeedFault> {
        let (batch, committed) = (self.batch.record.id.clone(), self.batch.record.committed.shards);
        let until = kept_until(&self.batch.record);
        for (number, shard) in (committed..).zip(&mut self.shards) {
            let Some(outcomes) = shard.outcomes() else { continue };
            let key = keys::shard(&batch, number)?;
            self.app.temporary_objects.register(&key, until).await?;
            self.app.store.put(&key, outcomes?, "application/jsonl").await?;
            shard.release();
        }
        let mut any = false;
        while let Some(shard) = self.shards.pop_front_if(|shard| shard.written) {
            let record = &mut self.batch.record;
            let offset = self.shards.front().map_or_else(|| self.lines.offset(), |next| next.offset);
            (record.committed.shards, record.committed.offset) = (record.committed.shards + 1, offset);
            record.committed.completed += shard.completed;
            record.committed.failed += shard.failed;
            record.committed.audio_ms += shard.audio_ms;
            self.noted.extend(shard.jobs);
            metrics::counter!(BATCH_LINES_TOTAL, "outcome" => "spoken").increment(shard.completed);
            metrics::counter!(BATCH_LINES_TOTAL, "outcome" => "failed").increment(shard.failed);
            any = true;
        }
        Ok(any)
    }
}

/// Returns the places of the lines in a state: number of the shard, and of the line in it.
fn places(shards: &VecDeque<Shard>, is_wanted: impl Fn(&LineState) -> bool) -> Vec<(usize, usize)> {
    let lines = shards.iter().enumerate().flat_map(|(number, shard)| {
        shard.lines.iter().enumerate().map(move |(place, line)| ((number, place), &line.state))
    });
    lines.filter_map(|(at, state)| is_wanted(state).then_some(at)).collect()
}
