//! Measurement of one Rust job queue: no-op jobs per second, and the wait from the enqueue call to the
//! handler's start.
//!
//!     queue-peers bullmq-official|apalis-redis --redis URL --jobs N --consumers C --latency-jobs M
//!
//! Producer and consumers run in this one process, each with its own connections. The last line of
//! stdout is one JSON object; see `../README.md` for what its fields mean.

mod apalis_peer;
mod board;
mod bullmq_peer;
mod drive;

use std::sync::Arc;

use board::Board;
use drive::{Peer, Rate, WARM_UP, Wait};

/// Result of any step.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Consumers that one worker object runs, as a worker process of csm-fleet runs five slots.
pub const PER_WORKER: usize = 5;

struct Args {
    peer: String,
    redis: String,
    jobs: usize,
    consumers: usize,
    latency_jobs: usize,
}

impl Args {
    fn read() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let peer = words.next().ok_or("which peer: bullmq-official or apalis-redis?")?;
        let mut args = Self { peer, redis: String::new(), jobs: 0, consumers: PER_WORKER, latency_jobs: 0 };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--redis" => args.redis = value,
                "--jobs" => args.jobs = value.parse()?,
                "--consumers" => args.consumers = value.parse()?,
                "--latency-jobs" => args.latency_jobs = value.parse()?,
                _ => return Err(format!("no such option: {name}").into()),
            }
        }
        if args.redis.is_empty() {
            return Err("--redis URL is missing".into());
        }
        Ok(args)
    }

    /// Slots of each worker object: fives, and the rest.
    fn workers(&self) -> Vec<usize> {
        let full = self.consumers / PER_WORKER;
        let rest = self.consumers % PER_WORKER;
        std::iter::repeat_n(PER_WORKER, full).chain((rest > 0).then_some(rest)).collect()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::read()?;
    // Some peers would go on trying.
    redis::Client::open(args.redis.as_str())?.get_multiplexed_async_connection().await?;
    let board = Arc::new(Board::new(WARM_UP + args.jobs + args.latency_jobs));
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let queue = format!("queue-peer-{}-{nanos}", std::process::id());
    let outcome = match args.peer.as_str() {
        "bullmq-official" => {
            let peer = bullmq_peer::Bullmq::start(&args.redis, &queue, &args.workers(), &board).await?;
            measure(Arc::new(peer), &board, &args).await
        }
        "apalis-redis" => {
            let peer = apalis_peer::Apalis::start(&args.redis, &queue, &args.workers(), &board).await?;
            measure(Arc::new(peer), &board, &args).await
        }
        other => return Err(format!("no such peer: {other}").into()),
    };
    delete_keys(&args.redis, &queue).await?;
    println!("{}", outcome?);
    Ok(())
}

/// Runs both measurements, stops the peer and returns the JSON line.
async fn measure<P: Peer>(peer: Arc<P>, board: &Arc<Board>, args: &Args) -> Result<String> {
    let outcome = run(&peer, board, args).await;
    peer.stop().await?;
    let (rate, wait) = outcome?;
    let line = serde_json::json!({
        "peer": args.peer,
        "version": version(&args.peer).ok_or("Cargo.lock does not name the peer")?,
        "jobs": args.jobs,
        "enqueue_seconds": rate.enqueue_seconds,
        "jobs_per_second": args.jobs as f64 / rate.seconds,
        "wait_p50_ms": wait.p50_ms,
        "wait_p99_ms": wait.p99_ms,
        "guarantee": P::GUARANTEE,
        "shape": P::SHAPE,
    });
    Ok(line.to_string())
}

async fn run<P: Peer>(peer: &Arc<P>, board: &Arc<Board>, args: &Args) -> Result<(Rate, Wait)> {
    drive::throughput(peer, board, 0, WARM_UP).await?;
    let rate = drive::throughput(peer, board, WARM_UP, args.jobs).await?;
    let wait = drive::latency(peer, board, WARM_UP + args.jobs, args.latency_jobs).await?;
    Ok((rate, wait))
}

/// The version of a crate that this program was built with.
fn version(name: &str) -> Option<&'static str> {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = include_str!("../Cargo.lock").split_once(&entry)?;
    rest.split('"').next()
}

/// Removes every key that has this run's queue name in it.
async fn delete_keys(url: &str, queue: &str) -> Result<()> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("*{queue}*")).arg("COUNT").arg(1000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        if !keys.is_empty() {
            redis::cmd("UNLINK").arg(keys).exec_async(&mut connection).await?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}
