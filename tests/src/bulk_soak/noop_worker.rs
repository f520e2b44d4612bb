//! A worker without a model, as a process: each job takes a set time. Claims, heartbeats, files and
//! commits are a worker's own, through `csm-queue`. The file is a marked sound, made once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use csm_queue::live::Live;
use csm_queue::queue::{Claim, Claimed, Queue, QueueArgs, WorkerCapacity, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::audio::{Clip, FRAME_SAMPLES};
use csm_shared::errln;
use csm_shared::job::{AudioFormat, Receipt};
use csm_shared::process::digest::sha256_hex;
use csm_shared::store::{ObjectKey, Store, StoreArgs};
use csm_shared::watermark::{Finding, Watermark, WatermarkKey};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

/// Longest time for retries of a command.
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames of each file: 1.2 s, which is enough for the mark.
const FRAMES: u32 = 15;
/// Largest sample of the sound.
const LOUDNESS: f32 = 0.2;

/// Settings of a worker without a model.
#[derive(Args, Clone, Debug)]
pub struct NoopArgs {
    /// Jobs at a time
    #[arg(long, default_value_t = 16)]
    slots: u8,
    /// Time of a job, in milliseconds
    #[arg(long, default_value_t = 100)]
    job_ms: u64,
    /// Address of Redis.
    #[command(flatten)]
    redis: RedisArgs,
    /// Store of the files.
    #[command(flatten)]
    store: StoreArgs,
}

/// Claims and ends jobs until the process is killed.
///
/// # Errors
/// If Redis or the store cannot be opened, or stay away.
pub async fn work(args: NoopArgs) -> anyhow::Result<()> {
    let client = RedisClient::new(&args.redis, PATIENCE)?;
    let store = args.store.build().await?;
    let (file, findings) = marked_sound();
    let worker = Arc::new(NoopWorker {
        queue: Queue::new(client.clone(), &QueueArgs::default()),
        live: Live::new(client).with_store(store.clone()),
        store,
        id: WorkerId::of_this_process("noop"),
        job: Duration::from_millis(args.job_ms),
        sha256: sha256_hex(&file),
        file,
        findings,
    });
    worker.run(args.slots).await
}

/// Makes a sound of noise with the development mark, and what the detector says of it.
fn marked_sound() -> (Bytes, Vec<Finding>) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let samples = FRAMES as usize * FRAME_SAMPLES;
    let noise: Vec<f32> = (0..samples).map(|_| random.random_range(-LOUDNESS..LOUDNESS)).collect();
    let watermark = Watermark::new(&WatermarkKey::development());
    let mut stream = watermark.stream();
    let mut marked = stream.push(&noise);
    marked.append(stream.finish());
    let finding = watermark.detector().examine(&marked.to_f32());
    (Clip::from_samples(marked.into_samples()).to_wav().into(), vec![finding])
}

struct NoopWorker {
    queue: Queue,
    live: Live,
    store: Store,
    id: WorkerId,
    /// Time of a job.
    job: Duration,
    file: Bytes,
    sha256: String,
    findings: Vec<Finding>,
}

impl NoopWorker {
    async fn run(self: Arc<Self>, slots: u8) -> anyhow::Result<()> {
        let places = Arc::new(Semaphore::new(slots.into()));
        let (running, left) = (Arc::new(AtomicU8::new(0)), Arc::new(Notify::new()));
        let (mut wake, mut claimer) = (self.queue.wake_listener(), self.queue.claimer(&self.id, "noop"));
        let mut jobs = JoinSet::new();
        loop {
            while jobs.try_join_next().is_some() {}
            let place = Arc::clone(&places).acquire_owned().await.context("places are never closed")?;
            let busy = running.load(Ordering::SeqCst);
            let capacity = WorkerCapacity { running: busy, bulk: busy, ..WorkerCapacity::empty(slots) };
            let job = match claimer.claim(capacity).await {
                Ok(Claim::Job(job)) => job,
                Ok(_) => {
                    tokio::select! {
                        // Without an answer of Redis the next claim waits for it.
                        woken = wake.wait(capacity) => if let Ok(shard) = woken { claimer.begin_with(shard) },
                        () = left.notified() => {}
                    }
                    continue;
                }
                Err(error) => {
                    errln!("cannot claim: {error}");
                    continue;
                }
            };
            running.fetch_add(1, Ordering::SeqCst);
            let (worker, running, left) = (Arc::clone(&self), Arc::clone(&running), Arc::clone(&left));
            jobs.spawn(async move {
                if let Err(error) = worker.end(*job).await {
                    errln!("a job did not end: {error:#}");
                }
                running.fetch_sub(1, Ordering::SeqCst);
                drop(place);
                left.notify_one();
            });
        }
    }

    /// Takes the time of a job, stores its file and commits it.
    async fn end(&self, job: Claimed) -> anyhow::Result<()> {
        tokio::time::sleep(self.job).await;
        let (at, spec) = (job.lease.at().clone(), &job.spec);
        let name = spec.audio_name.as_ref().context("a job of no batch")?;
        let key = ObjectKey::named_audio(name.as_str(), at.attempt, self.id.tag(), AudioFormat::Wav.name())?;
        self.store.put(&key, self.file.clone(), AudioFormat::Wav.media_type()).await?;
        let receipt = Receipt {
            seed: spec.sampling.seed.get(),
            worker: self.id.to_string(),
            attempt: at.attempt,
            bytes: self.file.len() as u64,
            sha256: self.sha256.clone(),
            format: AudioFormat::Wav,
            watermarks: self.findings.clone(),
            location: key.to_string(),
            ..csm_testing::receipt_of_frames(FRAMES)
        };
        job.lease.succeed(&receipt).await?;
        Ok(self.live.conclude(&self.queue, &at.id).await?)
    }
}
