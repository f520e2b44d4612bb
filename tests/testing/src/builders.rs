//! Builders of valid jobs and receipts: a test names only the fields that it is about.

use csm_shared::job::{
    AudioBudget, AudioFormat, Context, Delivery, FinishReason, JobSpec, Lane, Receipt, Seed, Segment, Text,
};

/// Frames of a default job's budget.
const BUDGET_FRAMES: u64 = 10;
/// Samples of one frame at 24 kHz.
const FRAME_SAMPLES: u64 = 1_920;

/// Builder of a valid job.
#[derive(Clone, Debug)]
pub struct JobBuilder(JobSpec);

/// Begins a job: "Hello." with seed 7, ten frames at most, every other field at its default.
#[must_use]
pub fn job() -> JobBuilder {
    JobBuilder(JobSpec::new(Text::new("Hello.").unwrap(), Seed::new(7))).frames(BUDGET_FRAMES)
}

impl JobBuilder {
    /// Sets the text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.0.text = Text::new(text).unwrap();
        self
    }

    /// Sets the budget in frames of 80 ms.
    #[must_use]
    pub fn frames(mut self, frames: u64) -> Self {
        self.0.budget = AudioBudget::from_ms(frames * 80).unwrap();
        self
    }

    /// Sets the seed of the draws.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.sampling.seed = Seed::new(seed);
        self
    }

    /// Sets the lane.
    #[must_use]
    pub fn lane(mut self, lane: Lane) -> Self {
        self.0.lane = lane;
        self
    }

    /// Sets the format of the result.
    #[must_use]
    pub fn format(mut self, format: AudioFormat) -> Self {
        self.0.format = format;
        self
    }

    /// Sets the way of the result to its caller.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = delivery;
        self
    }

    /// Sets the context.
    #[must_use]
    pub fn context(mut self, segments: Vec<Segment>) -> Self {
        self.0.context = Context::new(segments).unwrap();
        self
    }

    /// Returns the job.
    #[must_use]
    pub fn spec(self) -> JobSpec {
        self.0
    }
}

/// Makes the receipt of a first attempt at ten frames that ended by the model. Tests change fields
/// by struct update.
#[must_use]
pub fn receipt() -> Receipt {
    receipt_of_frames(BUDGET_FRAMES as u32)
}

/// Makes the receipt of a first attempt at `frames` frames.
#[must_use]
pub fn receipt_of_frames(frames: u32) -> Receipt {
    Receipt {
        seed: 7,
        model: "test".into(),
        noise_only: true,
        weights_sha256: "00".into(),
        worker: "host:1".into(),
        attempt: 1,
        frames,
        resumed_frames: 0,
        voice: None,
        speed: None,
        samples: u64::from(frames) * FRAME_SAMPLES,
        duration_ms: u64::from(frames) * 80,
        finish_reason: FinishReason::Eos,
        warnings: Vec::new(),
        queue_ms: 1,
        compute_ms: 1,
        first_audio_ms: Some(1),
        rtf: Some(0.5),
        bytes: 10,
        sha256: "ab".into(),
        format: AudioFormat::default(),
        watermarks: Vec::new(),
        location: "audio/x/a1.wav".into(),
        sentences: Vec::new(),
        turns: Vec::new(),
        editable_until: None,
        trace_id: None,
    }
}
