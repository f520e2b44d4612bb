//! The whole fleet in one process: `csm demo` from nothing, and `csm dev` with clients beside it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use csm_shared::audio::{Clip, format_chunk};

use crate::{assert_status, csm, run, stderr, stdout};

/// Sends a signal by its name for `kill`.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -s {name} {}", child.id())).status().unwrap();
    assert!(sent.success());
}

/// Returns true if the private Redis of a data folder has ended, because a live one holds this
/// lock.
fn redis_is_gone(data: &Path) -> bool {
    File::options().append(true).open(data.join("redis/redis.lock")).unwrap().try_lock().is_ok()
}

/// Reads lines up to the one that holds `wanted`, and returns it.
fn line_with(lines: &mut impl Iterator<Item = std::io::Result<String>>, wanted: &str) -> String {
    let mut seen = String::new();
    for line in lines {
        let line = line.unwrap();
        if line.contains(wanted) {
            return line;
        }
        seen += &(line + "\n");
    }
    panic!("no line with {wanted:?} in:\n{seen}");
}

/// Returns the value behind a name in a receipt or banner.
fn value(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in:\n{text}"));
    line.trim_start()[name.len()..].trim().to_owned()
}

fn assert_is_speech_format(wav: &[u8]) {
    assert_eq!(wav[12..36], format_chunk(), "24 kHz, mono, 16 bit");
}

/// Running `csm dev` and the address of its API. Killed if a test fails.
pub(crate) struct Dev {
    pub(crate) child: Child,
    /// Lines of its standard output; `None` closes the reading end.
    pub(crate) lines: Option<std::io::Lines<BufReader<ChildStdout>>>,
    pub(crate) url: String,
}

impl Dev {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, Stdio::inherit())
    }

    /// Starts it with its log in a place of the caller's choice.
    pub(crate) fn start_with(folder: &Path, log: Stdio) -> Self {
        let arguments = ["dev", "--model", "noise", "--listen", "127.0.0.1:0", "--workers", "2", "--slots", "2"];
        let mut child = csm(folder)
            .args(arguments)
            .stderr(log)
            // Settings of another fleet, as a shell may hold them.
            .env("CSM_REDIS_URL", "redis://127.0.0.1:9")
            .env("CSM_STORE", "folder:/nowhere/at/all")
            .env("CSM_MODEL", "no/model")
            .env("CSM_SLOTS", "0")
            .env("CSM_LISTEN", "127.0.0.1:9")
            .env("CSM_ADMIN_LISTEN", "127.0.0.1:9")
            .env("CSM_KEY_PREFIX", "other")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = value(&line_with(&mut lines, "API"), "API");
        assert!(line_with(&mut lines, "  model ").contains("it does not speak"));
        Self { child, lines: Some(lines), url }
    }

    /// Sends SIGTERM and checks the orderly end.
    pub(crate) fn stop(mut self) {
        signal(&self.child, "TERM");
        if let Some(lines) = &mut self.lines {
            line_with(lines, "stopped");
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// The two demos run one after the other, because both want the same port.
#[test]
fn demo_makes_a_marked_wav_from_nothing_and_leaves_nothing_running() {
    let told = demo("auto", "tiny (a toy voice of a few million weights, not CSM-1B)");
    assert!(told.contains("TINY model speaks"), "{told}");
    let told = demo("noise", "noise (random weights: it hisses, it does not speak)");
    assert!(!told.contains("TINY"), "{told}");
}

/// Runs `csm demo` in an empty folder and checks its file. Returns what it wrote to standard error.
fn demo(model: &str, remark: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = run(csm(folder.path()).args(["demo", "--model", model]));
    assert_status(&output, 0);
    let told = stdout(&output);
    assert!(told.contains("out/hello.wav: detected (builtin detected: z = "), "{told}");
    assert_eq!(told.matches(remark).count(), 2, "with the receipt and at the end: {told}");

    let wav = fs::read(folder.path().join("out/hello.wav")).unwrap();
    assert_is_speech_format(&wav);
    let audio = value(&told, "audio");
    assert!(audio.contains(&format!("{} bytes", wav.len())), "{audio}");
    let clip = Clip::from_wav(&wav).unwrap();
    assert!(audio.contains(&format!("{} frames", clip.frames())), "{audio}");
    assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 1, "no partial file");
    assert!(redis_is_gone(&folder.path().join(".data")));
    stderr(&output)
}

#[test]
fn dev_serves_clients_drains_on_sigterm_and_remembers_its_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let client = |url: &str, arguments: &[&str]| run(csm(folder.path()).args(arguments).env("CSM_URL", url));

    let say = ["say", "Hello.", "-o", "a.wav", "--max-audio-length-ms", "800", "--seed", "7", "--lane", "live"];
    let output = client(&dev.url, &say);
    assert_status(&output, 0);
    assert!(stdout(&output).starts_with("a.wav\n"), "{}", stdout(&output));
    assert_eq!(value(&stdout(&output), "seed"), "7");
    assert_is_speech_format(&fs::read(folder.path().join("a.wav")).unwrap());
    let id = value(&stdout(&output), "job");
    assert_status(&run(csm(folder.path()).args(["watermark", "detect", "a.wav"])), 0);

    let output = client(&dev.url, &["say", "Hello.", "-o", "b.wav", "--speaker", "-3"]);
    assert_status(&output, 1);
    let told = stderr(&output);
    assert!(told.contains("speaker was -3, the limit is 0 to 9") && told.contains("HTTP 422, request "), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(!folder.path().join("b.wav").exists());
    assert_status(&client(&dev.url, &["say", "Hello.", "-o", "no/folder/b.wav"]), 1);
    assert_status(&client(&dev.url, &["say", "Hello.", "-o", "b.wav", "--temperature", "NaN"]), 2);

    interrupted_say_cancels_its_job(folder.path(), &dev.url);
    assert_status(&client(&dev.url, &["jobs", "cancel", &id]), 1);
    let redis_before = redis_is_gone(&folder.path().join(".data"));
    dev.stop();
    assert!(!redis_before && redis_is_gone(&folder.path().join(".data")));

    let dev = Dev::start(folder.path());
    let output = client(&dev.url, &["jobs", "get", &id, "--wait", "1"]);
    assert_status(&output, 0);
    let job: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((job["status"].as_str(), job["receipt"]["seed"].as_u64()), (Some("succeeded"), Some(7)));
    dev.stop();
}

fn interrupted_say_cancels_its_job(folder: &Path, url: &str) {
    let mut say = csm(folder)
        .args(["say", "Hello.", "-o", "c.wav", "--max-audio-length-ms", "90000", "--url", url])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(say.stderr.take().unwrap()).lines();
    line_with(&mut lines, "has begun");
    signal(&say, "INT");
    let told = line_with(&mut lines, "interrupted");
    assert_eq!(say.wait().unwrap().code(), Some(1));
    assert!(!folder.join("c.wav").exists());

    let id = told.split(' ').skip_while(|word| *word != "job").nth(1).unwrap();
    let output = run(csm(folder).args(["jobs", "get", id, "--wait", "30", "--url", url]));
    assert_status(&output, 0);
    let job: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(job["status"], "cancelled");
}
