//! A scripted model that records the calls it gets. The last text id names an utterance. Frame `i`
//! of an utterance has the code `i + 1`, except in codebook 1, which holds the name.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, mpsc};

use csm_shared::audio::{CODEBOOKS, FRAME_SAMPLES};

use super::super::backend::{Decode, Encode};
use super::super::prefill::PromptLimits;
use super::*;
use crate::model::{END_FRAME, Position, Row, StepTimes};

pub(super) const WINDOW: usize = 2048;
/// Positions of a prefill block.
pub(super) const PREFILL_BLOCK: usize = 128;

/// A call of the model.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ModelCall {
    Prefill {
        slot: usize,
        positions: usize,
    },
    /// Names and frame indexes.
    Step(Vec<(u32, u32)>),
    /// Number of replayed frames.
    Replay(usize),
    Save {
        positions: usize,
    },
    Restore {
        slot: usize,
        positions: usize,
    },
}

/// Scripted outcome for an utterance at a frame, in the model or in the codec.
pub(super) enum ScriptedOutcome {
    End,
    Fail,
    Panic,
    /// Code to return in all codebooks; in the codec, the sample to return.
    Say(u32),
    /// No sound.
    Silence,
    NotANumber,
    /// Blocks until the other end is dropped.
    Block(mpsc::Receiver<()>),
}

/// Waits until the other end is dropped, but not for ever. A test that fails first stops its
/// engine, and the stop waits for this thread.
fn hold(until_dropped: &mpsc::Receiver<()>) {
    let _ = until_dropped.recv_timeout(2 * SOON);
}

/// Names and numbers of frames of the rows, for each call.
type Pushes = Arc<Mutex<Vec<Vec<(u32, usize)>>>>;
/// Outcomes by key, each list in order of use.
type ScriptedOutcomes = Arc<Mutex<HashMap<(u32, u32), VecDeque<ScriptedOutcome>>>>;

#[derive(Clone, Default)]
pub(super) struct ModelScript {
    pub(super) calls: Arc<Mutex<Vec<ModelCall>>>,
    /// Names and numbers of frames, of all rows of each call.
    pushed: Pushes,
    /// Frames of each encoded recording.
    encoded: Arc<Mutex<Vec<usize>>>,
    outcomes: ScriptedOutcomes,
    sounds: ScriptedOutcomes,
    /// Outcomes of encodings; the key is the recording's number of frames, and 0.
    recordings: ScriptedOutcomes,
}

impl ModelScript {
    /// Adds an outcome for an utterance's draw in the model.
    pub(super) fn at(self, name: u32, draw: u32, outcome: ScriptedOutcome) -> Self {
        add(&self.outcomes, (name, draw), outcome);
        self
    }

    /// Adds an outcome for an utterance's code in the codec.
    pub(super) fn sound(self, name: u32, code: u32, outcome: ScriptedOutcome) -> Self {
        add(&self.sounds, (name, code), outcome);
        self
    }

    /// Adds an outcome for the encoding of a recording of `frames` frames.
    pub(super) fn recording(self, frames: u32, outcome: ScriptedOutcome) -> Self {
        add(&self.recordings, (frames, 0), outcome);
        self
    }

    /// Makes an utterance block the thread at a draw until the returned sender is dropped.
    pub(super) fn blocked_at(self, name: u32, draw: u32) -> (Self, mpsc::Sender<()>) {
        let (release, blocked) = mpsc::channel();
        (self.at(name, draw, ScriptedOutcome::Block(blocked)), release)
    }

    pub(super) async fn start(&self, slots: usize) -> Engine {
        self.load(slots, 1 << 20).ready().await.unwrap()
    }

    pub(super) fn load(&self, slots: usize, prefix_cache_bytes: u64) -> Loading {
        let script = self.clone();
        let capacity = EngineCapacity { slots, prefix_cache_bytes };
        Engine::spawn(capacity, move |_| {
            let model = ScriptedModel { script: script.clone(), slots: vec![Vec::new(); slots] };
            let (decoder, encoder) = (ScriptedDecoder(script.clone()), ScriptedEncoder(script));
            Ok((EngineParts { model, decoder, encoder }, info(slots)))
        })
        .unwrap()
    }

    pub(super) fn decoder(&self) -> ScriptedDecoder {
        ScriptedDecoder(self.clone())
    }

    pub(super) fn calls(&self) -> Vec<ModelCall> {
        self.calls.lock().unwrap().clone()
    }

    /// Returns names and numbers of frames, for each call of the codec.
    pub(super) fn pushed(&self) -> Vec<Vec<(u32, usize)>> {
        self.pushed.lock().unwrap().clone()
    }

    /// Returns the frames of each encoded recording.
    pub(super) fn encoded(&self) -> Vec<usize> {
        self.encoded.lock().unwrap().clone()
    }

    pub(super) fn steps(&self) -> Vec<Vec<(u32, u32)>> {
        let rows = self.calls().into_iter().filter_map(|asked| match asked {
            ModelCall::Step(rows) => Some(rows),
            _ => None,
        });
        rows.collect()
    }

    pub(super) fn steps_of(&self, name: u32) -> usize {
        self.steps().iter().filter(|rows| rows.iter().any(|row| row.0 == name)).count()
    }

    /// Waits until the model has been asked for `steps` frames of an utterance.
    pub(super) async fn reached(&self, name: u32, steps: usize) {
        self.until(|script| script.steps_of(name) >= steps).await;
    }

    /// Waits until `is_so` returns true.
    pub(super) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn note(&self, asked: ModelCall) {
        self.calls.lock().unwrap().push(asked);
    }
}

pub(super) fn info(slots: usize) -> ModelInfo {
    ModelInfo {
        model: "scripted".to_owned(),
        weights_sha256: String::new(),
        noise_only: true,
        device: "cpu".to_owned(),
        dtype: "f32".to_owned(),
        kernels: "scripted".to_owned(),
        slots,
        max_positions: WINDOW,
        load_seconds: 0.0,
    }
}

fn add(outcomes: &ScriptedOutcomes, key: (u32, u32), outcome: ScriptedOutcome) {
    outcomes.lock().unwrap().entry(key).or_default().push_back(outcome);
}

fn outcome(outcomes: &ScriptedOutcomes, key: (u32, u32)) -> Option<ScriptedOutcome> {
    outcomes.lock().unwrap().get_mut(&key)?.pop_front()
}

struct ScriptedModel {
    script: ModelScript,
    /// Positions that each slot has read.
    slots: Vec<Vec<Position>>,
}

impl ScriptedModel {
    fn name(&self, slot: usize) -> u32 {
        match self.slots[slot].last() {
            Some(Position::Text(id)) => *id,
            other => panic!("a step after {other:?}"),
        }
    }

    fn frame(&self, name: u32, draw: u32) -> Result<Frame, EngineError> {
        let mut frame = [draw + 1; CODEBOOKS];
        match outcome(&self.script.outcomes, (name, draw)) {
            Some(ScriptedOutcome::End) => return Ok(END_FRAME),
            Some(ScriptedOutcome::Fail) => return Err(EngineError::Model("told to fail".to_owned())),
            Some(ScriptedOutcome::Panic) => panic!("told to panic"),
            Some(ScriptedOutcome::Block(until_dropped)) => hold(&until_dropped),
            Some(ScriptedOutcome::Say(code)) => frame = [code; CODEBOOKS],
            _ => {}
        }
        frame[1] = name;
        Ok(frame)
    }
}

impl SpeechModel for ScriptedModel {
    type Prefix = Vec<Position>;
    type Decoder = ScriptedDecoder;
    type Encoder = ScriptedEncoder;

    fn limits(&self) -> PromptLimits {
        PromptLimits { window: WINDOW, text_vocab: 100, codes: 2048, block: PREFILL_BLOCK }
    }

    fn reset(&mut self, slot: usize) {
        self.slots[slot].clear();
    }

    fn prefill(&mut self, slot: usize, positions: &[Position]) -> Result<(), EngineError> {
        self.script.note(ModelCall::Prefill { slot, positions: positions.len() });
        self.slots[slot].extend_from_slice(positions);
        Ok(())
    }

    fn step(&mut self, rows: &[Row]) -> Result<Vec<Frame>, EngineError> {
        let rows: Vec<_> = rows.iter().map(|row| (self.name(row.slot), row.frame_index)).collect();
        self.script.note(ModelCall::Step(rows.clone()));
        rows.into_iter().map(|(name, draw)| self.frame(name, draw)).collect()
    }

    fn replay(&mut self, _: usize, frames: &[Frame]) -> Result<(), EngineError> {
        self.script.note(ModelCall::Replay(frames.len()));
        Ok(())
    }

    fn step_times(&self) -> Option<StepTimes> {
        None
    }

    fn save_prefix(&self, slot: usize) -> Result<Vec<Position>, EngineError> {
        self.script.note(ModelCall::Save { positions: self.slots[slot].len() });
        Ok(self.slots[slot].clone())
    }

    fn restore_prefix(&mut self, slot: usize, prefix: &Vec<Position>) -> Result<(), EngineError> {
        assert!(self.slots[slot].is_empty(), "the slot was not emptied");
        self.script.note(ModelCall::Restore { slot, positions: prefix.len() });
        self.slots[slot].clone_from(prefix);
        Ok(())
    }

    fn prefix_bytes(&self, positions: usize) -> u64 {
        positions as u64
    }
}

pub(super) struct ScriptedDecoder(ModelScript);

impl Decode for ScriptedDecoder {
    fn reset(&mut self, _: usize) {}

    fn push(&mut self, rows: &[(usize, &[Frame])]) -> Result<Vec<Vec<f32>>, EngineError> {
        self.0.pushed.lock().unwrap().push(rows.iter().map(|(_, frames)| (frames[0][1], frames.len())).collect());
        let mut sound = Vec::new();
        for (_, frames) in rows {
            let mut pcm = Vec::new();
            for frame in *frames {
                let sample = match outcome(&self.0.sounds, (frame[1], frame[0])) {
                    Some(ScriptedOutcome::Fail) => return Err(EngineError::Model("told to fail".to_owned())),
                    Some(ScriptedOutcome::Panic) => panic!("told to panic"),
                    Some(ScriptedOutcome::NotANumber) => f32::NAN,
                    Some(ScriptedOutcome::Silence) => 0.0,
                    Some(ScriptedOutcome::Say(sample)) => sample as f32,
                    Some(ScriptedOutcome::Block(until_dropped)) => {
                        hold(&until_dropped);
                        frame[0] as f32
                    }
                    _ => frame[0] as f32,
                };
                pcm.extend([sample; FRAME_SAMPLES]);
            }
            sound.push(pcm);
        }
        Ok(sound)
    }
}

pub(super) struct ScriptedEncoder(ModelScript);

impl Encode for ScriptedEncoder {
    fn encode(&mut self, clip: &Clip) -> Result<Vec<Frame>, EngineError> {
        self.0.encoded.lock().unwrap().push(clip.frames());
        match outcome(&self.0.recordings, (clip.frames() as u32, 0)) {
            Some(ScriptedOutcome::Fail) => return Err(EngineError::Model("told to fail".to_owned())),
            Some(ScriptedOutcome::Panic) => panic!("told to panic"),
            Some(ScriptedOutcome::Block(until_dropped)) => hold(&until_dropped),
            _ => {}
        }
        Ok(vec![[7; CODEBOOKS]; clip.frames()])
    }
}
