//! Tests of the build's identity: the edits that change it, and those that do not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::identity::{LOCK, SOURCES, identity};

/// Edit of one file: the path, a text in the file, and its replacement.
type Edit<'a> = (&'a str, &'a str, &'a str);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// Returns the identity of the tree after one edit.
fn after((file, old, new): Edit<'_>) -> u32 {
    let folder = TempDir::new().unwrap();
    for source in SOURCES.into_iter().chain([LOCK, file]) {
        copy(&root().join(source), &folder.path().join(source));
    }
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{file} has no {old:?}");
    fs::write(&path, text.replacen(old, new, 1)).unwrap();
    identity(folder.path(), &[]).unwrap()
}

#[test]
fn edits_that_decide_no_bit_keep_the_identity() {
    let same = identity(&root(), &[]).unwrap();
    let edits: [Edit<'_>; 8] = [
        ("worker/src/runner.rs", "tracing::", "tracing::error!(\"edited\"); tracing::"),
        ("worker/engine/src/engine/device.rs", "cannot open CUDA device", "edited"),
        ("shared/src/process/telemetry.rs", "csm_", "csm_edited_"),
        ("shared/queue/src/queue/lua/claim.lua", "return false", "return nil"),
        ("shared/src/job/limits.rs", "const ", "/* edited */ const "),
        ("worker/kernels/src/pool.rs", "//! ", "//! Edited. "),
        ("worker/kernels/src/tests.rs", "fn ", "fn edited_"),
        (LOCK, "name = \"axum\"\nversion = \"", "name = \"axum\"\nversion = \"9"),
    ];
    for edit in edits {
        assert_eq!(after(edit), same, "{edit:?}");
    }
}

#[test]
fn edits_that_decide_bits_change_the_identity() {
    let same = identity(&root(), &[]).unwrap();
    let edits: [Edit<'_>; 5] = [
        ("worker/kernels/src/math.rs", "fn ", "fn edited_"),
        ("worker/engine/src/model/sampler.rs", "fn ", "fn edited_"),
        ("worker/src/speak/join.rs", "const ", "const EDITED: u8 = 0; const "),
        ("shared/src/watermark/embed.rs", "fn ", "fn edited_"),
        (LOCK, "name = \"candle-core\"\nversion = \"", "name = \"candle-core\"\nversion = \"9"),
    ];
    for edit in edits {
        assert_ne!(after(edit), same, "{edit:?}");
    }
    assert_ne!(identity(&root(), &["CARGO_FEATURE_CUDA=1".to_owned()]).unwrap(), same);
}
