//! Tests of the detector on handmade networks that mark noise and read the mark back. Symbol `s`
//! dampens every fifth group of rows, beginning with the `s`-th. The decoder's channel `s` moves
//! these groups under the rows that its readout adds up.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use csm_shared::job::JobId;
use csm_shared::watermark::{Finding, Region, Verdict, WatermarkKey};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use super::{MODES, voice};
use crate::mark_evidence::{strongest, tail};
use crate::resample::resample;
use crate::torch_checkpoint::{Tensors, assemble};
use crate::{BnMode, Bounds, ExpectedPayload, Payload, RATE, SilentCipher, SilentCipherError, cost, scaled};

/// Rows of a group.
const GROUP: usize = 3;
/// Samples of one round at 24 kHz, rounded up.
const ROUND_SAMPLES: usize = 23_406;

/// Adds a layer whose output `o` is `scale` times the input `from(o)`, `shift(o)` rows further up.
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

/// Searches for one payload without bounds.
fn find(cipher: &SilentCipher, clip: &[f32], known: &ExpectedPayload) -> Finding {
    cipher.find(clip, std::slice::from_ref(known), &Bounds::default()).unwrap()
}

fn noise(samples: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..samples).map(|_| (random.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.3).collect()
}

/// Rounds a clip to 16 bit, as a file does.
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
    let clip = noise(4 * ROUND_SAMPLES, 1);
    for (mode, name) in MODES {
        let cipher = handmade(mode);
        let marked = rounded(&cipher.embed(&clip, payload).unwrap());
        assert_eq!(cipher.decode(&marked).unwrap().unwrap().payload, payload, "{name}");
        for known in [ExpectedPayload::payload(payload), ExpectedPayload::key(&key)] {
            let found = find(&cipher, &marked, &known);
            println!("{name}: {found:?}");
            assert_eq!(found.verdict, Verdict::Detected, "{name}: {found:?}");
            assert!(found.score > 0.9 && found.key_id == key.id().to_string()[..4]);
            assert_eq!(found.regions, [Region { start_ms: 0, end_ms: (4 * ROUND_SAMPLES / 24) as u64 }]);
            // A key's sixteen bits cannot bring the p-value below 2^-16.
            assert!(found.p_value > if known == ExpectedPayload::key(&key) { 1.5e-5 } else { 0.0 });
        }
    }
}

#[test]
fn a_clip_cut_anywhere_is_found() {
    let key = key("a key that marks recordings");
    let payload = payload(&key, JOB);
    // The mark is so weak that only frames close to the marker's show it.
    let cipher = handmade(BnMode::Running).with_message_sdr(26.0);
    let marked = rounded(&cipher.embed(&noise(5 * ROUND_SAMPLES, 2), payload).unwrap());
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for cut in [ROUND_SAMPLES / 42, random.next_u32() as usize % ROUND_SAMPLES] {
        for known in [ExpectedPayload::payload(payload), ExpectedPayload::key(&key)] {
            let found = find(&cipher, &marked[cut..], &known);
            assert_eq!(found.verdict, Verdict::Detected, "{cut} samples cut: {found:?}");
        }
    }
}

/// Returns a job that the number decides, so that each run of a test compares the same jobs.
fn numbered_job(number: u128) -> JobId {
    let hex = format!("{:032x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-").parse().unwrap()
}

#[test]
fn another_key_or_job_is_not_found() {
    let ours = key("a key that marks recordings");
    let payload = payload(&ours, JOB);
    let cipher = handmade(BnMode::Running);
    let clip = noise(3 * ROUND_SAMPLES, 4);
    let marked = rounded(&cipher.embed(&clip, payload).unwrap());
    for known in [
        ExpectedPayload::key(&key("somebody else's key")),
        ExpectedPayload::payload(Payload::new(&ours, &JobId::generate())),
    ] {
        let found = find(&cipher, &marked, &known);
        assert_ne!(found.verdict, Verdict::Detected, "{found:?}");
        assert!(found.regions.is_empty());
    }
    for known in [ExpectedPayload::payload(payload), ExpectedPayload::key(&ours)] {
        let found = find(&cipher, &clip, &known);
        assert_eq!(found.verdict, Verdict::NotDetected, "unmarked: {found:?}");
    }

    // The same reading, compared with many other keys and jobs.
    let samples = resample(&marked, 24_000, RATE);
    let logits = cipher.model.logits(&scaled(&samples, cipher.gain(&samples).unwrap().unwrap()), cipher.mode).unwrap();
    let found = |known: ExpectedPayload| strongest(&logits, &[known], 15).detects();
    assert!(found(ExpectedPayload::payload(payload)) && found(ExpectedPayload::key(&ours)));
    let theirs =
        (0..2_000).filter(|at| found(ExpectedPayload::key(&key(&format!("somebody else's key, number {at}"))))).count();
    let jobs =
        (1..=2_000).filter(|at| found(ExpectedPayload::payload(Payload::new(&ours, &numbered_job(*at))))).count();
    assert_eq!((theirs, jobs), (0, 0), "detected of 2000 other keys, and 2000 other jobs");
}

#[test]
fn any_of_several_keys_is_found_and_named_and_all_are_paid_for() {
    let ours = key("a key that marks recordings");
    let marked = {
        let cipher = handmade(BnMode::Running);
        rounded(&cipher.embed(&noise(4 * ROUND_SAMPLES, 8), payload(&ours, JOB)).unwrap())
    };
    let cipher = handmade(BnMode::Running);
    let mut keys: Vec<_> = (0..7).map(|at| key(&format!("somebody else's key, number {at}"))).collect();
    let first = keys[0].id().to_string()[..4].to_owned();
    let job = JOB.parse::<JobId>().unwrap();
    for job in [None, Some(&job)] {
        let find =
            |keys: &[WatermarkKey]| cipher.find(&marked, &ExpectedPayload::all(keys, job), &Bounds::default()).unwrap();
        let without = find(&keys);
        assert_ne!(without.verdict, Verdict::Detected, "{without:?}");
        assert_eq!(without.key_id, first, "the first one is what was looked for");
        let alone = find(std::slice::from_ref(&ours));
        keys.push(ours.clone());
        let among = find(&keys);
        keys.pop();
        assert_eq!((among.verdict, &*among.key_id), (Verdict::Detected, &ours.id().to_string()[..4]), "{among:?}");
        let ratio = among.p_value / alone.p_value;
        assert!((ratio - 8.0).abs() < 1e-6, "{ratio} times as likely by accident");
    }
    assert_eq!(ExpectedPayload::all(&[ours.clone(), ours.clone()], None).len(), 1);
}

/// The part that was not read may hold the mark, so a fruitless reading of another part says
/// nothing about the whole.
#[test]
fn a_part_that_was_read_is_no_no_for_the_whole() {
    let ours = key("a key that marks recordings");
    let cipher = handmade(BnMode::Running);
    // The loud beginning is not marked; the mark is in the soft end.
    let mut clip = noise(24 * ROUND_SAMPLES, 9);
    let soft: Vec<f32> = noise(5 * ROUND_SAMPLES, 10).iter().map(|sample| sample * 0.2).collect();
    clip.extend(cipher.embed(&soft, payload(&ours, JOB)).unwrap());
    for known in [ExpectedPayload::payload(payload(&ours, JOB)), ExpectedPayload::key(&ours)] {
        let found = find(&cipher, &clip, &known);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    }
    // A clip that should be marked as a whole has lost its mark.
    let lost = cipher.find_in_place(&clip, &ExpectedPayload::payload(payload(&ours, JOB))).unwrap();
    assert_eq!(lost.verdict, Verdict::NotDetected, "{lost:?}");
}

#[test]
fn a_search_keeps_to_its_bounds() {
    let known = [ExpectedPayload::key(&key("a key that marks recordings"))];
    let cipher = handmade(BnMode::Running);
    let clip = noise(4 * ROUND_SAMPLES, 11);
    assert_eq!(cipher.find(&clip, &known, &Bounds::default()).unwrap().verdict, Verdict::NotDetected);

    let refused = |bounds: &Bounds| matches!(cipher.find(&clip, &known, bounds), Err(SilentCipherError::OutOfTime));
    let over = Bounds { until: Some(Instant::now()), ..Bounds::default() };
    assert!(refused(&over), "the time is over");
    let stopped = Bounds::default();
    stopped.stop.cancel();
    assert!(refused(&stopped), "it was called off");
    let busy = Bounds { until: Some(Instant::now() + Duration::from_millis(50)), ..Bounds::default() };
    let lock = busy.lock.lock().unwrap();
    assert!(refused(&busy), "another one has the turn");
    drop(lock);

    // Cancelled during a reading, the search ends after that reading. The unread rest rules out
    // "not detected".
    let (bounds, done) = (Bounds::default(), AtomicBool::new(false));
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) && bounds.lock.try_lock().is_ok() {
                std::thread::yield_now();
            }
            bounds.stop.cancel();
        });
        let found = cipher.find(&clip, &known, &bounds).unwrap();
        done.store(true, Ordering::Relaxed);
        found
    });
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
}

#[test]
fn a_stream_is_found() {
    let key = key("a key that marks recordings");
    let payload = payload(&key, JOB);
    for (mode, name) in MODES {
        let cipher = handmade(mode);
        let mut stream = cipher.stream(payload);
        let mut marked = Vec::new();
        for frame in noise(4 * ROUND_SAMPLES, 5).chunks(1_920) {
            marked.extend(stream.push(frame).unwrap());
        }
        marked.extend(stream.finish().unwrap());
        let found = find(&cipher, &rounded(&marked), &ExpectedPayload::payload(payload));
        assert_eq!(found.verdict, Verdict::Detected, "{name}: {found:?}");
        assert_eq!(cipher.decode(&marked).unwrap().unwrap().payload, payload, "{name}");
    }
}

#[test]
fn chunks_marked_by_themselves_are_not_found() {
    // Other servers mark the chunks of a stream this way: each chunk begins the message anew, and
    // none holds all of it.
    let payload = payload(&key("a key that marks recordings"), JOB);
    let cipher = handmade(BnMode::Running);
    let marked: Vec<f32> =
        noise(5 * ROUND_SAMPLES, 6).chunks(12_000).flat_map(|chunk| cipher.embed(chunk, payload).unwrap()).collect();
    let found = find(&cipher, &marked, &ExpectedPayload::payload(payload));
    assert_ne!(found.verdict, Verdict::Detected, "{found:?}");
}

#[test]
fn too_little_is_inconclusive() {
    let payload = payload(&key("a key that marks recordings"), JOB);
    let cipher = handmade(BnMode::Running);
    for samples in [0, 1, 2_400, ROUND_SAMPLES + ROUND_SAMPLES / 2] {
        let marked = cipher.embed(&noise(samples, 7), payload).unwrap();
        let found = find(&cipher, &marked, &ExpectedPayload::payload(payload));
        assert_eq!(found.verdict, Verdict::Inconclusive, "{samples}: {found:?}");
    }
    let silent = find(&cipher, &vec![0.0; 4 * ROUND_SAMPLES], &ExpectedPayload::payload(payload));
    assert_eq!(silent.verdict, Verdict::Inconclusive);
    assert!((silent.p_value - 1.0).abs() < f64::EPSILON);
}

#[test]
fn random_networks_find_nothing() {
    let key = key("a key that marks recordings");
    for (mode, name) in MODES {
        let cipher = super::narrow(mode);
        for known in [
            ExpectedPayload::payload(payload(&key, JOB)),
            ExpectedPayload::payload(Payload([170; 5])),
            ExpectedPayload::key(&key),
        ] {
            let found = find(&cipher, &voice(4 * ROUND_SAMPLES), &known);
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
