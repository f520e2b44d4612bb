//! Generation of a job sentence by sentence. Each sentence has the voice and the last sentences as
//! context, and all become one recording.
//!
//! Between two sentences the job holds no slot for a moment. No other job can take that slot: a
//! worker runs as many jobs as its engine has slots, and each job holds at most one.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::ops::Range;

use csm_shared::audio::{Frame, SAMPLE_RATE};
use csm_shared::job::{FinishReason, ReceiptWarning, Sampling, SentenceReceipt, WarningCode};
use csm_shared::prompt::{PlannedSentence, SpeechPlan};
use csm_shared::text::Pause;

use super::attempt_error::AttemptError;
use super::context_window::{ContextWindow, UtteranceContext};
use super::join::{Joiner, pause_frames};
use csm_engine::engine::{AudioFrame, Engine, EngineError, FrameStream, PromptSegment, Utterance};

/// Tries of a sentence for which the model speaks nothing, the first included. Each try draws other
/// codes.
const EMPTY_TRIES_MAX: u32 = 4;
/// Distance between the draw indices of two tries: more than the frames of any job. All tries stay
/// below the distance that the engine itself adds for its second try (2^30).
const DRAWS_PER_TRY: u32 = 1 << 27;

const _: () = assert!(DRAWS_PER_TRY * EMPTY_TRIES_MAX < 1 << 30);

/// Generator of utterances: the engine, or a script in tests.
pub(super) trait SpeechEngine {
    /// Frames of one utterance.
    type Frames: Frames;

    /// Begins an utterance.
    fn admit(&self, utterance: Utterance) -> impl Future<Output = Result<Self::Frames, EngineError>> + Send;
}

/// Frames of one utterance; dropping them cancels it.
pub(super) trait Frames {
    /// Returns the next frame, or `None` after the last.
    fn next(&mut self) -> impl Future<Output = Option<Result<AudioFrame, EngineError>>> + Send;

    /// Returns the reason that the utterance ended, once it has.
    fn finish_reason(&self) -> Option<FinishReason>;
}

impl SpeechEngine for Engine {
    type Frames = FrameStream;

    async fn admit(&self, utterance: Utterance) -> Result<FrameStream, EngineError> {
        Self::admit(self, utterance).await
    }
}

impl Frames for FrameStream {
    async fn next(&mut self) -> Option<Result<AudioFrame, EngineError>> {
        Self::next(self).await
    }

    fn finish_reason(&self) -> Option<FinishReason> {
        Self::finish_reason(self)
    }
}

/// Input of an attempt: the text to generate, and its limits.
pub(super) struct AttemptPlan {
    /// Plan of the sentences.
    pub(super) plan: SpeechPlan,
    /// Context segments of the job, with the texts of the plan.
    pub(super) context: Vec<PromptSegment>,
    /// Sampling of the codes.
    pub(super) sampling: Sampling,
    /// Most frames of the whole job.
    pub(super) budget: u32,
    /// Number of positions that the model has.
    pub(super) positions: usize,
    /// Whether each speaker of a dialogue hears its own sentences alone. The toy voice takes the voice of
    /// whoever it hears; CSM-1B tells speakers apart.
    pub(super) speakers_apart: bool,
    /// Frames that an earlier attempt generated, by sentence. All sentences are complete except the
    /// last one that has any.
    pub(super) resumed_frames: Vec<Vec<Frame>>,
}

/// A frame of a job, and the samples that it completes, possibly none.
#[derive(Debug, PartialEq)]
pub(super) struct StreamedFrame {
    /// Number of the sentence that the frame belongs to, from 0.
    pub(super) sentence: usize,
    pub(super) codes: Frame,
    /// Whether an earlier attempt generated the frame.
    pub(super) replayed: bool,
    pub(super) pcm: Vec<f32>,
}

/// Running generation of a job, from plan to recording.
pub(super) struct SentenceStream<'a, B: SpeechEngine> {
    engine: &'a B,
    remaining: std::vec::IntoIter<PlannedSentence>,
    sampling: Sampling,
    /// Resumed frames of the sentences to come, the next sentence first.
    resumed_frames: VecDeque<Vec<Frame>>,
    given: Vec<PromptSegment>,
    positions: usize,
    /// Earlier sentences, by the speaker who hears them; 0 for all speakers together.
    windows: BTreeMap<u32, ContextWindow>,
    speakers_apart: bool,
    joiner: Joiner,
    /// Pause after the last sentence that was begun; `None` before the first.
    pause: Option<Pause>,
    current: Option<Current<B::Frames>>,
    /// Samples of the last sentence that wait for the next frame.
    ready: Vec<f32>,
    done: Vec<SentenceReceipt>,
    /// Rest of the job's budget, in frames.
    left: u32,
    /// Whether sentences were skipped because the budget was used up.
    cut_off: bool,
    /// Places of the sentences that were spoken again, from 0.
    spoken_again: Vec<u32>,
}

/// Sentence that is being generated.
struct Current<F> {
    frames: F,
    codes: Vec<Frame>,
    /// Frames of the sentence that an earlier attempt generated.
    resumed_frames: Vec<Frame>,
    text_ids: Vec<u32>,
    speaker: u32,
    /// Draw index of the first frame of the first try.
    first_frame: u32,
    /// Number of tries that have begun.
    tries: u32,
    sentence: SentenceReceipt,
}

/// Remaining audio, receipts and finish reason of a job.
#[derive(Debug, PartialEq)]
pub(super) struct Ending {
    /// Last samples of the recording.
    pub(super) pcm: Vec<f32>,
    /// Receipts of all sentences.
    pub(super) sentences: Vec<SentenceReceipt>,
    /// Ways in which the audio differs from what was asked for.
    pub(super) warnings: Vec<ReceiptWarning>,
    /// Finish reason of the whole job.
    pub(super) finish: FinishReason,
}

impl<'a, B: SpeechEngine> SentenceStream<'a, B> {
    pub(super) fn new(engine: &'a B, attempt_plan: AttemptPlan) -> Self {
        let AttemptPlan { plan, context, sampling, budget, positions, speakers_apart, resumed_frames } = attempt_plan;
        Self {
            engine,
            done: Vec::with_capacity(plan.sentences.len()),
            remaining: plan.sentences.into_iter(),
            sampling,
            resumed_frames: resumed_frames.into(),
            given: context,
            positions,
            windows: BTreeMap::new(),
            speakers_apart,
            joiner: Joiner::default(),
            pause: None,
            current: None,
            ready: Vec::new(),
            left: budget,
            cut_off: false,
            spoken_again: Vec::new(),
        }
    }

    /// Returns the next frame, or `None` after the last.
    ///
    /// # Errors
    /// The engine's error, or [`AttemptError::Empty`] if the model speaks nothing for a sentence.
    pub(super) async fn next(&mut self) -> Result<Option<StreamedFrame>, AttemptError> {
        loop {
            let Some(current) = &mut self.current else {
                match self.remaining.next() {
                    Some(planned) => self.begin(planned).await?,
                    None => return Ok(None),
                }
                continue;
            };
            if let Some(frame) = current.frames.next().await {
                let AudioFrame { codes, pcm, replayed } = frame?;
                current.codes.push(codes);
                self.left = self.left.saturating_sub(1);
                self.ready.append(&mut self.joiner.push(&pcm));
                let (sentence, pcm) = (self.done.len(), std::mem::take(&mut self.ready));
                return Ok(Some(StreamedFrame { sentence, codes, replayed, pcm }));
            }
            let finish = current.frames.finish_reason().ok_or(EngineError::Closed)?;
            if current.codes.is_empty() {
                self.speak_again().await?;
            } else {
                self.end(finish);
            }
        }
    }

    /// Returns the earlier sentences that a speaker hears.
    fn window(&mut self, speaker: u32) -> &mut ContextWindow {
        let (given, positions) = (&self.given, self.positions);
        let heard_by = if self.speakers_apart { speaker } else { 0 };
        self.windows.entry(heard_by).or_insert_with(|| ContextWindow::new(given.clone(), positions))
    }

    /// Begins a sentence, or lists it without audio if no budget is left.
    async fn begin(&mut self, planned: PlannedSentence) -> Result<(), EngineError> {
        let PlannedSentence { text, text_ids, speaker, max_frames, first_frame, pause } = planned;
        let resumed_frames = self.resumed_frames.pop_front().unwrap_or_default();
        // The recording must not be longer than the budget, pauses included.
        self.left = self.left.saturating_sub(self.pause.map_or(0, pause_frames));
        let max_frames = max_frames.min(self.left);
        let mut sentence = SentenceReceipt {
            text,
            frames: 0,
            start_ms: 0,
            duration_ms: 0,
            prompt_positions: 0,
            context_positions: 0,
            max_frames,
            finish_reason: FinishReason::Length,
        };
        if max_frames == 0 {
            self.cut_off = true;
            self.done.push(sentence);
            return Ok(());
        }
        let UtteranceContext { context, recurring, positions } =
            self.window(speaker).select(text_ids.len(), max_frames);
        sentence.context_positions = positions as u32;
        sentence.prompt_positions = (positions + text_ids.len()) as u32;
        let utterance = Utterance {
            context,
            recurring,
            text_ids: text_ids.clone(),
            sampling: self.sampling,
            max_frames,
            first_frame,
            resumed_frames: resumed_frames.clone(),
        };
        let frames = self.engine.admit(utterance).await?;
        self.joiner.begin(self.pause.replace(pause).unwrap_or(Pause::Clause));
        let (codes, tries) = (Vec::new(), 1);
        self.current = Some(Current { frames, codes, resumed_frames, text_ids, speaker, first_frame, tries, sentence });
        Ok(())
    }

    /// Begins the current sentence again with other draws, because the model spoke nothing for it.
    /// The draws depend on the number of the try alone, so a later attempt repeats them.
    async fn speak_again(&mut self) -> Result<(), AttemptError> {
        let Some(Current { frames, resumed_frames, text_ids, speaker, first_frame, tries, sentence, .. }) =
            self.current.take()
        else {
            return Ok(());
        };
        let place = self.done.len();
        // At temperature 0 nothing is drawn, so another try is the same.
        if tries >= EMPTY_TRIES_MAX || self.sampling.temperature.is_greedy() {
            return Err(AttemptError::Empty { sentence: place + 1, tries });
        }
        if tries == 1 {
            self.spoken_again.push(place as u32);
        }
        // The slot of the last try must be free before the next one takes it.
        drop(frames);
        let UtteranceContext { context, recurring, .. } =
            self.window(speaker).select(text_ids.len(), sentence.max_frames);
        let utterance = Utterance {
            context,
            recurring,
            text_ids: text_ids.clone(),
            sampling: self.sampling,
            max_frames: sentence.max_frames,
            first_frame: first_frame.wrapping_add(tries * DRAWS_PER_TRY),
            resumed_frames: resumed_frames.clone(),
        };
        let (frames, codes, tries) = (self.engine.admit(utterance).await?, Vec::new(), tries + 1);
        self.current = Some(Current { frames, codes, resumed_frames, text_ids, speaker, first_frame, tries, sentence });
        Ok(())
    }

    /// Ends the current sentence.
    fn end(&mut self, finish: FinishReason) {
        let Some(Current { codes, resumed_frames, text_ids, speaker, mut sentence, .. }) = self.current.take() else {
            return;
        };
        if codes != resumed_frames {
            // The sentence differs from the resumed one, or is the last resumed one: later resumed
            // frames do not apply.
            self.resumed_frames.clear();
        }
        self.ready.append(&mut self.joiner.end());
        sentence.frames = codes.len() as u32;
        sentence.finish_reason = finish;
        self.done.push(sentence);
        if finish == FinishReason::Eos {
            self.window(speaker).push(text_ids, codes);
        }
    }

    /// Ends the recording. Must be called after the last frame.
    pub(super) fn finish(self) -> Ending {
        let (mut rest, places) = self.joiner.finish();
        let (mut pcm, mut sentences) = (self.ready, self.done);
        pcm.append(&mut rest);
        let mut behind = 0;
        for (index, sentence) in sentences.iter_mut().enumerate() {
            let Range { start, end } = places.get(index).cloned().flatten().unwrap_or(behind..behind);
            behind = end;
            sentence.start_ms = milliseconds(start);
            sentence.duration_ms = milliseconds(end - start);
        }
        let ended = |reason| sentences.iter().any(|sentence| sentence.finish_reason == reason);
        let finish = if self.cut_off {
            FinishReason::Length
        } else if ended(FinishReason::Runaway) {
            FinishReason::Runaway
        } else if ended(FinishReason::Length) {
            FinishReason::Length
        } else {
            FinishReason::Eos
        };
        let warnings = warnings(&sentences, self.spoken_again);
        Ending { pcm, sentences, warnings, finish }
    }
}

/// Lists the ways in which the audio differs from what was asked for, without those that affect no
/// sentence.
fn warnings(sentences: &[SentenceReceipt], spoken_again: Vec<u32>) -> Vec<ReceiptWarning> {
    let places = |fits: fn(&SentenceReceipt) -> bool| {
        (0..).zip(sentences).filter(|(_, sentence)| fits(sentence)).map(|(place, _)| place).collect::<Vec<u32>>()
    };
    let cut_off = |sentence: &SentenceReceipt| sentence.finish_reason == FinishReason::Length && sentence.frames > 0;
    let found = [
        (WarningCode::CutOff, places(cut_off)),
        (WarningCode::NotSpoken, places(|sentence| sentence.frames == 0)),
        (WarningCode::Runaway, places(|sentence| sentence.finish_reason == FinishReason::Runaway)),
        (WarningCode::SpokenAgain, spoken_again),
    ];
    let found = found.into_iter().filter(|(_, sentences)| !sentences.is_empty());
    found.map(|(code, sentences)| ReceiptWarning { code, sentences }).collect()
}

fn milliseconds(samples: u64) -> u64 {
    samples * 1_000 / u64::from(SAMPLE_RATE)
}
