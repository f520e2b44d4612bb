//! `csm bench` on the noise model: every measurement once, without the peers of PyPI.

use std::fs;

use serde_json::Value;

use crate::{assert_status, csm, run, stderr, stdout};

#[test]
fn the_engines_tables_are_printed_and_written() {
    let folder = tempfile::tempdir().unwrap();
    assert_status(&run(csm(folder.path()).args(["model", "make-noise", "noise"])), 0);
    let arguments = ["bench", "engine", "--model", "noise", "--slots", "1,3", "--weights", "q8_0,f32", "--frames", "3"];
    let more = ["--peers", "none", "--threads", "1", "--json", "all.json", "--docs", "docs/benchmarks"];
    let output = run(csm(folder.path()).args(arguments).args(more));
    assert_status(&output, 0);
    let printed = stdout(&output);
    for words in [
        "| q8_0, 1",
        "| f32, 3",
        "while 900 positions are admitted",
        "csm-fleet, 5",
        "keys and values",
        "random weights",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    assert!(!printed.contains("ours over theirs"), "there is nobody to compare with");

    let all: Value = serde_json::from_slice(&fs::read(folder.path().join("all.json")).unwrap()).unwrap();
    assert_eq!(all["steps"].as_array().unwrap().len(), 4);
    assert!(all["floor"]["read"].as_f64().unwrap() > 1e8);
    assert!(all["steps"][0]["peak_rss_bytes"].as_u64().unwrap() > 1 << 20);
    let written: Vec<_> = fs::read_dir(folder.path().join("docs/benchmarks")).unwrap().collect();
    assert_eq!(written.len(), 1);
    let file = written[0].as_ref().unwrap().path();
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("20"), "{}", file.display());
    assert_eq!(fs::read_to_string(file).unwrap().trim_end(), printed.trim_end());
}

#[test]
fn a_peer_that_is_not_there_is_named_and_ours_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    assert_status(&run(csm(folder.path()).args(["model", "make-noise", "noise"])), 0);
    let arguments = ["bench", "engine", "--model", "noise", "--slots", "1", "--weights", "f32", "--frames", "1"];
    let output = run(csm(folder.path()).args(arguments).args(["--peer-frames", "1", "--python", "no-such-python"]));
    assert_status(&output, 0);
    let printed = stdout(&output);
    assert!(printed.contains("not measured") && printed.contains("cannot start no-such-python"), "{printed}");
    assert!(printed.contains("dimensions of the published checkpoint alone"), "candle's CSM: {printed}");
    assert!(printed.contains("candle-transformers mimi, 5"), "candle's Mimi runs: {printed}");
}

#[test]
fn formats_are_held_against_f32() {
    let folder = tempfile::tempdir().unwrap();
    assert_status(&run(csm(folder.path()).args(["model", "make-noise", "noise"])), 0);
    let output =
        run(csm(folder.path()).args(["bench", "quality", "--model", "noise", "--frames", "3", "--json", "q.json"]));
    assert_status(&output, 0);
    assert!(
        stdout(&output).contains("| q4_k") && stdout(&output).contains("These weights are random"),
        "{}",
        stdout(&output)
    );
    let numbers: Value = serde_json::from_slice(&fs::read(folder.path().join("q.json")).unwrap()).unwrap();
    let error = |index: usize| numbers["formats"][index]["mean_error"].as_f64().unwrap();
    assert!(0.0 < error(0) && error(0) < error(1), "{numbers:#}");

    let absent = run(csm(folder.path()).args(["bench", "quality", "--model", "none"]));
    assert_status(&absent, 1);
    assert!(stderr(&absent).contains("none"), "{}", stderr(&absent));
}
