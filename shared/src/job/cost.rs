//! The cost of a job: an estimate of the work before any of it is done, and the kind of jobs whose
//! measured cost corrects the estimate.

use super::JobSpec;
use super::limits::{DEFAULT_TEMPERATURE, DEFAULT_TOPK};

/// Characters of text for each token, as the tokenizer splits English.
const CHARS_PER_TOKEN: usize = 4;
/// Positions of a prompt that take as long as one frame of speech, before anything is measured.
const POSITIONS_PER_FRAME: usize = 100;
/// Frames of a recording whose encoding takes as long as one frame of speech, before anything is
/// measured.
const ENCODED_PER_FRAME: usize = 8;
/// Largest doubling that tells budgets apart: a budget of eight times the expected speech is as
/// good as endless.
const BUDGET_DOUBLINGS_MAX: u32 = 3;

impl JobSpec {
    /// Returns the estimated cost in frames: the expected speech, the positions of the prompt, and
    /// the recordings to be encoded. The queue corrects the estimate by what jobs of the same
    /// [`Self::cost_kind`] took.
    #[must_use]
    pub fn expected_cost(&self) -> u32 {
        let segments = self.context.segments();
        let chars = |text: &super::Text| text.as_str().chars().count();
        let tokens = (self.spoken_chars() + segments.iter().map(|segment| chars(&segment.text)).sum::<usize>())
            / CHARS_PER_TOKEN;
        let recorded = self.recorded_frames();
        let prompt = (tokens + recorded) / POSITIONS_PER_FRAME + recorded / ENCODED_PER_FRAME;
        self.expected_frames().saturating_add(u32::try_from(prompt).unwrap_or(u32::MAX))
    }

    /// Returns the kind of the job: jobs of one kind take about as long for each frame of estimated
    /// cost. The parts are doublings: of the expected speech, of the budget beyond it, and of the
    /// recordings. The last part tells whether codes are drawn more freely than by default, because
    /// such speech rarely ends by itself. There are about a thousand kinds.
    ///
    /// An edit has none, because most of its frames are decoded only.
    #[must_use]
    pub fn cost_kind(&self) -> String {
        if self.editing.edit().is_some() {
            return String::new();
        }
        let expected = self.expected_frames().max(1);
        let budget = (self.budget.frames() / expected).max(1).ilog2().min(BUDGET_DOUBLINGS_MAX);
        let recorded = self.recorded_frames().checked_ilog2().map_or(0, |doublings| doublings + 1);
        let sampling = &self.sampling;
        let free = sampling.temperature.get() > DEFAULT_TEMPERATURE || sampling.topk.get() > DEFAULT_TOPK;
        format!("{}.{budget}.{recorded}.{}", expected.ilog2(), u8::from(free))
    }

    /// Returns the frames of all recordings in the context.
    fn recorded_frames(&self) -> usize {
        self.context.segments().iter().map(|segment| segment.recording.frames()).sum()
    }
}
