#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

//! The engine over a scripted model (order of work, stalls, endings) and over the tiny checkpoint (numbers).

mod order;
mod scripted;
mod tables;
mod tiny;

use csm_shared::audio::Frame;
use csm_shared::job::{Sampling, Seed, Temperature, TopK};

use super::*;

fn sampling(seed: u64) -> Sampling {
    Sampling { temperature: Temperature::default(), topk: TopK::default(), seed: Seed::new(seed) }
}

fn say(text_ids: Vec<u32>, seed: u64, max_frames: u32) -> Utterance {
    Utterance { context: Vec::new(), text_ids, sampling: sampling(seed), max_frames }
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
