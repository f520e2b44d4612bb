//! Tests of `decode_wav`: logits, votes and payloads.

use serde_json::Value;

use super::{MODES, assert_snr, bytes, cases, clip, golden, narrow, number};
use crate::resample::resample;
use crate::{Decoded, Payload, RATE, SilentCipher, decode, scaled};

/// Returns the package's answer.
fn expected(case: &Value) -> Option<Decoded> {
    let payload = case["payload"].as_array()?;
    // A second terminator at a byte's beginning makes the package answer a negative number, which
    // is no byte.
    payload.iter().all(|byte| byte.as_u64().is_some()).then(|| Decoded {
        payload: Payload(bytes(&case["payload"])),
        confidence: case["confidence"].as_f64().unwrap() as f32,
    })
}

fn symbols(case: &Value) -> Vec<u8> {
    case["symbols"].as_array().unwrap().iter().map(|symbol| number(symbol) as u8).collect()
}

#[test]
fn logits_and_answers_are_the_packages() {
    for (name, by_mode) in cases()["decode"].as_object().unwrap() {
        for (mode, mode_name) in MODES {
            let case = &by_mode[mode_name];
            let length = number(&case["length"]);
            let cipher = narrow(mode);
            let Some(start) = case["start"].as_u64() else {
                assert_eq!(cipher.decode(&vec![0.0; length]).unwrap(), None);
                continue;
            };
            let clip = clip(start as usize, length);
            assert_eq!(cipher.decode(&clip).unwrap(), expected(case), "{name}, {mode_name}");

            let samples = resample(&clip, 24_000, RATE);
            let gain = cipher.gain(&samples).unwrap().unwrap();
            let logits = cipher.model.logits(&scaled(&samples, gain), mode).unwrap();
            assert_eq!(decode::argmax(&logits), symbols(case), "{name}, {mode_name}");
            let (shape, theirs) = golden(&format!("decode.{name}.{mode_name}.logits"));
            let ours: Vec<f32> = (0..theirs.len()).map(|at| logits[at % shape[1]][at / shape[1]]).collect();
            assert_snr(&format!("logits of {name}, {mode_name}"), &ours, &theirs, 60.0);
        }
    }
}

#[test]
fn the_answer_at_the_searched_place_is_the_packages() {
    for (mode, name) in MODES {
        let case = &cases()["search"][name];
        let cipher = narrow(mode);
        let samples = resample(&clip(number(&case["start"]), number(&case["length"])), 24_000, RATE);
        let gain = cipher.gain(&samples).unwrap().unwrap();
        let shifted = scaled(&samples[number(&case["shift"])..], gain);
        let said = decode::argmax(&cipher.model.logits(&shifted, mode).unwrap());
        assert_eq!(said, symbols(case), "{name}");
        assert_eq!(decode::vote(&said), expected(case), "{name}");
    }
}

#[test]
fn votes_are_the_packages() {
    let votes = cases()["votes"].as_object().unwrap();
    assert!(votes.len() >= 10);
    for (name, case) in votes {
        assert_eq!(decode::vote(&symbols(case)), expected(case), "{name}");
    }
}

#[test]
fn a_payload_is_read_from_its_symbols_at_any_rotation() {
    for bytes in [[212, 211, 146, 56, 201], [0; 5], [255; 5], [1, 2, 3, 4, 5]] {
        let payload = Payload(bytes);
        for rotation in 0..21 {
            let said: Vec<u8> = (0..65).map(|at| payload.symbols()[(at + rotation) % 21]).collect();
            assert_eq!(decode::vote(&said), Some(Decoded { payload, confidence: 1.0 }), "{bytes:?} by {rotation}");
        }
    }
}

/// The small networks were trained to read the payload back out of the audio that they marked.
#[test]
fn trained_networks_read_what_they_marked_as_the_package_does() {
    let small = super::folder().join("small");
    let expectations: Value = serde_json::from_slice(&std::fs::read(small.join("expected.json")).unwrap()).unwrap();
    for (mode, name) in MODES {
        for (strength, case) in expectations[name].as_object().unwrap() {
            let (mut cipher, mut audio) = (SilentCipher::load(&small, mode).unwrap(), clip(0, 72_000));
            if let Ok(message_sdr) = strength.parse() {
                cipher = cipher.with_message_sdr(message_sdr);
                audio = cipher.embed(&audio, Payload([212, 211, 146, 56, 201])).unwrap();
                audio.iter_mut().for_each(|sample| *sample = (*sample * 32_768.0).round() / 32_768.0);
            }
            assert_eq!(cipher.decode(&audio).unwrap(), expected(case), "{strength}, {name}");
        }
    }
}
