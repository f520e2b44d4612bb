//! The janitor: housekeeping in rounds. Every process has one, gateways too, so that a fleet without
//! workers keeps its backlog in order. The janitor of one process at a time has a shard; the others
//! look at times whether it still works, and take the shard over if it does not.

use std::time::Duration;

use csm_shared::process::outage_log::OutageLog;
use csm_shared::process::telemetry::{LEASE_LOST_TOTAL, RECONCILED_TOTAL};
use rand::RngExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::live::Live;
use crate::queue::{Batch, Housekeeping, Queue, QueueError, REDIS_ABSENCE_MIN, Reaped, STREAMS};

/// Largest number of calls of one kind in one round. Another call follows only if the last one
/// reached its limit.
const CALLS_MAX: u32 = 100;
/// Largest number of calls in one round that check open jobs, which would else go on without end
/// beside a long backlog.
const RECONCILE_CALLS_MAX: u32 = 5;
/// Pause between two rounds of the janitor that has a shard.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// Shortest and longest pause, in milliseconds, between two looks at a shard of another janitor.
const LOOK_PAUSE_MS: std::ops::Range<u64> = 750..1_250;
/// Time without a sign of another janitor after which its shard is taken over.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// The leases of a dead janitor's shard are checked again before that looks like an absence of
/// Redis: after one look that still saw a sign, and one that came just too early.
const _: () = assert!(2 * LOOK_PAUSE_MS.end as u128 + SILENCE_MAX.as_millis() < REDIS_ABSENCE_MIN.as_millis());
/// Interval between two calls that tidy up beside a stream; the streams take turns.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// Task that does the housekeeping, round by round, until it is stopped.
pub struct Janitor {
    queue: Queue,
    live: Live,
    /// Name that tells this janitor from all others.
    name: String,
    shards: Vec<WatchedShard>,
    /// Number of the stream to tidy next, and the time of that.
    tidy_next: (usize, Instant),
}

/// A shard as its janitor, or the other janitors, see it.
struct WatchedShard {
    /// Last note of the janitor that has the shard, and when the note last changed.
    note: (String, Instant),
    /// Time of the next call.
    due: Instant,
}

impl Janitor {
    /// Creates a janitor for a queue. Jobs that it ends are announced on the live channel.
    #[must_use]
    pub fn new(queue: Queue, live: Live) -> Self {
        let now = Instant::now();
        let unseen = || WatchedShard { note: (String::new(), now), due: now };
        let shards = std::iter::repeat_with(unseen).take(queue.shard_count()).collect();
        let name = Uuid::new_v4().simple().to_string();
        Self { queue, live, name, shards, tidy_next: (0, now) }
    }

    /// Does one round after another until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let due = self.shards.iter().map(|shard| shard.due).min().unwrap_or_else(Instant::now);
            if stop.run_until_cancelled(tokio::time::sleep_until(due)).await.is_none() {
                return;
            }
            self.round().await;
        }
    }

    /// Does each kind of housekeeping on the shards that this janitor has. A failure of one kind
    /// does not keep the others from being done.
    pub(crate) async fn round(&mut self) {
        let shards = self.take_due_shards().await;
        if shards.is_empty() {
            return;
        }
        let (queue, stream) = (self.queue.clone(), self.stream_to_tidy());
        let housekeeping = queue.housekeeping(&shards);
        promote(&housekeeping).await;
        self.reap(&housekeeping).await;
        self.expire(&housekeeping).await;
        reconcile(&housekeeping).await;
        if let Some(stream) = stream {
            log_failure(housekeeping.tidy(stream).await);
        }
    }

    /// Takes, keeps or looks up the shards that are due, and returns the numbers of those that this
    /// janitor has.
    async fn take_due_shards(&mut self) -> Vec<usize> {
        let mut taken = Vec::new();
        for (number, shard) in self.shards.iter_mut().enumerate() {
            if shard.due > Instant::now() {
                continue;
            }
            let (note, changed) = &shard.note;
            let seen = if changed.elapsed() >= SILENCE_MAX { note.as_str() } else { "" };
            let answer = self.queue.take_housekeeping(number, &self.name, seen).await;
            let (now, mut pause) = (Instant::now(), Duration::from_millis(rand::rng().random_range(LOOK_PAUSE_MS)));
            match answer {
                Ok(note) => {
                    if note.starts_with(&self.name) {
                        taken.push(number);
                        pause = ROUND_PAUSE;
                    }
                    if note != shard.note.0 {
                        shard.note = (note, now);
                    }
                }
                Err(error) => log_failure(Err(error)),
            }
            shard.due = now + pause;
        }
        taken
    }

    /// Returns the number of the stream whose turn it is to be tidied, if it is time.
    fn stream_to_tidy(&mut self) -> Option<usize> {
        let (stream, at) = self.tidy_next;
        let now = Instant::now();
        if at > now {
            return None;
        }
        self.tidy_next = ((stream + 1) % STREAMS, now + TIDY_EVERY);
        Some(stream)
    }

    async fn reap(&self, housekeeping: &Housekeeping<'_>) {
        for _ in 0..CALLS_MAX {
            let Batch { done, more } = log_failure(housekeeping.reap().await);
            for Reaped { id, state } in done {
                metrics::counter!(LEASE_LOST_TOTAL).increment(1);
                tracing::warn!(job = %id, state = %state, "reaped job of lost worker");
                log_failure(self.live.conclude(&self.queue, &id).await);
            }
            if !more {
                break;
            }
        }
    }

    async fn expire(&self, housekeeping: &Housekeeping<'_>) {
        for _ in 0..CALLS_MAX {
            let Batch { done, more } = log_failure(housekeeping.expire().await);
            for id in &done {
                tracing::info!(job = %id, "expired job");
                log_failure(self.live.conclude(&self.queue, id).await);
            }
            if !more {
                break;
            }
        }
    }
}

async fn promote(housekeeping: &Housekeeping<'_>) {
    for _ in 0..CALLS_MAX {
        if !log_failure(housekeeping.promote().await).more {
            break;
        }
    }
}

async fn reconcile(housekeeping: &Housekeeping<'_>) {
    for _ in 0..RECONCILE_CALLS_MAX {
        let Batch { done, more } = log_failure(housekeeping.reconcile().await);
        for id in done {
            metrics::counter!(RECONCILED_TOTAL).increment(1);
            tracing::error!(job = %id, "requeued job that was missing from queue");
        }
        if !more {
            break;
        }
    }
}

/// Returns what a call did, or nothing if it failed. All calls of the process share the pace at which
/// failures are logged.
fn log_failure<T: Default>(done: Result<T, QueueError>) -> T {
    done.unwrap_or_else(|error| {
        static OUTAGE: OutageLog = OutageLog::new();
        if let Some(outage) = OUTAGE.failed() {
            tracing::warn!(error = %error, %outage, "cannot run housekeeping");
        }
        T::default()
    })
}
