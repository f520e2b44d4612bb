//! Signed files: what a reader finds in them, what does not change, and keys that are refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use c2pa::assertions::Actions;
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::AudioFormat;

use super::*;
use crate::encode::{AudioEncoder, encode};
use crate::marks::{Marked, Verdict, Watermark, WatermarkKey};
use crate::provenance::ProvenanceArgs;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/provenance/manifest/testdata").join(name)
}

fn args(chain: &Path, key: &Path) -> ProvenanceArgs {
    ProvenanceArgs { c2pa_cert: Some(chain.into()), c2pa_key: Some(key.into()), c2pa_alg: SigningAlgorithm::Es256 }
}

fn signer() -> Signer {
    args(&file("signer.pem"), &file("signer.key")).signer().unwrap().unwrap()
}

fn watermark() -> Watermark {
    Watermark::new(&WatermarkKey::development())
}

/// Returns marked noise.
fn speech(samples: u32) -> Marked {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        0.1 * (state as f32 / u32::MAX as f32 - 0.5)
    };
    let mut stream = watermark().stream();
    let mut marked = stream.push(&(0..samples).map(|_| noise()).collect::<Vec<_>>());
    marked.append(stream.finish());
    marked.into()
}

/// Reads a file with trust in the root of the tests.
fn reader(wav: &[u8]) -> Reader {
    let mut settings = offline().unwrap();
    settings.trust.user_anchors = Some(std::fs::read_to_string(file("signer.pem")).unwrap());
    let context = Context::new().with_settings(settings).unwrap();
    Reader::from_context(context).with_stream(WAV, Cursor::new(wav.to_vec())).unwrap()
}

#[test]
fn a_signed_file_says_what_made_it_and_is_still_the_same_marked_audio() {
    let speech = speech(3 * SAMPLE_RATE);
    let plain = encode(&speech, AudioFormat::Wav).unwrap();
    let signed = AudioEncoder::new(Some(signer())).encode(&speech, AudioFormat::Wav).unwrap();

    let read = reader(&signed);
    assert_eq!(read.validation_state(), ValidationState::Trusted, "{}", complaints(&read));
    let manifest = read.active_manifest().unwrap();
    let actions: Actions = manifest.find_assertion(Actions::LABEL_VERSIONED).unwrap();
    let actions = serde_json::to_value(actions).unwrap();
    assert_eq!(actions["actions"].as_array().map(Vec::len), Some(1), "{actions}");
    assert_eq!(actions["actions"][0]["action"], "c2pa.created");
    let source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";
    assert_eq!(actions["actions"][0]["digitalSourceType"], source);
    assert_eq!(actions["actions"][0]["softwareAgent"]["name"], "csm-fleet");
    assert_eq!(actions["actions"][0]["softwareAgent"]["version"], env!("CARGO_PKG_VERSION"));

    // After the head, which holds the total length, the unsigned file follows unchanged.
    assert_eq!(signed[8..plain.len()], plain[8..]);
    let clip = Clip::from_wav(&signed).unwrap();
    assert_eq!(clip.samples(), speech.samples());
    assert_eq!(watermark().detector().detect(&clip.to_f32()).verdict, Verdict::Detected);
}

#[test]
fn one_changed_sample_is_noticed() {
    let speech = speech(SAMPLE_RATE);
    let mut signed = signer().sign_wav(encode(&speech, AudioFormat::Wav).unwrap()).unwrap();
    assert_eq!(reader(&signed).validation_state(), ValidationState::Trusted);
    let data = signed.windows(4).position(|window| window == b"data").unwrap() + 8;
    signed[data + 20_000] ^= 1;
    let read = reader(&signed);
    assert_eq!(read.validation_state(), ValidationState::Invalid);
    assert!(complaints(&read).contains("assertion.dataHash.mismatch"), "{}", complaints(&read));
}

#[test]
fn only_wav_is_signed_and_empty_audio_too() {
    let encoder = AudioEncoder::new(Some(signer()));
    let speech = speech(4_800);
    for format in [AudioFormat::Pcm, AudioFormat::Flac, AudioFormat::Opus, AudioFormat::Mp3] {
        assert_eq!(encoder.encode(&speech, format).unwrap(), encode(&speech, format).unwrap(), "{format}");
    }
    let signed = encoder.encode(&Marked::default(), AudioFormat::Wav).unwrap();
    assert_eq!(reader(&signed).validation_state(), ValidationState::Trusted);
}

#[test]
fn a_key_that_cannot_sign_is_refused_at_the_start() {
    let refused = |chain: &Path, key: &Path| args(chain, key).signer().unwrap_err();
    let (chain, key) = (file("signer.pem"), file("signer.key"));
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };

    // Another signer's key, a text that is no key, a text that is no certificate, an expired
    // certificate.
    let other = refused(&chain, &file("expired.key"));
    assert!(matches!(other, ProvenanceError::Key(_) | ProvenanceError::SelfTest(_)), "{other}");
    let text = written("text", "no key");
    assert!(matches!(refused(&chain, &text), ProvenanceError::Key(_)));
    assert!(matches!(refused(&text, &key), ProvenanceError::Key(_) | ProvenanceError::SelfTest(_)));
    let expired = refused(&file("expired.pem"), &file("expired.key"));
    assert!(matches!(expired, ProvenanceError::Key(_) | ProvenanceError::SelfTest(_)), "{expired}");

    // A signer under a root that did not sign it, and a signer without its issuer's certificate.
    let pem = std::fs::read_to_string(&chain).unwrap();
    let (leaf, root) = pem.split_at(pem[1..].find("-----BEGIN").unwrap() + 1);
    let twice = written("twice.pem", &format!("{leaf}{leaf}"));
    assert!(matches!(refused(&twice, &key), ProvenanceError::SelfTest(_)));
    let swapped = refused(&written("swapped.pem", &format!("{root}{leaf}")), &key);
    assert!(matches!(swapped, ProvenanceError::Key(_) | ProvenanceError::SelfTest(_)), "{swapped}");
    assert!(args(&written("leaf.pem", leaf), &key).signer().unwrap().is_some());
    // The algorithm must be that of the key.
    let wrong = ProvenanceArgs { c2pa_alg: SigningAlgorithm::Ed25519, ..args(&chain, &key) };
    assert!(matches!(wrong.signer(), Err(ProvenanceError::Key(_))));
}

/// A certificate expires while the worker runs, and its file is replaced.
#[test]
fn a_renewed_certificate_is_used_without_a_new_start() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("chain.key"));
    let put = |name: &str| {
        std::fs::copy(file(&format!("{name}.pem")), &chain).unwrap();
        std::fs::copy(file(&format!("{name}.key")), &key).unwrap();
    };
    put("signer");
    let signer = args(&chain, &key).signer().unwrap().unwrap();
    let encoder = AudioEncoder::new(Some(signer.clone()));
    encoder.check().unwrap();

    put("expired");
    let pem = |name: &str| std::fs::read(file(name)).unwrap();
    let expired = create_signer::from_keys(&pem("expired.pem"), &pem("expired.key"), SigningAlg::Es256, None).unwrap();
    let context = Context::new().with_settings(offline().unwrap()).unwrap().into_shared();
    *signer.loaded.write().unwrap() = Arc::new(LoadedSigner { key: expired, context });
    let speech = speech(SAMPLE_RATE);
    let refused = encoder.encode(&speech, AudioFormat::Wav).unwrap_err();
    assert!(matches!(refused, crate::encode::EncodeError::Provenance(ProvenanceError::Signing(_))), "{refused}");
    assert!(encoder.check().is_err(), "the files are the expired ones");
    assert!(encoder.encode(&speech, AudioFormat::Wav).is_err(), "a failed check changes nothing");

    put("signer");
    encoder.check().unwrap();
    let signed = encoder.encode(&speech, AudioFormat::Wav).unwrap();
    assert_eq!(reader(&signed).validation_state(), ValidationState::Trusted);
}

#[test]
fn both_files_or_none_and_readable() {
    let (chain, key) = (Some(file("signer.pem")), Some(file("signer.key")));
    let signer = |c2pa_cert, c2pa_key| ProvenanceArgs { c2pa_cert, c2pa_key, ..ProvenanceArgs::default() }.signer();
    assert!(signer(None, None).unwrap().is_none());
    assert!(signer(Some("".into()), Some("".into())).unwrap().is_none());
    assert!(matches!(signer(chain.clone(), None), Err(ProvenanceError::Incomplete("CSM_C2PA_KEY"))));
    assert!(matches!(signer(None, key.clone()), Err(ProvenanceError::Incomplete("CSM_C2PA_CERT"))));
    let absent = signer(Some("absent.pem".into()), key.clone()).unwrap_err();
    assert!(absent.to_string().starts_with("CSM_C2PA_CERT absent.pem: "), "{absent}");
    let endless = signer(chain, Some("/dev/zero".into())).unwrap_err();
    assert!(matches!(endless, ProvenanceError::TooLarge { name: "CSM_C2PA_KEY", .. }), "{endless}");
}
