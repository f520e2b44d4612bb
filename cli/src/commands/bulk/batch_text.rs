//! Batches as text.

use std::time::Duration;

use csm_queue::batches::LineError;
use jiff::Timestamp;

use super::rates::RateWindow;
use crate::client::{Batch, FleetSlots};

/// Numbers to show while a batch runs.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    /// Newest known batch.
    pub(super) batch: &'a Batch,
    /// Audio files in the folder.
    pub(super) fetched: u64,
    /// Speed of the batch.
    pub(super) rates: &'a RateWindow,
    /// Slots of the fleet, if they are known.
    pub(super) slots: Option<FleetSlots>,
}

/// Formats the status of a batch, with its pause.
pub(super) fn state(batch: &Batch) -> String {
    let pause = if batch.paused && !batch.status.is_final() { ", paused" } else { "" };
    format!("{}{pause}", batch.status)
}

/// Formats the progress of a batch as one line.
pub(super) fn progress(progress: &Progress<'_>) -> String {
    let Progress { batch, fetched, rates, slots } = progress;
    let counts = batch.request_counts;
    if counts.total == 0 {
        return state(batch);
    }
    let mut line = format!("{}: {} of {} lines done", state(batch), counts.ended(), counts.total);
    if counts.failed > 0 {
        line += &format!(", {} failed", counts.failed);
    }
    line += &format!(", {fetched} fetched, {} of audio", audio_length(batch.audio_ms));
    if let Some(times) = rates.times_real_time() {
        line += &format!(", {times:.1} x real time");
    }
    if let Some(FleetSlots { busy, total }) = slots {
        line += &format!(", {busy} of {total} slots busy");
    }
    let left = counts.total.saturating_sub(counts.ended());
    if let Some(time) = rates.time_for(left).filter(|_| left > 0) {
        line += &format!(", {} left", clock(time));
    }
    line
}

/// Formats a batch as a line of a list.
pub(super) fn line(batch: &Batch) -> String {
    let counts = batch.request_counts;
    let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
    format!(
        "{}  {}  {}  {} of {} lines done{failed}",
        batch.id,
        created(batch),
        state(batch),
        counts.ended(),
        counts.total
    )
}

/// Formats a batch as several lines with a last newline.
pub(super) fn whole(batch: &Batch) -> String {
    let counts = batch.request_counts;
    let lines = [
        ("status", state(batch)),
        ("created", created(batch)),
        ("lines", format!("{} of {} spoken, {} failed", counts.completed, counts.total, counts.failed)),
        ("audio", audio_length(batch.audio_ms)),
        ("shards", format!("{} complete", batch.shards)),
    ];
    let text = lines.iter().map(|(name, value)| format!("  {name:<9} {value}\n"));
    format!("{}\n{}{}", batch.id, text.collect::<String>(), input_errors(batch))
}

/// Formats the errors of a batch's input, one on a line; empty without errors.
pub(super) fn input_errors(batch: &Batch) -> String {
    let errors = batch.errors.iter().flat_map(|errors| &errors.data);
    let text = errors.map(|error| {
        let code = error.code.as_deref().unwrap_or("error");
        error_line(error.line, code, error.message.as_deref().unwrap_or("no reason given"))
    });
    text.collect()
}

/// Formats the faults that a check of the input found, one on a line.
pub(super) fn error_lines(errors: &[LineError]) -> String {
    errors.iter().map(|error| error_line(error.line, &error.code, &error.message)).collect()
}

fn error_line(line: Option<u64>, code: &str, message: &str) -> String {
    let place = line.map_or_else(|| "input".to_owned(), |line| format!("line {line}"));
    format!("{place}: {code}: {message}\n")
}

fn created(batch: &Batch) -> String {
    Timestamp::from_second(batch.created_at).map_or_else(|_| "?".to_owned(), |time| time.to_string())
}

/// Formats a length of audio in the unit that suits it.
pub(super) fn audio_length(ms: u64) -> String {
    let seconds = ms as f64 / 1000.0;
    match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        ..3600.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.2} h", seconds / 3600.0),
    }
}

/// Formats a time to wait.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::client::{BatchStatus, RequestCounts};

    pub(in super::super) fn batch() -> Batch {
        Batch {
            id: "batch_1".into(),
            status: BatchStatus::InProgress,
            created_at: 1_700_000_000,
            errors: None,
            request_counts: RequestCounts { total: 1000, completed: 118, failed: 2 },
            metadata: None,
            paused: false,
            shards: 1,
            audio_ms: 600_000,
        }
    }

    #[tokio::test]
    async fn progress_tells_what_is_known() {
        let (mut batch, mut rates) = (batch(), RateWindow::default());
        let told = progress(&Progress { batch: &batch, fetched: 98, rates: &rates, slots: None });
        assert_eq!(told, "in_progress: 120 of 1000 lines done, 2 failed, 98 fetched, 10.0 min of audio");
        let begun = Instant::now();
        rates.observe(begun, 100, 500_000);
        rates.observe(begun + Duration::from_secs(10), 120, 600_000);
        (batch.paused, batch.request_counts.failed, batch.request_counts.completed) = (true, 0, 120);
        let slots = Some(FleetSlots { busy: 3, total: 8 });
        let told = progress(&Progress { batch: &batch, fetched: 98, rates: &rates, slots });
        let wanted = "in_progress, paused: 120 of 1000 lines done, 98 fetched, 10.0 min of audio, 10.0 x real time, \
            3 of 8 slots busy, 7 min 20 s left";
        assert_eq!(told, wanted);
        batch.request_counts = RequestCounts::default();
        assert_eq!(progress(&Progress { batch: &batch, fetched: 0, rates: &rates, slots }), "in_progress, paused");
    }

    #[test]
    fn lists_and_errors_are_lines() {
        let batch = batch();
        assert_eq!(line(&batch), "batch_1  2023-11-14T22:13:20Z  in_progress  120 of 1000 lines done, 2 failed");
        assert!(whole(&batch).starts_with("batch_1\n  status    in_progress\n"), "{}", whole(&batch));
        let errors = r#"{"data":[{"code":"invalid_json","message":"no object","param":null,"line":3},{}]}"#;
        let refused = Batch { errors: serde_json::from_str(errors).ok(), ..batch };
        assert_eq!(input_errors(&refused), "line 3: invalid_json: no object\ninput: error: no reason given\n");
    }

    #[test]
    fn lengths_and_times_have_suitable_units() {
        assert_eq!([0, 12_340, 90_000, 5_400_000].map(audio_length), ["0.0 s", "12.3 s", "1.5 min", "1.50 h"]);
        assert_eq!([5, 65, 3_725].map(|s| clock(Duration::from_secs(s))), ["5 s", "1 min 05 s", "1 h 02 min"]);
    }
}
