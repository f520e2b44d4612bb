//! Test of the mark on the output of a real codec. The noise model's codec makes a noise of its own
//! kind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the measuring tests print what they measured")]

mod policy;

pub(crate) use policy::broken_marker;

use candle_core::Device;
use csm_shared::audio::{CODEBOOKS, Frame};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use crate::marks::{DETECTED_ABOVE, Marked, Verdict, Watermark, WatermarkKey};
use csm_engine::codec::Codec;
use csm_engine::random_model::{FolderLayout, make_noise};

fn mark(clip: &[f32]) -> Marked {
    let mut stream = watermark().stream();
    let mut marked = stream.push(clip);
    marked.append(stream.finish());
    marked.into()
}

fn watermark() -> Watermark {
    Watermark::new(&WatermarkKey::development())
}

fn dbfs(samples: &[f32]) -> f32 {
    10.0 * (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).log10()
}

/// Frames of the clips: 2 s.
const FRAMES: usize = 25;

#[test]
fn the_codec_of_the_noise_model_is_marked_and_found() {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let codec = Codec::load(folder.path(), &Device::Cpu, &mut |_| {}).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut draw = || -> Frame { [0; CODEBOOKS].map(|_| random.next_u32() % 2_048) };
    let varied: Vec<Frame> = (0..FRAMES).map(|_| draw()).collect();
    let stuck = vec![draw(); FRAMES];
    for (name, frames) in [("changing codes", varied), ("one frame over and over", stuck)] {
        let clip = codec.decode(&frames).unwrap();
        let without = watermark().detector().detect(&clip);
        let with = watermark().detector().detect(&mark(&clip).to_f32());
        println!("2 s of {name} at {:.0} dBFS: z {:.1}, unmarked {:.1}", dbfs(&clip), with.z, without.z);
        assert!(with.z > 1.2 * DETECTED_ABOVE, "{name}: {with:?}");
        assert_ne!(without.verdict, Verdict::Detected, "{name}: {without:?}");
    }
}
