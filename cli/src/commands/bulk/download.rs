//! Audio files, fetched several at a time and checked before they have their names.

use std::io::Write as _;
use std::path::Path;
use std::pin::pin;

use anyhow::Context as _;
use csm_shared::process::digest::DigestWriter;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;

use super::audio_name::partial_name;
use super::local_results::PromisedAudio;
use super::run_context::RunContext;
use crate::client::{ClientError, LineAudio};

/// Files that are fetched at a time.
const DOWNLOADS_MAX: usize = 8;

/// Fetches the audio files that are not in the folder. Returns the number of a line whose file was
/// not what was promised, if there is one.
///
/// # Errors
/// If the gateway refuses a file or stays away for too long, or the disk fails.
pub(super) async fn fetch_all(
    context: &RunContext<'_>,
    batch: &str,
    promised: &[PromisedAudio],
) -> anyhow::Result<Option<u64>> {
    let fetches = futures::stream::iter(promised).map(|audio| async move {
        let is_right = holds(&context.folder.path().join(&audio.name), &audio.audio).await?
            || fetch(context, batch, audio).await.with_context(|| format!("audio of line {}", audio.line))?;
        if is_right {
            context.display.fetched_one();
        }
        Ok::<_, anyhow::Error>((!is_right).then_some(audio.line))
    });
    let wrong: Vec<Option<u64>> = fetches.buffer_unordered(DOWNLOADS_MAX).try_collect().await?;
    Ok(wrong.into_iter().flatten().min())
}

/// Returns true if all audio files are in the folder, with their sizes and digests.
///
/// # Errors
/// If the disk fails.
pub(super) async fn are_there(folder: &Path, promised: &[PromisedAudio]) -> anyhow::Result<bool> {
    let checks =
        futures::stream::iter(promised).map(async |audio| holds(&folder.join(&audio.name), &audio.audio).await);
    checks.buffer_unordered(DOWNLOADS_MAX).try_all(std::future::ready).await
}

/// Returns true if a file has the promised size and digest.
pub(super) async fn holds(path: &Path, audio: &LineAudio) -> anyhow::Result<bool> {
    let (path, bytes, sha256) = (path.to_owned(), audio.bytes, audio.sha256.clone());
    let checked = tokio::task::spawn_blocking(move || {
        let Ok(mut file) = std::fs::File::open(path) else { return Ok(false) };
        if file.metadata()?.len() != bytes {
            return Ok(false);
        }
        let mut digest = DigestWriter::default();
        std::io::copy(&mut file, &mut digest)?;
        Ok::<_, std::io::Error>(digest.finish() == sha256)
    });
    Ok(checked.await??)
}

/// Fetches a file under a temporary name and renames it. Returns false if it is not what was
/// promised.
async fn fetch(context: &RunContext<'_>, batch: &str, promised: &PromisedAudio) -> anyhow::Result<bool> {
    let path = context.folder.path().join(&promised.name);
    let partial = context.folder.path().join(partial_name(&promised.name));
    let is_right = context.patience.call(|| download(context, batch, promised, &partial)).await??;
    if is_right {
        fs::rename(&partial, &path).await?;
    } else {
        fs::remove_file(&partial).await?;
    }
    Ok(is_right)
}

/// Writes the file as it comes. The inner error is the disk's.
async fn download(
    context: &RunContext<'_>,
    batch: &str,
    promised: &PromisedAudio,
    partial: &Path,
) -> Result<std::io::Result<bool>, ClientError> {
    let mut chunks = pin!(context.client.line_audio(batch, promised.line).await?);
    let mut file = match File::create(partial).await {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let (mut digest, mut bytes) = (DigestWriter::default(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        bytes += chunk.as_ref().len() as u64;
        if bytes > promised.audio.bytes {
            return Ok(Ok(false));
        }
        let written = digest.write_all(chunk.as_ref()).and(file.write_all(chunk.as_ref()).await);
        if let Err(error) = written {
            return Ok(Err(error));
        }
    }
    let is_right = bytes == promised.audio.bytes && digest.finish() == promised.audio.sha256;
    Ok(file.sync_all().await.map(|()| is_right))
}
