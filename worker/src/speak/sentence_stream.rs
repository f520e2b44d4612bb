//! Generation of a job sentence by sentence. Each sentence has the voice and the last sentences as
//! context, and all become one recording.
//!
//! Between two sentences the job holds no slot for a moment. No other job can take that slot: a
//! worker runs as many jobs as its engine has slots, and each job holds at most one.
//!
//! A take with a fault ([`take_check`](super::take_check)) is given up, and the sentence is spoken again.
//! A take of which a sample has left is kept, with its fault. Samples of a live job leave at once, those
//! of any other job at the end of their sentence.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use csm_queue::live::{KeptSentence, ResumedSentence};
use csm_shared::audio::{Frame, SAMPLE_RATE};
use csm_shared::job::{FinishReason, ReceiptWarning, Sampling, Seed, SentenceReceipt, TakeFault};
use csm_shared::process::telemetry;
use csm_shared::prompt::{PlannedSentence, SpeechPlan};
use csm_shared::text::{Pause, Sentence};

use super::attempt_error::AttemptError;
use super::context_window::{ContextWindow, UtteranceContext};
use super::current_sentence::{Current, SentenceRequest};
use super::edits::{Edit, EditError};
use super::join::{Joiner, pause_frames};
use super::speech_engine::{Frames as _, SpeechEngine};
use super::take_check::{TAKES_MAX, Take, TakeCheck};
use super::warnings::{finish_reason, warnings};
use csm_engine::engine::{AudioFrame, EngineError, PromptSegment, Utterance};

/// Distance between the draw indices of two takes: more than the frames of any job. All takes stay
/// below the distance that the engine itself adds for its second try (2^30).
const DRAWS_PER_TAKE: u32 = 1 << 27;

const _: () = assert!(DRAWS_PER_TAKE * (TAKES_MAX as u32) < 1 << 30);

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
    /// Check of the takes.
    pub(super) take_check: TakeCheck,
    /// Whether the samples of a sentence leave before its end.
    pub(super) live: bool,
    /// Frames that an earlier attempt generated, by sentence. All sentences are complete except the
    /// last one that has any.
    pub(super) resumed: Vec<ResumedSentence>,
    /// Edit that the job is; all sentences but one are decoded from kept codes.
    pub(super) edit: Option<Edit>,
}

/// A frame of a job, and the samples that it completes, possibly none.
#[derive(Debug, PartialEq)]
pub(super) struct StreamedFrame {
    /// Number of the sentence that the frame belongs to, from 0.
    pub(super) sentence: usize,
    /// Number of the take of the sentence, from 0.
    pub(super) take: u8,
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
    resumed: VecDeque<ResumedSentence>,
    given: Vec<PromptSegment>,
    positions: usize,
    /// Earlier sentences, by the speaker who hears them; 0 for all speakers together.
    windows: BTreeMap<u32, ContextWindow>,
    speakers_apart: bool,
    take_check: TakeCheck,
    live: bool,
    joiner: Joiner,
    /// Pause after the last sentence that was begun; `None` before the first.
    pause: Option<Pause>,
    current: Option<Current<B::Frames>>,
    /// Samples of the last sentence that wait for the next frame.
    ready: Vec<f32>,
    done: Vec<SentenceReceipt>,
    /// Codes of the sentences that are done.
    codes: Vec<Vec<Frame>>,
    edit: Option<Edit>,
    /// Rest of the job's budget, in frames.
    left: u32,
    /// Whether sentences were skipped because the budget was used up.
    cut_off: bool,
}

/// Remaining audio, receipts and finish reason of a job.
#[derive(Debug, PartialEq)]
pub(super) struct Ending {
    /// Last samples of the recording.
    pub(super) pcm: Vec<f32>,
    /// Receipts of all sentences.
    pub(super) sentences: Vec<SentenceReceipt>,
    /// Codes of each sentence.
    pub(super) codes: Vec<Vec<Frame>>,
    /// Ways in which the audio differs from what was asked for.
    pub(super) warnings: Vec<ReceiptWarning>,
    /// Finish reason of the whole job.
    pub(super) finish: FinishReason,
}

impl<'a, B: SpeechEngine> SentenceStream<'a, B> {
    pub(super) fn new(engine: &'a B, attempt_plan: AttemptPlan) -> Self {
        let AttemptPlan { plan, context, sampling, budget, positions, speakers_apart, take_check, live, resumed, edit } =
            attempt_plan;
        Self {
            engine,
            done: Vec::with_capacity(plan.sentences.len()),
            sampling,
            resumed: resumed.into(),
            given: context,
            positions,
            windows: BTreeMap::new(),
            speakers_apart,
            take_check,
            live,
            joiner: Joiner::default(),
            pause: None,
            current: None,
            ready: Vec::new(),
            codes: Vec::with_capacity(plan.sentences.len()),
            left: edit.as_ref().map_or(budget, |edit| edit.left(budget, &plan)),
            edit,
            cut_off: false,
            remaining: plan.sentences.into_iter(),
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
                if current.kept.is_none() {
                    self.left = self.left.saturating_sub(1);
                }
                let mut joined = self.joiner.push(&pcm);
                current.pcm.extend(pcm);
                if self.live {
                    current.heard |= !joined.is_empty();
                    self.ready.append(&mut joined);
                } else {
                    current.held_back.append(&mut joined);
                }
                let (sentence, take) = (self.done.len(), current.take());
                let (pcm, replayed) = (std::mem::take(&mut self.ready), current.is_published(replayed));
                return Ok(Some(StreamedFrame { sentence, take, codes, replayed, pcm }));
            }
            let finish = current.frames.finish_reason().ok_or(EngineError::Closed)?;
            let Some(current) = self.current.take() else { continue };
            self.judge(current, finish).await?;
        }
    }

    /// Ends the current sentence, or speaks it again if its take has a fault.
    async fn judge(&mut self, current: Current<B::Frames>, finish: FinishReason) -> Result<(), AttemptError> {
        if current.kept.is_some() {
            if current.codes != current.request.resumed.frames {
                return Err(EditError::OtherCodes(self.done.len() + 1).into());
            }
            let finish = current.sentence.finish_reason;
            self.end(current, finish);
            return Ok(());
        }
        let Current { codes, pcm, heard, sentence, .. } = &current;
        let Some(fault) = self.take_check.fault(Take { text: &sentence.text, codes, pcm, finish }) else {
            self.end(current, finish);
            return Ok(());
        };
        let takes = current.take() + 1;
        // At temperature 0 nothing is drawn, so another take is the same.
        if !heard && takes < self.take_check.takes_max(fault) && !self.sampling.temperature.is_greedy() {
            return Ok(self.speak_again(current, fault).await?);
        }
        if fault == TakeFault::Empty {
            return Err(AttemptError::Empty { sentence: self.done.len() + 1, tries: u32::from(takes) });
        }
        self.end(Current { sentence: SentenceReceipt { fault: Some(fault), ..current.sentence }, ..current }, finish);
        Ok(())
    }

    /// Returns the earlier sentences that a speaker hears.
    fn window(&mut self, speaker: u32) -> &mut ContextWindow {
        let (given, positions) = (&self.given, self.positions);
        let heard_by = if self.speakers_apart { speaker } else { 0 };
        self.windows.entry(heard_by).or_insert_with(|| ContextWindow::new(given.clone(), positions))
    }

    /// Begins a sentence, or lists it without audio if no budget is left.
    async fn begin(&mut self, planned: PlannedSentence) -> Result<(), EngineError> {
        let resumed = self.resumed.pop_front().unwrap_or_default();
        let number = self.done.len();
        if let Some(kept) = self.edit.as_ref().and_then(|edit| edit.kept(number)).cloned() {
            return self.begin_kept(planned, kept, &resumed.frames).await;
        }
        let PlannedSentence { sentence: asked, text_ids, speaker, max_frames, first_frame } = planned;
        let Sentence { text, written, place, lead_ms, pause } = asked;
        if self.edit.is_none() {
            // The recording must not be longer than the budget, pauses included.
            let pauses = self.pause.map_or(0, pause_frames) + pause_frames(Pause::Silence { ms: lead_ms });
            self.left = self.left.saturating_sub(pauses);
        }
        let max_frames = max_frames.min(self.left);
        let sentence = SentenceReceipt {
            text,
            written,
            start_char: place.start as u32,
            end_char: place.end as u32,
            frames: 0,
            start_ms: 0,
            duration_ms: 0,
            prompt_positions: 0,
            context_positions: 0,
            max_frames,
            finish_reason: FinishReason::Length,
            retakes: Vec::new(),
            fault: None,
            seed: self.edit.as_ref().map(|edit| edit.seed),
        };
        if max_frames == 0 {
            self.skip(sentence);
            return Ok(());
        }
        self.joiner.begin(self.pause.replace(pause).unwrap_or(Pause::Clause));
        self.joiner.lead(lead_ms);
        self.begin_take(SentenceRequest { text_ids, speaker, first_frame, resumed }, sentence).await
    }

    /// Begins a sentence that stays as it was before the edit; `resumed` are the frames of it that an
    /// earlier attempt has published.
    async fn begin_kept(
        &mut self,
        planned: PlannedSentence,
        kept: KeptSentence,
        resumed: &[Frame],
    ) -> Result<(), EngineError> {
        let PlannedSentence { sentence: Sentence { lead_ms, pause, .. }, text_ids, speaker, first_frame, .. } = planned;
        let KeptSentence { receipt: sentence, frames } = kept;
        if frames.is_empty() {
            self.skip(sentence);
            return Ok(());
        }
        self.joiner.begin(self.pause.replace(pause).unwrap_or(Pause::Clause));
        self.joiner.lead(lead_ms);
        let utterance = Utterance {
            context: Vec::new(),
            recurring: 0,
            text_ids: text_ids.clone(),
            sampling: self.sampling,
            max_frames: frames.len() as u32,
            first_frame,
            resumed_frames: frames.clone(),
            decode_only: true,
        };
        let kept = Some(if frames.starts_with(resumed) { resumed.len() } else { 0 });
        let resumed = ResumedSentence { take: 0, frames };
        let request = SentenceRequest { text_ids, speaker, first_frame, resumed };
        let frames = self.engine.admit(utterance).await?;
        self.current = Some(Current { kept, ..Current::new(request, frames, self.joiner.clone(), sentence) });
        Ok(())
    }

    /// Lists a sentence without audio, because no budget is left for it.
    fn skip(&mut self, sentence: SentenceReceipt) {
        self.cut_off = true;
        self.done.push(sentence);
        self.codes.push(Vec::new());
    }

    /// Begins the next take of a sentence. The draws depend on the number of the take alone, so a later
    /// attempt repeats them. A later attempt makes all takes again, and only one of them has frames to
    /// go on from.
    async fn begin_take(&mut self, request: SentenceRequest, mut sentence: SentenceReceipt) -> Result<(), EngineError> {
        let SentenceRequest { text_ids, speaker, first_frame, resumed } = &request;
        let take = sentence.retakes.len() as u8;
        let UtteranceContext { context, recurring, positions } =
            self.window(*speaker).select(text_ids.len(), sentence.max_frames);
        sentence.context_positions = positions as u32;
        sentence.prompt_positions = (positions + text_ids.len()) as u32;
        let utterance = Utterance {
            context,
            recurring,
            text_ids: text_ids.clone(),
            sampling: sentence.seed.map_or(self.sampling, |seed| Sampling { seed: Seed::new(seed), ..self.sampling }),
            max_frames: sentence.max_frames,
            first_frame: first_frame.wrapping_add(u32::from(take) * DRAWS_PER_TAKE),
            resumed_frames: if resumed.take == take { resumed.frames.clone() } else { Vec::new() },
            decode_only: false,
        };
        let frames = self.engine.admit(utterance).await?;
        self.current = Some(Current::new(request, frames, self.joiner.clone(), sentence));
        Ok(())
    }

    /// Gives up the take of a sentence and begins the next one.
    async fn speak_again(&mut self, current: Current<B::Frames>, fault: TakeFault) -> Result<(), EngineError> {
        let Current { request, frames, joiner, codes, mut sentence, .. } = current;
        metrics::counter!(telemetry::RETAKES_TOTAL, "reason" => <&str>::from(fault)).increment(1);
        // The slot of the last take must be free before the next one takes it.
        drop(frames);
        self.joiner = joiner;
        self.left += codes.len() as u32;
        sentence.retakes.push(fault);
        self.begin_take(request, sentence).await
    }

    /// Ends a sentence.
    fn end(&mut self, current: Current<B::Frames>, finish: FinishReason) {
        let Current { request, codes, mut held_back, mut sentence, .. } = current;
        let SentenceRequest { text_ids, speaker, resumed, .. } = request;
        if codes != resumed.frames {
            // The sentence differs from the resumed one, or is the last resumed one: later resumed
            // frames do not apply.
            self.resumed.clear();
        }
        self.ready.append(&mut held_back);
        self.ready.append(&mut self.joiner.end());
        sentence.frames = codes.len() as u32;
        sentence.finish_reason = finish;
        let is_good = finish == FinishReason::Eos && sentence.fault.is_none();
        self.done.push(sentence);
        self.codes.push(codes.clone());
        if is_good {
            self.window(speaker).push(text_ids, codes);
        }
    }

    /// Ends the recording. Must be called after the last frame.
    pub(super) fn finish(self) -> Ending {
        let (mut rest, places) = self.joiner.finish(self.pause);
        let (mut pcm, mut sentences) = (self.ready, self.done);
        pcm.append(&mut rest);
        let (mut places, mut behind) = (places.into_iter(), 0);
        for sentence in &mut sentences {
            // A sentence that was skipped has no place.
            let place = if sentence.frames > 0 { places.next().flatten() } else { None };
            let Range { start, end } = place.unwrap_or(behind..behind);
            behind = end;
            sentence.start_ms = milliseconds(start);
            sentence.duration_ms = milliseconds(end - start);
        }
        let (finish, warnings) = (finish_reason(&sentences, self.cut_off), warnings(&sentences));
        Ending { pcm, sentences, codes: self.codes, warnings, finish }
    }
}

fn milliseconds(samples: u64) -> u64 {
    samples * 1_000 / u64::from(SAMPLE_RATE)
}
