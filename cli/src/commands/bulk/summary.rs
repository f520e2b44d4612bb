//! The end of a run: what came of the lines, and the exit status.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::batch_text::{audio_length, clock};
use super::local_results::{ERRORS, MANIFEST};
use super::run_state::Collected;
use crate::client::BatchStatus;

/// Exit status if some lines failed.
const EXIT_LINES_FAILED: u8 = 3;
/// Exit status if the gateway refused the input.
const EXIT_INPUT_REFUSED: u8 = 4;
/// Exit status if the batch was cancelled or expired.
const EXIT_BATCH_STOPPED: u8 = 5;

/// Result of a run.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    /// Id of the batch.
    pub(super) batch: &'a str,
    /// Final status of the batch.
    pub(super) status: BatchStatus,
    /// Results in the folder.
    pub(super) collected: &'a Collected,
    /// Errors of the input, one on a line.
    pub(super) input_errors: String,
    /// Time that this process took.
    pub(super) took: Duration,
    /// Folder of the results.
    pub(super) folder: &'a Path,
}

impl Summary<'_> {
    /// Returns the exit status of the command.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_status())
    }

    fn exit_status(&self) -> u8 {
        match self.status {
            BatchStatus::Failed => EXIT_INPUT_REFUSED,
            BatchStatus::Cancelled | BatchStatus::Expired => EXIT_BATCH_STOPPED,
            _ if self.collected.failed > 0 => EXIT_LINES_FAILED,
            _ => 0,
        }
    }

    /// Formats the summary as several lines with a last newline.
    pub(super) fn in_words(&self) -> String {
        let Collected { spoken, failed, renamed, audio_ms, .. } = self.collected;
        if self.status == BatchStatus::Failed {
            return format!("batch {}: the input is refused\n{}", self.batch, self.input_errors);
        }
        let mut text = format!(
            "{}: {spoken} of {} lines spoken, {} of audio\n  batch     {}, {}\n  time      {}\n",
            self.folder.display(),
            spoken + failed,
            audio_length(*audio_ms),
            self.batch,
            self.status,
            clock(self.took),
        );
        text += &format!("  manifest  {}\n", self.folder.join(MANIFEST).display());
        if *failed > 0 {
            text += &format!("  errors    {} lines in {}\n", failed, self.folder.join(ERRORS).display());
        }
        if *renamed > 0 {
            text += &format!("  names     {renamed} ids are no file names: their audio is line-<number>.<format>\n");
        }
        text
    }

    /// Returns the summary as JSON.
    pub(super) fn as_json(&self) -> Value {
        json!({
            "batch": self.batch,
            "status": self.status,
            "lines": self.collected.spoken + self.collected.failed,
            "spoken": self.collected.spoken,
            "failed": self.collected.failed,
            "renamed": self.collected.renamed,
            "audio_ms": self.collected.audio_ms,
            "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            "manifest": self.folder.join(MANIFEST).display().to_string(),
            "errors": self.folder.join(ERRORS).display().to_string(),
            "input_errors": self.input_errors.lines().collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(status: BatchStatus, collected: &Collected) -> Summary<'_> {
        let took = Duration::from_secs(75);
        Summary { batch: "batch_1", status, collected, input_errors: String::new(), took, folder: Path::new("out") }
    }

    #[test]
    fn the_exit_status_tells_the_kind_of_the_end() {
        let (good, bad) = (Collected::default(), Collected { failed: 1, ..Collected::default() });
        assert_eq!(summary(BatchStatus::Completed, &good).exit_status(), 0);
        assert_eq!(summary(BatchStatus::Completed, &bad).exit_status(), 3);
        assert_eq!(summary(BatchStatus::Failed, &good).exit_status(), 4);
        assert_eq!(summary(BatchStatus::Cancelled, &bad).exit_status(), 5);
        assert_eq!(summary(BatchStatus::Expired, &good).exit_status(), 5);
    }

    #[test]
    fn words_count_lines_and_name_files() {
        let collected = Collected { spoken: 98, failed: 2, renamed: 1, audio_ms: 90_000, ..Collected::default() };
        let words = "out: 98 of 100 lines spoken, 1.5 min of audio
  batch     batch_1, completed
  time      1 min 15 s
  manifest  out/manifest.jsonl
  errors    2 lines in out/errors.jsonl
  names     1 ids are no file names: their audio is line-<number>.<format>
";
        assert_eq!(summary(BatchStatus::Completed, &collected).in_words(), words);
    }
}
