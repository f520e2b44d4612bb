#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

//! Tests of the engine, over a scripted model (order of work, stalls, endings, contexts) and over
//! the noise model (numbers).

mod contexts;
mod endings;
mod finds_planted_defect;
mod invariance;
mod life;
mod noise;
mod order;
mod resume;
mod scripted;
mod tables;

use std::path::Path;
use std::time::Duration;

use csm_shared::audio::{Clip, Frame};
use csm_shared::job::{Sampling, Seed, Temperature, TopK};

use super::*;
use crate::model::WeightFormat;

/// Time limit for an event that should come at once.
const SOON: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap()
}

fn sampling(seed: u64) -> Sampling {
    Sampling { temperature: Temperature::default(), topk: TopK::default(), seed: Seed::new(seed) }
}

fn say(text_ids: Vec<u32>, seed: u64, max_frames: u32) -> Utterance {
    Utterance {
        context: Vec::new(),
        recurring: usize::MAX,
        text_ids,
        sampling: sampling(seed),
        max_frames,
        first_frame: 0,
        resumed_frames: Vec::new(),
        decode_only: false,
    }
}

/// Returns a context segment with a recording.
fn clip_segment(text_ids: Vec<u32>, clip: Clip) -> PromptSegment {
    PromptSegment { text_ids, audio: SegmentAudio::Clip(clip) }
}

/// Returns the settings of an engine on the CPU, in f32.
fn settings(folder: &Path, slots: usize) -> EngineConfig {
    EngineConfig {
        folder: folder.to_owned(),
        model: "noise".to_owned(),
        device: DeviceChoice::Cpu,
        slots,
        weights: WeightChoice::Format(WeightFormat::F32),
        threads: Some(2),
        prefix_cache_bytes: 1 << 26,
    }
}

/// Reads a stream to its end.
async fn listen(mut stream: FrameStream) -> (Vec<Frame>, Vec<f32>, FinishReason) {
    let (mut codes, mut pcm) = (Vec::new(), Vec::new());
    while let Some(frame) = stream.next().await {
        let frame = frame.unwrap();
        codes.push(frame.codes);
        pcm.extend(frame.pcm);
    }
    assert!(stream.next().await.is_none(), "an ended stream stays ended");
    (codes, pcm, stream.finish_reason().unwrap())
}

/// Reads a stream to the error that ends it.
async fn fails(stream: &mut FrameStream) -> EngineError {
    soon(async {
        loop {
            match stream.next().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        }
    })
    .await
}
