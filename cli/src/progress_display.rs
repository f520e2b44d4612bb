//! Progress of a job on standard error: a bar on a terminal, a line per phase elsewhere.

use std::time::Duration;

use csm_shared::audio::FRAME_MS;
use csm_shared::errln;
use csm_shared::process::output::printable_line;
use indicatif::{ProgressBar, ProgressStyle};

/// Time between two turns of the spinner.
const TICK: Duration = Duration::from_millis(100);

const WAITING: &str = "{spinner} {msg}";
const SPEAKING: &str = "{spinner} speaking [{bar:40}] {pos}/{len} frames, {msg} of audio, {elapsed}";

/// Display of one job's progress; removed on drop.
#[derive(Debug)]
pub(crate) struct ProgressDisplay {
    bar: ProgressBar,
    last_line: String,
}

impl ProgressDisplay {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(TICK);
        Self { bar, last_line: String::new() }
    }

    /// Shows that the job waits behind `ahead` others, if the number is known.
    pub(crate) fn waiting(&mut self, ahead: Option<u64>) {
        self.show(WAITING);
        self.say(&ahead.map_or_else(|| "waiting".to_owned(), |ahead| format!("waiting, {ahead} ahead")));
    }

    /// Shows that an attempt began.
    pub(crate) fn started(&mut self, worker: &str) {
        self.show(WAITING);
        self.say(&format!("worker {worker} has begun"));
    }

    /// Shows that `frames` of at most `max_frames` exist.
    pub(crate) fn speaking(&mut self, frames: u32, max_frames: u32) {
        self.show(SPEAKING);
        self.bar.set_length(max_frames.into());
        self.bar.set_position(frames.into());
        self.bar.set_message(seconds(frames));
    }

    fn show(&self, template: &str) {
        // The templates are constants; one that does not parse leaves the bar as it was.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    fn say(&mut self, line: &str) {
        // The names of workers come from another machine.
        let line = printable_line(line);
        if line == self.last_line {
            return;
        }
        if self.bar.is_hidden() {
            errln!("{line}");
        }
        self.bar.set_message(line.clone());
        self.last_line = line;
    }
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Formats the duration of `frames` frames.
fn seconds(frames: u32) -> String {
    format!("{:.2} s", f64::from(frames) * f64::from(FRAME_MS) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_parse() {
        for template in [WAITING, SPEAKING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn frames_are_told_in_seconds() {
        assert_eq!(seconds(1), "0.08 s");
        assert_eq!(seconds(125), "10.00 s");
    }
}
