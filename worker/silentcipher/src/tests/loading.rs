//! Tests of loading: files that are not what they should be.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{BnMode, SilentCipher, folder};
use crate::{CSM_MESSAGE_SDR, SilentCipherError};

/// Copies the narrow model.
fn copy() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["enc_c.ckpt", "dec_c.ckpt", "dec_m_0.ckpt", "hparams.yaml"] {
        fs::copy(folder().join("narrow").join(file), copy.path().join(file)).unwrap();
    }
    copy
}

fn refusal(folder: &Path) -> String {
    match SilentCipher::load(folder, BnMode::Running) {
        Ok(_) => panic!("a broken model was loaded"),
        Err(error) => error.to_string().replace(&folder.display().to_string(), "F"),
    }
}

#[test]
fn the_strength_comes_from_the_settings() {
    let copy = copy();
    let strength = || SilentCipher::load(copy.path(), BnMode::Batch).map(|cipher| cipher.message_sdr());
    let settings = copy.path().join("hparams.yaml");
    assert!((strength().unwrap() - 47.0).abs() < f32::EPSILON);
    fs::write(&settings, "SR: 44100\nmessage_sdr: 31.5 # dB\n").unwrap();
    assert!((strength().unwrap() - 31.5).abs() < f32::EPSILON);
    for absent in ["SR: 44100\n", "other:\n  message_sdr: 3\n"] {
        fs::write(&settings, absent).unwrap();
        assert!((strength().unwrap() - CSM_MESSAGE_SDR).abs() < f32::EPSILON);
    }
    for wrong in ["loud", "NaN", "-1", ""] {
        fs::write(&settings, format!("message_sdr: {wrong}")).unwrap();
        assert_eq!(refusal(copy.path()), "message_sdr of F/hparams.yaml is not a number of dB from 0 to 100");
    }
    fs::remove_file(&settings).unwrap();
    assert!((strength().unwrap() - CSM_MESSAGE_SDR).abs() < f32::EPSILON);
}

#[test]
fn a_missing_or_broken_file_is_named() {
    for file in ["enc_c.ckpt", "dec_c.ckpt", "dec_m_0.ckpt"] {
        let copy = copy();
        let path = copy.path().join(file);
        let whole = fs::read(&path).unwrap();
        let mut wrong = whole.clone();
        // The damage lies in the last tensor's bytes or the directory behind them, so the checksum
        // or the directory no longer fits.
        wrong.iter_mut().skip(whole.len() / 2).step_by(97).for_each(|byte| *byte ^= 0x55);
        for broken in [Vec::new(), b"no zip at all".to_vec(), whole[..whole.len() / 2].to_vec(), wrong] {
            fs::write(&path, &broken).unwrap();
            let refusal = refusal(copy.path());
            assert!(refusal.starts_with(&format!("cannot read F/{file}: ")), "{refusal}");
        }
        fs::remove_file(&path).unwrap();
        assert!(refusal(copy.path()).starts_with(&format!("cannot read F/{file}: No such file")));
    }
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let copy = copy();
    let file = fs::File::create(copy.path().join("dec_c.ckpt")).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    assert_eq!(
        refusal(copy.path()),
        "F/dec_c.ckpt has 67108865 bytes, more than the 67108864 that a SilentCipher checkpoint may have"
    );
}

#[test]
fn a_file_in_anothers_place_is_told_by_its_tensors() {
    let swap = |file: &str, with: &Path| {
        let copy = copy();
        fs::copy(with, copy.path().join(file)).unwrap();
        refusal(copy.path())
    };
    let narrow = |file: &str| folder().join("narrow").join(file);
    assert_eq!(
        swap("enc_c.ckpt", &narrow("dec_c.ckpt")),
        "main.0.conv.weight of F/enc_c.ckpt has shape [8, 69, 3, 3], not [outputs, 1, k, k] with k 1 or 3"
    );
    assert_eq!(
        swap("dec_c.ckpt", &narrow("enc_c.ckpt")),
        "main.2.conv.weight of F/dec_c.ckpt has shape [5, 6, 3, 3], not [1, 6, k, k] with k 1 or 3"
    );
    assert_eq!(swap("enc_c.ckpt", &narrow("dec_m_0.ckpt")), "F/enc_c.ckpt has no tensor main.0.conv.weight");
    assert_eq!(
        swap("dec_m_0.ckpt", &narrow("enc_c.ckpt")),
        "main.1.conv.weight of F/dec_m_0.ckpt has shape [6, 4, 3, 3], not [5, 1, k, k] with k 1 or 3"
    );
    // The real encoder has 32 channels, more than the narrow decoder takes for them.
    assert_eq!(
        swap("enc_c.ckpt", &folder().join("wide/enc_c.ckpt")),
        "main.0.conv.weight of F/dec_c.ckpt has shape [8, 69, 3, 3], not the encoder's 32 channels and two equal parts more"
    );
}

#[test]
fn every_tensor_is_asked_for() {
    use crate::torch_checkpoint::{assemble, read};
    let files = ["enc_c.ckpt", "dec_c.ckpt", "dec_m_0.ckpt"].map(|file| folder().join("narrow").join(file));
    let mut tensors = files.map(|file| read(&file).unwrap());
    let mut checked = 0;
    for file in 0..3 {
        let names: Vec<String> = tensors[file].by_name.keys().cloned().collect();
        for name in names.iter().filter(|name| !name.ends_with("num_batches_tracked")) {
            let tensor = tensors[file].by_name.remove(name).unwrap();
            let error = assemble(&tensors[0], &tensors[1], &tensors[2], 36.0).err().unwrap();
            assert!(matches!(&error, SilentCipherError::Missing { key, .. } if key == name), "{name}: {error}");

            let wrong = tensor.flatten_all().unwrap().narrow(0, 0, 1).unwrap().reshape((1, 1, 1)).unwrap();
            tensors[file].by_name.insert(name.clone(), wrong);
            let error = assemble(&tensors[0], &tensors[1], &tensors[2], 36.0).err().unwrap();
            assert!(matches!(&error, SilentCipherError::Shape { key, .. } if key == name), "{name}: {error}");

            let infinite = tensor.affine(0.0, f64::INFINITY).unwrap();
            tensors[file].by_name.insert(name.clone(), infinite);
            let error = assemble(&tensors[0], &tensors[1], &tensors[2], 36.0).err().unwrap();
            assert!(matches!(&error, SilentCipherError::Value { key, .. } if key == name), "{name}: {error}");
            tensors[file].by_name.insert(name.clone(), tensor);
            checked += 1;
        }
    }
    assert_eq!(checked, (3 + 4 + 10) * 8 + 2 + 2);
    assert!(assemble(&tensors[0], &tensors[1], &tensors[2], 36.0).is_ok());
}
