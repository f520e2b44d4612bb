//! Manifest and list of errors in the folder of a run.
//!
//! Both grow shard by shard under temporary names. The state of the run holds their lengths, so
//! that what a crash left behind is cut off.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::audio_name::{audio_name, is_safe};
use super::run_state::Collected;
use crate::client::{LineAudio, LineOutcome, ResultLine};

/// Name of the file that holds the descriptions of the spoken lines.
pub(super) const MANIFEST: &str = "manifest.jsonl";
/// Name of the file that holds the failed lines.
pub(super) const ERRORS: &str = "errors.jsonl";

/// Manifest and list of errors while they grow.
#[derive(Debug)]
pub(super) struct ResultFiles {
    folder: PathBuf,
    manifest: File,
    errors: File,
}

impl ResultFiles {
    /// Opens the files and cuts them to the lengths in `collected`. `None` if one is shorter.
    ///
    /// # Errors
    /// If they cannot be opened.
    pub(super) fn open(folder: &Path, collected: &Collected) -> io::Result<Option<Self>> {
        let manifest = cut(&partial(folder, MANIFEST), collected.manifest_bytes)?;
        let errors = cut(&partial(folder, ERRORS), collected.errors_bytes)?;
        Ok(manifest.zip(errors).map(|(manifest, errors)| Self { folder: folder.to_owned(), manifest, errors }))
    }

    /// Appends the lines of the next shard, and counts them in `collected`. The bytes are on the
    /// disk when this returns.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn append(&mut self, lines: &[ResultLine], collected: &mut Collected) -> io::Result<()> {
        let (mut manifest, mut errors) = (String::new(), String::new());
        for line in lines {
            match &line.outcome {
                LineOutcome::Spoken { audio, body } => {
                    manifest += &format!("{body}\n");
                    collected.spoken += 1;
                    collected.renamed += u64::from(!is_safe(&line.custom_id));
                    collected.audio_ms += audio.duration_ms;
                }
                LineOutcome::Failed { line, .. } => {
                    errors += &format!("{line}\n");
                    collected.failed += 1;
                }
            }
        }
        for (file, text) in [(&mut self.manifest, &manifest), (&mut self.errors, &errors)] {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
        }
        collected.manifest_bytes += manifest.len() as u64;
        collected.errors_bytes += errors.len() as u64;
        collected.shards += 1;
        Ok(())
    }

    /// Gives the files their last names.
    ///
    /// # Errors
    /// If they cannot be renamed.
    pub(super) fn publish(self) -> io::Result<()> {
        for name in [MANIFEST, ERRORS] {
            fs::rename(partial(&self.folder, name), self.folder.join(name))?;
        }
        Ok(())
    }
}

/// Audio file that a manifest promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PromisedAudio {
    /// Number of the line.
    pub(super) line: u64,
    /// Name of the file.
    pub(super) name: String,
    /// Facts about the file.
    pub(super) audio: LineAudio,
}

impl PromisedAudio {
    /// Returns the audio file of a line; `None` for a line that failed.
    pub(super) fn of(line: &ResultLine) -> Option<Self> {
        let LineOutcome::Spoken { audio, .. } = &line.outcome else { return None };
        let name = audio_name(&line.custom_id, line.line, audio.format);
        Some(Self { line: line.line, name, audio: audio.clone() })
    }
}

/// Returns the audio files that the growing manifest promises, up to the length in `collected`.
/// `None` if the manifest cannot be read.
pub(super) fn promised_so_far(folder: &Path, collected: &Collected) -> Option<Vec<PromisedAudio>> {
    promised(&partial(folder, MANIFEST), collected)
}

/// Returns the audio files that the whole manifest promises. `None` if the manifest cannot be read.
pub(super) fn promised_in_all(folder: &Path, collected: &Collected) -> Option<Vec<PromisedAudio>> {
    promised(&folder.join(MANIFEST), collected)
}

fn promised(manifest: &Path, collected: &Collected) -> Option<Vec<PromisedAudio>> {
    let mut jsonl = Vec::new();
    File::open(manifest).ok()?.take(collected.manifest_bytes).read_to_end(&mut jsonl).ok()?;
    let bodies = serde_json::Deserializer::from_slice(&jsonl).into_iter();
    let lines = bodies.map(|body| PromisedAudio::of(&ResultLine::of_body(body.ok()?).ok()?));
    let lines: Vec<PromisedAudio> = lines.collect::<Option<_>>()?;
    (lines.len() as u64 == collected.spoken).then_some(lines)
}

fn partial(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.partial"))
}

/// Opens a file behind its first `bytes` bytes and cuts off the rest. `None` if it is shorter.
fn cut(path: &Path, bytes: u64) -> io::Result<Option<File>> {
    let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() < bytes {
        return Ok(None);
    }
    file.set_len(bytes)?;
    file.seek(SeekFrom::End(0))?;
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    fn spoken(line: u64, custom_id: &str) -> ResultLine {
        let body = json!({ "custom_id": custom_id, "line": line, "sha256": "ab", "bytes": 7, "duration_ms": 80, "format": "wav" });
        ResultLine::of_body(body).unwrap()
    }

    fn failed(line: u64) -> ResultLine {
        let outcome = LineOutcome::Failed { code: "c".into(), message: "m".into(), line: json!({ "line": line }) };
        ResultLine { custom_id: "x".into(), line, outcome }
    }

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn shards_are_appended_in_order_and_a_crash_in_between_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut collected = Collected::default();
        let mut files = ResultFiles::open(folder, &collected).unwrap().unwrap();
        files.append(&[spoken(1, "a"), failed(2)], &mut collected).unwrap();
        let saved = collected.clone();
        // The state of the second shard was not saved.
        files.append(&[spoken(3, "b")], &mut collected).unwrap();
        drop(files);

        let mut collected = saved;
        let promised = promised_so_far(folder, &collected).unwrap();
        assert_eq!(promised.iter().map(|audio| audio.name.as_str()).collect::<Vec<_>>(), ["a.wav"]);
        let mut files = ResultFiles::open(folder, &collected).unwrap().unwrap();
        files.append(&[spoken(3, "../b"), failed(4)], &mut collected).unwrap();
        files.publish().unwrap();

        let ids: Vec<_> = promised_in_all(folder, &collected).unwrap().into_iter().map(|audio| audio.name).collect();
        assert_eq!(ids, ["a.wav", "line-3.wav"]);
        assert_eq!(read(folder, MANIFEST).lines().count(), 2);
        assert_eq!(read(folder, ERRORS), "{\"line\":2}\n{\"line\":4}\n");
        let Collected { shards, spoken, failed, renamed, audio_ms, .. } = collected;
        assert_eq!((shards, spoken, failed, renamed, audio_ms), (2, 2, 2, 1, 160));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "no partial file is left");
    }

    #[test]
    fn a_manifest_that_was_lost_or_changed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut collected = Collected::default();
        let mut files = ResultFiles::open(folder, &collected).unwrap().unwrap();
        files.append(&[spoken(1, "a"), spoken(2, "b")], &mut collected).unwrap();
        let whole = read(folder, "manifest.jsonl.partial");
        fs::write(folder.join("manifest.jsonl.partial"), &whole[..whole.len() - 5]).unwrap();
        assert_eq!(promised_so_far(folder, &collected), None);
        assert!(ResultFiles::open(folder, &collected).unwrap().is_none());
        fs::remove_file(folder.join("manifest.jsonl.partial")).unwrap();
        assert_eq!(promised_so_far(folder, &collected), None);
    }
}
