//! The file of lines: its name, size and digest.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use csm_shared::process::digest::DigestWriter;
use serde::{Deserialize, Serialize};

/// Extensions of the formats that the gateway reads.
const EXTENSIONS: [&str; 6] = ["jsonl", "csv", "tsv", "txt", "srt", "vtt"];

/// Identity of an input: a run goes on only with the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InputIdentity {
    /// Name without folders. The gateway recognises the format by its extension.
    pub(super) name: String,
    /// SHA-256 in lower-case hexadecimal digits.
    pub(super) sha256: String,
    /// Size of the file.
    pub(super) bytes: u64,
}

/// Input on this machine.
#[derive(Clone, Debug)]
pub(super) struct InputFile {
    /// Path of the file.
    pub(super) path: PathBuf,
    /// Identity of the content.
    pub(super) identity: InputIdentity,
}

impl InputFile {
    /// Reads the file at `path` once, for its digest.
    ///
    /// # Errors
    /// If it cannot be read, is empty, or has no known extension.
    pub(super) async fn read(path: &Path) -> anyhow::Result<Self> {
        let path = path.to_owned();
        let named = path.display().to_string();
        tokio::task::spawn_blocking(move || read(path)).await?.with_context(|| named)
    }

    /// Opens the file for an upload.
    ///
    /// # Errors
    /// If it cannot be opened, or has another size than before.
    pub(super) async fn open(&self) -> anyhow::Result<tokio::fs::File> {
        let file = tokio::fs::File::open(&self.path).await.with_context(|| self.path.display().to_string())?;
        let bytes = file.metadata().await?.len();
        ensure!(bytes == self.identity.bytes, "{} has just changed", self.path.display());
        Ok(file)
    }
}

fn read(path: PathBuf) -> anyhow::Result<InputFile> {
    let name = path.file_name().context("not a file")?.to_string_lossy().into_owned();
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    if !EXTENSIONS.contains(&extension.as_str()) {
        bail!("the gateway reads files named .{}", EXTENSIONS.join(", ."));
    }
    let mut file = File::open(&path)?;
    ensure!(file.metadata()?.is_file(), "not a file that can be read twice");
    let mut digest = DigestWriter::default();
    let bytes = io::copy(&mut file, &mut digest)?;
    ensure!(bytes > 0, "the file is empty");
    Ok(InputFile { path, identity: InputIdentity { name, sha256: digest.finish(), bytes } })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_input_is_known_by_its_digest_and_unreadable_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let input = read(file("book.TXT", "Hello.\n")).unwrap();
        assert_eq!((input.identity.name.as_str(), input.identity.bytes), ("book.TXT", 7));
        assert_eq!(input.identity.sha256, csm_shared::process::digest::sha256_hex(b"Hello.\n"));
        let why = |path| read(path).unwrap_err().to_string();
        assert_eq!(why(file("a.doc", "x")), "the gateway reads files named .jsonl, .csv, .tsv, .txt, .srt, .vtt");
        assert_eq!(why(file("a.txt", "")), "the file is empty");
        assert!(why(folder.path().join("none.csv")).contains("No such file"));
    }
}
