//! Hashes of jobs in a real Redis, read as records and as payloads, and met by the scripts.
//!
//! An input holds the fields of one hash, a line each: `name=value`. They replace those of a job
//! that waits in a lane.

use std::time::Duration;

use clap::Parser;
use csm_queue::local_redis::LocalRedis;
use csm_queue::queue::{Queue, QueueArgs, QueueError, RedisKeys, WorkerCapacity, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::job::{JobId, wire};
use csm_testing::job;
use csm_testing::mutator::read_corpus;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::fuzz_gateway::redis_without_file;
use super::fuzz_run::FuzzTarget;
use super::{corpus_folder, without_digits};

/// Longest fault of Redis that a call waits out.
const PATIENCE: Duration = Duration::from_secs(1);
/// Slots of the worker that claims.
const SLOTS: u8 = 4;

/// Queue on a Redis of its own.
pub(super) struct RedisRecords {
    queue: Queue,
    keys: RedisKeys,
    connection: MultiplexedConnection,
    _redis: LocalRedis,
    _folder: TempDir,
}

/// Settings of the queue, with its own defaults.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    queue: QueueArgs,
}

impl RedisRecords {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("csm-fuzz-").tempdir()?;
        let redis = redis_without_file(&folder).await?;
        let settings = Settings::try_parse_from(["queue", &format!("--redis-url={}", redis.url())])?;
        let client = RedisClient::new(&settings.redis, PATIENCE)?;
        let connection = redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?;
        let keys = RedisKeys::new(client.prefix(), 0);
        Ok(Self { queue: Queue::new(client, &settings.queue), keys, connection, _redis: redis, _folder: folder })
    }

    /// Puts a job into a lane, replaces fields of its hash, and lets everything meet it.
    async fn meet(&self, fields: &[(&[u8], &[u8])]) -> Result<String, QueueError> {
        let (mut connection, id) = (self.connection.clone(), JobId::generate());
        let clear = redis::cmd("FLUSHDB").query_async::<()>(&mut connection).await;
        clear.map_err(|error| QueueError::Corrupt(error.to_string()))?;
        self.queue.enqueue(&csm_queue::queue::Ticket::new(id), &job().spec()).await?;
        let mut set = redis::cmd("HSET");
        set.arg(self.keys.job(&id));
        for (name, value) in fields {
            set.arg(*name).arg(*value);
        }
        let set = set.query_async::<()>(&mut connection).await;
        set.map_err(|error| QueueError::Corrupt(error.to_string()))?;

        let record = kind(&self.queue.record(&id).await);
        let ahead = kind(&self.queue.ahead(&id).await);
        let mut claimer = self.queue.claimer(&WorkerId::of_this_process("fuzz"), "fuzz");
        let claim = kind(&claimer.claim(WorkerCapacity::empty(SLOTS)).await);
        let mended = kind(&self.queue.reconcile_after(Duration::ZERO).await);
        let reaped = kind(&self.queue.reap().await);
        let cancel = kind(&self.queue.cancel(&id).await);
        let stats = kind(&self.queue.stats().await);
        Ok([record, ahead, claim, mended, reaped, cancel, stats].join(" "))
    }
}

/// Returns what an answer is, without its numbers and ids.
fn kind<T: std::fmt::Debug>(answer: &Result<T, QueueError>) -> String {
    const CHARS_MAX: usize = 12;
    match answer {
        Ok(value) => format!("{value:?}").chars().take_while(|c| c.is_alphabetic()).take(CHARS_MAX).collect(),
        Err(QueueError::Corrupt(what)) => {
            let reason = what.rsplit(": ").next().unwrap_or_default();
            format!("corrupt-{}", without_digits(reason).chars().take(CHARS_MAX).collect::<String>())
        }
        Err(error) => format!("{error:?}").chars().take_while(|c| c.is_alphabetic()).collect(),
    }
}

impl FuzzTarget for RedisRecords {
    const NAME: &'static str = "redis-records";
    const INPUT_BYTES_MAX: usize = 16 * 1024;
    const PEAK_BYTES_MAX: usize = 16 * 1024 * 1024;
    const WORDS: &'static [&'static str] = &[
        "\nstate=",
        "\nlane=",
        "\nattempt=",
        "\nfailures=",
        "\ncrashes=",
        "\nsuspect=1",
        "\ntenant=",
        "\nowner=",
        "\ncancel=1",
        "\nmax_frames=",
        "\ncost=",
        "\ncreated_ms=",
        "\nexpires_ms=",
        "\ndeadline_ms=",
        "\nreceipt={",
        "\nfailure={",
        "\nspec={\"v\":\"1\"",
        "\nqueue=live",
        "\nentry=",
        "\nparked=1",
        "running",
        "queued",
        "succeeded",
        "live",
        "nan",
        "inf",
        "0x10",
    ];

    fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(read_corpus(&corpus_folder(Self::NAME))?)
    }

    async fn read(&self, input: Vec<u8>) -> Result<String, String> {
        let lines = input.split(|&byte| byte == b'\n').filter_map(|line| {
            let at = line.iter().position(|&byte| byte == b'=')?;
            Some((&line[..at], &line[at + 1..]))
        });
        let fields: Vec<(&[u8], &[u8])> = lines.collect();
        if fields.is_empty() {
            return Ok("no field".to_owned());
        }
        let payload = fields.iter().find(|(name, _)| *name == b"spec").map(|(_, value)| *value);
        let decoded = payload.and_then(|payload| std::str::from_utf8(payload).ok()).map(wire::decode);
        let decoded = match decoded {
            Some(Err(error)) => without_digits(&error.to_string()),
            Some(Ok(_)) => "decoded".to_owned(),
            None => "no payload".to_owned(),
        };
        let met = Box::pin(self.meet(&fields)).await.map_err(|error| format!("the job was not set up: {error}"))?;
        Ok(format!("{decoded} {met}"))
    }
}
