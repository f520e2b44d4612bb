//! Whole attempts on the noise model with live delivery: every sample of the file is sent once, in
//! one attempt or in many.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use csm_engine::engine::{DeviceChoice, Engine, EngineConfig};
use csm_engine::model::{WeightChoice, WeightFormat};
use csm_engine::random_model::{FolderLayout, make_noise};
use csm_queue::live::{Event, EventId, Live, LiveEvent, Subscriptions};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{Claim, Claimed, Commit, Queue, QueueArgs, Ticket, WorkerCapacity, WorkerId};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::job::{AudioFormat, Delivery, FinishReason, JobId, JobSpec, Lane, Receipt};
use csm_shared::prompt::PromptTokenizer;
use csm_shared::store::{FolderStore, ObjectKey, Store};
use csm_worker::encode::AudioEncoder;
use csm_worker::health::Breaker;
use csm_worker::marks::{Marker, WatermarkKey};
use csm_worker::speak::{AttemptContext, AttemptError, AttemptProgress, PublishPace, TakeLimits, Voices};
use futures::{Stream, StreamExt as _};
use tempfile::TempDir;

/// Frames of a job: two sentences.
const FRAMES: u32 = 100;
/// Longest wait for Redis.
const PATIENCE: Duration = Duration::from_secs(20);

/// Attempt context of one worker, and the queue that feeds it.
pub(crate) struct LiveFixture {
    pub(crate) folder: TempDir,
    _redis: LocalRedis,
    pub(crate) client: RedisClient,
    queue: Queue,
    subscriptions: Subscriptions,
    pub(crate) context: AttemptContext,
}

pub(crate) async fn attempt_context(folder: &Path, client: &RedisClient, weights: WeightFormat) -> AttemptContext {
    let config = EngineConfig {
        folder: folder.join("noise"),
        model: "noise".into(),
        device: DeviceChoice::Cpu,
        slots: 1,
        weights: WeightChoice::Format(weights),
        threads: Some(1),
        prefix_cache_bytes: 0,
    };
    AttemptContext {
        engine: Engine::start(config).unwrap().ready().await.unwrap(),
        tokenizer: PromptTokenizer::from_folder(&folder.join("noise")).unwrap(),
        marker: Marker::new(&WatermarkKey::development()).unwrap(),
        encoder: AudioEncoder::default(),
        store: Store::Folder(FolderStore::open(folder.join("store")).unwrap()),
        breaker: Breaker::default(),
        voices: Voices::new(false),
        take_limits: TakeLimits::default(),
        publish_pace: PublishPace::Often,
        live: Some(Live::new(client.clone())),
        worker: "test".into(),
    }
}

impl LiveFixture {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let redis = LocalRedis::spawn(&folder.path().join("redis"), &LocalRedisOptions::default()).await.unwrap();
        let args = RedisArgs::new(redis.url(), "test");
        let client = RedisClient::new(&args, PATIENCE).unwrap();
        make_noise(&folder.path().join("noise"), FolderLayout::Transformers).unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let context = attempt_context(folder.path(), &client, WeightFormat::Q8_0).await;
        let (queue, subscriptions) =
            (Queue::new(client.clone(), &QueueArgs::default()), Subscriptions::start(client.clone()));
        Self { folder, _redis: redis, client, queue, subscriptions, context }
    }

    async fn enqueue(&self, delivery: Delivery) -> JobId {
        let text = "All good things take time, and so does this. Nothing is so good that it takes none at all.";
        let job = csm_testing::job().text(text).frames(FRAMES.into()).lane(Lane::Live).format(AudioFormat::Pcm);
        self.enqueue_spec(&job.delivery(delivery).spec()).await
    }

    pub(crate) async fn enqueue_spec(&self, spec: &JobSpec) -> JobId {
        let id = JobId::generate();
        self.queue.enqueue(&Ticket::new(id), spec).await.unwrap();
        id
    }

    pub(crate) async fn claim(&self) -> Claimed {
        match self
            .queue
            .claimer(&WorkerId::of_this_process("test"), "a test")
            .claim(WorkerCapacity::empty(1))
            .await
            .unwrap()
        {
            Claim::Job(job) => *job,
            Claim::Expired(_) | Claim::Nothing | Claim::Hold => panic!("a job waits"),
        }
    }

    async fn follow(&self, id: JobId, after: EventId) -> impl Stream<Item = LiveEvent> + Unpin + use<> {
        let events = self.subscriptions.follow(&self.queue, id, after).await.unwrap().expect("the job is known");
        Box::pin(events.map(Result::unwrap))
    }

    /// Runs an attempt to its end and commits its result.
    pub(crate) async fn finish(&self, context: &AttemptContext, job: Claimed) -> (Receipt, Vec<u8>) {
        let receipt = speak(context, &job).await.unwrap();
        let id = job.lease.at().id;
        assert_eq!(job.lease.succeed(&receipt).await.unwrap(), Commit::Committed);
        Live::new(self.client.clone()).conclude(&self.queue, &id).await.unwrap();
        let key: ObjectKey = receipt.location.parse().unwrap();
        let file = context.store.get(&key).await.unwrap().to_vec();
        (receipt, file)
    }

    /// Runs an attempt until `events` events with samples are out, then drops it and releases the
    /// job.
    async fn cut_off(&self, context: &AttemptContext, events: usize) {
        let job = self.claim().await;
        let at = job.lease.at();
        let sounding = self.follow(at.id, EventId { attempt: at.attempt, sequence: 0 }).await;
        let mut sounding = sounding.filter(|event| std::future::ready(samples(&event.event).is_some()));
        let heard = async {
            for _ in 0..events {
                sounding.next().await.unwrap();
            }
        };
        tokio::select! {
            biased;
            () = heard => {}
            spoken = Box::pin(speak(context, &job)) => panic!("it was to be cut off: {spoken:?}"),
        }
        job.lease.release().await.unwrap();
    }

    /// Returns all samples that were sent, and the number of events that brought them. The follower
    /// checks that no sample is missing.
    pub(crate) async fn sent(&self, id: JobId) -> (Vec<u8>, usize) {
        let events: Vec<_> = self.follow(id, EventId::START).await.collect().await;
        let sent: Vec<_> = events.iter().filter_map(|event| samples(&event.event)).collect();
        assert!(events.last().is_some_and(|event| matches!(event.event, Event::Done { .. })));
        (sent.concat(), sent.len())
    }
}

fn samples(event: &Event) -> Option<&[u8]> {
    match event {
        Event::Progress { audio, .. } => Some(audio.as_ref()?.pcm()),
        Event::Started { .. } | Event::Done { .. } | Event::Error { .. } => None,
    }
}

async fn speak(context: &AttemptContext, job: &Claimed) -> Result<Receipt, AttemptError> {
    context.attempt(job.lease.at(), &job.spec, job.waited, &AttemptProgress::new(context.engine.clone())).await
}

#[tokio::test]
async fn what_is_sent_is_the_file_in_one_attempt_or_in_many() {
    let fixture = LiveFixture::start().await;
    fixture.enqueue(Delivery::Store).await;
    let (receipt, undisturbed) = fixture.finish(&fixture.context, fixture.claim().await).await;
    assert_eq!((receipt.frames, receipt.finish_reason), (FRAMES, FinishReason::Length));

    let silent = fixture.enqueue(Delivery::Store).await;
    fixture.finish(&fixture.context, fixture.claim().await).await;
    assert_eq!(fixture.sent(silent).await, (vec![], 0), "nobody asked for samples");

    let live = fixture.enqueue(Delivery::Both).await;
    let (receipt, file) = fixture.finish(&fixture.context, fixture.claim().await).await;
    let (sent, events) = fixture.sent(live).await;
    assert!(file == undisturbed && sent == file);
    assert_eq!((receipt.samples as usize * 2, receipt.attempt), (sent.len(), 1));
    assert!(events >= FRAMES as usize / 6, "{events} events");

    let cut = fixture.enqueue(Delivery::Both).await;
    for events in [1, 4, 6] {
        fixture.cut_off(&fixture.context, events).await;
    }
    let (receipt, file) = fixture.finish(&fixture.context, fixture.claim().await).await;
    assert!(receipt.attempt == 4 && receipt.resumed_frames >= 20, "{receipt:?}");
    assert!(file == undisturbed && fixture.sent(cut).await.0 == undisturbed, "every sample once, in four attempts");
}

/// A worker with other weights starts the job over. A follower gets its samples from the point
/// where the first worker was cut off.
#[tokio::test]
async fn an_attempt_that_begins_anew_goes_on_behind_what_was_sent() {
    let fixture = LiveFixture::start().await;
    let job = fixture.enqueue(Delivery::Both).await;
    fixture.cut_off(&fixture.context, 5).await;
    let other = attempt_context(fixture.folder.path(), &fixture.client, WeightFormat::F32).await;
    let (receipt, file) = fixture.finish(&other, fixture.claim().await).await;
    assert_eq!((receipt.attempt, receipt.resumed_frames), (2, 0));
    let (sent, _) = fixture.sent(job).await;
    assert_eq!(sent.len(), file.len());
    let same = sent.iter().zip(&file).rev().take_while(|(sent, stored)| sent == stored).count();
    let first = file.len() - same;
    assert!(first > 0 && first < file.len() / 2, "the first {first} bytes are the first worker's");
}
