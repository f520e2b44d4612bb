//! Progress of a batch on standard error: a bar on a terminal, some lines elsewhere.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use csm_shared::errln;
use csm_shared::process::output::printable_line;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::batch_text::{self, Progress};
use super::rates::RateWindow;
use crate::client::{Batch, FleetSlots};

/// Time between two turns of the spinner.
const TICK: Duration = Duration::from_millis(100);
/// Time between two updates of the bar.
const UPDATE_EVERY: Duration = Duration::from_millis(500);
/// Time between two requests for the number of busy slots.
const SLOTS_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for the number of busy slots.
const SLOTS_LIMIT: Duration = Duration::from_secs(2);
/// Time between two lines if standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

const STEP: &str = "{spinner} {msg}";
const LINES: &str = "{spinner} [{bar:24}] {msg}";

/// Display of one run; removed on drop.
#[derive(Debug)]
pub(super) struct BulkDisplay {
    bar: ProgressBar,
    /// Audio files in the folder.
    fetched: AtomicU64,
}

impl BulkDisplay {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(TICK);
        Self { bar, fetched: AtomicU64::new(0) }
    }

    /// Shows what is done before there is a batch.
    pub(super) fn step(&self, text: &str) {
        let text = printable_line(text);
        self.show(STEP);
        if self.bar.is_hidden() {
            errln!("{text}");
        }
        self.bar.set_message(text);
    }

    /// Writes a line that stays.
    pub(super) fn remark(&self, text: &str) {
        self.bar.suspend(|| errln!("{}", printable_line(text)));
    }

    /// Counts one more audio file in the folder.
    pub(super) fn fetched_one(&self) {
        self.fetched.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the number of audio files in the folder.
    pub(super) fn set_fetched(&self, files: u64) {
        self.fetched.store(files, Ordering::Relaxed);
    }

    /// Removes the display from the terminal.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows the newest batch for as long as this is polled.
    /// `busy_slots` tells how many slots are busy.
    pub(super) async fn follow(
        &self,
        busy_slots: impl AsyncFn() -> Option<FleetSlots>,
        mut seen: watch::Receiver<Batch>,
    ) -> Infallible {
        let (mut rates, mut slots, mut asked) = (RateWindow::default(), None, None::<Instant>);
        let mut lines = LinePace::default();
        let mut updates = interval(UPDATE_EVERY);
        updates.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.show(LINES);
        loop {
            updates.tick().await;
            if asked.is_none_or(|asked| asked.elapsed() >= SLOTS_EVERY) {
                asked = Some(Instant::now());
                slots = timeout(SLOTS_LIMIT, busy_slots()).await.ok().flatten();
            }
            let batch = seen.borrow_and_update().clone();
            rates.observe(Instant::now(), batch.request_counts.ended(), batch.audio_ms);
            let fetched = self.fetched.load(Ordering::Relaxed);
            let text = batch_text::progress(&Progress { batch: &batch, fetched, rates: &rates, slots });
            if self.bar.is_hidden() && lines.is_due(&batch, &text) {
                errln!("{text}");
            }
            self.bar.set_length(batch.request_counts.total);
            self.bar.set_position(batch.request_counts.ended());
            self.bar.set_message(text);
        }
    }

    fn show(&self, template: &str) {
        // The templates are constants; one that does not parse leaves the bar as it was.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}

impl Drop for BulkDisplay {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Pace of the lines that stand for a bar.
#[derive(Debug, Default)]
struct LinePace {
    last: Option<(Instant, String)>,
    state: String,
}

impl LinePace {
    /// Returns true if the line is to be written: a new status at once, numbers from time to time.
    fn is_due(&mut self, batch: &Batch, text: &str) -> bool {
        let state = batch_text::state(batch);
        let is_due = state != self.state
            || self.last.as_ref().is_none_or(|(written, last)| written.elapsed() >= LINE_EVERY && last != text);
        if is_due {
            self.state = state;
            self.last = Some((Instant::now(), text.to_owned()));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch_text::tests::batch;
    use super::*;
    use crate::client::BatchStatus;

    #[test]
    fn templates_parse() {
        for template in [STEP, LINES] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_status_is_written_at_once_and_numbers_from_time_to_time() {
        let (mut lines, mut batch) = (LinePace::default(), batch());
        assert!(lines.is_due(&batch, "1 done"));
        tokio::time::advance(LINE_EVERY / 2).await;
        assert!(!lines.is_due(&batch, "2 done"));
        tokio::time::advance(LINE_EVERY / 2).await;
        assert!(!lines.is_due(&batch, "1 done"));
        assert!(lines.is_due(&batch, "3 done"));
        batch.paused = true;
        assert!(lines.is_due(&batch, "3 done"));
        (batch.paused, batch.status) = (false, BatchStatus::Completed);
        assert!(lines.is_due(&batch, "3 done"));
    }
}
