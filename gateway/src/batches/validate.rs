//! Validation of an input file: every line is read and checked before any runs, and written in one
//! form for the feeder.

use std::fmt::Write as _;
use std::io;

use csm_queue::batches::{BatchRecord, LineError};
use csm_shared::store::{ObjectKey, StoreError, UPLOAD_PIECE_BYTES, Upload};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::fault::FeedFault;
use super::finish::kept_until;
use super::input::{InputFault, request_lines};
use super::keys;
use super::line_checks::{Checked, LineChecks, Taken};
use super::request_line::RequestLine;
use super::store_reader::StoreReader;
use crate::app::App;
use crate::resources::MemoryGrant;

/// Bytes of checked lines that are passed to the store at a time.
const WRITE_BYTES: usize = 256 * 1024;
/// Memory that the names of the lines take, for each byte of the input file.
const NAMES_SHARE: u64 = 2;
/// Most memory of the names.
const NAMES_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Outcome of a validation.
pub(super) enum Verdict {
    /// All lines can run.
    Good {
        /// Number of lines.
        total: u64,
        /// Key of the checked lines.
        key: ObjectKey,
        /// Length of the checked lines, in bytes.
        bytes: u64,
    },
    /// No line may run.
    Refused(Vec<LineError>),
}

/// Reads and checks the input file of a batch. Writes the lines for the feeder if all are good.
pub(super) async fn validate(app: &App, batch: &BatchRecord, stop: CancellationToken) -> Result<Verdict, FeedFault> {
    let damaged = |error: csm_shared::store::InvalidObjectKey| FeedFault::Damaged(error.to_string());
    let (input, key) = (batch.input_key.parse::<ObjectKey>().map_err(damaged)?, keys::lines(&batch.id)?);
    let mut memory = app.memory.begin(super::own_peer());
    let names = (batch.input_bytes / NAMES_SHARE).min(NAMES_BYTES_MAX) as usize;
    memory.grow_to(2 * UPLOAD_PIECE_BYTES + names).await?;
    app.temporary_objects.register(&key, kept_until(batch)).await?;
    let upload = app.store.upload(&key, "application/jsonl").await?;
    let runtime = Handle::current();
    let _ends_the_thread = stop.clone().drop_guard();
    let reader = StoreReader::new(runtime.clone(), app.store.clone(), input, batch.input_bytes, stop.clone());
    let check = Validation {
        app: app.clone(),
        batch: batch.clone(),
        runtime,
        stop,
        memory,
        upload: Some(upload),
        waiting: String::new(),
        checks: LineChecks::default(),
    };
    let checked = tokio::task::spawn_blocking(move || check.run(reader));
    let checked = checked.await.map_err(|panicked| FeedFault::Damaged(panicked.to_string()))??;
    Ok(match checked {
        Ok((total, bytes)) => Verdict::Good { total, key, bytes },
        Err(errors) => Verdict::Refused(errors),
    })
}

/// A validation at work, on a blocking thread.
struct Validation {
    app: App,
    batch: BatchRecord,
    runtime: Handle,
    stop: CancellationToken,
    memory: MemoryGrant,
    /// Checked lines on their way; `None` once a line was refused.
    upload: Option<Upload>,
    /// Checked lines that were not yet passed on.
    waiting: String,
    checks: LineChecks,
}

/// Number and bytes of good lines, or the faults.
type Stored = Result<(u64, u64), Vec<LineError>>;

impl Validation {
    fn run(mut self, reader: StoreReader) -> Result<Stored, FeedFault> {
        match request_lines(self.batch.input_kind, self.batch.endpoint, reader) {
            Err(fault) => {
                if let Err(error) = self.checks.note(fault) {
                    self.read_failed(error)?;
                }
            }
            Ok(lines) => {
                for line in lines {
                    if self.stop.is_cancelled() {
                        return Err(FeedFault::Stopped);
                    }
                    match self.take(line) {
                        Ok(Taken::Good(line)) => self.keep(&line)?,
                        Ok(Taken::Bad) => self.upload = None,
                        Ok(Taken::End) => break,
                        Err(error) => {
                            self.read_failed(error)?;
                            break;
                        }
                    }
                    self.pass_on(WRITE_BYTES)?;
                }
            }
        }
        self.end()
    }

    /// Checks a line.
    fn take(&mut self, line: Result<RequestLine, InputFault>) -> io::Result<Taken> {
        let Self { app, batch, runtime, stop, memory, checks, .. } = self;
        checks.take(line, |line| {
            let before = memory.bytes();
            let mut decode = |file: &[u8], most_ms| app.decoder.decode(runtime, stop, memory, file, most_ms);
            let request = line.request((&*batch).into(), &app.model_name, &mut decode);
            let checked = request.and_then(|request| Ok(app.window_check.check(&request.spec)?));
            memory.shrink_to(before);
            checked
        })
    }

    fn end(mut self) -> Result<Stored, FeedFault> {
        let total = match std::mem::take(&mut self.checks).end(self.batch.input_kind) {
            Checked::Good { total } => total,
            // Dropped before its end, the upload leaves nothing.
            Checked::Refused(errors) => return Ok(Err(errors)),
        };
        self.pass_on(0)?;
        let upload = self.upload.take().ok_or_else(|| FeedFault::Damaged("lines without an upload".to_owned()))?;
        Ok(Ok((total, self.runtime.block_on(upload.finish())?)))
    }

    /// Keeps a good line for the feeder.
    fn keep(&mut self, line: &RequestLine) -> Result<(), FeedFault> {
        if self.upload.is_some() {
            // Writing to a string does not fail.
            let _ = writeln!(self.waiting, "{}", line.to_json()?);
        }
        Ok(())
    }

    /// Notes that the file is gone; any other failure to read it interrupts the validation.
    fn read_failed(&mut self, error: io::Error) -> Result<(), FeedFault> {
        if self.stop.is_cancelled() {
            return Err(FeedFault::Stopped);
        }
        match error.downcast::<StoreError>() {
            Ok(StoreError::NotFound(_)) => {
                self.checks.refuse(LineError {
                    code: "file_gone".to_owned(),
                    message: format!("The file {} was deleted before it was read.", self.batch.input_file_id),
                    param: Some("input_file_id".to_owned()),
                    line: None,
                });
                Ok(())
            }
            Ok(error) => Err(error.into()),
            Err(error) => Err(StoreError::Unavailable(error.to_string()).into()),
        }
    }

    /// Passes checked lines on if there are more than `least` bytes.
    fn pass_on(&mut self, least: usize) -> Result<(), FeedFault> {
        if self.waiting.len() > least
            && let Some(upload) = &mut self.upload
        {
            self.runtime.block_on(upload.write(self.waiting.as_bytes()))?;
        }
        if self.waiting.len() > least || self.upload.is_none() {
            self.waiting.clear();
        }
        Ok(())
    }
}
