//! `csm watermark detect` on files with and without the mark.

use std::fs;
use std::path::Path;

use csm_shared::audio::{Clip, SAMPLE_RATE, to_i16};
use csm_worker::watermark::{Watermark, WatermarkKey};

use crate::{assert_status, csm, run, stderr, stdout};

const SECRET: &str = "a secret of more than sixteen bytes";

/// Five seconds of noise: a linear congruential generator is noise enough.
fn noise() -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * 0.2
    };
    (0..SAMPLE_RATE * 5).map(|_| next()).collect()
}

fn write_plain(path: &Path) {
    let samples = noise().into_iter().map(to_i16).collect();
    fs::write(path, Clip::from_samples(samples).to_wav()).unwrap();
}

fn write_marked(path: &Path, key: &WatermarkKey) {
    let mut stream = Watermark::new(key).stream();
    let mut marked = stream.push(&noise());
    marked.append(stream.finish());
    fs::write(path, csm_worker::wav::encode(&marked)).unwrap();
}

#[test]
fn a_marked_file_is_told_from_a_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    write_marked(&folder.path().join("marked.wav"), &WatermarkKey::development());
    write_plain(&folder.path().join("plain.wav"));

    let output = run(csm(folder.path()).args(["watermark", "detect", "marked.wav"]));
    assert_status(&output, 0);
    let key = WatermarkKey::development().id().to_string();
    assert!(stdout(&output).starts_with("marked.wav: detected (z = "), "{}", stdout(&output));
    assert!(stdout(&output).contains(&key), "{}", stdout(&output));

    let output = run(csm(folder.path()).args(["watermark", "detect", "marked.wav", "plain.wav"]));
    assert_status(&output, 3);
    assert!(stdout(&output).contains("plain.wav: not detected"), "{}", stdout(&output));
    assert!(stderr(&output).contains("never means that a human made it"), "{}", stderr(&output));
}

#[test]
fn only_the_right_key_finds_the_mark() {
    let folder = tempfile::tempdir().unwrap();
    let key = WatermarkKey::parse(SECRET).unwrap();
    write_marked(&folder.path().join("a.wav"), &key);

    let output =
        run(csm(folder.path()).args(["watermark", "detect", "--json", "a.wav"]).env("CSM_WATERMARK_KEY", SECRET));
    assert_status(&output, 0);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["verdict"], "detected");
    assert_eq!(json["key_id"], key.id().to_string());
    assert!(json["z"].as_f64().unwrap() > 6.0);

    let output = run(csm(folder.path()).args(["watermark", "detect", "--json", "a.wav"]));
    assert_status(&output, 3);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["verdict"], "not_detected");
}

#[test]
fn what_is_no_wav_or_no_key_fails_without_a_verdict() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.wav"), "no audio").unwrap();
    for (arguments, told) in [(vec!["text.wav"], "text.wav"), (vec!["absent.wav"], "absent.wav")] {
        let output = run(csm(folder.path()).args(["watermark", "detect"]).args(arguments));
        assert_status(&output, 1);
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
    let output = run(csm(folder.path()).args(["watermark", "detect", "text.wav", "--key", "tooshort"]));
    assert_status(&output, 1);
    assert!(!stderr(&output).contains("tooshort"), "a secret is never shown: {}", stderr(&output));
    assert_status(&run(csm(folder.path()).args(["watermark", "detect"])), 2);
}
