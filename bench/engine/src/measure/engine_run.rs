//! The engine as a worker runs it: codec beside the model, prompts fed between steps.
//!
//! Only this measurement shows the delay of the first sound, and the pause of a running row during
//! another row's prompt. Further results are the throughput of all slots while the codec overlaps
//! the steps, and the memory of full slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::{BenchError, Subject, prompt_ids, sampling};
use csm_engine::engine::{Engine, EngineConfig, EngineError, EngineStats, FrameStream, Utterance};
use csm_engine::model::{CsmConfig, ModelError, WeightChoice};

/// Frames of an utterance whose prompt fills the rest of the window.
const FRAMES_OF_THE_FULL: u32 = 4;

/// Settings of the measurement.
#[derive(Clone, Debug)]
pub struct EnginePlan {
    /// Model and device.
    pub subject: Subject,
    /// Number format of the weights.
    pub weights: WeightChoice,
    /// Utterances at once, 2 or more.
    pub slots: usize,
    /// Frames of each part of the measurement.
    pub frames: u32,
    /// Positions of the prompt that is admitted beside a running row.
    pub admitted: usize,
}

/// Results of the measurement.
#[derive(Clone, Debug)]
pub struct EngineTimings {
    /// Number format of the matrices.
    pub format: String,
    /// Time from admission to the first sound of an utterance alone.
    pub first_sound: Duration,
    /// Frames that the model had made by the first sound.
    pub first_sound_frames: u64,
    /// Counters of one utterance alone.
    pub alone: EngineStats,
    /// Counters of a running utterance, while the long prompt was read and until its first sound.
    pub admitting: EngineStats,
    /// Counters of all slots at once.
    pub together: EngineStats,
    /// Duration of the part with all slots.
    pub together_for: Duration,
}

/// Loads the engine, takes the timings, and fills every slot to the last position of the window.
///
/// # Errors
/// The folder cannot be loaded, or the engine fails.
pub async fn run_engine(plan: &EnginePlan) -> Result<EngineTimings, BenchError> {
    let text_vocab = CsmConfig::from_folder(&plan.subject.folder).map_err(ModelError::from)?.text_vocab;
    let config = EngineConfig {
        folder: plan.subject.folder.clone(),
        model: "bench".to_owned(),
        device: plan.subject.device,
        slots: plan.slots,
        weights: plan.weights,
        threads: plan.subject.threads,
        prefix_cache_bytes: 0,
    };
    let bench = BenchEngine { engine: Engine::start(config)?.ready().await?, text_vocab };
    let (first_sound, first_sound_frames, alone) = bench.alone(plan).await?;
    let admitting = bench.admitting(plan).await?;
    let (together, together_for) = bench.together(plan).await?;
    bench.fill(plan).await?;
    let format = bench.engine.info().dtype.clone();
    Ok(EngineTimings { format, first_sound, first_sound_frames, alone, admitting, together, together_for })
}

#[derive(Clone)]
struct BenchEngine {
    engine: Engine,
    text_vocab: usize,
}

impl BenchEngine {
    fn utterance(&self, which: usize, positions: usize, max_frames: u32) -> Utterance {
        let text_ids = prompt_ids(self.text_vocab, which, positions).collect();
        Utterance {
            context: Vec::new(),
            recurring: 0,
            text_ids,
            sampling: sampling(which),
            max_frames,
            first_frame: 0,
            resumed_frames: Vec::new(),
            decode_only: false,
        }
    }

    /// Returns how many positions of the window a prompt of `positions` leaves for frames.
    fn frames_left(&self, positions: usize) -> u32 {
        u32::try_from(self.engine.info().max_positions.saturating_sub(positions)).unwrap_or(u32::MAX)
    }

    /// Admits an utterance and waits for its first sound.
    async fn begin(&self, which: usize, positions: usize) -> Result<FrameStream, EngineError> {
        let mut stream = self.engine.admit(self.utterance(which, positions, self.frames_left(positions))).await?;
        stream.next().await.transpose()?;
        Ok(stream)
    }

    /// Reads frames without end, and adds a permit to `heard` for each. An utterance that ends is
    /// followed by another.
    async fn listen(
        self,
        mut stream: FrameStream,
        which: usize,
        positions: usize,
        heard: Arc<Semaphore>,
    ) -> Result<(), EngineError> {
        loop {
            match stream.next().await.transpose()? {
                Some(_) => heard.add_permits(1),
                None => stream = self.begin(which, positions).await?,
            }
        }
    }

    /// Starts an utterance in each of the first `slots` slots and waits for its first sound. The
    /// readers run until they are dropped.
    async fn running(&self, slots: usize, positions: usize) -> Result<(Readers, Arc<Semaphore>), EngineError> {
        let (mut readers, heard) = (JoinSet::new(), Arc::new(Semaphore::new(0)));
        for which in 0..slots {
            let stream = self.begin(which, positions).await?;
            readers.spawn(self.clone().listen(stream, which, positions, Arc::clone(&heard)));
        }
        Ok((readers, heard))
    }

    async fn alone(&self, plan: &EnginePlan) -> Result<(Duration, u64, EngineStats), BenchError> {
        let _before = self.engine.take_stats();
        let begun = Instant::now();
        let (mut readers, heard) = self.running(1, plan.subject.prompt).await?;
        let (first_sound, first) = (begun.elapsed(), self.engine.take_stats());
        frames_heard(&mut readers, &heard, plan.frames).await?;
        let stats = self.engine.take_stats();
        readers.shutdown().await;
        Ok((first_sound, first.frames, stats))
    }

    /// Runs one row; beside it a long prompt is read, up to its first sound.
    async fn admitting(&self, plan: &EnginePlan) -> Result<EngineStats, BenchError> {
        let (mut readers, _heard) = self.running(1, plan.subject.prompt).await?;
        let _before = self.engine.take_stats();
        tokio::select! {
            other = self.begin(1, plan.admitted) => drop(other?),
            ended = readers.join_next() => ended.map_or(Ok(()), joined)?,
        }
        let stats = self.engine.take_stats();
        readers.shutdown().await;
        Ok(stats)
    }

    /// Runs all slots at once.
    async fn together(&self, plan: &EnginePlan) -> Result<(EngineStats, Duration), BenchError> {
        let (mut readers, heard) = self.running(plan.slots, plan.subject.prompt).await?;
        heard.forget_permits(usize::MAX);
        let _before = self.engine.take_stats();
        let begun = Instant::now();
        frames_heard(&mut readers, &heard, plan.frames * plan.slots as u32).await?;
        let measured = (self.engine.take_stats(), begun.elapsed());
        readers.shutdown().await;
        Ok(measured)
    }

    /// Fills every slot with an utterance of the whole window, so that all of its memory is used
    /// once.
    async fn fill(&self, plan: &EnginePlan) -> Result<(), BenchError> {
        let positions = self.frames_left(FRAMES_OF_THE_FULL as usize) as usize;
        let mut streams = Vec::with_capacity(plan.slots);
        for which in 0..plan.slots {
            streams.push(self.engine.admit(self.utterance(which, positions, FRAMES_OF_THE_FULL)).await?);
        }
        for mut stream in streams {
            while stream.next().await.transpose()?.is_some() {}
        }
        Ok(())
    }
}

/// Tasks that read frames.
type Readers = JoinSet<Result<(), EngineError>>;

/// Waits until `frames` frames have been received since the last wait.
async fn frames_heard(readers: &mut Readers, heard: &Semaphore, frames: u32) -> Result<(), EngineError> {
    tokio::select! {
        Ok(permits) = heard.acquire_many(frames) => permits.forget(),
        ended = readers.join_next() => ended.map_or(Ok(()), joined)?,
    }
    Ok(())
}

/// Returns the result of a reader's task; a panic becomes an error.
fn joined(ended: Result<Result<(), EngineError>, JoinError>) -> Result<(), EngineError> {
    ended.unwrap_or_else(|error| Err(EngineError::Panicked(error.to_string())))
}
