//! The toy voice through the worker's own engine, before the mark.

use anyhow::{Context as _, bail};
use csm_engine::engine::{DeviceChoice, Engine, EngineConfig, Utterance};
use csm_engine::model::{WeightChoice, WeightFormat};
use csm_shared::job::{Sampling, Seed, Temperature, TopK};
use csm_shared::prompt::PromptTokenizer;
use futures::future::try_join_all;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::super::attack_rng::AttackRng;
use super::{CorpusSource, Unmarked, cut, samples_of_all, text};

/// Utterances that are generated at a time.
const SLOTS: usize = 16;
/// Words of an utterance.
const WORDS: usize = 12;
/// Most utterances until there is one clip of each length.
const UTTERANCES_MAX: usize = 20;
/// Longest utterance in frames; one of [`WORDS`] words ends by itself long before.
const FRAMES_MAX: u32 = 250;
/// Number that keeps the draws of the texts apart from others.
const PURPOSE: u32 = 3;

/// Loaded toy voice.
pub(crate) struct ToyVoice {
    engine: Engine,
    tokenizer: PromptTokenizer,
    runtime: Runtime,
    /// Number of the next recital, which is also its sampling seed.
    next: usize,
    _folder: TempDir,
}

impl ToyVoice {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder")?;
        csm_tiny::write(folder.path())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let config = EngineConfig {
            folder: folder.path().to_owned(),
            model: "tiny".to_owned(),
            device: DeviceChoice::Cpu,
            slots: SLOTS,
            weights: WeightChoice::Format(WeightFormat::F32),
            threads: None,
            prefix_cache_bytes: 0,
        };
        let engine = runtime.block_on(Engine::start(config)?.ready())?;
        let tokenizer = PromptTokenizer::from_folder(folder.path())?;
        Ok(Self { engine, tokenizer, runtime, next: 1, _folder: folder })
    }

    /// Makes `count` clips of each length, from texts and seeds never used before.
    pub(crate) fn speak(&mut self, count: usize) -> anyhow::Result<Vec<Unmarked>> {
        let mut clips = Vec::new();
        let numbers: Vec<usize> = (self.next..self.next + count).collect();
        self.next += count;
        for wave in numbers.chunks(SLOTS) {
            let said = self.runtime.block_on(try_join_all(wave.iter().map(|&number| self.recite(number))))?;
            clips.extend(said.iter().flat_map(|pcm| cut(CorpusSource::ToyVoice, pcm)));
        }
        Ok(clips)
    }

    /// Says one utterance after the other until they are long enough for one clip of each length.
    async fn recite(&self, number: usize) -> anyhow::Result<Vec<f32>> {
        let (mut draw, mut pcm) = (AttackRng::new(PURPOSE, number), Vec::new());
        for _ in 0..UTTERANCES_MAX {
            let utterance = self.utterance(number, &text::paragraph(&mut draw, WORDS))?;
            let mut stream = self.engine.admit(utterance).await?;
            while let Some(frame) = stream.next().await {
                pcm.extend(frame?.pcm);
            }
            if pcm.len() >= samples_of_all() {
                return Ok(pcm);
            }
        }
        bail!("the toy voice says {UTTERANCES_MAX} utterances in {} samples of {}", pcm.len(), samples_of_all())
    }

    /// Returns an utterance of either voice in turn.
    fn utterance(&self, number: usize, text: &str) -> anyhow::Result<Utterance> {
        Ok(Utterance {
            context: Vec::new(),
            recurring: 0,
            text_ids: self.tokenizer.text_ids((number % 2) as u32, text)?,
            sampling: Sampling {
                temperature: Temperature::default(),
                topk: TopK::default(),
                seed: Seed::new(number as u64),
            },
            max_frames: FRAMES_MAX,
            first_frame: 0,
            resumed_frames: Vec::new(),
            decode_only: false,
        })
    }
}
