//! The desk where a gateway asks a worker to look for a mark that takes a model, such as SilentCipher's.
//!
//! Workers that can look say so, each for [`ATTENDED`] and again and again. A gateway puts a recording on a bounded list and
//! waits for the answer, over a connection of its own; a worker takes one after another. All times are those of Redis.
//! Who finds nobody at the desk knows so; who gets no answer is told that there was none, which is never a "not detected".

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Script};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::audio::{Clip, SAMPLE_RATE};
use crate::redis_client::{RedisClient, RedisFault};
use crate::watermark::Finding;

/// Recordings on the desk at a time.
pub const WAITING_MAX: usize = 4;
/// The longest recording that is asked about, in seconds: 5.8 MB on the desk.
pub const SECONDS_MAX: u32 = 120;
/// Longest wait for an answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(60);

/// How long a worker's word that it is there is good for.
const ATTENDED: Duration = Duration::from_secs(15);
/// How often it gives it.
const ATTEND_EVERY: Duration = Duration::from_secs(5);
/// Longest wait of one call for the next recording.
const TAKE_MAX: Duration = Duration::from_secs(1);
/// Pause after a fault of Redis.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// Puts a recording on the list unless that is full, and notes that its answer is waited for. What nobody takes goes with
/// the list.
const PUT: &str = "if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end \
    redis.call('RPUSH', KEYS[1], ARGV[3]) redis.call('PEXPIRE', KEYS[1], ARGV[2]) \
    redis.call('SET', KEYS[2], 1, 'PX', ARGV[2]) return 1";
/// Leaves an answer for the one who waits, for as long as that may still be.
const ANSWER: &str = "redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1";
/// Notes until when a worker's word is good.
const ATTEND: &str = "redis.call('ZADD', KEYS[1], redis.call('TIME')[1] + ARGV[1], ARGV[2]) \
    redis.call('EXPIRE', KEYS[1], ARGV[1]) return 1";
/// Counts the workers whose word is good.
const COUNT: &str = "return redis.call('ZCOUNT', KEYS[1], redis.call('TIME')[1], '+inf')";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Too many wait already.
    #[error("{WAITING_MAX} recordings wait to be looked at; that is the limit")]
    Full,
    /// Nobody answered.
    #[error("no worker answered within {} s", ANSWER_MAX.as_secs())]
    NoAnswer,
    /// A worker answered that it could not look.
    #[error("the worker could not look: {0}")]
    Failed(String),
    /// The answer is none.
    #[error("the worker's answer cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Redis is out of reach, or full.
    #[error(transparent)]
    Redis(#[from] RedisFault),
}

/// Both sides of the desk. Cloning shares the way to Redis.
#[derive(Clone)]
pub struct DetectDesk {
    redis: RedisClient,
    /// What all its keys begin with; they share a hash tag.
    root: String,
}

/// What a worker says: the findings, or why there are none.
type Answer = Result<Vec<Finding>, String>;

impl DetectDesk {
    /// The desk of the fleet that `redis` serves.
    #[must_use]
    pub fn new(redis: RedisClient) -> Self {
        Self { root: format!("{}:{{detect}}:", redis.prefix()), redis }
    }

    fn key(&self, name: impl fmt::Display) -> String {
        format!("{}{name}", self.root)
    }

    /// Whether a worker is there to look.
    ///
    /// # Errors
    /// [`RedisFault`].
    pub async fn attended(&self) -> Result<bool, RedisFault> {
        let count = Script::new(COUNT);
        let mut count = count.prepare_invoke();
        Ok(self.redis.script::<u64>(count.key(self.key("attended"))).await? > 0)
    }

    /// Has a recording looked at; of one longer than [`SECONDS_MAX`] the beginning.
    ///
    /// # Errors
    /// [`DeskError`]: nothing is known about the recording then.
    pub async fn ask(&self, clip: &Clip) -> Result<Vec<Finding>, DeskError> {
        let id = Uuid::new_v4();
        let reply = self.key(format_args!("reply:{id}"));
        // The way back first: an answer that comes before somebody listens waits in its list.
        let mut listening = self.redis.blocking_connection(&reply, ANSWER_MAX).await?;
        let question = question(id, clip);
        let put = Script::new(PUT);
        let mut put = put.prepare_invoke();
        put.key(self.key("waiting"))
            .key(self.key(format_args!("open:{id}")))
            .arg(WAITING_MAX)
            .arg(ANSWER_MAX.as_millis() as u64)
            .arg(question);
        if self.redis.script_once::<u8>(&put).await? == 0 {
            return Err(DeskError::Full);
        }
        let answer: Option<(String, Vec<u8>)> = Cmd::new()
            .arg("BLPOP")
            .arg(&reply)
            .arg(ANSWER_MAX.as_secs_f64())
            .query_async(&mut listening)
            .await
            .map_err(RedisFault::from)?;
        let (_, answer) = answer.ok_or(DeskError::NoAnswer)?;
        serde_json::from_slice::<Answer>(&answer)?.map_err(DeskError::Failed)
    }

    /// Looks at recordings, one after another, until `stop`, and then finishes the one in hand. `detect` runs on a thread that
    /// may block; it takes samples at 24 kHz, full scale 1.
    pub async fn serve<F>(&self, detect: F, stop: CancellationToken)
    where
        F: Fn(&[f32]) -> Result<Vec<Finding>, String> + Send + Sync + 'static,
    {
        let detect = Arc::new(detect);
        let who = Uuid::new_v4().to_string();
        tokio::select! {
            () = self.attend(&who) => {}
            () = self.take_turns(&detect, &stop) => {}
        }
        // Nobody should wait for one who has left. That it cannot be told costs the next caller a wait.
        let _: Result<u8, _> = self.redis.command_once(Cmd::new().arg("ZREM").arg(self.key("attended")).arg(who)).await;
    }

    /// Says again and again that somebody is here.
    async fn attend(&self, who: &str) {
        let (mut again, attend) = (tokio::time::interval(ATTEND_EVERY), Script::new(ATTEND));
        loop {
            again.tick().await;
            let mut here = attend.prepare_invoke();
            here.key(self.key("attended")).arg(ATTENDED.as_secs()).arg(who);
            if let Err(error) = self.redis.script_once::<u8>(&here).await {
                tracing::warn!(%error, "cannot say that this worker looks for marks");
            }
        }
    }

    /// Ends between two turns, so that nothing is taken off the list and forgotten.
    async fn take_turns<F>(&self, detect: &Arc<F>, stop: &CancellationToken)
    where
        F: Fn(&[f32]) -> Result<Vec<Finding>, String> + Send + Sync + 'static,
    {
        let mut connection = None;
        while !stop.is_cancelled() {
            if let Err(error) = self.take_turn(detect, &mut connection).await {
                tracing::warn!(%error, "the desk of the detectors is out of reach");
                connection = None;
                stop.run_until_cancelled(tokio::time::sleep(FAULT_PAUSE)).await;
            }
        }
    }

    /// Waits for one recording and answers it, or for nothing.
    async fn take_turn<F>(
        &self,
        detect: &Arc<F>,
        connection: &mut Option<MultiplexedConnection>,
    ) -> Result<(), RedisFault>
    where
        F: Fn(&[f32]) -> Result<Vec<Finding>, String> + Send + Sync + 'static,
    {
        let waiting = self.key("waiting");
        let taking = match connection {
            Some(taking) => taking,
            None => connection.insert(self.redis.blocking_connection(&waiting, TAKE_MAX).await?),
        };
        let mut take = Cmd::new();
        take.arg("BLPOP").arg(&waiting).arg(TAKE_MAX.as_secs_f64());
        let taken: Option<(String, Vec<u8>)> = take.query_async(taking).await?;
        let Some((id, samples)) = taken.and_then(|(_, question)| asked(&question)) else { return Ok(()) };
        let mut open = Cmd::new();
        open.arg("EXISTS").arg(self.key(format_args!("open:{id}")));
        if !self.redis.command_once::<bool>(&open).await? {
            return Ok(());
        }
        let detect = Arc::clone(detect);
        let looked = tokio::task::spawn_blocking(move || detect(&samples)).await;
        let answer: Answer = looked.unwrap_or_else(|died| Err(died.to_string()));
        if let Err(error) = &answer {
            tracing::error!(error, "a recording could not be looked at");
        }
        let text = serde_json::to_vec(&answer).unwrap_or_default();
        let leave = Script::new(ANSWER);
        let mut leave = leave.prepare_invoke();
        leave.key(self.key(format_args!("reply:{id}"))).arg(text).arg(ANSWER_MAX.as_millis() as u64);
        self.redis.script_once::<u8>(&leave).await.map(|_| ())
    }
}

/// A recording on the desk: the answer's id and the samples.
fn question(id: Uuid, clip: &Clip) -> Vec<u8> {
    let samples = &clip.samples()[..clip.samples().len().min((SECONDS_MAX * SAMPLE_RATE) as usize)];
    let mut question = Vec::with_capacity(16 + 2 * samples.len());
    question.extend_from_slice(id.as_bytes());
    question.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    question
}

/// Reads a recording off the desk.
fn asked(question: &[u8]) -> Option<(Uuid, Vec<f32>)> {
    let (id, pcm) = question.split_first_chunk::<16>()?;
    Some((Uuid::from_bytes(*id), Clip::from_pcm(pcm).ok()?.to_f32()))
}
