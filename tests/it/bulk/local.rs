//! `csm bulk run --local`: the results of a fleet without a fleet, over interrupts and kills.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use csm_testing::process::{Process, send_signal};
use serde_json::Value;

use super::{BulkFolder, LINES, Results, comparable};
use crate::test_system::TestSystem;

/// Numbers of ended lines at which the run is interrupted, then killed twice.
const CUTS: [usize; 3] = [20, 90, 170];
/// Journal of a run that has not ended.
const JOURNAL: &str = ".csm-bulk.outcomes.jsonl";

impl BulkFolder {
    fn start_local(&self, system: &TestSystem, input: &str, out: &str, more: &[&str]) -> Process {
        let (input, out_path, model) = (self.path(input), self.path(out), system.model_folder());
        let (input, out_path, model) = (input.to_string_lossy(), out_path.to_string_lossy(), model.to_string_lossy());
        let arguments = ["bulk", "run", &*input, "--out", &*out_path, "--local", "--model", &*model];
        self.csm(&[&arguments[..], &["--device", "cpu", "--endpoint", "/v1/jobs"], more].concat(), out)
    }

    /// Runs `csm bulk run --local` to its end. Returns its exit status.
    async fn run_local(&self, system: &TestSystem, input: &str, out: &str) -> Option<i32> {
        self.start_local(system, input, out, &[]).wait().await.unwrap().code()
    }

    /// Returns the audio of the lines that have ended, with the times at which it was written.
    fn ended(&self, out: &str) -> BTreeMap<String, SystemTime> {
        let journal = fs::read_to_string(self.path(out).join(JOURNAL)).unwrap_or_default();
        let whole = journal.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let name = |line: &str| serde_json::from_str::<Value>(line).unwrap()["key"].as_str().unwrap().to_owned();
        let written = |name: &String| fs::metadata(self.path(out).join(name)).unwrap().modified().unwrap();
        whole.map(name).map(|name| (name.clone(), written(&name))).collect()
    }

    /// Reads the results of a run on this machine, and checks that nothing else is left.
    fn local_results(&self, out: &str) -> Results {
        let (audio, lines) = self.files(out);
        (audio, lines.into_iter().map(comparable).collect())
    }
}

#[tokio::test]
async fn without_a_fleet_the_results_are_those_of_a_fleet() {
    let system = TestSystem::start(1, 5).await;
    let folder = BulkFolder::new(&system);
    assert_eq!(folder.run("lines.jsonl", "fleet").await, Some(0), "{}", folder.log("fleet"));
    let fleet = folder.results(&system, "fleet");

    let mut ended = BTreeMap::new();
    for (number, cut) in CUTS.into_iter().enumerate() {
        let mut run = folder.start_local(&system, "lines.jsonl", "local", &["--slots", "3"]);
        folder.until("local", || folder.ended("local").len() >= cut).await;
        if number == 0 {
            send_signal(run.id().unwrap(), "INT").await.unwrap();
            assert_eq!(run.end().await.unwrap().code(), Some(1));
            let told = folder.log("local");
            assert!(told.contains("interrupted\nto go on: csm bulk run ") && told.contains(" --local"), "{told}");
        } else {
            run.kill9().await.unwrap();
        }
        ended.extend(folder.ended("local"));
    }
    assert!((CUTS[2]..LINES).contains(&ended.len()), "{}", ended.len());
    assert_eq!(folder.run_local(&system, "lines.jsonl", "local").await, Some(0), "{}", folder.log("local"));
    for (name, written) in &ended {
        let now = fs::metadata(folder.path("local").join(name)).unwrap().modified().unwrap();
        assert_eq!(now, *written, "{name} was spoken again");
    }
    let local = folder.local_results("local");
    assert!(local.0 == fleet.0, "the audio differs from the fleet's");
    assert_eq!(local.1, fleet.1);

    // The same command looks at its results, and speaks only what is gone.
    fs::remove_file(folder.path("local/l-0007.wav")).unwrap();
    assert_eq!(folder.run_local(&system, "lines.jsonl", "local").await, Some(0), "{}", folder.log("local"));
    assert!(folder.local_results("local") == local);

    // A run belongs to a fleet or to this machine.
    assert_eq!(folder.run("lines.jsonl", "local").await, Some(1));
    assert!(folder.log("local").contains("the folder belongs to a run with --local"), "{}", folder.log("local"));
    assert_eq!(folder.run_local(&system, "lines.jsonl", "fleet").await, Some(1));
    assert!(folder.log("fleet").contains("the folder belongs to a run without --local"), "{}", folder.log("fleet"));
}

#[tokio::test]
async fn a_bad_file_is_refused_whole_by_this_machine_too() {
    let system = TestSystem::start(0, 1).await;
    let folder = BulkFolder::new(&system);
    let good = fs::read_to_string(folder.path("lines.jsonl")).unwrap();
    let twice = good.lines().next().unwrap();
    fs::write(folder.path("wrong.jsonl"), format!("{good}{twice}\nno JSON\n")).unwrap();
    assert_eq!(folder.run_local(&system, "wrong.jsonl", "wrong").await, Some(4));
    let told = folder.log("wrong");
    assert!(told.contains("line 231: duplicate_custom_id: custom_id: \"l-0001\" is the name"), "{told}");
    assert!(told.contains("line 232: invalid_json_line: "), "{told}");
    let left: Vec<_> = fs::read_dir(folder.path("wrong")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".csm-bulk.json"], "nothing was spoken");
    let mut local_with_url = folder.start_local(&system, "lines.jsonl", "usage", &["--window", "1h"]);
    assert_eq!(local_with_url.wait().await.unwrap().code(), Some(2), "{}", folder.log("usage"));
}
