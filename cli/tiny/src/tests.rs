#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::MetadataExt as _;

use csm_shared::models::ModelKind;

use super::*;

/// Returns the names in a folder, hidden ones included, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_embedded_model_is_marked_as_a_toy_voice_and_not_as_noise() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!(ModelKind::of(folder.path()) == ModelKind::Toy));
    write(folder.path()).unwrap();
    assert!((ModelKind::of(folder.path()) == ModelKind::Toy));
    let config: serde_json::Value = serde_json::from_slice(FILES[3].1).unwrap();
    assert!(config.get("noise_only").is_none(), "the model was trained");
    fs::write(folder.path().join(CONFIG), r#"{"toy_voice": false}"#).unwrap();
    assert!(!(ModelKind::of(folder.path()) == ModelKind::Toy));
}

#[test]
fn a_folder_that_holds_a_model_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(CONFIG), "mine").unwrap();
    assert!(matches!(write(folder.path()), Err(TinyModelError::AlreadyThere(_))));
    assert_eq!(names(folder.path()), [CONFIG]);
    assert_eq!(fs::read(folder.path().join(CONFIG)).unwrap(), b"mine");
}

#[test]
fn ensure_writes_a_missing_folder_and_touches_a_right_one_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("models/tiny");
    ensure(&dir).unwrap();
    assert!(holds_this_model(&dir));
    assert_eq!(names(&dir), ["README.md", "config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(names(dir.parent().unwrap()), ["tiny"], "nothing is left beside it");

    let made = |name: &str| fs::metadata(dir.join(name)).unwrap().ino();
    let before = FILES.map(|(name, _)| made(name));
    ensure(&dir).unwrap();
    assert_eq!(FILES.map(|(name, _)| made(name)), before);
}

#[test]
fn ensure_replaces_any_folder_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tiny");
    for (name, content) in FILES {
        ensure(&dir).unwrap();
        let mut damaged = content.to_vec();
        damaged[content.len() / 2] ^= 1;
        fs::write(dir.join(name), damaged).unwrap();
        ensure(&dir).unwrap();
        assert!(holds_this_model(&dir), "{name} was damaged");
        fs::remove_file(dir.join(name)).unwrap();
        ensure(&dir).unwrap();
        assert!(holds_this_model(&dir), "{name} was missing");
    }
    fs::write(dir.join("model-00001-of-00002.safetensors"), "of another model").unwrap();
    fs::write(dir.join(CONFIG), "{}").unwrap();
    ensure(&dir).unwrap();
    assert_eq!(names(&dir).len(), FILES.len(), "no file of the replaced folder stays");
    assert_eq!(names(folder.path()), ["tiny"]);
}

#[test]
fn writers_at_the_same_time_leave_one_whole_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tiny");
    std::thread::scope(|scope| {
        for writer in [(); 4].map(|()| scope.spawn(|| ensure(&dir))) {
            writer.join().unwrap().unwrap();
        }
    });
    assert!(holds_this_model(&dir));
    assert_eq!(names(folder.path()), ["tiny"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let refused = ensure(&folder.path().join("file/tiny")).unwrap_err();
    assert!(refused.to_string().contains(&folder.path().join("file").display().to_string()), "{refused}");
}
