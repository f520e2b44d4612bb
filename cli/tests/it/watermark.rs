//! `csm watermark detect` on files with and without the mark.

use std::fs;
use std::path::{Path, PathBuf};

use csm_shared::audio::{Clip, SAMPLE_RATE, to_i16};
use csm_shared::job::{AudioFormat, JobId};
use csm_silentcipher::{BnMode, Payload, SilentCipher};
use csm_worker::marks::{Watermark, WatermarkKey};

use crate::{assert_status, csm, run, stderr, stdout};

const SECRET: &str = "a secret of more than sixteen bytes";

/// Makes five seconds of noise with a linear congruential generator.
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
    fs::write(path, csm_worker::encode::encode(&marked.into(), AudioFormat::Wav).unwrap()).unwrap();
}

#[test]
fn a_marked_file_is_told_from_a_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    write_marked(&folder.path().join("marked.wav"), &WatermarkKey::development());
    write_plain(&folder.path().join("plain.wav"));

    let output = run(csm(folder.path()).args(["watermark", "detect", "marked.wav"]));
    assert_status(&output, 0);
    let key = WatermarkKey::development().id().to_string();
    assert!(stdout(&output).starts_with("marked.wav: detected (builtin detected: z = "), "{}", stdout(&output));
    assert!(stdout(&output).contains(", 0.0 to 5.0 s"), "{}", stdout(&output));
    assert!(stdout(&output).contains(&key), "{}", stdout(&output));
    assert!(stderr(&output).contains("no proof of origin"), "{}", stderr(&output));

    let output = run(csm(folder.path()).args(["watermark", "detect", "marked.wav", "plain.wav"]));
    assert_status(&output, 3);
    assert!(stdout(&output).contains("plain.wav: not detected"), "{}", stdout(&output));
    assert!(stderr(&output).contains("never means that a human made"), "{}", stderr(&output));
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
    assert_eq!((&json["file"], &json["scheme"]), (&"a.wav".into(), &"builtin".into()));
    assert!(json["findings"][0]["score"].as_f64().unwrap() > 6.0);
    assert!(json["p_value"].as_f64().unwrap() < 1e-5);
    assert_eq!(json["regions"][0]["start_ms"], 0);
    assert!(json["disclaimer"].as_str().unwrap().contains("never means that a human made"));

    let output = run(csm(folder.path()).args(["watermark", "detect", "--json", "a.wav"]));
    assert_status(&output, 3);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["verdict"], "not_detected");
}

#[test]
fn an_old_key_s_mark_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let key = WatermarkKey::parse(SECRET).unwrap();
    write_marked(&folder.path().join("old.wav"), &key);
    let output = run(csm(folder.path())
        .args(["watermark", "detect", "--json", "old.wav"])
        .env("CSM_WATERMARK_OLD_KEYS", format!("a secret of the year before, {SECRET}")));
    assert_status(&output, 0);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["key_id"], key.id().to_string());
    let output = run(csm(folder.path()).args(["watermark", "detect", "old.wav", "--old-keys", "short"]));
    assert_status(&output, 1);
}

/// Returns the folder of small trained networks, and the clip of their golden values.
fn silentcipher() -> (PathBuf, Vec<f32>) {
    let golden = csm_testing::golden("silentcipher");
    let bytes = fs::read(golden.join("golden.safetensors")).unwrap();
    // The header's length, the header in JSON, the data.
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let [start, end] = [0, 1].map(|at| usize::try_from(header["clip"]["data_offsets"][at].as_u64().unwrap()).unwrap());
    let samples = data[start..end].chunks_exact(2).map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])));
    (golden.join("small"), samples.map(|sample| sample / 32_768.0).collect())
}

#[test]
fn silentcipher_s_mark_of_an_old_key_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, clip) = silentcipher();
    let (key, job) = (WatermarkKey::parse(SECRET).unwrap(), JobId::generate());
    let cipher = SilentCipher::load(&weights, BnMode::Running).unwrap();
    let marked = cipher.embed(&clip, Payload::new(&key, &job)).unwrap();
    let marked = Clip::from_samples(marked.into_iter().map(to_i16).collect());
    fs::write(folder.path().join("old.wav"), marked.to_wav()).unwrap();

    let detect = |old_keys: &str, more: &[&str]| {
        let weights = weights.to_str().unwrap();
        let always = ["watermark", "detect", "--json", "old.wav", "--silentcipher", weights];
        let output = run(csm(folder.path()).args(always).args(more).env("CSM_WATERMARK_OLD_KEYS", old_keys));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["findings"][1].clone()
    };
    let old_keys = format!("a secret of the year before, {SECRET}");
    let by_key = detect(&old_keys, &[]);
    assert_eq!((&by_key["verdict"], &by_key["scheme"]), (&"detected".into(), &"silentcipher".into()), "{by_key}");
    assert_eq!(by_key["key_id"], key.id().to_string()[..4], "{by_key}");
    assert_ne!(detect("a secret of the year before", &[])["verdict"], "detected");
    let by_job = detect(&old_keys, &["--job", &job.to_string()]);
    assert_eq!((&by_job["verdict"], &by_job["key_id"]), (&"detected".into(), &by_key["key_id"]), "{by_job}");
    assert!(by_job["p_value"].as_f64().unwrap() < by_key["p_value"].as_f64().unwrap(), "{by_job}, {by_key}");
    assert_ne!(detect(&old_keys, &["--job", &JobId::generate().to_string()])["verdict"], "detected");
}

#[test]
fn bare_samples_are_taken_by_their_name_and_other_formats_by_their_content() {
    let folder = tempfile::tempdir().unwrap();
    write_marked(&folder.path().join("a.wav"), &WatermarkKey::development());
    let clip = Clip::from_wav(&fs::read(folder.path().join("a.wav")).unwrap()).unwrap();
    let pcm: Vec<u8> = clip.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    fs::write(folder.path().join("a.pcm"), pcm).unwrap();
    fs::rename(folder.path().join("a.wav"), folder.path().join("no-name")).unwrap();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/data/tone.mp3"), folder.path().join("b.wav"))
        .unwrap();

    let output = run(csm(folder.path()).args(["watermark", "detect", "a.pcm", "no-name"]));
    assert_status(&output, 0);
    let output = run(csm(folder.path()).args(["watermark", "detect", "b.wav"]));
    assert_status(&output, 3);
}

#[test]
fn silentcipher_s_weights_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    write_plain(&folder.path().join("a.wav"));
    let output = run(csm(folder.path()).args(["watermark", "detect", "a.wav", "--silentcipher", "."]));
    assert_status(&output, 1);
    assert!(stderr(&output).contains("SilentCipher's weights"), "{}", stderr(&output));
    assert_status(&run(csm(folder.path()).args(["watermark", "detect", "a.wav", "--job", "no-id"])), 2);
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
    write_marked(&folder.path().join("marked.wav"), &WatermarkKey::development());
    for files in [["text.wav", "absent.wav", "marked.wav"], ["marked.wav", "text.wav", "absent.wav"]] {
        let output = run(csm(folder.path()).args(["watermark", "detect"]).args(files));
        assert_status(&output, 1);
        assert!(stdout(&output).starts_with("marked.wav: detected"), "the others are looked at: {}", stdout(&output));
        let told = stderr(&output);
        assert!(told.contains("error: text.wav") && told.contains("error: absent.wav"), "{told}");
    }
    let output = run(csm(folder.path()).args(["watermark", "detect", "text.wav", "--key", "tooshort"]));
    assert_status(&output, 1);
    assert!(!stderr(&output).contains("tooshort"), "a secret is never shown: {}", stderr(&output));
    assert_status(&run(csm(folder.path()).args(["watermark", "detect"])), 2);
}
