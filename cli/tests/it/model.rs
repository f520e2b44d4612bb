//! `csm model`: folders that the real loader opens.

use csm_shared::audio::Clip;
use csm_shared::models::weight_files;

use crate::{assert_status, csm, run, stderr, stdout};

#[test]
fn make_noise_writes_both_layouts_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for layout in ["transformers", "original"] {
        let make = || run(csm(folder.path()).args(["model", "make-noise", layout, "--layout", layout]));
        let output = make();
        assert_status(&output, 0);
        assert!(stdout(&output).contains("it does not speak"), "{}", stdout(&output));
        assert!(!weight_files(&folder.path().join(layout)).unwrap().is_empty());

        let again = make();
        assert_status(&again, 1);
        assert!(stderr(&again).contains("holds a model already"), "{}", stderr(&again));
    }
    assert!(folder.path().join("original/mimi/model.safetensors").is_file());
    assert!(!folder.path().join("transformers/mimi").exists());
}

#[test]
fn write_tiny_writes_the_toy_voice_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let write = || run(csm(folder.path()).args(["model", "write-tiny", "some/folder"]));
    let output = write();
    assert_status(&output, 0);
    assert!(stdout(&output).contains("a toy voice"), "{}", stdout(&output));
    let written = folder.path().join("some/folder");
    assert!(!weight_files(&written).unwrap().is_empty());
    assert!(written.join("README.md").is_file() && written.join("tokenizer.json").is_file());

    let again = write();
    assert_status(&again, 1);
    assert!(stderr(&again).contains("holds a model already"), "{}", stderr(&again));
}

#[test]
fn trace_takes_a_context_whose_text_holds_colons() {
    let folder = tempfile::tempdir().unwrap();
    assert_status(&run(csm(folder.path()).args(["model", "make-noise", "noise"])), 0);
    std::fs::write(folder.path().join("turn.wav"), Clip::from_samples(vec![0; 5_000]).to_wav()).unwrap();
    let trace = ["model", "trace", "noise", "--text", "Yes.", "--speaker", "1", "--frames", "2", "--greedy"];
    let output =
        run(csm(folder.path()).args(trace).args(["--context", "turn.wav:0:At 10:30:00?", "--out", "t.safetensors"]));
    assert_status(&output, 0);
    // Both segments have one id a byte between two specials, "[0]" and "[1]" included. The
    // recording is 3 frames and an end.
    let positions = "[0]At 10:30:00?".len() + 2 + 3 + 1 + "[1]Yes.".len() + 2;
    assert!(stdout(&output).contains(&format!("{positions} prompt positions, 2 frames")), "{}", stdout(&output));
    assert!(folder.path().join("t.safetensors").is_file());
}

#[test]
fn fetch_names_the_folder_or_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    assert_status(&run(csm(folder.path()).args(["model", "write-tiny", "tiny"])), 0);
    let output = run(csm(folder.path()).args(["model", "fetch", "./tiny"]));
    assert_status(&output, 0);
    assert!(stdout(&output).contains("tiny: tiny"), "{}", stdout(&output));

    std::fs::remove_file(folder.path().join("tiny/tokenizer.json")).unwrap();
    let output = run(csm(folder.path()).args(["model", "fetch", "./tiny"]));
    assert_status(&output, 1);
    assert!(stderr(&output).contains("tokenizer.json"), "{}", stderr(&output));

    let output = run(csm(folder.path()).args(["model", "fetch", "some/model", "--offline", "--hub-cache", "cache"]));
    assert_status(&output, 1);
    assert!(stderr(&output).contains("some/model"), "{}", stderr(&output));
}
