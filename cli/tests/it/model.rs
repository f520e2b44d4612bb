//! `csm model`: folders that the real loader opens.

use csm_shared::hub::weight_files;

use crate::{assert_status, csm, run, stderr, stdout};

#[test]
fn make_tiny_writes_both_layouts_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for layout in ["transformers", "original"] {
        let make = || run(csm(folder.path()).args(["model", "make-tiny", layout, "--layout", layout]));
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
