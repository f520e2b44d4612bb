//! Validation of an input file: every line is read and checked before any runs, and written in one
//! form for the feeder.

use std::collections::HashSet;
use std::fmt::Write as _;

use csm_queue::batches::{BatchRecord, InputKind, LINE_ERRORS_MAX, LineError};
use csm_shared::process::digest::sha256_hex;
use csm_shared::store::{ObjectKey, StoreError, UPLOAD_PIECE_BYTES, Upload};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::fault::FeedFault;
use super::finish::kept_until;
use super::input::{InputFault, fault, request_lines};
use super::keys;
use super::request_line::RequestLine;
use super::store_reader::StoreReader;
use crate::app::App;
use crate::fields::FieldError;
use crate::http::Problem;
use crate::resources::MemoryGrant;

/// Most lines of a batch.
pub(super) const LINES_MAX: u64 = 1_000_000;
/// Bytes of checked lines that are passed to the store at a time.
const WRITE_BYTES: usize = 256 * 1024;
/// Hexadecimal digits of a name's digest: 128 bits.
const NAME_DIGITS: usize = 32;
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
        names: HashSet::new(),
        total: 0,
        refused: 0,
        errors: Vec::new(),
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
    /// Digests of the names, by which a second one is found.
    names: HashSet<u128>,
    total: u64,
    refused: u64,
    errors: Vec<LineError>,
}

/// Number and bytes of good lines, or the faults.
type Checked = Result<(u64, u64), Vec<LineError>>;

impl Validation {
    fn run(mut self, reader: StoreReader) -> Result<Checked, FeedFault> {
        let (kind, endpoint) = (self.batch.input_kind, self.batch.endpoint);
        match request_lines(kind, endpoint, reader) {
            Err(fault) => self.note(fault)?,
            Ok(lines) => {
                for line in lines {
                    if self.stop.is_cancelled() {
                        return Err(FeedFault::Stopped);
                    }
                    if self.total == LINES_MAX && line.is_ok() {
                        let message = format!("The file has more lines than the limit, {LINES_MAX}.");
                        let line = line.map_or(LINES_MAX + 1, |line| line.line);
                        self.note(InputFault::File(fault(line, "too_many_lines", None, message)))?;
                        break;
                    }
                    match line.and_then(|line| self.check(&line)) {
                        Ok(()) => {}
                        Err(InputFault::File(error)) => {
                            self.note(InputFault::File(error))?;
                            break;
                        }
                        Err(other) => self.note(other)?,
                    }
                    self.pass_on(WRITE_BYTES)?;
                }
            }
        }
        self.verdict()
    }

    fn verdict(&mut self) -> Result<Checked, FeedFault> {
        if self.total == 0 && self.refused == 0 {
            let message = match self.batch.input_kind {
                InputKind::Srt | InputKind::Vtt => "The file has no cue with a text.",
                _ => "The file has no lines.",
            };
            let code = "empty_file".to_owned();
            self.errors.push(LineError { code, message: message.to_owned(), param: None, line: None });
        }
        if self.refused > self.errors.len() as u64 {
            let message = format!("{} lines are refused; the first {LINE_ERRORS_MAX} are listed.", self.refused);
            self.errors.push(LineError { code: "more_errors".to_owned(), message, param: None, line: None });
        }
        if !self.errors.is_empty() {
            // Dropped before its end, the upload leaves nothing.
            self.upload = None;
            return Ok(Err(std::mem::take(&mut self.errors)));
        }
        self.pass_on(0)?;
        let upload = self.upload.take().ok_or_else(|| FeedFault::Damaged("lines without an upload".to_owned()))?;
        Ok(Ok((self.total, self.runtime.block_on(upload.finish())?)))
    }

    /// Checks a line and keeps it for the feeder.
    fn check(&mut self, line: &RequestLine) -> Result<(), InputFault> {
        self.total += 1;
        let digest = &sha256_hex(line.custom_id.as_bytes())[..NAME_DIGITS];
        if !self.names.insert(u128::from_str_radix(digest, 16).unwrap_or_default()) {
            let message = format!("custom_id: {:?} is the name of an earlier line, too.", line.custom_id);
            return Err(InputFault::Line(fault(line.line, "duplicate_custom_id", Some("custom_id"), message)));
        }
        let before = self.memory.bytes();
        let (app, runtime, stop, memory) = (&self.app, &self.runtime, &self.stop, &mut self.memory);
        let mut decode = |file: &[u8], most_ms| app.decoder.decode(runtime, stop, memory, file, most_ms);
        let request = line.request(&self.batch, &app.model_name, &mut decode);
        let checked = request.and_then(|request| Ok(app.window_check.check(&request.spec)?));
        self.memory.shrink_to(before);
        match checked {
            Ok(()) => {}
            Err(FieldError::Overloaded) => return Err(InputFault::Read(std::io::Error::other("no place to decode"))),
            Err(FieldError::Invalid(invalid)) => {
                let (code, param) = (invalid.reason.code(), format!("body.{}", invalid.field));
                let message = format!("body.{}", Problem::from(invalid));
                return Err(InputFault::Line(fault(line.line, code, Some(&param), message)));
            }
        }
        if self.upload.is_some() {
            let json = line.to_json().map_err(|error| InputFault::Read(error.into()))?;
            // Writing to a string does not fail.
            let _ = writeln!(self.waiting, "{json}");
        }
        Ok(())
    }

    /// Notes a fault of the file; a fault of the reading ends the validation.
    fn note(&mut self, fault: InputFault) -> Result<(), FeedFault> {
        let error = match fault {
            InputFault::Line(error) | InputFault::File(error) => error,
            InputFault::Read(_) if self.stop.is_cancelled() => return Err(FeedFault::Stopped),
            InputFault::Read(error) => match error.downcast::<StoreError>() {
                Ok(StoreError::NotFound(_)) => LineError {
                    code: "file_gone".to_owned(),
                    message: format!("The file {} was deleted before it was read.", self.batch.input_file_id),
                    param: Some("input_file_id".to_owned()),
                    line: None,
                },
                Ok(error) => return Err(error.into()),
                Err(error) => return Err(StoreError::Unavailable(error.to_string()).into()),
            },
        };
        self.refused += 1;
        self.upload = None;
        if self.errors.len() < LINE_ERRORS_MAX {
            self.errors.push(error);
        }
        Ok(())
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
