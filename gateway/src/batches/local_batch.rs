//! A batch without a gateway: the lines of a file on this machine, with the checks, jobs and results that
//! a batch gives them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use csm_queue::batches::{BatchEndpoint, InputKind, LineError};
use csm_shared::audio;
use csm_shared::job::{InputWarnings, JobId, JobSpec, Receipt, Tenant};
use csm_shared::prompt::PromptError;
use serde_json::Value;

use super::create::kind_of;
use super::input::{InputFault, request_lines};
use super::line_checks::{Checked, LineChecks, Taken};
use super::outcome::{self, Outcome};
use super::request_line::{BatchTerms, RequestLine};
use crate::fields::FieldError;
use crate::resources::DecodeError;
use crate::submit::JobRequest;
use crate::window_check::WindowCheck;

/// Input file of a batch that this machine speaks.
pub struct LocalBatch {
    /// Id from which the lines' jobs have theirs.
    id: String,
    file: PathBuf,
    kind: InputKind,
    endpoint: BatchEndpoint,
    tenant: Tenant,
    /// Name of the model, which lines may ask for.
    model: String,
    window_check: WindowCheck,
}

/// Reason why a file cannot be a batch.
#[derive(Debug, thiserror::Error)]
pub enum LocalBatchError {
    /// A name without a known extension.
    #[error("{0}: a file named .jsonl, .csv, .tsv, .txt, .srt or .vtt is needed")]
    Name(String),
    /// A route that takes no lines.
    #[error("{0}: no route for lines")]
    Endpoint(String),
    /// Unreadable tokenizer or config of the model.
    #[error(transparent)]
    Model(#[from] PromptError),
}

/// A line that can be spoken.
#[derive(Debug)]
pub struct LocalLine {
    request: RequestLine,
    /// Id of the line's job.
    pub job: JobId,
    /// Job of the line.
    pub spec: JobSpec,
    /// Warnings about the request.
    warnings: InputWarnings,
}

impl LocalBatch {
    /// Opens the tokenizer in a model's folder. The file is not read yet.
    ///
    /// # Errors
    /// [`LocalBatchError`].
    pub fn open(
        id: &str,
        file: &Path,
        endpoint: &str,
        model: &str,
        model_folder: &Path,
    ) -> Result<Self, LocalBatchError> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kind = kind_of(&name).map_err(|_| LocalBatchError::Name(name))?;
        let endpoint = endpoint.parse().map_err(|_| LocalBatchError::Endpoint(endpoint.to_owned()))?;
        Ok(Self {
            id: id.to_owned(),
            file: file.to_owned(),
            kind,
            endpoint,
            tenant: Tenant::default(),
            model: model.to_owned(),
            window_check: WindowCheck::open(model_folder)?,
        })
    }

    /// Checks every line. Returns their number, or the faults, the first thousand of them listed. Takes
    /// long for a large file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn check(&self) -> io::Result<Result<u64, Vec<LineError>>> {
        let mut checks = LineChecks::default();
        match request_lines(self.kind, self.endpoint, File::open(&self.file)?) {
            Err(fault) => drop(checks.note(fault)?),
            Ok(lines) => {
                for line in lines {
                    let taken = checks.take(line, |line| {
                        let request = self.request(line)?;
                        Ok(self.window_check.check(&request.spec)?)
                    })?;
                    if matches!(taken, Taken::End) {
                        break;
                    }
                }
            }
        }
        Ok(match checks.end(self.kind) {
            Checked::Good { total } => Ok(total),
            Checked::Refused(errors) => Err(errors),
        })
    }

    /// Reads the lines of a file that was found good, and gives each to `take` until that returns false.
    ///
    /// # Errors
    /// If the file cannot be read, or has changed since its check.
    pub fn lines(&self, mut take: impl FnMut(LocalLine) -> bool) -> io::Result<()> {
        let changed = || io::Error::other("the file has changed since its check");
        let unread = |fault| match fault {
            InputFault::Read(error) => error,
            InputFault::Line(_) | InputFault::File(_) => changed(),
        };
        for line in request_lines(self.kind, self.endpoint, File::open(&self.file)?).map_err(unread)? {
            let request = line.map_err(unread)?;
            let JobRequest { ticket, spec, .. } = self.request(&request).map_err(|_| changed())?;
            if !take(LocalLine { request, job: ticket.id, spec, warnings: ticket.warnings }) {
                break;
            }
        }
        Ok(())
    }

    fn request(&self, line: &RequestLine) -> Result<JobRequest, FieldError> {
        let terms = BatchTerms { id: &self.id, tenant: &self.tenant, endpoint: self.endpoint };
        let mut decode = |file: &[u8], most_ms| audio::read_within(file, most_ms).map_err(DecodeError::from);
        line.request(terms, &self.model, &mut decode)
    }
}

impl LocalLine {
    /// Returns the number of the line, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.request.line
    }

    /// Returns the name that the file gives the line.
    #[must_use]
    pub fn custom_id(&self) -> &str {
        &self.request.custom_id
    }

    /// Returns the facts of the line's audio, as a manifest has them.
    #[must_use]
    pub fn spoken(&self, receipt: &Receipt) -> Value {
        outcome::warned(outcome::body(&self.request, self.job, receipt.attempt, receipt), &self.warnings)
    }

    /// Returns the failure of the line, as a list of errors has it.
    ///
    /// # Errors
    /// If it is no JSON, which never happens.
    pub fn failed(&self, message: &str) -> serde_json::Result<Value> {
        serde_json::to_value(Outcome::failed(&self.request, self.job, "job_failed", message.to_owned()))
    }
}
