//! `csm bulk` over interrupts, crashes and outages: it ends with the files of an undisturbed run, and
//! no line is spoken twice.

mod local;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use csm_testing::process::{Process, send_signal};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::test_system::TestSystem;

/// Lines of the input: two whole shards of results and a part of a third.
const LINES: usize = 230;
/// Frames of a line.
const FRAMES: u64 = 10;
/// Kills of one run at random moments of its beginning. Others follow in the middle.
const EARLY_KILLS: usize = 6;
/// Longest life of a run that is killed at its beginning, in milliseconds.
const LIFE_MS_MAX: u64 = 200;
/// Time without a gateway.
const OUTAGE: Duration = Duration::from_secs(3);
/// Longest wait for a state of a run.
const LIMIT: Duration = Duration::from_secs(120);
/// Pause between two looks at the state of a run.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Members of a manifest that differ between two batches of one input.
const OF_THE_BATCH: [&str; 2] = ["job", "key"];

/// Results of a run: audio files by name, and the lines of the manifest.
type Results = (BTreeMap<String, Vec<u8>>, Vec<Value>);

/// Folder of inputs and results.
struct BulkFolder {
    folder: TempDir,
    url: String,
}

impl BulkFolder {
    /// Makes a folder with the input `lines.jsonl`.
    fn new(system: &TestSystem) -> Self {
        let folder = Self { folder: TempDir::new().unwrap(), url: format!("http://{}", system.client.address) };
        folder.write_input("lines.jsonl", LINES);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_input(&self, name: &str, lines: usize) {
        let line = |number| {
            let body =
                json!({ "text": "All good things take time.", "seed": number, "max_audio_length_ms": FRAMES * 80 });
            let line =
                json!({ "custom_id": format!("l-{number:04}"), "method": "POST", "url": "/v1/jobs", "body": body });
            format!("{line}\n")
        };
        fs::write(self.path(name), (1..=lines).map(line).collect::<String>()).unwrap();
    }

    /// Starts `csm bulk run` on an input, with its results in `out`, and its words added to
    /// `out.log`.
    fn start(&self, input: &str, out: &str) -> Process {
        let (input, out_path) = (self.path(input), self.path(out));
        let arguments = ["bulk", "run", &*input.to_string_lossy(), "--out", &*out_path.to_string_lossy()];
        self.csm(&[&arguments[..], &["--endpoint", "/v1/jobs"]].concat(), out)
    }

    fn csm(&self, arguments: &[&str], log: &str) -> Process {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let log = File::options().create(true).append(true).open(self.path(&format!("{log}.log"))).unwrap();
        Process::start("csm", &arguments, &[("CSM_URL".to_owned(), self.url.clone())], Some(log)).unwrap()
    }

    /// Runs `csm bulk run` to its end. Returns its exit status.
    async fn run(&self, input: &str, out: &str) -> Option<i32> {
        self.start(input, out).wait().await.unwrap().code()
    }

    /// Runs another `csm bulk` command. Returns its exit status and its words.
    async fn ask(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let _ = fs::remove_file(self.path("ask.log"));
        let status = self.csm(&[&["bulk"], arguments].concat(), "ask").wait().await.unwrap();
        (status.code(), self.log("ask"))
    }

    fn log(&self, out: &str) -> String {
        fs::read_to_string(self.path(&format!("{out}.log"))).unwrap()
    }

    /// Reads the state of a run; null before there is one.
    fn state(&self, out: &str) -> Value {
        let json = fs::read(self.path(out).join(".csm-bulk.json")).unwrap_or_else(|_| b"null".to_vec());
        serde_json::from_slice(&json).unwrap()
    }

    /// Returns the number of shards whose results are in a folder.
    fn shards(&self, out: &str) -> u64 {
        self.state(out)["collected"]["shards"].as_u64().unwrap_or(0)
    }

    /// Waits until a run is where it is wanted.
    async fn until(&self, out: &str, wanted: impl Fn() -> bool) {
        let look = async {
            while !wanted() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let reached = tokio::time::timeout(LIMIT, look).await;
        reached.unwrap_or_else(|_| panic!("{}\n{}", self.state(out), self.log(out)));
    }

    /// Reads the audio and the lines of the manifest. Nothing else may be left but errors and state.
    fn files(&self, out: &str) -> Results {
        let (mut audio, mut others) = (BTreeMap::new(), Vec::new());
        for path in fs::read_dir(self.path(out)).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".wav") {
                audio.insert(name, fs::read(path).unwrap());
            } else {
                others.push(name);
            }
        }
        others.sort();
        assert_eq!(others, [".csm-bulk.json", "errors.jsonl", "manifest.jsonl"]);
        let manifest = fs::read_to_string(self.path(out).join("manifest.jsonl")).unwrap();
        (audio, manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Checks that a run spoke each line once. Returns its results.
    fn results(&self, system: &TestSystem, out: &str) -> Results {
        let state = self.state(out);
        let batch = state["batch_id"].as_str().unwrap_or_else(|| panic!("{state}"));
        let (audio, lines) = self.files(out);
        assert_eq!(fs::read(self.path(out).join("errors.jsonl")).unwrap(), b"");
        let lines = lines.into_iter().map(|line| {
            assert_eq!(line["attempts"], 1, "{line}");
            assert!(line["key"].as_str().unwrap().contains(batch), "{line}");
            comparable(line)
        });
        let lines: Vec<Value> = lines.collect();
        assert_eq!((audio.len(), lines.len()), (LINES, LINES), "{out}");
        assert_eq!(spoken(system, batch), LINES, "audio files in the store for {out}");
        (audio, lines)
    }
}

/// Returns a line of a manifest as it is for each batch of one input.
fn comparable(mut line: Value) -> Value {
    line.as_object_mut().unwrap().retain(|name, _| !OF_THE_BATCH.contains(&name.as_str()));
    line
}

/// Returns the number of audio files that a batch has in the store.
fn spoken(system: &TestSystem, batch: &str) -> usize {
    let is_of_batch = |path: &&PathBuf| path.components().any(|part| part.as_os_str() == batch) && is_audio(path);
    system.stored_files().iter().filter(is_of_batch).count()
}

fn is_audio(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wav")
}

/// Returns the number of batches that the gateway knows.
async fn batches(system: &TestSystem) -> usize {
    let list: Value = system.client.get("/v1/batches?limit=100").await.json().await.unwrap();
    list["data"].as_array().unwrap().len()
}

/// Returns the status of a batch.
async fn status(system: &TestSystem, batch: &str) -> String {
    let batch: Value = system.client.get(&format!("/v1/batches/{batch}")).await.json().await.unwrap();
    batch["status"].as_str().unwrap().to_owned()
}

/// Interrupts a run, which tells how to go on, and goes on.
async fn interrupted(folder: &BulkFolder) {
    let mut run = folder.start("lines.jsonl", "interrupted");
    folder.until("interrupted", || folder.shards("interrupted") >= 1).await;
    send_signal(run.id().unwrap(), "INT").await.unwrap();
    assert_eq!(run.end().await.unwrap().code(), Some(1));
    let (state, told) = (folder.state("interrupted"), folder.log("interrupted"));
    assert_eq!(state["ended"], Value::Null, "{state}");
    let batch = state["batch_id"].as_str().unwrap();
    assert!(told.contains(&format!("interrupted\nbatch {batch} goes on at the gateway\n")), "{told}");
    assert!(told.contains(&format!("to stop it: csm bulk cancel {batch} --url {}", folder.url)), "{told}");
    let again = told.lines().find_map(|line| line.strip_prefix("to fetch the rest: csm ")).unwrap();
    let mut again = folder.csm(&again.split(' ').collect::<Vec<_>>(), "interrupted");
    assert_eq!(again.wait().await.unwrap().code(), Some(0), "{}", folder.log("interrupted"));
}

/// Kills a run at random moments of its beginning, among files and between shards, then lets it end.
async fn killed(folder: &BulkFolder) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..EARLY_KILLS {
        let mut run = folder.start("lines.jsonl", "killed");
        tokio::time::sleep(Duration::from_millis(random.random_range(0..LIFE_MS_MAX))).await;
        run.kill9().await.unwrap();
        let state = folder.state("killed");
        println!("killed with file {} and batch {}", state["file_id"], state["batch_id"]);
    }
    // The batch was made, and the run died before it heard so.
    let mut state = folder.state("killed");
    if state.is_object() {
        (state["file_id"], state["batch_id"]) = (Value::Null, Value::Null);
        fs::write(folder.path("killed/.csm-bulk.json"), state.to_string()).unwrap();
    }
    let moments: [&dyn Fn() -> bool; 3] =
        [&|| folder.path("killed/l-0003.wav").exists(), &|| folder.shards("killed") >= 1, &|| {
            folder.path("killed/l-0203.wav").exists()
        }];
    for moment in moments {
        let mut run = folder.start("lines.jsonl", "killed");
        folder.until("killed", moment).await;
        run.kill9().await.unwrap();
        println!("killed with {} shards", folder.shards("killed"));
    }
    assert_eq!(folder.run("lines.jsonl", "killed").await, Some(0), "{}", folder.log("killed"));
}

/// Kills the gateway under a run and starts it again later.
async fn without_a_gateway(folder: &BulkFolder, system: &mut TestSystem) {
    let mut run = folder.start("lines.jsonl", "outage");
    folder.until("outage", || folder.shards("outage") >= 1).await;
    system.gateway.kill9().await.unwrap();
    tokio::time::sleep(OUTAGE).await;
    assert_eq!(run.ended().unwrap(), None, "{}", folder.log("outage"));
    system.restart_gateway().await;
    assert_eq!(run.wait().await.unwrap().code(), Some(0), "{}", folder.log("outage"));
    let told = folder.log("outage");
    assert!(told.contains("trying again for ") && told.contains("the gateway answers again"), "{told}");
}

#[tokio::test]
async fn bulk_ends_as_an_undisturbed_run_over_interrupts_kills_and_an_outage() {
    let mut system = TestSystem::start(1, 5).await;
    let folder = BulkFolder::new(&system);
    assert_eq!(folder.run("lines.jsonl", "undisturbed").await, Some(0), "{}", folder.log("undisturbed"));
    let undisturbed = folder.results(&system, "undisturbed");

    interrupted(&folder).await;
    killed(&folder).await;
    without_a_gateway(&folder, &mut system).await;

    for out in ["interrupted", "killed", "outage"] {
        let (audio, manifest) = folder.results(&system, out);
        assert!(audio == undisturbed.0, "{out}: the audio differs");
        assert_eq!(manifest, undisturbed.1, "{out}");
    }
    assert_eq!(batches(&system).await, 4, "one batch for each folder");

    // A run that has ended looks at its files and fetches what is missing, and no more.
    let lost = folder.path("killed/l-0007.wav");
    fs::remove_file(&lost).unwrap();
    let old = fs::metadata(folder.path("killed/l-0008.wav")).unwrap().modified().unwrap();
    assert_eq!(folder.run("lines.jsonl", "killed").await, Some(0));
    assert_eq!(fs::read(lost).unwrap(), undisturbed.0["l-0007.wav"]);
    assert_eq!(fs::metadata(folder.path("killed/l-0008.wav")).unwrap().modified().unwrap(), old);
    assert_eq!((batches(&system).await, folder.results(&system, "killed") == undisturbed), (4, true));
}

#[tokio::test]
async fn ends_of_bulk_runs_have_statuses_of_their_own() {
    let system = TestSystem::start(1, 5).await;
    let folder = BulkFolder::new(&system);
    fs::write(folder.path("wrong.jsonl"), "{\"custom_id\":\"a\"}\nno JSON\n").unwrap();
    assert_eq!(folder.run("wrong.jsonl", "wrong").await, Some(4));
    let told = folder.log("wrong");
    assert!(told.contains("line 1: missing_field") && told.contains("line 2: invalid_json_line"), "{told}");
    folder.write_input("wrong.jsonl", 3);
    assert_eq!(folder.run("wrong.jsonl", "wrong").await, Some(0), "a corrected input begins anew");
    folder.write_input("wrong.jsonl", 4);
    assert_eq!(folder.run("wrong.jsonl", "wrong").await, Some(1));
    assert!(folder.log("wrong").contains("and wrong.jsonl is another input"), "{}", folder.log("wrong"));

    let mut run = folder.start("lines.jsonl", "cancelled");
    folder.until("cancelled", || folder.state("cancelled")["batch_id"].is_string()).await;
    let state = folder.state("cancelled");
    let batch = state["batch_id"].as_str().unwrap();
    while status(&system, batch).await == "validating" {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    assert_eq!(folder.ask(&["pause", batch]).await, (Some(0), format!("{batch} in_progress, paused\n")));
    assert_eq!(folder.ask(&["resume", batch]).await, (Some(0), format!("{batch} in_progress\n")));
    assert_eq!(folder.ask(&["cancel", batch]).await, (Some(0), format!("{batch} cancelling\n")));
    assert_eq!(run.wait().await.unwrap().code(), Some(5), "{}", folder.log("cancelled"));
    let collected = &folder.state("cancelled")["collected"];
    let (spoken, failed) = (collected["spoken"].as_u64().unwrap(), collected["failed"].as_u64().unwrap());
    assert_eq!(spoken + failed, LINES as u64);
    let (code, told) = folder.ask(&["errors", batch]).await;
    assert_eq!((code, told.matches(": batch_cancelled: ").count() as u64), (Some(0), failed), "{told}");
    let (_, told) = folder.ask(&["list"]).await;
    assert!(told.contains(batch) && told.lines().count() == 3, "{told}");
    let (_, told) = folder.ask(&["status", batch]).await;
    assert!(told.starts_with(&format!("{batch}\n  status    cancelled\n")), "{told}");
    assert_eq!(folder.ask(&["status", "batch_0"]).await.0, Some(1));
}
