//! The result of an utterance depends on its prompt and sampling alone. The slot, its last
//! occupant, the utterances beside it and the order of arrival do not change the result. Readers
//! that stall or leave and the content of the prefix cache do not change it either. Over random
//! schedules, codes and samples are compared bit by bit with the same utterance alone in an engine
//! of its own.

use std::ops::Range;

use candle_core::Device;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::codec::Codec;
use crate::random_model::{FolderLayout, make_noise};

/// Number of random schedules of each weight format; over 500 together.
const SCHEDULES: [(WeightFormat, u64); 3] =
    [(WeightFormat::F32, 200), (WeightFormat::Q8_0, 160), (WeightFormat::Q4K, 144)];
/// Number of different utterances of each weight format.
const UTTERANCES: usize = 20;
/// Slots and threads of the engines that the schedules share, so that slots are reused often.
const ENGINES: [(usize, usize); 6] = [(1, 2), (3, 1), (5, 2), (8, 1), (16, 2), (MAX_SLOTS, 1)];
/// Size of the prefix cache: a few contexts only, so that prefixes come and go.
pub(super) const PREFIX_CACHE_BYTES: u64 = 60_000;

/// An utterance with its result when it runs alone.
pub(super) struct ReferenceRun {
    utterance: Utterance,
    codes: Vec<Frame>,
    pcm: Vec<f32>,
    finish: FinishReason,
}

pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn within(&mut self, range: Range<u32>) -> u32 {
        self.0.random_range(range)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn ids(&mut self, count: u32) -> Vec<u32> {
        (0..count).map(|_| self.within(0..256)).collect()
    }

    /// Returns one of a few contexts, so that contexts share beginnings. Segments for one place
    /// have one size, so that they differ in content alone.
    fn context(&mut self) -> Vec<PromptSegment> {
        let mut context = Vec::new();
        for place in 0..self.one_of(&[0, 0, 1, 1, 2, 3]) {
            let mut of_segment = Self::new(100 * place + self.below(2) as u64);
            let (text_ids, frames) = (of_segment.ids(4 + 3 * place as u32), 2 + place as usize);
            let recording = if of_segment.below(2) == 0 {
                let samples = (0..1920 * frames - 7).map(|_| of_segment.0.random_range(-9000..9000));
                SegmentAudio::Clip(Clip::from_samples(samples.collect()))
            } else {
                SegmentAudio::Codes((0..frames).map(|_| std::array::from_fn(|_| of_segment.within(1..2048))).collect())
            };
            context.push(PromptSegment { text_ids, audio: recording });
        }
        context
    }

    pub(super) fn utterance(&mut self, index: usize) -> Utterance {
        let text = self.one_of(&[1, 2, 7, 20, 33, 150]);
        let sampling = Sampling {
            temperature: Temperature::new(self.one_of(&[0.0, 0.5, 0.9, 0.9, 1.5])).unwrap(),
            topk: TopK::new(self.one_of(&[1, 5, 50, 50, 2048])).unwrap(),
            seed: Seed::new(self.0.random()),
        };
        // Some utterances are longer than a stream's capacity, so that a reader can stall its slot.
        let max_frames = if index % 10 == 9 { FRAMES_AHEAD as u32 + 4 } else { self.within(2..9) };
        let first_frame = self.one_of(&[0, 0, 0, 7, 100_000]);
        let (context, text_ids) = (self.context(), self.ids(text));
        let recurring = self.one_of(&[usize::MAX, usize::MAX, 1]);
        Utterance {
            context,
            recurring,
            text_ids,
            sampling,
            max_frames,
            first_frame,
            resumed_frames: Vec::new(),
            decode_only: false,
        }
    }
}

async fn start(config: EngineConfig) -> Engine {
    Engine::start(config).unwrap().ready().await.unwrap()
}

/// Runs each utterance alone, in an engine of its own without a prefix cache, and decodes its codes
/// at once.
pub(super) async fn alone(config: &EngineConfig, seed: u64) -> Vec<ReferenceRun> {
    let codec = Codec::load(&config.folder, &Device::Cpu, &mut |_| {}).unwrap();
    let mut random = Random::new(seed);
    let mut known = Vec::new();
    for index in 0..UTTERANCES {
        let utterance = random.utterance(index);
        let engine = start(EngineConfig { threads: Some(1), prefix_cache_bytes: 0, ..config.clone() }).await;
        let (codes, pcm, finish) = listen(engine.admit(utterance.clone()).await.unwrap()).await;
        assert!(
            codec.decode(&codes).unwrap() == pcm,
            "utterance {index}: streamed sound is not the sound of its codes"
        );
        assert!(
            known.iter().all(|other: &ReferenceRun| other.codes != codes),
            "utterance {index} says what another says"
        );
        known.push(ReferenceRun { utterance, codes, pcm, finish });
    }
    known
}

/// An utterance under way: its index, and the frames received so far.
struct LiveRun {
    which: usize,
    stream: FrameStream,
    codes: Vec<Frame>,
    pcm: Vec<f32>,
}

impl LiveRun {
    /// Takes one frame; returns false at the end.
    async fn read(&mut self) -> bool {
        let Some(frame) = self.stream.next().await else { return false };
        let frame = frame.unwrap();
        self.codes.push(frame.codes);
        self.pcm.extend(frame.pcm);
        true
    }

    /// Compares the received frames with the reference.
    fn check(&self, known: &ReferenceRun, ended: bool, schedule: &str) {
        let Self { which, codes, pcm, .. } = self;
        let (frames, samples) = if ended { (known.codes.len(), known.pcm.len()) } else { (codes.len(), pcm.len()) };
        assert!(codes[..] == known.codes[..frames], "{schedule}: the codes of utterance {which}");
        assert!(pcm[..] == known.pcm[..samples], "{schedule}: the sound of utterance {which}");
        assert!(
            !ended || self.stream.finish_reason() == Some(known.finish),
            "{schedule}: the end of utterance {which}"
        );
    }
}

/// Runs one random schedule: utterances arrive one by one or many at once. The test reads them,
/// lets them stall while it reads others, and drops them, in any order.
pub(super) async fn run(engine: &Engine, known: &[ReferenceRun], seed: u64) {
    let slots = engine.info().slots;
    let schedule = format!("schedule {seed}, {slots} slots");
    let mut random = Random::new(seed);
    let mut to_come = 1 + random.below((2 * slots).min(8).max(slots) + 1);
    let mut live: Vec<LiveRun> = Vec::new();
    while to_come > 0 || !live.is_empty() {
        if live.is_empty() || random.below(3) == 0 {
            let at_once = (0..to_come.min(1 + random.below(slots))).map(|_| random.below(known.len()));
            let admitted =
                at_once.map(|which| async move { (which, engine.admit(known[which].utterance.clone()).await) });
            for (which, admitted) in futures::future::join_all(admitted).await {
                match admitted {
                    Ok(stream) => live.push(LiveRun { which, stream, codes: Vec::new(), pcm: Vec::new() }),
                    Err(error) => {
                        assert_eq!((error, live.is_empty()), (EngineError::NoFreeSlot, false));
                        continue;
                    }
                }
                to_come -= 1;
            }
        }
        let index = random.below(live.len());
        if random.below(30) == 0 {
            let left = live.swap_remove(index);
            left.check(&known[left.which], false, &schedule);
            continue;
        }
        for _ in 0..random.one_of(&[1, 1, 3, 100]) {
            if !live[index].read().await {
                let ended = live.swap_remove(index);
                ended.check(&known[ended.which], true, &schedule);
                break;
            }
        }
    }
}

async fn schedules(format: WeightFormat, count: u64) {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let weights = WeightChoice::Format(format);
    let config = EngineConfig { weights, prefix_cache_bytes: PREFIX_CACHE_BYTES, ..settings(folder.path(), 1) };
    let known = alone(&config, count).await;
    for (index, (slots, threads)) in (0..).zip(ENGINES) {
        let engine = start(EngineConfig { slots, threads: Some(threads), ..config.clone() }).await;
        for seed in (0..count).filter(|seed| seed % ENGINES.len() as u64 == index) {
            soon(run(&engine, &known, seed)).await;
        }
        let stats = engine.take_stats();
        assert!(stats.prefix_bytes <= PREFIX_CACHE_BYTES, "{stats:?}");
        assert!(slots == 1 || stats.frames > stats.steps, "rows were stepped together: {stats:?}");
        soon(prefixes_are_found(&engine, &known)).await;
    }
}

/// Checks that the schedules had copied prefixes to get wrong. A repeated utterance finds its whole
/// context, and one with a longer context finds a part. The finds of earlier utterances depend on
/// their readers.
async fn prefixes_are_found(engine: &Engine, known: &[ReferenceRun]) {
    let with_context = known.iter().find(|known| !known.utterance.context.is_empty());
    let utterance = &with_context.unwrap().utterance;
    let mut longer = Utterance { max_frames: 1, recurring: usize::MAX, ..utterance.clone() };
    for _ in 0..2 {
        listen(engine.admit(longer.clone()).await.unwrap()).await;
    }
    longer.context.push(PromptSegment { text_ids: vec![255; 3], audio: SegmentAudio::Codes(vec![[2047; 32]]) });
    listen(engine.admit(longer).await.unwrap()).await;
    let stats = engine.take_stats();
    assert!(stats.prefix_hits > 0 && stats.prefix_parts > 0, "{stats:?}");
}

#[test]
fn there_are_enough_schedules() {
    assert!(SCHEDULES.iter().map(|(_, count)| count).sum::<u64>() >= 500);
}

#[tokio::test]
async fn whatever_happens_around_it_an_utterance_is_the_same_in_f32() {
    schedules(SCHEDULES[0].0, SCHEDULES[0].1).await;
}

#[tokio::test]
async fn whatever_happens_around_it_an_utterance_is_the_same_in_q8_0() {
    schedules(SCHEDULES[1].0, SCHEDULES[1].1).await;
}

#[tokio::test]
async fn whatever_happens_around_it_an_utterance_is_the_same_in_q4_k() {
    schedules(SCHEDULES[2].0, SCHEDULES[2].1).await;
}
