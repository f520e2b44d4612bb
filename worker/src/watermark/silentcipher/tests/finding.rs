//! The detector, on networks made by hand that mark noise and read it back: symbol `s` dampens every fifth group of rows,
//! beginning with the `s`-th, and the decoder's channel `s` moves these under the rows that its readout adds up.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use csm_shared::job::JobId;
use csm_shared::watermark::{Region, Verdict, WatermarkKey};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use super::{MODES, voice};
use crate::watermark::silentcipher::find::{tail, weigh};
use crate::watermark::silentcipher::load::{Tensors, assemble};
use crate::watermark::silentcipher::resample::resample;
use crate::watermark::silentcipher::{BnMode, Known, Payload, RATE, SilentCipher, cost, scaled};

/// Rows of a group.
const GROUP: usize = 3;
/// Samples of one round at 24 kHz, and a little.
const ROUND: usize = 23_406;

/// A layer whose output `o` is `scale` times the input `from(o)`, `shift(o)` rows further up.
fn layer(at: usize, inputs: usize, kernel: usize, outputs: &[(usize, isize, f32)], into: &mut HashMap<String, Tensor>) {
    let mut conv = vec![0.0; outputs.len() * inputs * kernel * kernel];
    for (out, (from, shift, scale)) in outputs.iter().enumerate() {
        let middle = kernel / 2;
        let row = middle.checked_add_signed(*shift).unwrap();
        conv[((out * inputs + from) * kernel + row) * kernel + middle] = *scale;
    }
    let count = outputs.len();
    let shape = (count, inputs, kernel, kernel);
    let mut put = |part: &str, tensor: Tensor| into.insert(format!("main.{at}.{part}"), tensor);
    let all = |value: f32| Tensor::full(value, count, &Device::Cpu).unwrap();
    put("conv.weight", Tensor::from_vec(conv, shape, &Device::Cpu).unwrap());
    put("gate.weight", Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap());
    for (part, value) in [("conv.bias", 0.0), ("gate.bias", 30.0), ("bn.bias", 0.0), ("bn.running_mean", 0.0)] {
        put(part, all(value));
    }
    put("bn.weight", all(1.0));
    put("bn.running_var", all(1.0));
}

fn handmade(mode: BnMode) -> SilentCipher {
    let [mut encoder, mut carrier, mut reader] = [(); 3].map(|()| HashMap::new());
    layer(0, 1, 3, &[(0, 0, 1.0)], &mut encoder);
    // Inputs are the encoder's channel, the magnitudes, and the message.
    layer(0, 3, 3, &[(2, 0, 1.0)], &mut carrier);
    for step in 0..2 * GROUP {
        let outputs = std::array::from_fn::<_, 5, _>(|symbol| {
            let distance = (symbol.cast_signed() - 2) * GROUP.cast_signed();
            let shift = if step < distance.unsigned_abs() { distance.signum() } else { 0 };
            (if step == 0 { 0 } else { symbol }, shift, if step == 0 { -1.0 } else { 1.0 })
        });
        layer(2 * step + 1, if step == 0 { 1 } else { 5 }, 3, &outputs, &mut reader);
    }
    let group = |row: usize| row / GROUP % 5;
    let spread = (0..1024 * 5).map(|at| if group(at / 5) == at % 5 { 1.0_f32 } else { 0.0 }).collect();
    let readout =
        (0..1024).map(|row| if group(row) == 2 && (15..1005).contains(&row) { 0.02_f32 } else { 0.0 }).collect();
    encoder.insert("linear.weight".to_owned(), Tensor::from_vec(spread, (1024, 5), &Device::Cpu).unwrap());
    encoder.insert("linear.bias".to_owned(), Tensor::zeros(1024, candle_core::DType::F32, &Device::Cpu).unwrap());
    reader.insert("linear.weight".to_owned(), Tensor::from_vec(readout, (1, 1024), &Device::Cpu).unwrap());
    reader.insert("linear.bias".to_owned(), Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap());
    let files = [encoder, carrier, reader].map(|by_name| Tensors { file: PathBuf::from("by hand"), by_name });
    let model = assemble(&files[0], &files[1], &files[2], 12.0).unwrap();
    SilentCipher { model: Arc::new(model), mode }
}

fn noise(samples: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..samples).map(|_| (random.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.3).collect()
}

/// As it is after a file of 16 bit.
fn rounded(clip: &[f32]) -> Vec<f32> {
    clip.iter().map(|sample| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) / 32_768.0).collect()
}

fn key(secret: &str) -> WatermarkKey {
    WatermarkKey::parse(secret).unwrap()
}

fn payload(key: &WatermarkKey, job: &str) -> Payload {
    Payload::new(key, &job.parse::<JobId>().unwrap())
}

const JOB: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn a_marked_clip_is_found_by_its_job_and_by_its_key() {
    let key = key("a key that marks recordings");
    let payload = payload(&key, JOB);
    let clip = noise(4 * ROUND, 1);
    for (mode, name) in MODES {
        let cipher = handmade(mode);
        let marked = rounded(&cipher.embed(&clip, payload).unwrap());
        assert_eq!(cipher.decode(&marked).unwrap().unwrap().payload, payload, "{name}");
        for known in [Known::payload(payload), Known::key(&key)] {
            let found = cipher.find(&marked, &known).unwrap();
            println!("{name}: {found:?}");
            assert_eq!(found.verdict, Verdict::Detected, "{name}: {found:?}");
            assert!(found.score > 0.9 && found.key_id == key.id().to_string()[..4]);
            assert_eq!(found.regions, [Region { start_ms: 0, end_ms: (4 * ROUND / 24) as u64 }]);
            // A key's sixteen bits are no more than that.
            assert!(found.p_value > if known == Known::key(&key) { 1.5e-5 } else { 0.0 });
        }
    }
}

#[test]
fn a_clip_cut_anywhere_is_found() {
    let key = key("a key that marks recordings");
    let payload = payload(&key, JOB);
    // So weak that only frames close to the marker's show it.
    let cipher = handmade(BnMode::Running).with_message_sdr(26.0);
    let marked = rounded(&cipher.embed(&noise(5 * ROUND, 2), payload).unwrap());
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for cut in [ROUND / 42, random.next_u32() as usize % ROUND] {
        for known in [Known::payload(payload), Known::key(&key)] {
            let found = cipher.find(&marked[cut..], &known).unwrap();
            assert_eq!(found.verdict, Verdict::Detected, "{cut} samples cut: {found:?}");
        }
    }
}

#[test]
fn another_key_or_job_is_not_found() {
    let ours = key("a key that marks recordings");
    let payload = payload(&ours, JOB);
    let cipher = handmade(BnMode::Running);
    let clip = noise(3 * ROUND, 4);
    let marked = rounded(&cipher.embed(&clip, payload).unwrap());
    for known in [Known::key(&key("somebody else's key")), Known::payload(Payload::new(&ours, &JobId::generate()))] {
        let found = cipher.find(&marked, &known).unwrap();
        assert_ne!(found.verdict, Verdict::Detected, "{found:?}");
        assert!(found.regions.is_empty());
    }
    for known in [Known::payload(payload), Known::key(&ours)] {
        let found = cipher.find(&clip, &known).unwrap();
        assert_eq!(found.verdict, Verdict::NotDetected, "unmarked: {found:?}");
    }

    // The same reading, held against many others.
    let samples = resample(&marked, 24_000, RATE);
    let logits = cipher.model.logits(&scaled(&samples, cipher.gain(&samples).unwrap().unwrap()), cipher.mode).unwrap();
    let found = |known: Known| weigh(&logits, &known).verdict(&known) == Verdict::Detected;
    assert!(found(Known::payload(payload)) && found(Known::key(&ours)));
    let theirs = (0..2_000).filter(|at| found(Known::key(&key(&format!("somebody else's key, number {at}"))))).count();
    let jobs = (0..2_000).filter(|_| found(Known::payload(Payload::new(&ours, &JobId::generate())))).count();
    assert_eq!((theirs, jobs), (0, 0), "detected of 2000 other keys, and 2000 other jobs");
}

#[test]
fn a_stream_is_found() {
    let key = key("a key that marks recordings");
    let payload = payload(&key, JOB);
    for (mode, name) in MODES {
        let cipher = handmade(mode);
        let mut stream = cipher.stream(payload);
        let mut marked = Vec::new();
        for frame in noise(4 * ROUND, 5).chunks(1_920) {
            marked.extend(stream.push(frame).unwrap());
        }
        marked.extend(stream.finish().unwrap());
        let found = cipher.find(&rounded(&marked), &Known::payload(payload)).unwrap();
        assert_eq!(found.verdict, Verdict::Detected, "{name}: {found:?}");
        assert_eq!(cipher.decode(&marked).unwrap().unwrap().payload, payload, "{name}");
    }
}

#[test]
fn chunks_marked_by_themselves_are_not_found() {
    // What other servers do to their streams: each begins the message anew, and none holds all of it.
    let payload = payload(&key("a key that marks recordings"), JOB);
    let cipher = handmade(BnMode::Running);
    let marked: Vec<f32> =
        noise(5 * ROUND, 6).chunks(12_000).flat_map(|chunk| cipher.embed(chunk, payload).unwrap()).collect();
    let found = cipher.find(&marked, &Known::payload(payload)).unwrap();
    assert_ne!(found.verdict, Verdict::Detected, "{found:?}");
}

#[test]
fn too_little_is_inconclusive() {
    let payload = payload(&key("a key that marks recordings"), JOB);
    let cipher = handmade(BnMode::Running);
    for samples in [0, 1, 2_400, ROUND + ROUND / 2] {
        let marked = cipher.embed(&noise(samples, 7), payload).unwrap();
        let found = cipher.find(&marked, &Known::payload(payload)).unwrap();
        assert_eq!(found.verdict, Verdict::Inconclusive, "{samples}: {found:?}");
    }
    let silent = cipher.find(&vec![0.0; 4 * ROUND], &Known::payload(payload)).unwrap();
    assert_eq!(silent.verdict, Verdict::Inconclusive);
    assert!((silent.p_value - 1.0).abs() < f64::EPSILON);
}

#[test]
fn random_networks_find_nothing() {
    let key = key("a key that marks recordings");
    for (mode, name) in MODES {
        let cipher = super::narrow(mode);
        for known in [Known::payload(payload(&key, JOB)), Known::payload(Payload([170; 5])), Known::key(&key)] {
            let found = cipher.find(&voice(4 * ROUND), &known).unwrap();
            assert_eq!(found.verdict, Verdict::NotDetected, "{name}: {found:?}");
        }
    }
}

#[test]
fn binomial_tails_are_right() {
    assert!((tail(20, 0, 0.35) - 1.0).abs() < 1e-12);
    assert!((tail(3, 2, 0.5) - 0.5).abs() < 1e-12);
    assert!((tail(8, 8, 0.25) - 0.25_f64.powi(8)).abs() < 1e-18);
    // The reference's table: 2 rounds at a chance of .25 need .67 for a millionth.
    assert!(tail(42, 28, 0.25) < 1e-6 && tail(42, 25, 0.25) > 1e-6);
    assert!(tail(2_000, 1_900, 0.35) < 1e-300);
}

#[test]
fn a_payload_names_its_key_and_its_job() {
    let ours = key("a key that marks recordings");
    let one = payload(&ours, JOB);
    assert_eq!(one, payload(&ours, JOB));
    assert_eq!(format!("{:02x}{:02x}", one.0[0], one.0[1]), ours.id().to_string()[..4]);
    let other = Payload::new(&ours, &JobId::generate());
    assert_eq!(other.0[..2], one.0[..2]);
    assert_ne!(other.0[2..], one.0[2..]);
    assert_ne!(payload(&key("somebody else's key"), JOB).0[2..], one.0[2..]);
}

#[test]
#[ignore = "measures for a minute"]
fn cost_at_full_width() {
    for (mode, name) in MODES {
        println!("{name}: {:?}", cost(5.0, mode).unwrap());
    }
}
