//! The feeder: the task of a gateway that takes unfinished batches and works on them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use csm_queue::batches::{Batch, BatchStatus};
use csm_shared::job::Tenant;
use csm_shared::process::outage_log::OutageLog;
use rand::RngExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::fault::FeedFault;
use super::feed::Feed;
use super::finish::{finish, now};
use super::validate::{Verdict, validate};
use crate::app::App;

/// Pause between two looks for batches, in milliseconds.
const LOOK_PAUSE_MS: std::ops::Range<u64> = 250..750;
/// Batches that one gateway works on at a time.
const FEEDS_MAX: usize = 32;
/// Time between two renewals of the lease during a validation.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// Pause after a fault, before the batch is taken up again.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// Parts of the bulk lane that batches may fill: each tenant's window, shared by its batches.
#[derive(Clone)]
pub(super) struct TenantShares(Arc<Shares>);

struct Shares {
    /// Lines of one tenant in the lane.
    window: usize,
    batches: Mutex<HashMap<String, usize>>,
}

impl TenantShares {
    fn new(window: usize) -> Self {
        Self(Arc::new(Shares { window, batches: Mutex::default() }))
    }

    /// Counts the unfinished batches of each tenant.
    fn count(&self, open: &[(String, String)]) {
        let mut batches = self.0.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.clear();
        for (_, tenant) in open {
            *batches.entry(tenant.clone()).or_default() += 1;
        }
    }

    /// Returns the lines that a batch of a tenant may have in the lane.
    pub(super) fn window(&self, tenant: &Tenant) -> usize {
        let batches = self.0.batches.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.window / batches.get(tenant.as_str()).copied().unwrap_or(1).max(1)
    }
}

/// Works on unfinished batches until the gateway stops.
pub(crate) async fn run(app: App) {
    let (owner, shares) = (Arc::<str>::from(Uuid::new_v4().to_string()), TenantShares::new(app.batch_window));
    let validations = Arc::new(Semaphore::new(1));
    let mut feeds = JoinSet::new();
    let mut fed: HashMap<tokio::task::Id, String> = HashMap::new();
    loop {
        let pause = Duration::from_millis(rand::rng().random_range(LOOK_PAUSE_MS));
        tokio::select! {
            () = app.stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
            () = app.batch_created.notified() => {}
            Some(ended) = feeds.join_next_with_id() => {
                let id = match ended { Ok((id, ())) => id, Err(error) => error.id() };
                fed.remove(&id);
            }
        }
        let open = match app.batches.open().await {
            Ok(open) => open,
            Err(error) => {
                log_outage(&error.into());
                continue;
            }
        };
        shares.count(&open);
        for (id, _) in open {
            if feeds.len() >= FEEDS_MAX || fed.values().any(|other| *other == id) {
                continue;
            }
            match app.batches.lease(&id, &owner).await {
                Ok(Some(batch)) => {
                    let work = work(app.clone(), Arc::clone(&owner), batch, shares.clone(), Arc::clone(&validations));
                    let task = feeds.spawn(work);
                    fed.insert(task.id(), id);
                }
                Ok(None) => {}
                Err(error) => log_outage(&error.into()),
            }
        }
    }
    while feeds.join_next().await.is_some() {}
}

/// Works on a leased batch to its end, or to the first fault.
async fn work(app: App, owner: Arc<str>, batch: Batch, shares: TenantShares, validations: Arc<Semaphore>) {
    let id = batch.record.id.clone();
    let outcome = match batch.record.status {
        BatchStatus::Validating => Box::pin(check_and_feed(&app, &owner, batch, shares, &validations)).await,
        BatchStatus::Finalizing => Box::pin(finish(&app, &owner, batch)).await,
        _ => Box::pin(feed(&app, &owner, batch, shares)).await,
    };
    match outcome {
        Ok(()) => return,
        Err(FeedFault::LeaseLost) => {
            tracing::info!(batch = %id, "another gateway works on the batch");
            return;
        }
        Err(FeedFault::Stopped) => {}
        Err(fault) => {
            log_outage(&fault);
            tokio::time::sleep(FAULT_PAUSE).await;
        }
    }
    if let Err(error) = app.batches.release(&id, &owner).await {
        tracing::debug!(batch = %id, error = %error, "cannot give batch back");
    }
}

async fn feed(app: &App, owner: &Arc<str>, batch: Batch, shares: TenantShares) -> Result<(), FeedFault> {
    let feed = Feed::new(app.clone(), Arc::clone(owner), batch, shares)?;
    let ended = Box::pin(feed.run()).await?;
    Box::pin(finish(app, owner, ended)).await
}

/// Validates a batch, and feeds its lines if all are good.
async fn check_and_feed(
    app: &App,
    owner: &Arc<str>,
    batch: Batch,
    shares: TenantShares,
    validations: &Semaphore,
) -> Result<(), FeedFault> {
    let batch = check(app, owner, batch, validations).await?;
    if batch.record.status.is_final() { Ok(()) } else { Box::pin(feed(app, owner, batch, shares)).await }
}

/// Validates a batch and records the verdict. One file is read at a time.
async fn check(app: &App, owner: &Arc<str>, batch: Batch, validations: &Semaphore) -> Result<Batch, FeedFault> {
    let mut record = batch.record;
    let stop = app.stop.child_token();
    let validation = async {
        // The semaphore is never closed.
        let _place = validations.acquire().await;
        validate(app, &record, stop.clone()).await
    };
    let verdict = tokio::select! {
        verdict = validation => verdict?,
        order = keep_lease(app, owner, &record.id) => {
            stop.cancel();
            order?;
            // Cancelled before any line ran.
            record.status = BatchStatus::Cancelled;
            (record.times.cancelling_at, record.times.cancelled_at) = (Some(now()), Some(now()));
            return app.batches.save(&record, owner).await?.ok_or(FeedFault::LeaseLost);
        }
    };
    match verdict {
        Verdict::Good { total, key, bytes } => {
            record.status = BatchStatus::InProgress;
            record.times.in_progress_at = Some(now());
            (record.total, record.lines_key, record.lines_bytes) = (total, Some(key.to_string()), bytes);
            tracing::info!(batch = %record.id, total, "batch begins");
        }
        Verdict::Refused(errors) => {
            record.status = BatchStatus::Failed;
            record.times.failed_at = Some(now());
            tracing::info!(batch = %record.id, errors = errors.len(), "batch is refused");
            record.errors = errors;
        }
    }
    app.batches.save(&record, owner).await?.ok_or(FeedFault::LeaseLost)
}

/// Renews the lease until the batch is cancelled.
async fn keep_lease(app: &App, owner: &str, id: &str) -> Result<(), FeedFault> {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let batch = app.batches.lease(id, owner).await?.ok_or(FeedFault::LeaseLost)?;
        if batch.cancel {
            return Ok(());
        }
    }
}

fn log_outage(fault: &FeedFault) {
    static OUTAGE: OutageLog = OutageLog::new();
    if let Some(outage) = OUTAGE.failed() {
        tracing::warn!(error = %fault, %outage, "cannot work on batches");
    }
}
