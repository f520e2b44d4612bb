//! The noise model through the worker's own engine, before the mark.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use csm_engine::engine::{DeviceChoice, Engine, EngineConfig, Utterance};
use csm_engine::model::{WeightChoice, WeightFormat};
use csm_engine::random_model::{FolderLayout, make_noise};
use csm_shared::job::{Sampling, Seed, Temperature, TopK};
use csm_shared::prompt::PromptTokenizer;
use futures::future::try_join_all;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::super::attack_rng::AttackRng;
use super::{CorpusSource, LENGTHS, Unmarked, cut, samples_of_all, text};

/// Utterances that are generated at a time.
const SLOTS: usize = 16;
/// Words of a text: enough ids for the frames that are asked for.
const WORDS: usize = 12;
/// Rounds of [`SLOTS`] utterances for each round that would suffice if no utterance ended early.
const ROUNDS: usize = 4;
/// Number that keeps the draws of the texts apart from others.
const PURPOSE: u32 = 3;

/// Loaded noise model.
pub(crate) struct NoiseModel {
    engine: Engine,
    tokenizer: PromptTokenizer,
    runtime: Runtime,
    /// Sampling seed of the next utterance.
    next: usize,
    _folder: TempDir,
}

impl NoiseModel {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let path: PathBuf = folder.path().join("noise");
        make_noise(&path, FolderLayout::Transformers)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let config = EngineConfig {
            folder: path.clone(),
            model: "noise".to_owned(),
            device: DeviceChoice::Cpu,
            slots: SLOTS,
            weights: WeightChoice::Format(WeightFormat::F32),
            threads: None,
            prefix_cache_bytes: 0,
        };
        let engine = runtime.block_on(Engine::start(config)?.ready())?;
        let tokenizer = PromptTokenizer::from_folder(&path)?;
        Ok(Self { engine, tokenizer, runtime, next: 1, _folder: folder })
    }

    /// Makes `count` clips of each length, from utterances of seeds never used before.
    pub(crate) fn speak(&mut self, count: usize) -> anyhow::Result<Vec<Unmarked>> {
        let mut clips: Vec<Unmarked> = Vec::new();
        let mut missing = [count; LENGTHS.len()];
        for _ in 0..ROUNDS * count.div_ceil(SLOTS) {
            let utterances = (0..SLOTS).map(|slot| self.utterance(self.next + slot));
            let utterances = utterances.collect::<anyhow::Result<Vec<_>>>()?;
            self.next += SLOTS;
            let said = self.runtime.block_on(try_join_all(utterances.into_iter().map(|it| say(&self.engine, it))))?;
            for clip in said.iter().flat_map(|pcm| cut(CorpusSource::NoiseModel, pcm)) {
                if missing[clip.length] > 0 {
                    missing[clip.length] -= 1;
                    clips.push(clip);
                }
            }
            if missing == [0; LENGTHS.len()] {
                return Ok(clips);
            }
        }
        ensure!(missing == [0; LENGTHS.len()], "the noise model ends its utterances early: clips missing {missing:?}");
        Ok(clips)
    }

    fn utterance(&self, seed: usize) -> anyhow::Result<Utterance> {
        let text = text::paragraph(&mut AttackRng::new(PURPOSE, seed), WORDS);
        Ok(Utterance {
            context: Vec::new(),
            recurring: 0,
            text_ids: self.tokenizer.text_ids((seed % 4) as u32, &text)?,
            sampling: Sampling {
                temperature: Temperature::default(),
                topk: TopK::default(),
                seed: Seed::new(seed as u64),
            },
            max_frames: samples_of_all().div_ceil(csm_shared::audio::FRAME_SAMPLES) as u32,
            first_frame: 0,
            resumed_frames: Vec::new(),
        })
    }
}

async fn say(engine: &Engine, utterance: Utterance) -> anyhow::Result<Vec<f32>> {
    let (mut stream, mut pcm) = (engine.admit(utterance).await?, Vec::new());
    while let Some(frame) = stream.next().await {
        pcm.extend(frame?.pcm);
    }
    Ok(pcm)
}
