//! Queue of detection requests: a gateway asks a worker to look for a watermark that only a model
//! can find, such as SilentCipher's.
//!
//! A worker that can detect the mark announces itself again and again; each announcement counts for
//! [`AVAILABLE_FOR`]. The worker also records for good that this fleet marks its audio this way. A
//! gateway adds a recording to a bounded list and waits for the answer over a connection of its
//! own. A worker takes one recording after another and spends at most [`EXAMINE_MAX`] on each. The
//! clock of Redis decides what has expired.
//!
//! A gateway that finds no worker can tell whether the fleet ever had one. A request without an
//! answer reports that no worker answered. Neither case means "not detected".

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Script};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::redis_client::{RedisClient, RedisFault};
use csm_shared::audio::{Clip, SAMPLE_RATE};
use csm_shared::job::JobId;
use csm_shared::process::outage_log::OutageLog;
use csm_shared::watermark::{Finding, Scheme};

/// Largest number of recordings that wait in the queue. A worker examines one more at the same
/// time.
pub const REQUESTS_WAITING_MAX: usize = 2;
/// Longest part of a recording that is examined, in seconds; 5.8 MB in the queue.
pub const RECORDING_SECONDS_MAX: u32 = 120;
/// Longest wait for an answer.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest time that a worker may spend on one recording.
pub const EXAMINE_MAX: Duration = Duration::from_secs(18);
/// The last request of a full queue waits for all earlier ones and is still answered in time.
const _: () = assert!(EXAMINE_MAX.as_secs() * (REQUESTS_WAITING_MAX as u64 + 1) < ANSWER_WAIT_MAX.as_secs());

/// Time for which an announcement counts a worker as available.
const AVAILABLE_FOR: Duration = Duration::from_secs(15);
/// Interval between two announcements of a worker.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
/// Longest wait of one call for the next recording.
const TAKE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Bytes of a job's id as text.
const JOB_BYTES: usize = 36;
/// Bytes of a request before its samples.
const HEAD_BYTES: usize = 16 + JOB_BYTES;
/// Pause after a fault of Redis.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// Script that adds a recording to the list unless the list is full, and notes that its answer is
/// awaited. Recordings that no worker takes expire with the list.
const PUT: &str = "if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end \
    redis.call('RPUSH', KEYS[1], ARGV[3]) redis.call('PEXPIRE', KEYS[1], ARGV[2]) \
    redis.call('SET', KEYS[2], 1, 'PX', ARGV[2]) return 1";
/// Script that leaves an answer for the gateway, for as long as the gateway may still wait.
const ANSWER: &str = "redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1";
/// Script that records until when a worker is available, and removes workers whose time is over.
/// The script also records for good that the scheme is used, because marked files outlive their
/// workers.
const ANNOUNCE: &str = "local now = redis.call('TIME')[1] redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now) \
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now + ARGV[1], '+inf') \
    redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[2]) redis.call('EXPIRE', KEYS[1], ARGV[1]) \
    redis.call('SADD', KEYS[2], ARGV[3]) return 1";
/// Script that tells whether any worker is available, and whether the scheme was ever used.
/// A time that is further away than any announcement's was written before the server's clock was
/// set back.
const AVAILABILITY: &str = "local now = redis.call('TIME')[1] \
    return {redis.call('ZCOUNT', KEYS[1], now, now + ARGV[2]), redis.call('SISMEMBER', KEYS[2], ARGV[1])}";

/// Watermark scheme of this queue.
const SCHEME: Scheme = Scheme::Silentcipher;

/// Availability of a worker that can look for the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectorAvailability {
    /// At least one worker is available.
    Available,
    /// No worker is available now, but there was one: recordings may carry the mark.
    Gone,
    /// No worker was ever available: this fleet's recordings do not carry the mark.
    Unused,
}

/// A recording as a worker receives it.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectRequest {
    /// Samples at 24 kHz, full scale 1.
    pub samples: Vec<f32>,
    /// Job that the recording may come from, if the caller named one.
    pub job: Option<JobId>,
}

/// Reason why a detection has no answer.
#[derive(Debug, thiserror::Error)]
pub enum DetectQueueError {
    /// Too many recordings wait already.
    #[error("{REQUESTS_WAITING_MAX} recordings wait to be looked at; that is the limit")]
    Full,
    /// No worker answered in time.
    #[error("no worker answered within {} s", ANSWER_WAIT_MAX.as_secs())]
    NoAnswer,
    /// A worker answered that it could not examine the recording.
    #[error("the worker could not look: {0}")]
    Failed(String),
    /// The answer cannot be decoded.
    #[error("the worker's answer cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Redis is unreachable or full, or refused the command.
    #[error(transparent)]
    Redis(#[from] RedisFault),
}

/// Handle on the detect queue for gateways and workers. Clones share the Redis client.
#[derive(Clone)]
pub struct DetectQueue {
    redis: RedisClient,
    /// Common prefix of all keys, with a hash tag so that they share a slot.
    root: String,
}

/// A worker's answer: the findings, or why there are none.
type Answer = Result<Vec<Finding>, String>;

impl DetectQueue {
    /// Creates the detect queue of the fleet that `redis` serves.
    #[must_use]
    pub fn new(redis: RedisClient) -> Self {
        Self { root: format!("{}:{{detect}}:", redis.prefix()), redis }
    }

    fn key(&self, name: impl fmt::Display) -> String {
        format!("{}{name}", self.root)
    }

    /// Tells whether a worker is available now, or ever was.
    ///
    /// # Errors
    /// [`RedisFault`].
    pub async fn availability(&self) -> Result<DetectorAvailability, RedisFault> {
        let script = Script::new(AVAILABILITY);
        let mut script = script.prepare_invoke();
        script.key(self.key("attended")).key(self.key("schemes")).arg(SCHEME.name()).arg(AVAILABLE_FOR.as_secs());
        let (here, used): (u64, bool) = self.redis.script(&script).await?;
        Ok(match (here, used) {
            (1.., _) => DetectorAvailability::Available,
            (0, true) => DetectorAvailability::Gone,
            (0, false) => DetectorAvailability::Unused,
        })
    }

    /// Has a worker examine a recording, up to its first [`RECORDING_SECONDS_MAX`] seconds. With a
    /// job only that job's mark is looked for, without one the mark of any job.
    ///
    /// # Errors
    /// [`DetectQueueError`]: nothing is known about the recording then.
    pub async fn ask(&self, clip: &Clip, job: Option<JobId>) -> Result<Vec<Finding>, DetectQueueError> {
        let id = Uuid::new_v4();
        let reply = self.key(format_args!("reply:{id}"));
        // The reply connection is opened first. An answer that arrives before BLPOP waits in its
        // list.
        let mut listening = self.redis.blocking_connection(&reply, ANSWER_WAIT_MAX).await?;
        let request = encode_request(id, clip, job);
        let put = Script::new(PUT);
        let mut put = put.prepare_invoke();
        put.key(self.key("waiting"))
            .key(self.key(format_args!("open:{id}")))
            .arg(REQUESTS_WAITING_MAX)
            .arg(ANSWER_WAIT_MAX.as_millis() as u64)
            .arg(request);
        if self.redis.script_once::<u8>(&put).await? == 0 {
            return Err(DetectQueueError::Full);
        }
        let answer: Option<(String, Vec<u8>)> = Cmd::new()
            .arg("BLPOP")
            .arg(&reply)
            .arg(ANSWER_WAIT_MAX.as_secs_f64())
            .query_async(&mut listening)
            .await
            .map_err(RedisFault::from)?;
        let (_, answer) = answer.ok_or(DetectQueueError::NoAnswer)?;
        serde_json::from_slice::<Answer>(&answer)?.map_err(DetectQueueError::Failed)
    }

    /// Examines recordings one after another until `stop`, and finishes the one in hand. `detect`
    /// runs on a thread that may block. The function must return within [`EXAMINE_MAX`], or soon
    /// after `stop`.
    pub async fn serve<F>(&self, detect: F, stop: CancellationToken)
    where
        F: Fn(&DetectRequest) -> Result<Vec<Finding>, String> + Send + Sync + 'static,
    {
        let detect = Arc::new(detect);
        let who = Uuid::new_v4().to_string();
        let here = async {
            stop.run_until_cancelled(self.announce(&who)).await;
            // Deregisters, so that no caller waits for a worker that has left. If this fails, the
            // next caller waits in vain.
            let mut leave = Cmd::new();
            leave.arg("ZREM").arg(self.key("attended")).arg(&who);
            let _: Result<u8, _> = self.redis.command_once(&leave).await;
        };
        tokio::join!(here, self.serve_requests(&detect, &stop));
    }

    /// Announces this worker again and again.
    async fn announce(&self, who: &str) {
        let (mut again, announce) = (tokio::time::interval(ANNOUNCE_EVERY), Script::new(ANNOUNCE));
        loop {
            again.tick().await;
            let mut here = announce.prepare_invoke();
            here.key(self.key("attended")).key(self.key("schemes"));
            here.arg(AVAILABLE_FOR.as_secs()).arg(who).arg(SCHEME.name());
            static OUTAGE: OutageLog = OutageLog::new();
            if let Err(error) = self.redis.script_once::<u8>(&here).await
                && let Some(outage) = OUTAGE.failed()
            {
                tracing::warn!(error = %error, %outage, "cannot announce detector");
            }
        }
    }

    /// Serves requests until `stop`. The loop ends only between two requests, so that no request is
    /// taken off the list and lost.
    async fn serve_requests<F>(&self, detect: &Arc<F>, stop: &CancellationToken)
    where
        F: Fn(&DetectRequest) -> Result<Vec<Finding>, String> + Send + Sync + 'static,
    {
        let mut connection = None;
        while !stop.is_cancelled() {
            if let Err(error) = self.serve_request(detect, &mut connection).await {
                static OUTAGE: OutageLog = OutageLog::new();
                if let Some(outage) = OUTAGE.failed() {
                    tracing::warn!(error = %error, %outage, "cannot serve detect queue");
                }
                connection = None;
                stop.run_until_cancelled(tokio::time::sleep(FAULT_PAUSE)).await;
            }
        }
    }

    /// Waits for one recording and answers it; returns if none comes.
    async fn serve_request<F>(
        &self,
        detect: &Arc<F>,
        connection: &mut Option<MultiplexedConnection>,
    ) -> Result<(), RedisFault>
    where
        F: Fn(&DetectRequest) -> Result<Vec<Finding>, String> + Send + Sync + 'static,
    {
        let waiting = self.key("waiting");
        let taking = match connection {
            Some(taking) => taking,
            None => connection.insert(self.redis.blocking_connection(&waiting, TAKE_WAIT_MAX).await?),
        };
        let mut take = Cmd::new();
        take.arg("BLPOP").arg(&waiting).arg(TAKE_WAIT_MAX.as_secs_f64());
        let taken: Option<(String, Vec<u8>)> = take.query_async(taking).await?;
        let Some((id, recording)) = taken.and_then(|(_, request)| parse_request(&request)) else { return Ok(()) };
        let mut open = Cmd::new();
        open.arg("EXISTS").arg(self.key(format_args!("open:{id}")));
        if !self.redis.command_once::<bool>(&open).await? {
            return Ok(());
        }
        let detect = Arc::clone(detect);
        let looked = tokio::task::spawn_blocking(move || detect(&recording)).await;
        let answer: Answer = looked.unwrap_or_else(|died| Err(died.to_string()));
        if let Err(error) = &answer {
            tracing::error!(error, "cannot examine recording");
        }
        let text = serde_json::to_vec(&answer).unwrap_or_default();
        let leave = Script::new(ANSWER);
        let mut leave = leave.prepare_invoke();
        leave.key(self.key(format_args!("reply:{id}"))).arg(text).arg(ANSWER_WAIT_MAX.as_millis() as u64);
        self.redis.script_once::<u8>(&leave).await.map(|_| ())
    }
}

/// Encodes a request: the id of the answer, the job's id as text or blanks, and the samples.
fn encode_request(id: Uuid, clip: &Clip, job: Option<JobId>) -> Vec<u8> {
    let samples = &clip.samples()[..clip.samples().len().min((RECORDING_SECONDS_MAX * SAMPLE_RATE) as usize)];
    let mut request = Vec::with_capacity(HEAD_BYTES + 2 * samples.len());
    request.extend_from_slice(id.as_bytes());
    let job = job.map(|job| job.to_string()).unwrap_or_default();
    request.extend_from_slice(format!("{job:JOB_BYTES$}").as_bytes());
    request.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    request
}

/// Decodes a queued request; returns `None` if it is malformed.
fn parse_request(request: &[u8]) -> Option<(Uuid, DetectRequest)> {
    let (id, rest) = request.split_first_chunk::<16>()?;
    let (job, pcm) = rest.split_first_chunk::<JOB_BYTES>()?;
    let job = match std::str::from_utf8(job).ok()?.trim() {
        "" => None,
        job => Some(job.parse().ok()?),
    };
    Some((Uuid::from_bytes(*id), DetectRequest { samples: Clip::from_pcm(pcm).ok()?.to_f32(), job }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_request_is_read_as_it_was_written() {
        let (id, clip) = (Uuid::new_v4(), Clip::from_samples(vec![1, -2, 300]));
        for job in [None, Some(JobId::generate()), Some(Uuid::nil().into())] {
            let taken = parse_request(&encode_request(id, &clip, job));
            assert_eq!(taken, Some((id, DetectRequest { samples: clip.to_f32(), job })));
        }
        assert_eq!(parse_request(&[0; HEAD_BYTES - 1]), None);
    }
}
