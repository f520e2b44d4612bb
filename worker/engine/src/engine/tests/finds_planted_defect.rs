//! Defects planted between the engine and its model. The schedules of
//! [`invariance`](super::invariance) must find each of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use candle_core::Device;
use futures::FutureExt as _;

use super::super::backend::Decode;
use super::super::prefill::PromptLimits;
use super::invariance::{PREFIX_CACHE_BYTES, ReferenceRun, alone, run};
use super::scripted::info;
use super::*;
use crate::codec::{Codec, Decoder};
use crate::model::{LoadOptions, Model, Position, Prefix, Row, StepTimes};
use crate::random_model::{FolderLayout, make_noise};

/// Number of schedules within which a defect must be found.
const SCHEDULES: u64 = 60;
const SLOTS: usize = 3;

/// Planted defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EngineDefect {
    /// No defect: the schedules find no fault with a model that this module only wraps.
    None,
    /// All positions are off by one in every slot but the first.
    WrongPosition,
    /// A slot still sees the prompt of its last occupant.
    LeakedPrompt,
    /// A slot's decoder continues from the audio of its last occupant.
    UnresetDecoder,
    /// A prefix is found by its length alone.
    SomebodysPrefix,
    /// Draws are counted by slot, not by utterance.
    DrawsOfTheSlot,
}

struct DefectiveModel {
    model: Model,
    defect: EngineDefect,
    /// Positions that each slot has read since its last reset.
    read: Vec<Vec<Position>>,
    /// Prefixes saved so far, by their number of positions.
    kept: RefCell<HashMap<usize, Arc<Prefix>>>,
}

impl SpeechModel for DefectiveModel {
    type Prefix = Arc<Prefix>;
    type Decoder = DefectiveDecoder;
    type Encoder = Arc<Codec>;

    fn limits(&self) -> PromptLimits {
        SpeechModel::limits(&self.model)
    }

    fn reset(&mut self, slot: usize) {
        self.model.reset(slot);
        let before = std::mem::take(&mut self.read[slot]);
        let extra = match self.defect {
            EngineDefect::WrongPosition if slot > 0 => &[Position::Text(0)][..],
            EngineDefect::LeakedPrompt => &before[..],
            _ => &[],
        };
        SpeechModel::prefill(&mut self.model, slot, extra).unwrap();
    }

    fn prefill(&mut self, slot: usize, positions: &[Position]) -> Result<(), EngineError> {
        self.read[slot].extend_from_slice(positions);
        SpeechModel::prefill(&mut self.model, slot, positions)
    }

    fn step(&mut self, rows: &[Row]) -> Result<Vec<Frame>, EngineError> {
        let draw = |row: &Row| match self.defect {
            EngineDefect::DrawsOfTheSlot => row.frame_index + row.slot as u32,
            _ => row.frame_index,
        };
        let rows: Vec<_> = rows.iter().map(|row| Row { frame_index: draw(row), ..*row }).collect();
        SpeechModel::step(&mut self.model, &rows)
    }

    fn replay(&mut self, slot: usize, frames: &[Frame]) -> Result<(), EngineError> {
        SpeechModel::replay(&mut self.model, slot, frames)
    }

    fn step_times(&self) -> Option<StepTimes> {
        self.model.step_times()
    }

    fn save_prefix(&self, slot: usize) -> Result<Arc<Prefix>, EngineError> {
        let made = Arc::new(SpeechModel::save_prefix(&self.model, slot)?);
        let mut kept = self.kept.borrow_mut();
        let first = kept.entry(made.positions()).or_insert_with(|| Arc::clone(&made));
        Ok(if self.defect == EngineDefect::SomebodysPrefix { Arc::clone(first) } else { made })
    }

    fn restore_prefix(&mut self, slot: usize, prefix: &Arc<Prefix>) -> Result<(), EngineError> {
        // A prefix goes into an empty slot and includes the positions that a defect adds at a
        // reset.
        self.model.reset(slot);
        SpeechModel::restore_prefix(&mut self.model, slot, prefix)
    }

    fn prefix_bytes(&self, positions: usize) -> u64 {
        self.model.prefix_bytes(positions) as u64
    }
}

struct DefectiveDecoder {
    decoder: Decoder,
    defect: EngineDefect,
}

impl Decode for DefectiveDecoder {
    fn reset(&mut self, slot: usize) {
        if self.defect != EngineDefect::UnresetDecoder {
            self.decoder.reset(slot);
        }
    }

    fn push(&mut self, rows: &[(usize, &[Frame])]) -> Result<Vec<Vec<f32>>, EngineError> {
        Decode::push(&mut self.decoder, rows)
    }
}

async fn start(folder: &Path, defect: EngineDefect) -> Engine {
    let folder = folder.to_owned();
    let capacity = EngineCapacity { slots: SLOTS, prefix_cache_bytes: PREFIX_CACHE_BYTES };
    let load = move |_: &_| {
        let options = LoadOptions { threads: Some(1), ..LoadOptions::f32(SLOTS) };
        let model = Model::load(&folder, &Device::Cpu, &options, &mut |_| {}).unwrap();
        let codec = Codec::load(&folder, &Device::Cpu, &mut |_| {}).unwrap();
        let decoder = DefectiveDecoder { decoder: codec.new_decoder(SLOTS, 1), defect };
        let model = DefectiveModel { model, defect, read: vec![Vec::new(); SLOTS], kept: RefCell::default() };
        Ok((EngineParts { model, decoder, encoder: Arc::new(codec) }, info(SLOTS)))
    };
    Engine::spawn(capacity, load).unwrap().ready().await.unwrap()
}

/// Returns the first fault that the schedules find.
async fn found(folder: &Path, known: &[ReferenceRun], defect: EngineDefect) -> Option<String> {
    let engine = start(folder, defect).await;
    for seed in 0..SCHEDULES {
        if let Err(panic) = AssertUnwindSafe(run(&engine, known, seed)).catch_unwind().await {
            return Some(panic.downcast_ref::<String>().cloned().unwrap_or_default());
        }
    }
    None
}

#[tokio::test]
async fn every_planted_defect_is_found() {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let known = alone(&settings(folder.path(), 1), 1).await;
    assert_eq!(found(folder.path(), &known, EngineDefect::None).await, None);
    for (defect, expected) in [
        (EngineDefect::WrongPosition, "the codes"),
        (EngineDefect::LeakedPrompt, "the codes"),
        (EngineDefect::UnresetDecoder, "the sound"),
        (EngineDefect::SomebodysPrefix, "the codes"),
        (EngineDefect::DrawsOfTheSlot, "the codes"),
    ] {
        let what = found(folder.path(), &known, defect).await.unwrap_or_else(|| panic!("{defect:?} is not found"));
        assert!(what.contains(expected), "{defect:?}: {what}");
    }
}
