//! State of a run in its folder, from which the same command goes on.
//!
//! The state names the run before there is anything at the gateway. A batch carries the run's id in
//! its metadata, so a batch whose creation was not heard is found again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::input::InputIdentity;
use crate::client::BatchStatus;

/// Name of the state's file.
pub(super) const STATE_FILE: &str = ".csm-bulk.json";
/// Place of a run without a gateway, instead of a URL.
pub(super) const THIS_MACHINE: &str = "this machine";
/// Version of the state's format.
const STATE_VERSION: u32 = 1;

/// Everything that a later process has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunState {
    version: u32,
    /// Random id of the run, which the batch carries in its metadata.
    pub(super) run_id: String,
    /// URL of the gateway, or [`THIS_MACHINE`].
    pub(super) gateway: String,
    /// File whose lines are spoken.
    pub(super) input: InputIdentity,
    /// Route whose requests the lines are.
    pub(super) endpoint: String,
    /// Completion window of the batch.
    pub(super) window: String,
    /// Model, number format and watermark key of a run on this machine.
    #[serde(default)]
    pub(super) speaker: Option<String>,
    /// Id of the uploaded input.
    pub(super) file_id: Option<String>,
    /// Id of the batch.
    pub(super) batch_id: Option<String>,
    /// Results that are on this machine.
    pub(super) collected: Collected,
    /// Final status of the batch, once all its results were fetched.
    pub(super) ended: Option<BatchStatus>,
}

/// Results of the first shards: their audio is in the folder, and their lines are in the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Collected {
    /// Number of shards.
    pub(super) shards: u64,
    /// Size of the manifest.
    pub(super) manifest_bytes: u64,
    /// Size of the list of errors.
    pub(super) errors_bytes: u64,
    /// Lines that were spoken.
    pub(super) spoken: u64,
    /// Lines that failed.
    pub(super) failed: u64,
    /// Spoken lines whose ids are no safe file names.
    pub(super) renamed: u64,
    /// Length of all audio.
    pub(super) audio_ms: u64,
}

/// Conditions of a run, which must be the same each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunConditions<'a> {
    /// URL of the gateway, or [`THIS_MACHINE`].
    pub(super) gateway: &'a str,
    /// File whose lines are spoken.
    pub(super) input: &'a InputIdentity,
    /// Route whose requests the lines are.
    pub(super) endpoint: &'a str,
    /// Completion window of the batch.
    pub(super) window: &'a str,
}

impl RunState {
    /// Makes the state of a run that has not begun.
    pub(super) fn new(run_id: String, conditions: &RunConditions<'_>) -> Self {
        Self {
            version: STATE_VERSION,
            run_id,
            gateway: conditions.gateway.to_owned(),
            input: conditions.input.clone(),
            endpoint: conditions.endpoint.to_owned(),
            window: conditions.window.to_owned(),
            speaker: None,
            file_id: None,
            batch_id: None,
            collected: Collected::default(),
            ended: None,
        }
    }

    /// Goes on with the run under these conditions.
    ///
    /// # Errors
    /// If a condition differs from that of the run's beginning.
    pub(super) fn go_on(self, conditions: &RunConditions<'_>) -> anyhow::Result<Self> {
        let RunConditions { gateway, input, endpoint, window } = *conditions;
        if (&self.input.sha256, self.input.bytes) != (&input.sha256, input.bytes) {
            bail!(
                "the folder belongs to a run of {} ({} bytes, SHA-256 {}…), and {} is another input ({} bytes, SHA-256 {}…); \
                 choose another folder",
                self.input.name,
                self.input.bytes,
                beginning(&self.input.sha256),
                input.name,
                input.bytes,
                beginning(&input.sha256),
            );
        }
        let is_local = self.gateway == THIS_MACHINE;
        let how = if is_local { "with" } else { "without" };
        ensure!(is_local == (gateway == THIS_MACHINE), "the folder belongs to a run {how} --local");
        ensure!(self.endpoint == endpoint, "the folder belongs to a run with --endpoint {}", self.endpoint);
        ensure!(self.window == window, "the folder belongs to a run with --window {}", self.window);
        // With an id the batch itself shows whether the gateway is the same.
        ensure!(
            self.gateway == gateway || self.batch_id.is_some(),
            "the folder belongs to a run with --url {}",
            self.gateway
        );
        Ok(Self { gateway: gateway.to_owned(), ..self })
    }
}

/// Returns the digits of a digest that people compare.
fn beginning(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// Folder of a run. No other process can open it meanwhile.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    /// The folder itself, opened and locked.
    lock: File,
}

impl RunFolder {
    /// Opens a folder, and makes it if there is none.
    ///
    /// # Errors
    /// If it cannot be made, or another process has opened it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        let lock = File::open(path).with_context(|| path.display().to_string())?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(fs::TryLockError::WouldBlock) => bail!("another csm bulk run works in {}", path.display()),
            Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
        }
    }

    /// Returns the path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the state; `None` in a folder without one.
    ///
    /// # Errors
    /// If the file cannot be read, or is not of this version.
    pub(super) fn load(&self) -> anyhow::Result<Option<RunState>> {
        let path = self.path.join(STATE_FILE);
        let json = match fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let state: RunState = serde_json::from_slice(&json).with_context(|| path.display().to_string())?;
        ensure!(state.version == STATE_VERSION, "{}: version {} is unknown", path.display(), state.version);
        Ok(Some(state))
    }

    /// Replaces the state at once: a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn save(&self, state: &RunState) -> anyhow::Result<()> {
        let (path, partial) = (self.path.join(STATE_FILE), self.path.join(format!("{STATE_FILE}.partial")));
        let written = File::create(&partial).and_then(|mut file| {
            file.write_all(&serde_json::to_vec_pretty(state)?)?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            self.sync()
        });
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the names of the files in the folder to the disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.lock.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn input(sha256: &str) -> InputIdentity {
        InputIdentity { name: "book.txt".into(), sha256: sha256.into(), bytes: 7 }
    }

    fn conditions(input: &InputIdentity) -> RunConditions<'_> {
        RunConditions { gateway: "http://a", input, endpoint: "/v1/jobs", window: "24h" }
    }

    #[test]
    fn a_state_comes_back_as_it_was_saved_and_leaves_no_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::open(&folder.path().join("new/out")).unwrap();
        assert_eq!(run.load().unwrap(), None);
        let mut state = RunState::new("r-1".into(), &conditions(&input("ab")));
        run.save(&state).unwrap();
        state.batch_id = Some("batch_1".into());
        state.collected = Collected { shards: 2, manifest_bytes: 9, spoken: 199, failed: 1, ..Collected::default() };
        run.save(&state).unwrap();
        assert_eq!(run.load().unwrap(), Some(state));
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_torn_or_newer_state_is_told_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::open(folder.path()).unwrap();
        fs::write(folder.path().join(STATE_FILE), b"{\"version\":1,").unwrap();
        assert!(run.load().is_err());
        let mut state = RunState::new("r-1".into(), &conditions(&input("ab")));
        state.version = 2;
        run.save(&state).unwrap();
        assert!(run.load().unwrap_err().to_string().ends_with("version 2 is unknown"));
    }

    #[test]
    fn only_one_process_works_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunFolder::open(folder.path()).unwrap();
        let told = RunFolder::open(folder.path()).unwrap_err().to_string();
        assert!(told.starts_with("another csm bulk run works in "), "{told}");
        drop(first);
        RunFolder::open(folder.path()).unwrap();
    }

    #[test]
    fn another_input_is_refused_under_any_name() {
        let (first, second) = (input("ab"), input("cd"));
        let mut state = RunState::new("r-1".into(), &conditions(&first));
        let renamed = InputIdentity { name: "copy.txt".into(), ..first.clone() };
        state.clone().go_on(&conditions(&renamed)).unwrap();
        let told = state.clone().go_on(&conditions(&second)).unwrap_err().to_string();
        assert!(told.contains("book.txt (7 bytes, SHA-256 ab…), and book.txt is another input"), "{told}");
        let why = |state: &RunState, conditions| state.clone().go_on(&conditions).map_err(|error| error.to_string());
        let other = RunConditions { endpoint: "/v1/audio/speech", ..conditions(&first) };
        assert_eq!(why(&state, other).unwrap_err(), "the folder belongs to a run with --endpoint /v1/jobs");
        let other = RunConditions { gateway: "http://b", ..conditions(&first) };
        assert_eq!(why(&state, other).unwrap_err(), "the folder belongs to a run with --url http://a");
        // The batch's id shows whether it is there.
        state.batch_id = Some("batch_1".into());
        assert_eq!(why(&state, other).unwrap().gateway, "http://b");
    }
}
