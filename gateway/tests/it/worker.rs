//! Worker that a test drives step by step: claims, publishes, stores a WAV file, commits.

use std::time::Duration;

use bytes::Bytes;
use csm_queue::live::{Event, EventId};
use csm_queue::queue::{Claim, Claimed, Commit, Lease, WorkerCapacity, WorkerId};
use csm_shared::audio::Clip;
use csm_shared::job::{Failure, FinishReason, Receipt, ReceiptWarning, SentenceReceipt, TurnReceipt, WarningCode};
use csm_shared::store::ObjectKey;
use csm_shared::watermark::Finding;
use sha2::{Digest as _, Sha256};

use crate::app::{PATIENCE, TestApp};

/// Worker of a test.
pub(crate) struct TestWorker {
    owner: WorkerId,
    /// Marks that the receipts of the worker name.
    findings: Vec<Finding>,
    /// Finish reason and warnings of the receipts.
    ending: (FinishReason, Vec<ReceiptWarning>),
}

impl TestWorker {
    pub(crate) fn new() -> Self {
        Self::who_found(Vec::new())
    }

    /// Makes a worker whose receipts name marks.
    pub(crate) fn who_found(findings: Vec<Finding>) -> Self {
        Self { owner: WorkerId::of_this_process("test"), findings, ending: (FinishReason::Eos, Vec::new()) }
    }

    /// Makes a worker whose receipts say that the only sentence was cut off.
    pub(crate) fn who_cuts_off() -> Self {
        let cut_off = ReceiptWarning { code: WarningCode::CutOff, sentences: vec![0] };
        Self { ending: (FinishReason::Length, vec![cut_off]), ..Self::new() }
    }

    /// Takes the next job, or none.
    pub(crate) async fn try_claim(&self, app: &TestApp) -> Option<Claimed> {
        match app.queue.claimer(&self.owner, "a test").claim(WorkerCapacity::empty(1)).await.unwrap() {
            Claim::Job(job) => Some(*job),
            _ => None,
        }
    }

    /// Takes the next job, whenever it comes.
    pub(crate) async fn claim_however_late(&self, app: &TestApp) -> Claimed {
        loop {
            if let Some(job) = self.try_claim(app).await {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a job and takes it.
    pub(crate) async fn claim(&self, app: &TestApp) -> Claimed {
        tokio::time::timeout(PATIENCE, self.claim_however_late(app)).await.unwrap()
    }

    /// Publishes the start and `frames` steps of progress.
    pub(crate) async fn progress(&self, app: &TestApp, lease: &Lease, frames: u32) {
        let (job, attempt) = (lease.at().id, lease.at().attempt);
        let started = Event::Started { worker: self.owner.to_string() };
        app.live.publish(&job, EventId { attempt, sequence: 1 }, &started).await.unwrap();
        for frame in 1..=frames {
            let event = Event::Progress { frames: frame, max_frames: 125, audio: None };
            let id = EventId { attempt, sequence: 1 + u64::from(frame) };
            app.live.publish(&job, id, &event).await.unwrap();
        }
    }

    /// Stores two frames of audio, commits them and publishes the end.
    pub(crate) async fn succeed(&self, app: &TestApp, job: Claimed) -> Receipt {
        let wav = wav(job.spec.text.as_str());
        self.succeed_with(app, job, wav).await
    }

    /// Stores a file, commits it and publishes the end.
    pub(crate) async fn succeed_with(&self, app: &TestApp, job: Claimed, wav: Vec<u8>) -> Receipt {
        let id = job.lease.at().id;
        let receipt = self.receipt(&job, &wav);
        let key: ObjectKey = receipt.location.parse().unwrap();
        app.store.put(&key, Bytes::from(wav), receipt.format.media_type()).await.unwrap();
        assert_eq!(job.lease.succeed(&receipt).await.unwrap(), Commit::Committed);
        app.live.conclude(&app.queue, &id).await.unwrap();
        receipt
    }

    /// Stores bare samples, commits them and publishes the end.
    pub(crate) async fn succeed_pcm(&self, app: &TestApp, job: Claimed, pcm: Vec<u8>) {
        let id = job.lease.at().id;
        let samples = pcm.len() as u64 / 2;
        let receipt = Receipt { samples, frames: (samples / 1_920) as u32, ..self.receipt(&job, &pcm) };
        let key: ObjectKey = receipt.location.parse().unwrap();
        app.store.put(&key, Bytes::from(pcm), receipt.format.media_type()).await.unwrap();
        assert_eq!(job.lease.succeed(&receipt).await.unwrap(), Commit::Committed);
        app.live.conclude(&app.queue, &id).await.unwrap();
    }

    /// Fails a job for good and publishes the end.
    pub(crate) async fn fail(&self, app: &TestApp, lease: Lease, failure: &Failure) {
        let job = lease.at().id;
        assert_eq!(lease.fail(failure).await.unwrap(), Commit::Committed);
        app.live.conclude(&app.queue, &job).await.unwrap();
    }

    /// Claims and speaks `jobs` jobs, one after another.
    pub(crate) async fn work(&self, app: &TestApp, jobs: usize) {
        for _ in 0..jobs {
            let job = self.claim(app).await;
            self.succeed(app, job).await;
        }
    }

    fn receipt(&self, job: &Claimed, wav: &[u8]) -> Receipt {
        let at = job.lease.at();
        let samples = (wav.len() as u64 - 44) / 2;
        let sentence = SentenceReceipt {
            text: job.spec.text.as_str().to_owned(),
            written: job.spec.text.as_str().to_owned(),
            start_char: 0,
            end_char: job.spec.text.as_str().chars().count() as u32,
            frames: 2,
            start_ms: 0,
            duration_ms: 160,
            prompt_positions: 9,
            context_positions: 0,
            max_frames: 125,
            finish_reason: FinishReason::Eos,
            retakes: Vec::new(),
            fault: None,
            seed: None,
        };
        Receipt {
            seed: job.spec.sampling.seed.get(),
            model: "test".into(),
            noise_only: true,
            weights_sha256: "0".repeat(64),
            worker: self.owner.to_string(),
            attempt: at.attempt,
            frames: (samples / 1_920) as u32,
            resumed_frames: 0,
            voice: None,
            speed: None,
            samples,
            duration_ms: samples / 24,
            finish_reason: self.ending.0,
            warnings: self.ending.1.clone(),
            queue_ms: job.waited.as_millis() as u64,
            compute_ms: 1,
            first_audio_ms: Some(1),
            rtf: Some(0.1),
            bytes: wav.len() as u64,
            sha256: Sha256::digest(wav).iter().map(|byte| format!("{byte:02x}")).collect(),
            format: job.spec.format,
            watermarks: self.findings.clone(),
            location: location(job),
            sentences: vec![sentence],
            turns: turns(job),
            editable_until: None,
            trace_id: None,
        }
    }
}

/// Accounts for the turns of a dialogue, each as long as a second.
fn turns(job: &Claimed) -> Vec<TurnReceipt> {
    let turns = (0..).zip(job.spec.turns.as_slice());
    let receipt = turns.map(|(number, turn)| TurnReceipt {
        text: turn.text.as_str().to_owned(),
        speaker: turn.speaker.get(),
        voice: turn.voice,
        start_ms: number * 1_500,
        duration_ms: 1_000,
    });
    receipt.collect()
}

/// Returns the store key of a job's audio.
fn location(job: &Claimed) -> String {
    let (at, extension) = (job.lease.at(), job.spec.format.name());
    let key = match &job.spec.audio_name {
        Some(name) => ObjectKey::named_audio(name.as_str(), at.attempt, at.worker_id().tag(), extension),
        None => ObjectKey::audio(&at.id.to_string(), at.attempt, at.worker_id().tag(), extension),
    };
    key.unwrap().to_string()
}

/// Makes the audio of a text: two frames whose samples depend on the text.
pub(crate) fn wav(text: &str) -> Vec<u8> {
    let letters = text.bytes().cycle().take(2 * 1_920);
    Clip::from_samples(letters.zip((0..50).cycle()).map(|(letter, n)| i16::from(letter) * n).collect()).to_wav()
}
