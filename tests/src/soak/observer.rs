//! Watches Redis while the run goes on, over a connection of its own and with plain commands: who holds which job, how the
//! jobs of dead workers come back, and whether an end stays an end.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use super::census::{JOB_FIELDS, ROOT, sighting};
use super::plan::VERY_LONG;
use super::recovery::Recoveries;
use super::soak_evidence::Sighting;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Ended jobs looked at again at each look, in turn.
const LOOK_BACK: usize = 10;

/// What driver, callers and observer tell one another.
#[derive(Default)]
pub(super) struct SoakWatch {
    pub(super) recoveries: Recoveries,
    /// Workers that held a job at the last look and the one before, by their tag.
    pub(super) busy: BTreeSet<String>,
    /// Those among them that are in the middle of a very long utterance.
    pub(super) deep: BTreeSet<String>,
    /// Jobs whose callers have heard of their end.
    pub(super) ended: Vec<String>,
    /// Different sightings of jobs that had ended, in the order of time.
    pub(super) watched: HashMap<String, Vec<Sighting>>,
}

/// A handle on it; all of a run is on one thread.
pub(super) type SharedWatch = Rc<RefCell<SoakWatch>>;

/// Looks until it is dropped.
pub(super) async fn observe(url: String, watch: SharedWatch) {
    let mut observer = Observer { watch, held: BTreeSet::new(), place: 0, answered: Instant::now(), failed: false };
    loop {
        // A Redis that is down is part of the run.
        if let Ok(mut connection) = connect(&url).await {
            while observer.poll(&mut connection).await.is_ok() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        observer.failed = true;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A connection straight to Redis.
pub(super) async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    redis::Client::open(url)?.get_multiplexed_async_connection().await
}

struct Observer {
    watch: SharedWatch,
    /// Jobs under a lease at the last look.
    held: BTreeSet<String>,
    /// How far the round over the ended jobs is.
    place: usize,
    /// When Redis last answered.
    answered: Instant,
    /// It has failed to since.
    failed: bool,
}

impl Observer {
    async fn poll(&mut self, connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        let held: Vec<String> =
            redis::cmd("ZRANGE").arg(format!("{ROOT}leases")).arg(0).arg(-1).query_async(connection).await?;
        let held: BTreeSet<_> = held.into_iter().collect();
        let back = self.look_back();
        // With those that were held a moment ago: their ends are seen as soon as they are there.
        let mut ids: BTreeSet<_> = self.held.union(&held).cloned().collect();
        ids.extend(self.watch.borrow().recoveries.open());
        ids.extend(back.iter().cloned());
        let ids: Vec<_> = ids.into_iter().collect();
        let mut pipe = redis::pipe();
        for id in &ids {
            pipe.cmd("HMGET").arg(format!("{ROOT}job:{id}")).arg(&JOB_FIELDS).arg("max_frames").arg("owner");
        }
        let records: Vec<Vec<Option<String>>> =
            if ids.is_empty() { Vec::new() } else { pipe.query_async(connection).await? };
        let (now, mut watch) = (Instant::now(), self.watch.borrow_mut());
        if std::mem::take(&mut self.failed) {
            watch.recoveries.without_redis(self.answered, now);
        }
        self.answered = now;
        watch.busy.clear();
        watch.deep.clear();
        for (id, fields) in ids.iter().zip(&records) {
            let Some(seen) = sighting(fields) else { continue };
            watch.recoveries.stands(id, &seen, now);
            if seen.state == "running"
                && let Some(owner) = fields.last().and_then(Option::as_deref)
            {
                watch.recoveries.running(id, seen.attempt, owner);
                if self.held.contains(id) {
                    let tag = owner.split(':').next().unwrap_or_default().to_owned();
                    let frames = fields.iter().rev().nth(1).and_then(|frames| frames.as_deref()?.parse::<u64>().ok());
                    if frames.is_some_and(|frames| frames >= *VERY_LONG.1.start()) {
                        watch.deep.insert(tag.clone());
                    }
                    watch.busy.insert(tag);
                }
            }
            // Whoever was told of an end before this look must not find the job anywhere else.
            if seen.is_final() || back.contains(id) {
                let before = watch.watched.entry(id.clone()).or_default();
                if before.last() != Some(&seen) {
                    before.push(seen);
                }
            }
        }
        self.held = held;
        Ok(())
    }

    /// The next few of the jobs that are known to have ended.
    fn look_back(&mut self) -> BTreeSet<String> {
        let watch = self.watch.borrow();
        let all = &watch.ended;
        if all.is_empty() {
            return BTreeSet::new();
        }
        let ids = (0..LOOK_BACK.min(all.len())).map(|step| all[(self.place + step) % all.len()].clone()).collect();
        self.place = (self.place + LOOK_BACK) % all.len();
        ids
    }
}
