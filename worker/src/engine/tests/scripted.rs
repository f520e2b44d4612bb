//! A model that does as it is told and writes down what it was asked. An utterance is named by its first text id; its
//! frame `i` has the code `i + 1` everywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};

use csm_shared::audio::{CODEBOOKS, FRAME_SAMPLES};

use super::super::prompt::PromptLimits;
use super::*;
use crate::model::{END_FRAME, Position};

pub(super) const WINDOW: usize = 2048;

/// One thing that the model was asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    Encode { frames: usize },
    Prefill { name: u32, positions: usize },
    Step { name: u32, frame: u32 },
}

/// What befalls an utterance at a frame.
pub(super) enum Fate {
    End,
    Fail,
    Panic,
    /// Waits until the other end is dropped.
    Block(mpsc::Receiver<()>),
}

#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    fates: Arc<Mutex<HashMap<(u32, u32), Fate>>>,
    states: Arc<()>,
}

impl Script {
    pub(super) fn at(self, name: u32, frame: u32, fate: Fate) -> Self {
        self.fates.lock().unwrap().insert((name, frame), fate);
        self
    }

    /// An utterance that blocks the thread at a frame until the returned sender is dropped.
    pub(super) fn blocked_at(self, name: u32, frame: u32) -> (Self, mpsc::Sender<()>) {
        let (release, blocked) = mpsc::channel();
        (self.at(name, frame, Fate::Block(blocked)), release)
    }

    pub(super) async fn start(&self, slots: usize) -> Engine {
        self.load(slots).ready().await.unwrap()
    }

    pub(super) fn load(&self, slots: usize) -> Loading {
        let model = Scripted { script: self.clone() };
        Engine::spawn(slots, move |_| Ok((model, info(slots)))).unwrap()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn steps_of(&self, name: u32) -> usize {
        self.asked().iter().filter(|asked| matches!(asked, Asked::Step { name: of, .. } if *of == name)).count()
    }

    /// Utterances whose state is alive.
    pub(super) fn alive(&self) -> usize {
        // One is held by this script, one by the model's copy.
        Arc::strong_count(&self.states) - 2
    }

    /// Waits until the model has been asked for `steps` frames of an utterance.
    pub(super) async fn reached(&self, name: u32, steps: usize) {
        while self.steps_of(name) < steps {
            tokio::task::yield_now().await;
        }
    }

    fn note(&self, asked: Asked) {
        self.asked.lock().unwrap().push(asked);
    }
}

pub(super) fn info(slots: usize) -> ModelInfo {
    ModelInfo {
        model: "scripted".to_owned(),
        weights_sha256: String::new(),
        noise_only: true,
        device: "cpu".to_owned(),
        dtype: "f32".to_owned(),
        slots,
        max_positions: WINDOW,
        load_seconds: 0.0,
    }
}

struct Scripted {
    script: Script,
}

pub(super) struct State {
    name: Option<u32>,
    _alive: Arc<()>,
}

impl SpeechModel for Scripted {
    type State = State;

    fn limits(&self) -> PromptLimits {
        PromptLimits { window: WINDOW, text_vocab: 100 }
    }

    fn new_state(&self) -> Result<State, EngineError> {
        Ok(State { name: None, _alive: self.script.states.clone() })
    }

    fn encode(&mut self, clip: &Clip) -> Result<Vec<Frame>, EngineError> {
        self.script.note(Asked::Encode { frames: clip.frames() });
        Ok(vec![[7; CODEBOOKS]; clip.frames()])
    }

    fn prefill(&mut self, state: &mut State, positions: &[Position]) -> Result<(), EngineError> {
        if let Position::Text(id) = positions[0] {
            state.name.get_or_insert(id);
        }
        self.script.note(Asked::Prefill { name: state.name.unwrap(), positions: positions.len() });
        Ok(())
    }

    fn step(&mut self, state: &mut State, _: &Sampling, frame: u32) -> Result<Frame, EngineError> {
        let name = state.name.unwrap();
        self.script.note(Asked::Step { name, frame });
        let fate = self.script.fates.lock().unwrap().remove(&(name, frame));
        match fate {
            Some(Fate::End) => return Ok(END_FRAME),
            Some(Fate::Fail) => return Err(EngineError::Model("told to fail".to_owned())),
            Some(Fate::Panic) => panic!("told to panic"),
            Some(Fate::Block(until_dropped)) => drop(until_dropped.recv()),
            None => {}
        }
        Ok([frame + 1; CODEBOOKS])
    }

    fn decode(&mut self, _: &mut State, frame: &Frame) -> Result<Vec<f32>, EngineError> {
        Ok(vec![frame[0] as f32; FRAME_SAMPLES])
    }
}
