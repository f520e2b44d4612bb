//! Tests against the Python package's values (`tests/golden/silentcipher`), and tests that need no
//! reference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the measuring tests print what they measured")]

mod decoding;
mod encoding;
mod finding;
mod loading;
mod parts;
mod streaming;

use std::path::PathBuf;
use std::sync::OnceLock;

use csm_shared::audio::to_f32;
use safetensors::SafeTensors;
use serde_json::Value;

use super::{BnMode, SilentCipher};

/// Both modes with their names in the golden files.
const MODES: [(BnMode, &str); 2] = [(BnMode::Batch, "batch"), (BnMode::Running, "running")];

fn folder() -> PathBuf {
    csm_testing::golden("silentcipher")
}

/// Loads the narrow random model at the strength of most cases.
fn narrow(mode: BnMode) -> SilentCipher {
    SilentCipher::load(&folder().join("narrow"), mode).unwrap().with_message_sdr(36.0)
}

/// Reads `golden.json`.
fn cases() -> &'static Value {
    static CASES: OnceLock<Value> = OnceLock::new();
    CASES.get_or_init(|| serde_json::from_slice(&std::fs::read(folder().join("golden.json")).unwrap()).unwrap())
}

/// Reads a tensor of `golden.safetensors` with its shape.
fn golden(name: &str) -> (Vec<usize>, Vec<f32>) {
    let (shape, bytes) = raw(name);
    (shape, bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Reads a tensor of indices.
fn indices(name: &str) -> Vec<usize> {
    let index = |bytes: &[u8; 8]| usize::try_from(i64::from_le_bytes(*bytes)).unwrap();
    raw(name).1.as_chunks::<8>().0.iter().map(index).collect()
}

fn raw(name: &str) -> (Vec<usize>, Vec<u8>) {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| std::fs::read(folder().join("golden.safetensors")).unwrap());
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    (tensor.shape().to_vec(), tensor.data().to_vec())
}

/// Returns a slice of the clip that all cases are cut from.
fn clip(start: usize, length: usize) -> Vec<f32> {
    let (_, bytes) = raw("clip");
    let samples = &bytes.as_chunks::<2>().0[start..start + length];
    samples.iter().map(|bytes| to_f32(i16::from_le_bytes(*bytes))).collect()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn bytes(value: &Value) -> [u8; 5] {
    let bytes: Vec<u8> =
        value.as_array().unwrap().iter().map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// Returns the greatest difference.
fn distance(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Returns the ratio of `theirs` to the difference, in dB.
fn snr(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let square = |value: f32| f64::from(value).powi(2);
    let noise: f64 = ours.iter().zip(theirs).map(|(a, b)| square(a - b)).sum();
    10.0 * (theirs.iter().map(|&value| square(value)).sum::<f64>() / noise.max(1e-300)).log10()
}

fn assert_snr(what: &str, ours: &[f32], theirs: &[f32], least: f64) {
    let snr = snr(ours, theirs);
    println!("{what}: {snr:.1} dB, greatest difference {:.2e}", distance(ours, theirs));
    assert!(snr >= least, "{what}: {snr:.1} dB, less than {least}");
}

/// Returns `samples` samples at 24 kHz: voiced and hissing stretches with pauses.
fn voice(samples: usize) -> Vec<f32> {
    let long: Vec<f32> = clip(0, 48_000);
    (0..samples).map(|at| long[at % long.len()] * (1.0 + 0.2 * (at as f32 / 7000.0).sin())).collect()
}
