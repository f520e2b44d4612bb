//! Observer of Redis during the run, over a connection of its own and with plain commands. The
//! observer records the owners of jobs and the return of a dead worker's jobs, and checks that an
//! end stays an end.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

use super::census::{JOB_FIELDS, ROOT, sighting};
use super::plan::VERY_LONG;
use super::recovery::Recoveries;
use super::soak_evidence::Sighting;

/// Pause between two reads.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Ended jobs read again in each round, in turn.
const LOOK_BACK: usize = 10;

/// State shared by driver, callers and observer.
#[derive(Default)]
pub(super) struct SoakWatch {
    pub(super) recoveries: Recoveries,
    /// Workers that held a job at the last two reads, by their tag.
    pub(super) busy: BTreeSet<String>,
    /// Busy workers that are in the middle of a very long utterance.
    pub(super) deep: BTreeSet<String>,
    /// Jobs whose end their callers know.
    pub(super) ended: Vec<String>,
    /// Different sightings of ended jobs, in the order of time.
    pub(super) watched: HashMap<String, Vec<Sighting>>,
}

/// Handle on the watch. All of a run is on one thread.
pub(super) type SharedWatch = Rc<RefCell<SoakWatch>>;

/// Reads Redis until the future is dropped.
pub(super) async fn observe(url: String, watch: SharedWatch) {
    let mut observer = Observer { watch, held: BTreeSet::new(), place: 0, answered: Instant::now(), failed: false };
    loop {
        // An unreachable Redis is part of the run.
        if let Ok(mut connection) = connect(&url).await {
            while observer.poll(&mut connection).await.is_ok() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        observer.failed = true;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Opens a connection straight to Redis.
pub(super) async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    redis::Client::open(url)?.get_multiplexed_async_connection().await
}

struct Observer {
    watch: SharedWatch,
    /// Jobs under a lease at the last read.
    held: BTreeSet<String>,
    /// Index of the next ended job to read again.
    place: usize,
    /// Time of Redis' last answer.
    answered: Instant,
    /// True if Redis has failed to answer since.
    failed: bool,
}

impl Observer {
    async fn poll(&mut self, connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        let held: Vec<String> =
            redis::cmd("ZRANGE").arg(format!("{ROOT}leases")).arg(0).arg(-1).query_async(connection).await?;
        let held: BTreeSet<_> = held.into_iter().collect();
        let back = self.look_back();
        // The jobs of the last read are included, so their ends are seen at once.
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
            // An end that a caller knew before this read must not change.
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

    /// Returns the next few of the ended jobs.
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
