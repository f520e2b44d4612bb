//! Outcomes of the lines while a run goes on, in the order in which the lines end.
//!
//! An outcome is on the disk before the next one is written, so an interrupted run speaks no line
//! again that had ended. In memory are the places of the outcomes alone.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::super::download::holds;
use super::super::local_results::{ERRORS, MANIFEST, PromisedAudio, ResultFiles};
use super::super::run_state::Collected;
use crate::client::{LineOutcome, ResultLine};

/// Name of the journal's file.
const JOURNAL: &str = ".csm-bulk.outcomes.jsonl";
/// Lines that are written to the manifest at a time.
const LINES_AT_A_TIME: usize = 100;
/// Audio files that are looked at at a time.
const CHECKS_MAX: usize = 8;

/// Place of an outcome in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    bytes: usize,
}

/// Journal of a run.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    /// Length of the file.
    end: u64,
    /// Outcomes by line.
    places: BTreeMap<u64, Place>,
    totals: Collected,
}

impl Journal {
    /// Opens the journal of a folder. After the end of a run it is made of the manifest and the errors.
    /// Outcomes whose audio is not there are left out.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) async fn open(folder: &Path, has_ended: bool) -> anyhow::Result<Self> {
        let path = folder.join(JOURNAL);
        if has_ended && !path.exists() {
            rebuild(folder, &path).with_context(|| path.display().to_string())?;
        }
        let opened = (|| {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
            let mut journal =
                Self { folder: folder.to_owned(), file, end: 0, places: BTreeMap::new(), totals: Collected::default() };
            let audio = journal.read()?;
            Ok::<_, io::Error>((journal, audio))
        })();
        let (mut journal, audio) = opened.with_context(|| path.display().to_string())?;
        let checks = futures::stream::iter(&audio).map(async |audio| {
            let is_there = holds(&folder.join(&audio.name), &audio.audio).await?;
            Ok::<_, anyhow::Error>((!is_there).then_some(audio))
        });
        let gone: Vec<_> = checks.buffer_unordered(CHECKS_MAX).try_collect().await?;
        for audio in gone.into_iter().flatten() {
            journal.places.remove(&audio.line);
            journal.totals.spoken -= 1;
            journal.totals.audio_ms -= audio.audio.duration_ms;
        }
        Ok(journal)
    }

    /// Reads all outcomes, and cuts off what a crash has torn. Returns the audio that they promise.
    fn read(&mut self) -> io::Result<Vec<PromisedAudio>> {
        let (mut reader, mut text, mut audio) = (BufReader::new(&self.file), Vec::new(), Vec::new());
        let (mut places, mut totals, mut end) = (BTreeMap::new(), Collected::default(), 0);
        while reader.read_until(b'\n', &mut text)? > 0 {
            let Some(line) = text.ends_with(b"\n").then(|| outcome(&text)).flatten() else { break };
            if places.insert(line.line, Place { at: end, bytes: text.len() }).is_none() {
                count(&line, &mut totals);
                audio.extend(PromisedAudio::of(&line));
            }
            end += text.len() as u64;
            text.clear();
        }
        drop(reader);
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        (self.places, self.totals, self.end) = (places, totals, end);
        Ok(audio)
    }

    /// Returns the lines that have ended.
    pub(super) fn numbers(&self) -> HashSet<u64> {
        self.places.keys().copied().collect()
    }

    /// Returns how many lines have ended, and how.
    pub(super) fn totals(&self) -> Collected {
        self.totals.clone()
    }

    /// Appends the outcome of a line. It is on the disk when this returns.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn append(&mut self, outcome: &Value) -> anyhow::Result<()> {
        let line = result_line(outcome.clone())?;
        let text = format!("{outcome}\n");
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data())
            .context("cannot write the journal")?;
        self.places.insert(line.line, Place { at: self.end, bytes: text.len() });
        self.end += text.len() as u64;
        count(&line, &mut self.totals);
        Ok(())
    }

    /// Writes manifest and errors, in the order of the lines.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn finish(mut self) -> anyhow::Result<Collected> {
        let mut collected = Collected::default();
        let files = ResultFiles::open(&self.folder, &collected)?;
        let mut files = files.context("cannot empty the manifest")?;
        let places: Vec<Place> = self.places.values().copied().collect();
        for places in places.chunks(LINES_AT_A_TIME) {
            let lines = places.iter().map(|place| self.at(*place)).collect::<anyhow::Result<Vec<_>>>()?;
            files.append(&lines, &mut collected)?;
        }
        files.publish()?;
        Ok(collected)
    }

    fn at(&mut self, place: Place) -> anyhow::Result<ResultLine> {
        let mut text = vec![0; place.bytes];
        self.file.seek(SeekFrom::Start(place.at))?;
        self.file.read_exact(&mut text)?;
        outcome(&text).context("the journal has changed")
    }
}

/// Removes the journal of a folder.
///
/// # Errors
/// If the disk fails.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    fs::remove_file(folder.join(JOURNAL))
}

/// Makes the journal of a run that has ended.
fn rebuild(folder: &Path, journal: &Path) -> io::Result<()> {
    let partial = folder.join(format!("{JOURNAL}.partial"));
    let mut file = File::create(&partial)?;
    for name in [MANIFEST, ERRORS] {
        match File::open(folder.join(name)) {
            Ok(mut results) => drop(io::copy(&mut results, &mut file)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    file.sync_all()?;
    fs::rename(partial, journal)
}

/// Reads an outcome; `None` for anything else.
fn outcome(json: &[u8]) -> Option<ResultLine> {
    result_line(serde_json::from_slice(json).ok()?).ok()
}

/// Reads the facts of a spoken line, or the failure of another one.
fn result_line(json: Value) -> serde_json::Result<ResultLine> {
    if json.get("error").is_some() { ResultLine::read(json) } else { ResultLine::of_body(json) }
}

fn count(line: &ResultLine, totals: &mut Collected) {
    match &line.outcome {
        LineOutcome::Spoken { audio, .. } => {
            totals.spoken += 1;
            totals.audio_ms += audio.duration_ms;
        }
        LineOutcome::Failed { .. } => totals.failed += 1,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_shared::process::digest::sha256_hex;
    use serde_json::json;

    use super::*;

    fn spoken(folder: &Path, line: u64) -> Value {
        let audio = format!("audio {line}");
        fs::write(folder.join(format!("l{line}.wav")), &audio).unwrap();
        let (sha256, bytes) = (sha256_hex(audio.as_bytes()), audio.len());
        json!({ "custom_id": format!("l{line}"), "line": line, "sha256": sha256, "bytes": bytes, "duration_ms": 80, "format": "wav" })
    }

    fn failed(line: u64) -> Value {
        json!({ "id": "x", "custom_id": "bad", "line": line, "response": null, "error": { "code": "c", "message": "m" } })
    }

    fn numbers(journal: &Journal) -> Vec<u64> {
        journal.places.keys().copied().collect()
    }

    #[tokio::test]
    async fn outcomes_outlive_a_crash_and_come_out_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut journal = Journal::open(folder, false).await.unwrap();
        for outcome in [spoken(folder, 3), failed(2), spoken(folder, 1)] {
            journal.append(&outcome).unwrap();
        }
        drop(journal);
        // A crash tore the next outcome, and the audio of a line is lost.
        let mut file = File::options().append(true).open(folder.join(JOURNAL)).unwrap();
        file.write_all(br#"{"custom_id":"l4","line":4,"sha"#).unwrap();
        fs::remove_file(folder.join("l1.wav")).unwrap();

        let mut journal = Journal::open(folder, false).await.unwrap();
        assert_eq!(numbers(&journal), [2, 3]);
        assert_eq!((journal.totals().spoken, journal.totals().failed, journal.totals().audio_ms), (1, 1, 80));
        for line in [4, 1] {
            journal.append(&spoken(folder, line)).unwrap();
        }
        let collected = journal.finish().unwrap();
        remove(folder).unwrap();
        assert_eq!((collected.spoken, collected.failed, collected.audio_ms), (3, 1, 240));
        let manifest = fs::read_to_string(folder.join(MANIFEST)).unwrap();
        let lines = manifest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].clone());
        assert_eq!(lines.collect::<Vec<_>>(), [1, 3, 4]);

        let journal = Journal::open(folder, true).await.unwrap();
        assert_eq!(numbers(&journal), [1, 2, 3, 4], "an ended run is known by its results");
    }
}
