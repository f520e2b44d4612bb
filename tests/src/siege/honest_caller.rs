//! The honest caller: posts a small job every 200 ms, each over a connection of its own, and
//! repeats what is refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::HONEST_LIMIT;

/// Pause between two jobs.
const POST_EVERY: Duration = Duration::from_millis(200);
/// Longest time for one job to be accepted; beyond it the job counts as not served.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait before a refused request is repeated, whatever the refusal asks for.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Pause before a request without an answer is repeated.
const PAUSE: Duration = Duration::from_millis(100);
/// Jobs under way at a time: more than fit into [`PATIENCE`].
const OPEN_MAX: usize = 64;

/// What the honest caller saw during a part of the siege.
#[derive(Clone, Debug, Default)]
pub(super) struct HonestRecord {
    /// Time of each job from its first request to its 202, or so far.
    pub(super) waits: Vec<Duration>,
    /// Jobs among them that were not accepted.
    pub(super) unserved: usize,
    /// Requests without a 202, by status or kind of fault.
    pub(super) refusals: BTreeMap<String, usize>,
    /// Id of the last accepted job.
    pub(super) last_job: Option<String>,
    /// Jobs under way, by the time of their first request.
    pub(super) open: Vec<Instant>,
}

impl HonestRecord {
    /// Returns how many jobs were accepted.
    pub(super) fn served(&self) -> usize {
        self.waits.len() - self.unserved
    }
}

/// Honest caller of one gateway; clones share the record.
#[derive(Clone)]
pub(super) struct HonestCaller {
    address: SocketAddr,
    http: reqwest::Client,
    record: Arc<Mutex<HonestRecord>>,
}

impl HonestCaller {
    /// Makes a caller that has posted nothing yet.
    pub(super) fn new(address: SocketAddr) -> reqwest::Result<Self> {
        // A new connection each time: an attack on connections must not miss a caller who has one.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build()?;
        Ok(Self { address, http, record: Arc::default() })
    }

    /// Posts jobs without end. Jobs under way are dropped with the future.
    pub(super) async fn call(self) {
        let mut ticks = interval(POST_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut jobs = JoinSet::new();
        loop {
            ticks.tick().await;
            while jobs.try_join_next().is_some() {}
            if jobs.len() < OPEN_MAX {
                jobs.spawn(self.clone().post());
            }
        }
    }

    /// Returns what was seen since the last call, and begins anew. A job that has been under way
    /// for too long counts as not accepted.
    pub(super) fn take(&self) -> HonestRecord {
        let mut record = std::mem::take(&mut *self.lock());
        let late = record.open.iter().map(Instant::elapsed).filter(|&wait| wait > HONEST_LIMIT);
        let late: Vec<_> = late.collect();
        record.unserved += late.len();
        record.waits.extend(late);
        record
    }

    /// Returns true if a job that was accepted since the last [`Self::take`] succeeds within the
    /// caller's patience.
    pub(super) async fn succeeds(&self) -> bool {
        let succeeded = async {
            let job = loop {
                let last = self.lock().last_job.clone();
                if let Some(job) = last {
                    break job;
                }
                sleep(PAUSE).await;
            };
            while self.state(&job).await.as_deref() != Some("succeeded") {
                sleep(PAUSE).await;
            }
        };
        timeout(PATIENCE, succeeded).await.is_ok()
    }

    async fn state(&self, job: &str) -> Option<String> {
        let answer = self.http.get(format!("http://{}/v1/jobs/{job}", self.address)).send().await.ok()?;
        let record: Value = answer.json().await.ok()?;
        Some(record["status"].as_str()?.to_owned())
    }

    /// Posts one job until it is accepted or patience ends.
    async fn post(self) {
        let began = Instant::now();
        self.lock().open.push(began);
        let accepted = timeout(PATIENCE, self.until_accepted()).await;
        let mut record = self.lock();
        // The job may have been counted meanwhile.
        let Some(place) = record.open.iter().position(|&open| open == began) else { return };
        record.open.swap_remove(place);
        record.waits.push(began.elapsed());
        match accepted {
            Ok(job) => record.last_job = job,
            Err(_) => record.unserved += 1,
        }
    }

    async fn until_accepted(&self) -> Option<String> {
        let body = json!({ "text": "Hello.", "max_audio_length_ms": 80, "seed": 1, "lane": "live" });
        loop {
            let request = self.http.post(format!("http://{}/v1/jobs", self.address)).json(&body);
            let (refusal, pause) = match request.send().await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                    let accepted: Option<Value> = answer.json().await.ok();
                    return accepted.and_then(|accepted| Some(accepted["id"].as_str()?.to_owned()));
                }
                Ok(answer) => {
                    let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                    let pause = asked.map_or(PAUSE, |seconds| Duration::from_secs(seconds).min(PAUSE_MAX));
                    (answer.status().as_u16().to_string(), pause)
                }
                Err(error) if error.is_timeout() => ("no answer".to_owned(), PAUSE),
                Err(error) if error.is_connect() => ("no connection".to_owned(), PAUSE),
                Err(_) => ("broken connection".to_owned(), PAUSE),
            };
            self.refused(refusal);
            sleep(pause).await;
        }
    }

    fn refused(&self, refusal: String) {
        *self.lock().refusals.entry(refusal).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, HonestRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
