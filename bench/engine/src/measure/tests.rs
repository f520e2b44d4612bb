#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use candle_core::Tensor;
use candle_nn::var_builder::SimpleBackend as _;
use csm_shared::audio::FRAME_SAMPLES;

use super::candle_csm::Renamed;
use super::quality::RowDifference;
use super::*;
use csm_engine::model::{WeightChoice, WeightFormat};
use csm_engine::random_model::{FolderLayout, make_noise};

fn noise(folder: &Path) -> Subject {
    make_noise(folder, FolderLayout::Transformers).unwrap();
    Subject { folder: folder.to_owned(), device: DeviceChoice::Cpu, threads: Some(1), prompt: 10 }
}

#[test]
fn every_row_makes_every_frame_and_the_parts_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let subject = noise(folder.path());
    let plan = StepsPlan { subject, weights: WeightChoice::Format(WeightFormat::Q8_0), rows: 3, frames: 4 };
    let steps = step(&plan).unwrap();
    assert_eq!((steps.times.len(), steps.format), (4, WeightFormat::Q8_0));
    for times in &steps.times {
        assert!(times.backbone + times.depth + times.sampling <= times.model, "{times:?}");
        assert!(!times.backbone.is_zero() && !times.depth.is_zero() && !times.codec.is_zero(), "{times:?}");
    }
    let all: u64 = steps.memory.iter().map(|(_, bytes)| bytes).sum();
    assert!(steps.bytes_per_step > 0 && all > steps.bytes_per_step);
}

#[tokio::test]
async fn a_long_prompt_is_read_beside_a_running_row() {
    let folder = tempfile::tempdir().unwrap();
    let subject = noise(folder.path());
    let weights = WeightChoice::Format(WeightFormat::F32);
    let plan = EnginePlan { subject, weights, slots: 3, frames: 20, admitted: 900 };
    let run = run_engine(&plan).await.unwrap();
    assert!(run.first_sound_frames >= 1 && run.first_sound > Duration::ZERO);
    assert!(run.alone.frames > 0 && run.alone.prefill_blocks == 0, "{:?}", run.alone);
    assert!(run.admitting.positions == 900 && run.admitting.prefill_blocks > 1, "{:?}", run.admitting);
    assert!(run.admitting.longest_gap > Duration::ZERO);
    assert!(run.together.frames > run.together.steps, "rows are stepped together: {:?}", run.together);
    assert!(run.together.decoded > 0 && run.together_for > Duration::ZERO);
    assert_eq!(run.format, "f32");
}

/// Checks that the codec's peer does the same work, because its audio is the same.
#[test]
fn candles_mimi_decodes_the_same_sound() {
    let folder = tempfile::tempdir().unwrap();
    let plan = CodecPlan { subject: noise(folder.path()), rows: 2, frames_per_call: 2, calls: 3 };
    let (ours, theirs) = (our_codec(&plan).unwrap(), candle_mimi(&plan).unwrap());
    assert_eq!((ours.times.len(), theirs.times.len()), (3, 3));
    assert_eq!(ours.pcm.len(), (WARM_UP + 3) * 2 * FRAME_SAMPLES);
    let peak = ours.pcm.iter().fold(0_f32, |peak, x| peak.max(x.abs()));
    let worst = ours.pcm.iter().zip(&theirs.pcm).fold(0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(theirs.pcm.len() == ours.pcm.len() && worst < 1e-3 * peak, "{worst} of {peak}");
}

/// Checks that candle's CSM reads the same model: the tensors of the original layout.
#[test]
fn candles_csm_gets_the_originals_tensors_from_either_layout() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, layout| {
        let folder = folder.path().join(name);
        make_noise(&folder, layout).unwrap();
        Renamed::open(&folder).unwrap()
    };
    let original = open("original", FolderLayout::Original);
    let renamed = open("transformers", FolderLayout::Transformers);
    let tensor = |from: &Renamed, name: &str| -> Tensor {
        from.get_unchecked(name, candle_core::DType::F32, &Device::Cpu).unwrap()
    };
    let names = [
        "backbone.layers.0.attn.q_proj.weight",
        "backbone.layers.2.attn.k_proj.weight",
        "backbone.layers.1.attn.v_proj.weight",
        "decoder.layers.1.attn.q_proj.weight",
        "decoder.layers.0.mlp.w2.weight",
        "decoder.norm.scale",
        "audio_embeddings.weight",
        "text_embeddings.weight",
        "audio_head",
        "projection.weight",
        "codebook0_head.weight",
    ];
    for name in names {
        let (a, b) = (tensor(&original, name), tensor(&renamed, name));
        assert_eq!(a.dims(), b.dims(), "{name}");
        let numbers = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(numbers(a) == numbers(b), "{name}");
    }
    assert!(!renamed.contains_tensor("backbone.layers.9.attn.q_proj.weight"));
}

#[test]
fn candles_csm_refuses_other_dimensions() {
    let folder = tempfile::tempdir().unwrap();
    let plan = CandlePlan { subject: noise(folder.path()), dtype: CandleDtype::F32, frames: 1 };
    assert!(matches!(candle_csm(&plan), Err(BenchError::Unsuitable(_))));
}

#[test]
fn f32_differs_from_itself_in_nothing_and_four_bits_differ_most() {
    let folder = tempfile::tempdir().unwrap();
    let formats = vec![WeightFormat::F32, WeightFormat::Q8_0, WeightFormat::Q4K];
    let plan = QualityPlan { subject: noise(folder.path()), formats, frames: 5 };
    let mut told = Vec::new();
    let [same, eight, four] = &compare(&plan, &mut |format| told.push(format)).unwrap()[..] else {
        panic!("three formats")
    };
    assert_eq!(told.len(), 4, "the reference and three formats");
    assert_eq!((same.frames, same.compared, same.until_divergence), (5, 160, 5));
    assert_eq!((same.max_error, same.same_code, same.same_frame), (0.0, 1.0, 1.0));
    assert!(same.mean_kl.abs() < 1e-9);
    assert!(0.0 < eight.mean_error && eight.mean_error < four.mean_error, "{eight:?} {four:?}");
    assert!(eight.mean_kl < four.mean_kl && four.same_code < 1.0);
    assert!(four.compared < 160, "codes after the first difference of a frame are not compared");
}

#[test]
fn a_row_is_compared_in_deviations_and_nats() {
    // Deviation 1, and one logit off by a half; a uniform shift changes no distribution.
    let row = RowDifference::new(&[1.0, -1.0, 1.0, -1.0], &[1.5, -1.0, 1.0, -1.0]);
    assert!((row.mean - 0.125).abs() < 1e-9 && (row.max - 0.5).abs() < 1e-9 && row.kl > 0.0, "{row:?}");
    let shifted = RowDifference::new(&[1.0, -1.0], &[3.0, 1.0]);
    assert!(shifted.kl.abs() < 1e-9 && shifted.mean > 1.9, "{shifted:?}");
    // Two even choices against 3 to 1: ln 2 - (ln 3) / 2.
    let uneven = RowDifference::new(&[0.0, 0.0], &[3_f32.ln(), 0.0]);
    assert!((uneven.kl - 0.143_841).abs() < 1e-5, "{uneven:?}");
}

#[test]
fn memory_is_streamed_whole() {
    let host = host_bandwidth(2, 1 << 20);
    assert!(host.buffer <= 1 << 20 && host.buffer > 1 << 19 && host.threads == 2);
    assert!(host.read.is_finite() && host.read > 0.0 && host.copy > 0.0);
    let subject = Subject { folder: "/".into(), device: DeviceChoice::Cpu, threads: None, prompt: 1 };
    let refused = device_bandwidth(&subject, 1 << 20).unwrap_err().to_string();
    assert_eq!(refused, "cpu is no device with memory of its own");
}

#[test]
fn times_are_averaged() {
    let times: Vec<_> = [9, 1, 2].map(Duration::from_millis).to_vec();
    assert_eq!((mean(&times), median(&times)), (Duration::from_millis(4), Duration::from_millis(2)));
    assert_eq!((mean(&[]), median(&[])), (Duration::ZERO, Duration::ZERO));
}
