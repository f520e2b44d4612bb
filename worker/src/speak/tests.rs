//! Sentence streams on a scripted engine: the request of each sentence, the effect of its ending,
//! and the audio.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use csm_shared::audio::{Clip, FRAME_SAMPLES, Frame};
use csm_shared::job::{FinishReason, Sampling, Seed, SentenceReceipt, Temperature, TopK, sentence_frames};
use csm_shared::prompt::{PlannedSentence, SpeechPlan};
use csm_shared::text::{Pause, Sentence, normalise, sentences};

use super::sentence_stream::{AttemptPlan, Ending, SentenceStream};
use super::speech_engine::{Frames, SpeechEngine};
use super::take_check::{TakeCheck, TakeLimits};
use csm_engine::engine::{
    AudioFrame, DeviceChoice, Engine, EngineConfig, EngineError, FrameStream, PromptSegment, SegmentAudio, Utterance,
};
use csm_engine::model::WeightChoice;
use csm_engine::random_model::{FolderLayout, make_noise};

mod blame;
mod edits;
mod empty;
mod resume;
mod retakes;

const WINDOW: usize = 2_048;
/// Loudness of the scripted voice.
const VOICE: f32 = 0.4;

/// Script of one utterance: frames of silence, of sound, of silence, and its end.
#[derive(Clone, Copy)]
struct ScriptedUtterance {
    frames: [u32; 3],
    end: FinishReason,
}

/// Returns an utterance that ends by itself after `frames` frames of sound.
fn eos_after(frames: u32) -> ScriptedUtterance {
    ScriptedUtterance { frames: [0, frames, 0], end: FinishReason::Eos }
}

/// Scripted engine with one slot.
#[derive(Default)]
struct ScriptedEngine {
    utterances: Mutex<VecDeque<ScriptedUtterance>>,
    asked: Mutex<Vec<Utterance>>,
    busy: Arc<AtomicUsize>,
}

impl ScriptedEngine {
    fn new(utterances: impl IntoIterator<Item = ScriptedUtterance>) -> Self {
        Self { utterances: Mutex::new(utterances.into_iter().collect()), ..Self::default() }
    }

    fn asked(&self) -> Vec<Utterance> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl SpeechEngine for ScriptedEngine {
    type Frames = ScriptedFrames;

    async fn admit(&self, utterance: Utterance) -> Result<ScriptedFrames, EngineError> {
        if self.busy.fetch_add(1, Ordering::SeqCst) > 0 {
            return Err(EngineError::NoFreeSlot);
        }
        let ScriptedUtterance { frames: [before, sound, behind], end } =
            self.utterances.lock().unwrap().pop_front().expect("the script is as long as the text");
        let number = self.asked.lock().unwrap().len() as u32 + 1;
        let silent = |count| (0..count).map(|_| vec![0.000_1; FRAME_SAMPLES]);
        // Each sample differs from the one before, so that a lost sample would show.
        let voice = |frame: u32| {
            let at = |n: usize| {
                VOICE * if n.is_multiple_of(2) { 1.0 } else { -1.0 } * (1.0 - 0.000_01 * (n as f32 + frame as f32))
            };
            (0..FRAME_SAMPLES).map(at).collect::<Vec<_>>()
        };
        let pcm = silent(before).chain((0..sound).map(voice)).chain(silent(behind));
        let frames =
            (0..).zip(pcm).map(|(index, pcm)| AudioFrame { codes: codes(number, index), pcm, replayed: false });
        let cut = frames.take(utterance.max_frames as usize).collect();
        self.asked.lock().unwrap().push(utterance);
        Ok(ScriptedFrames { frames: cut, end, ended: false, busy: Arc::clone(&self.busy) })
    }
}

/// Returns the codes of a frame of utterance `number`.
fn codes(number: u32, index: u32) -> Frame {
    std::array::from_fn(|book| (number * 100 + index + book as u32) % 2_048)
}

struct ScriptedFrames {
    frames: VecDeque<AudioFrame>,
    end: FinishReason,
    ended: bool,
    busy: Arc<AtomicUsize>,
}

impl Frames for ScriptedFrames {
    async fn next(&mut self) -> Option<Result<AudioFrame, EngineError>> {
        let frame = self.frames.pop_front();
        self.ended = frame.is_none();
        frame.map(Ok)
    }

    fn finish_reason(&self) -> Option<FinishReason> {
        self.ended.then_some(self.end)
    }
}

impl Drop for ScriptedFrames {
    fn drop(&mut self) {
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

fn sampling() -> Sampling {
    Sampling { temperature: Temperature::default(), topk: TopK::default(), seed: Seed::new(3) }
}

fn piece(number: usize) -> Sentence {
    let text = format!("Piece {number}.");
    Sentence { written: text.clone(), text, place: 0..8, lead_ms: 0, pause: Pause::Sentence }
}

/// Returns a plan of sentences with at most `frames` frames each.
fn attempt_plan(frames: &[u32], budget: u32) -> AttemptPlan {
    let mut first_frame = 0;
    let pieces = frames.iter().enumerate().map(|(number, &max_frames)| {
        let first = first_frame;
        first_frame += max_frames;
        PlannedSentence {
            sentence: piece(number),
            text_ids: vec![number as u32; 10],
            speaker: 0,
            max_frames,
            first_frame: first,
        }
    });
    let plan = SpeechPlan { context_ids: Vec::new(), context_positions: 0, sentences: pieces.collect() };
    AttemptPlan {
        plan,
        context: Vec::new(),
        sampling: sampling(),
        budget,
        positions: WINDOW,
        speakers_apart: false,
        take_check: TakeCheck::Emptiness,
        live: true,
        resumed: Vec::new(),
        edit: None,
    }
}

async fn collect(engine: &ScriptedEngine, plan: AttemptPlan) -> (Vec<f32>, Ending) {
    let mut stream = SentenceStream::new(engine, plan);
    let mut audio = Vec::new();
    while let Some(frame) = stream.next().await.unwrap() {
        audio.extend(frame.pcm);
    }
    let ending = stream.finish();
    audio.extend(&ending.pcm);
    (audio, ending)
}

fn spoken_segment(number: u32, frames: u32) -> PromptSegment {
    let frames = (0..frames).map(|index| codes(number, index)).collect();
    PromptSegment { text_ids: vec![number - 1; 10], audio: SegmentAudio::Codes(frames) }
}

fn voice() -> PromptSegment {
    PromptSegment { text_ids: vec![99; 5], audio: SegmentAudio::Clip(Clip::from_samples(vec![1; 10 * FRAME_SAMPLES])) }
}

#[tokio::test]
async fn a_job_of_one_piece_is_one_utterance_whose_sound_is_left_alone() {
    let take = ScriptedUtterance { frames: [20, 5, 30], end: FinishReason::Eos };
    let engine = ScriptedEngine::new([take]);
    let (audio, ending) = collect(&engine, AttemptPlan { context: vec![voice()], ..attempt_plan(&[125], 125) }).await;
    let [asked] = engine.asked().try_into().unwrap();
    assert_eq!((asked.max_frames, asked.first_frame, asked.text_ids), (125, 0, vec![0; 10]));
    assert_eq!(asked.context, [voice()]);
    assert_eq!(audio.len(), 55 * FRAME_SAMPLES);
    assert!(audio[..20 * FRAME_SAMPLES].iter().all(|&sample| sample == 0.000_1), "no silence is cut off");
    let sentence = SentenceReceipt {
        text: "Piece 0.".into(),
        written: "Piece 0.".into(),
        start_char: 0,
        end_char: 8,
        frames: 55,
        start_ms: 0,
        duration_ms: 4_400,
        prompt_positions: 5 + 10 + 1 + 10,
        context_positions: 5 + 10 + 1,
        max_frames: 125,
        finish_reason: FinishReason::Eos,
        retakes: Vec::new(),
        fault: None,
        seed: None,
    };
    assert_eq!((ending.sentences, ending.finish), (vec![sentence], FinishReason::Eos));
}

#[tokio::test]
async fn each_piece_hears_the_voice_and_the_last_turns_and_draws_anew() {
    let engine = ScriptedEngine::new([eos_after(3), eos_after(4), eos_after(5), eos_after(6)]);
    let (_, ending) =
        collect(&engine, AttemptPlan { context: vec![voice()], ..attempt_plan(&[50, 60, 70, 80], 1_000) }).await;
    let asked = engine.asked();
    let contexts: Vec<_> = asked.iter().map(|utterance| utterance.context.clone()).collect();
    assert_eq!(contexts[0], [voice()]);
    assert_eq!(contexts[1], [voice(), spoken_segment(1, 3)]);
    assert_eq!(contexts[2], [voice(), spoken_segment(1, 3), spoken_segment(2, 4)]);
    assert_eq!(contexts[3], [voice(), spoken_segment(2, 4), spoken_segment(3, 5)]);
    let limits: Vec<_> = asked.iter().map(|utterance| (utterance.first_frame, utterance.max_frames)).collect();
    assert_eq!(limits, [(0, 50), (50, 60), (110, 70), (180, 80)]);
    let told: Vec<_> =
        ending.sentences.iter().map(|s| (s.context_positions, s.prompt_positions, s.max_frames)).collect();
    assert_eq!(told, [(16, 26, 50), (30, 40, 60), (45, 55, 70), (16 + 15 + 16, 57, 80)]);
    assert_eq!(ending.finish, FinishReason::Eos);
}

#[tokio::test]
async fn a_piece_that_did_not_end_by_itself_is_nobodys_example() {
    let end = |end, frames| ScriptedUtterance { end, ..eos_after(frames) };
    let utterances = [eos_after(3), end(FinishReason::Runaway, 9), end(FinishReason::Length, 60), eos_after(4)];
    let engine = ScriptedEngine::new(utterances);
    let (_, ending) = collect(&engine, attempt_plan(&[50; 4], 1_000)).await;
    assert_eq!(engine.asked()[3].context, [spoken_segment(1, 3)], "only what was said well and to its end");
    let told: Vec<_> = ending.sentences.iter().map(|s| (s.frames, s.finish_reason)).collect();
    let (eos, length) = (FinishReason::Eos, FinishReason::Length);
    assert_eq!(told, [(3, eos), (9, FinishReason::Runaway), (50, length), (4, eos)]);
    assert_eq!(ending.finish, FinishReason::Runaway, "the worst of all");
}

#[tokio::test]
async fn the_budget_of_the_job_cuts_it_off_and_says_what_was_not_spoken() {
    let engine = ScriptedEngine::new([eos_after(30), eos_after(40), eos_after(10)]);
    let (audio, ending) = collect(&engine, attempt_plan(&[50, 50, 50, 50], 45)).await;
    assert_eq!(
        engine.asked().iter().map(|utterance| utterance.max_frames).collect::<Vec<_>>(),
        [45, 12],
        "a pause takes 3"
    );
    let told: Vec<_> = ending.sentences.iter().map(|s| (s.frames, s.max_frames, s.finish_reason)).collect();
    let (eos, length) = (FinishReason::Eos, FinishReason::Length);
    // The scripted engine has no budget, and reports that the second sentence ended by itself.
    assert_eq!(told, [(30, 45, eos), (12, 12, eos), (0, 0, length), (0, 0, length)]);
    assert_eq!(ending.finish, length);
    assert!(audio.len() <= 45 * FRAME_SAMPLES && audio.len() > 44 * FRAME_SAMPLES, "no longer than was asked for");
    let end_ms = audio.len() as u64 / 24;
    assert_eq!(ending.sentences[3].start_ms, end_ms);
    assert_eq!(ending.sentences[3].text, "Piece 3.");
}

#[tokio::test]
async fn a_dropped_sentence_stream_frees_its_slot() {
    let engine = ScriptedEngine::new([eos_after(3), eos_after(40)]);
    let mut stream = SentenceStream::new(&engine, attempt_plan(&[50; 2], 1_000));
    for _ in 0..10 {
        stream.next().await.unwrap().unwrap();
    }
    assert_eq!(engine.busy.load(Ordering::SeqCst), 1);
    drop(stream);
    assert_eq!(engine.busy.load(Ordering::SeqCst), 0);
}

/// Real engine that reports every utterance as ended by itself, which the noise model never does.
struct AlwaysEosEngine(Engine);

struct AlwaysEosFrames(FrameStream);

impl SpeechEngine for AlwaysEosEngine {
    type Frames = AlwaysEosFrames;

    async fn admit(&self, utterance: Utterance) -> Result<AlwaysEosFrames, EngineError> {
        self.0.admit(utterance).await.map(AlwaysEosFrames)
    }
}

impl Frames for AlwaysEosFrames {
    async fn next(&mut self) -> Option<Result<AudioFrame, EngineError>> {
        self.0.next().await
    }

    fn finish_reason(&self) -> Option<FinishReason> {
        self.0.finish_reason().map(|_| FinishReason::Eos)
    }
}

#[tokio::test]
async fn the_engine_speaks_each_piece_with_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let config = EngineConfig {
        folder: folder.path().to_owned(),
        model: "noise".into(),
        device: DeviceChoice::Cpu,
        slots: 1,
        weights: WeightChoice::Auto,
        threads: Some(1),
        prefix_cache_bytes: 1 << 20,
    };
    let engine = AlwaysEosEngine(Engine::start(config).unwrap().ready().await.unwrap());
    let mut stream =
        SentenceStream::new(&engine, AttemptPlan { context: vec![voice()], ..attempt_plan(&[4, 5, 6], 100) });
    let mut audio = Vec::new();
    while let Some(frame) = stream.next().await.unwrap() {
        audio.extend(frame.pcm);
    }
    let ending = stream.finish();
    audio.extend(&ending.pcm);
    assert_eq!(ending.sentences.iter().map(|s| s.context_positions).collect::<Vec<_>>(), [16, 16 + 15, 16 + 15 + 16]);

    // The same by hand: the last sentence with the codes of the other two as context.
    let mut context = vec![voice()];
    let mut last = Vec::new();
    for PlannedSentence { text_ids, max_frames, first_frame, .. } in attempt_plan(&[4, 5, 6], 100).plan.sentences {
        let utterance = Utterance {
            context: context.clone(),
            recurring: 1,
            text_ids: text_ids.clone(),
            sampling: sampling(),
            max_frames,
            first_frame,
            resumed_frames: Vec::new(),
            decode_only: false,
        };
        let mut stream = engine.0.admit(utterance).await.unwrap();
        let mut codes = Vec::new();
        last.clear();
        while let Some(frame) = stream.next().await {
            let frame = frame.unwrap();
            codes.push(frame.codes);
            last.extend(frame.pcm);
        }
        context.push(PromptSegment { text_ids, audio: SegmentAudio::Codes(codes) });
    }
    // The end of the recording is the end of its last sentence, unchanged.
    assert_eq!(audio[audio.len() - 5 * FRAME_SAMPLES..], last[FRAME_SAMPLES..]);
}

/// About 3,000 characters with numbers, times, quotes and brackets.
const PROSE: &str = "Dr. Stone said: “We opened at 10:30 am on 2026-11-22 (a Sunday), with 1,250 guests.” It cost $5.50 a \
head; 12.5% came twice. The 3rd hall, built in 1999, holds 40-50 people & a stage. Isn't that “grand”? \
Call 555-1234, or write to desk@example.com... Trains leave at 9:05, 14:20 and 23:59!\n\n";

#[tokio::test]
async fn three_thousand_characters_become_one_recording_without_a_gap() {
    let text = PROSE.repeat(11);
    assert!(text.chars().count() > 3_000, "{}", text.chars().count());
    let spoken = normalise(&text);
    let cut = sentences(&text, true, &[]);
    let mut plan = attempt_plan(&sentence_frames(&cut).collect::<Vec<_>>(), 7_500);
    for (planned, piece) in plan.plan.sentences.iter_mut().zip(&cut) {
        planned.sentence = piece.clone();
    }
    // Up to 2 s of silence at either end of every sentence.
    let utterances = (0..cut.len() as u32)
        .map(|n| ScriptedUtterance { frames: [n * 7 % 26, 2 + n % 3, n * 11 % 26], end: FinishReason::Eos });
    let engine = ScriptedEngine::new(utterances);
    let (audio, ending) = collect(&engine, plan).await;

    assert!(cut.len() >= 30, "{} sentences", cut.len());
    let listed: Vec<_> = ending.sentences.iter().map(|sentence| sentence.text.as_str()).collect();
    assert_eq!(listed.join(" "), spoken.split_whitespace().collect::<Vec<_>>().join(" "));
    let loud = |sample: &f32| sample.abs() > VOICE / 2.0;
    for pair in ending.sentences.windows(2) {
        let join = (pair[0].start_ms + pair[0].duration_ms) as usize * 24;
        let before = audio[..join].iter().rev().position(loud).unwrap();
        let behind = audio[join..].iter().position(loud).unwrap();
        let gap_ms = (before + behind) / 24;
        assert!((100..=400).contains(&gap_ms), "{gap_ms} ms behind {:?}", pair[0].text);
    }
    let first = audio.iter().position(loud).unwrap();
    let runs = audio[first..].split(loud).map(<[f32]>::len);
    assert!(runs.rev().skip(1).all(|run| run <= 400 * 24), "nowhere else either, but at the end");
}
