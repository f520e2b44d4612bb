#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_shared::job::{Seed, Temperature, TopK};
use csm_testing::golden;

use super::*;

fn options(out: &Path) -> TraceOptions {
    TraceOptions {
        folder: golden("original"),
        text: "I'm fine in 2026, and you?".into(),
        speaker: 0,
        context: vec![TraceContext {
            recording: golden("context.wav"),
            speaker: 1,
            text: "How are you, friend?".into(),
        }],
        frames: 6,
        sampling: Sampling {
            temperature: Temperature::new(0.0).unwrap(),
            topk: TopK::new(1).unwrap(),
            seed: Seed::new(0),
        },
        out: out.into(),
    }
}

#[test]
fn a_trace_holds_what_the_reference_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trace.safetensors");
    let summary = trace(&options(&out)).unwrap();
    assert_eq!(summary, TraceSummary { prompt_positions: 63, frames: 6, ended: false });
    let load = |path: &Path| candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let (traced, reference) = (load(&out), load(&golden("golden.safetensors")));
    let prompt = |tensor: &Tensor| tensor.to_vec2::<i64>().unwrap();
    assert_eq!(prompt(&traced["prompt"]), prompt(&reference["context.prompt"]));
    let codes = |tensor: &Tensor| tensor.narrow(0, 0, 6).unwrap().to_vec2::<u32>().unwrap();
    assert_eq!(codes(&traced["codes"]), codes(&reference["context.codes"]));
    assert_eq!(traced["logits"].dims(), [6, 32, 67]);
    assert_eq!(traced["audio"].dims(), [6 * 1920]);
    let bytes = std::fs::read(&out).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert!(header.metadata().as_ref().unwrap()["notice"].contains("no watermark"));
}

#[test]
fn a_trace_refuses_what_does_not_fit_or_exist() {
    let folder = tempfile::tempdir().unwrap();
    let good = options(&folder.path().join("trace.safetensors"));
    let long = trace(&TraceOptions { frames: 1986, ..good.clone() }).unwrap_err().to_string();
    assert!(long.contains("63") && long.contains("1986") && long.contains("2048"), "{long}");
    let mut missing = good.clone();
    missing.context[0].recording = "/nowhere.wav".into();
    assert!(trace(&missing).unwrap_err().to_string().contains("/nowhere.wav"));
    let unwritable = TraceOptions { frames: 1, out: "/nowhere/trace.safetensors".into(), ..good };
    assert!(trace(&unwritable).unwrap_err().to_string().contains("/nowhere/trace.safetensors"));
}
