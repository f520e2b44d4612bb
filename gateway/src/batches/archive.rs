//! `GET /v1/batches/{id}/archive?format=zip|tar`: the audio of all lines that were spoken, and the
//! manifest, in one file that is made while it is sent.
//!
//! A blocking thread writes the archive into a channel of a few pieces. A caller that does not read holds
//! it up, and one that leaves ends it. An archive that fails is cut, never closed.

use std::io::{self, Read, Write};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use bytes::{Buf as _, Bytes};
use csm_queue::batches::BatchRecord;
use csm_shared::job::Invalid;
use futures::stream;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::outcome::Outcome;
use super::own_batch;
use super::results::{LineAudio, outcomes, read_shard};
use crate::app::App;
use crate::http::Problem;

/// Pieces between the thread and the caller.
const PIECES: usize = 4;
/// Bytes of a piece.
const PIECE_BYTES: usize = 64 * 1024;
/// Rights of the files in an archive.
const FILE_MODE: u32 = 0o644;
/// Name of the manifest in an archive.
const MANIFEST: &str = "manifest.jsonl";

/// Query of an archive.
#[derive(Deserialize)]
pub(super) struct ArchiveQuery {
    format: Option<String>,
}

/// Answers with the archive of a batch as it is: later lines are not in it.
pub(super) async fn archive(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(query): Query<ArchiveQuery>,
) -> Result<Response, Problem> {
    let record = own_batch(&app, &headers, &id).await?.record;
    let (make, media_type, extension): (fn(&Source, Pieces) -> io::Result<()>, _, _) = match query.format.as_deref() {
        None | Some("zip") => (write_zip, "application/zip", "zip"),
        Some("tar") => (write_tar, "application/x-tar", "tar"),
        Some(other) => return Err(Invalid::malformed("format", other, "zip or tar").into()),
    };
    let (sender, receiver) = mpsc::channel(PIECES);
    let source = Source { app: app.clone(), runtime: Handle::current(), record };
    tokio::task::spawn_blocking(move || {
        let pieces = Pieces { sender: sender.clone(), piece: Vec::new() };
        if let Err(error) = make(&source, pieces) {
            tracing::warn!(error = %error, "cutting archive");
            // Nobody is there any more if this fails.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let pieces = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let name = format!("attachment; filename=\"{id}.{extension}\"");
    let described = [(CONTENT_TYPE, media_type.to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((described, Body::from_stream(pieces)).into_response())
}

/// Parts of an archive: a batch, and the store of its audio.
struct Source {
    app: App,
    runtime: Handle,
    record: BatchRecord,
}

impl Source {
    /// Reads the outcomes of a shard that were spoken.
    fn spoken(&self, number: u64) -> io::Result<Vec<Outcome>> {
        let shard = self.runtime.block_on(read_shard(&self.app, &self.record, number));
        let shard = shard.map_err(|problem| io::Error::other(problem.to_string()))?;
        let outcomes: Vec<_> = outcomes(&shard).collect::<Result<_, _>>().map_err(io::Error::other)?;
        Ok(outcomes.into_iter().filter(|outcome| outcome.response.is_some()).collect())
    }

    /// Calls `add` with the name, the length and the bytes of each line's audio, then with the manifest.
    fn each(&self, mut add: impl FnMut(&str, u64, &mut dyn Read) -> io::Result<()>) -> io::Result<()> {
        let mut manifest_bytes = 0;
        for number in 0..self.record.committed.shards {
            for outcome in self.spoken(number)? {
                let audio = LineAudio::of(&outcome).ok_or_else(|| io::Error::other("an outcome without facts"))?;
                let key = audio.key().map_err(|problem| io::Error::other(problem.to_string()))?;
                let file = self.runtime.block_on(self.app.store.get(&key)).map_err(io::Error::other)?;
                if file.len() as u64 != audio.bytes {
                    return Err(io::Error::other(format!("{key} has {} bytes, not {}", file.len(), audio.bytes)));
                }
                let name = format!("{}.{}", audio.custom_id, audio.format.name());
                add(&name, audio.bytes, &mut file.reader())?;
                manifest_bytes += manifest_line(&outcome)?.len() as u64;
            }
        }
        // The manifest may be large, so the shards are read again while it is written.
        add(MANIFEST, manifest_bytes, &mut Manifest { source: self, number: 0, waiting: Bytes::new() })
    }
}

/// Returns the facts of a line's audio as a line of the manifest.
fn manifest_line(outcome: &Outcome) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&outcome.response.as_ref().map(|response| &response.body))?;
    line.push(b'\n');
    Ok(line)
}

/// Manifest of an archive, shard by shard.
struct Manifest<'a> {
    source: &'a Source,
    /// Number of the next shard.
    number: u64,
    waiting: Bytes,
}

impl Read for Manifest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.waiting.is_empty() && self.number < self.source.record.committed.shards {
            let lines = self.source.spoken(self.number)?.iter().map(manifest_line).collect::<io::Result<Vec<_>>>()?;
            (self.waiting, self.number) = (lines.concat().into(), self.number + 1);
        }
        let count = buffer.len().min(self.waiting.len());
        self.waiting.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Writes a zip whose files are stored as they are: audio is dense already.
fn write_zip(source: &Source, pieces: Pieces) -> io::Result<()> {
    let mut zip: ZipWriter<StreamWriter<Pieces>> = ZipWriter::new_stream(pieces);
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(FILE_MODE);
    // Files over 4 GiB need larger fields; the manifest alone could be one.
    source.each(|name, length, bytes| {
        zip.start_file(name, options.large_file(length > u64::from(u32::MAX)))?;
        io::copy(bytes, &mut zip).map(drop)
    })?;
    zip.finish()?.into_inner().flush()
}

fn write_tar(source: &Source, pieces: Pieces) -> io::Result<()> {
    let mut tar = tar::Builder::new(pieces);
    source.each(|name, length, bytes| {
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(FILE_MODE);
        tar.append_data(&mut header, name, bytes)
    })?;
    tar.into_inner()?.flush()
}

/// Writer of an archive, in pieces for the caller.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
