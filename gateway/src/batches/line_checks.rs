//! Checks of the lines of one input file, and the faults that they find.

use std::collections::HashSet;
use std::io;

use csm_queue::batches::{InputKind, LINE_ERRORS_MAX, LineError};
use csm_shared::process::digest::sha256_hex;

use super::input::{InputFault, fault};
use super::request_line::RequestLine;
use crate::fields::FieldError;
use crate::http::Problem;

/// Most lines of a batch.
pub(super) const LINES_MAX: u64 = 1_000_000;
/// Hexadecimal digits of a name's digest: 128 bits.
const NAME_DIGITS: usize = 32;

/// Lines of a file as far as they were checked.
#[derive(Default)]
pub(super) struct LineChecks {
    /// Digests of the names, by which a second one is found.
    names: HashSet<u128>,
    total: u64,
    refused: u64,
    errors: Vec<LineError>,
}

/// A checked line.
pub(super) enum Taken {
    /// The line can run.
    Good(RequestLine),
    /// The line was refused; the next one can be read.
    Bad,
    /// Nothing behind this can be read.
    End,
}

/// Outcome of the check of a whole file.
pub(super) enum Checked {
    /// All lines can run.
    Good {
        /// Number of lines.
        total: u64,
    },
    /// No line may run.
    Refused(Vec<LineError>),
}

impl LineChecks {
    /// Checks the next line; `check` reads its request.
    ///
    /// # Errors
    /// If the file cannot be read, or too many recordings are being decoded.
    pub(super) fn take(
        &mut self,
        line: Result<RequestLine, InputFault>,
        check: impl FnOnce(&RequestLine) -> Result<(), FieldError>,
    ) -> io::Result<Taken> {
        if self.total == LINES_MAX
            && let Ok(line) = &line
        {
            let message = format!("The file has more lines than the limit, {LINES_MAX}.");
            self.refuse(fault(line.line, "too_many_lines", None, message));
            return Ok(Taken::End);
        }
        match line.and_then(|line| self.check(line, check)) {
            Ok(line) => Ok(Taken::Good(line)),
            Err(fault) => self.note(fault),
        }
    }

    fn check(
        &mut self,
        line: RequestLine,
        check: impl FnOnce(&RequestLine) -> Result<(), FieldError>,
    ) -> Result<RequestLine, InputFault> {
        self.total += 1;
        let digest = &sha256_hex(line.custom_id.as_bytes())[..NAME_DIGITS];
        if !self.names.insert(u128::from_str_radix(digest, 16).unwrap_or_default()) {
            let message = format!("custom_id: {:?} is the name of an earlier line, too.", line.custom_id);
            return Err(InputFault::Line(fault(line.line, "duplicate_custom_id", Some("custom_id"), message)));
        }
        match check(&line) {
            Ok(()) => Ok(line),
            Err(FieldError::Overloaded) => Err(InputFault::Read(io::Error::other("no place to decode"))),
            Err(FieldError::Invalid(invalid)) => {
                let (code, param) = (invalid.reason.code(), format!("body.{}", invalid.field));
                let message = format!("body.{}", Problem::from(invalid));
                Err(InputFault::Line(fault(line.line, code, Some(&param), message)))
            }
        }
    }

    /// Notes a fault of a line or of the file.
    ///
    /// # Errors
    /// If the fault is a failure to read.
    pub(super) fn note(&mut self, fault: InputFault) -> io::Result<Taken> {
        match fault {
            InputFault::Line(error) => {
                self.refuse(error);
                Ok(Taken::Bad)
            }
            InputFault::File(error) => {
                self.refuse(error);
                Ok(Taken::End)
            }
            InputFault::Read(error) => Err(error),
        }
    }

    /// Counts a fault, and lists it if there is room.
    pub(super) fn refuse(&mut self, error: LineError) {
        self.refused += 1;
        if self.errors.len() < LINE_ERRORS_MAX {
            self.errors.push(error);
        }
    }

    /// Ends the check.
    pub(super) fn end(mut self, kind: InputKind) -> Checked {
        let general =
            |code: &str, message: String| LineError { code: code.to_owned(), message, param: None, line: None };
        if self.total == 0 && self.refused == 0 {
            let message = match kind {
                InputKind::Srt | InputKind::Vtt => "The file has no cue with a text.",
                _ => "The file has no lines.",
            };
            self.errors.push(general("empty_file", message.to_owned()));
        }
        if self.refused > self.errors.len() as u64 {
            let message = format!("{} lines are refused; the first {LINE_ERRORS_MAX} are listed.", self.refused);
            self.errors.push(general("more_errors", message));
        }
        if self.errors.is_empty() { Checked::Good { total: self.total } } else { Checked::Refused(self.errors) }
    }
}
