//! Dead letters as text.

use std::fmt::Write as _;
use std::time::Duration;

use csm_queue::queue::DeadLetter;
use csm_shared::audio::FRAME_MS;
use csm_shared::job::JobRecord;
use jiff::Timestamp;

use crate::commands::queue::brief;

/// Longest failure in a line of the list, in characters.
const ERROR_MAX: usize = 80;

/// Formats a letter as one line: time, job, tenant, attempts and failure.
pub(super) fn line(letter: &DeadLetter) -> String {
    let DeadLetter { id, at, lane, tenant, attempt, class, error, .. } = letter;
    format!("{at:.0}  {id}  {lane} of {tenant}  attempts {attempt}  {class}: {}", cut(error))
}

/// Returns the first line of a failure, cut to a readable length.
fn cut(error: &str) -> String {
    let first = error.lines().next().unwrap_or_default();
    if first.len() == error.len() && first.chars().count() <= ERROR_MAX {
        return first.to_owned();
    }
    first.chars().take(ERROR_MAX - 3).collect::<String>() + "..."
}

/// Formats a letter and its job's record as several lines with a last newline.
pub(super) fn whole(letter: &DeadLetter, record: Option<&JobRecord>) -> String {
    let attempts = format!(
        "{}: {} failed by themselves, {} ended with a worker that ran nothing else",
        letter.attempt, letter.failures, letter.crashes
    );
    let mut lines = vec![
        ("job", letter.id.clone()),
        ("given up", format!("{:.0}, {} ago", letter.at, brief(ago(letter.at)))),
        ("failure", format!("{}: {}", letter.class, letter.error)),
        ("attempts", attempts),
        ("worker", format!("{}, build {}", letter.worker, letter.build)),
        ("lane", letter.lane.clone()),
        ("tenant", letter.tenant.clone()),
    ];
    match record {
        None => lines.push(("record", "gone".to_owned())),
        Some(record) => lines.extend(of_record(record)),
    }
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<9} {value}");
        text
    })
}

/// Returns the facts that only the job's record holds.
fn of_record(record: &JobRecord) -> Vec<(&'static str, String)> {
    let instant = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| format!("{at:.3}"));
    let budget = Duration::from_millis(u64::from(record.max_frames) * u64::from(FRAME_MS));
    let suspect = if record.suspect { "yes: a worker died with it" } else { "no" };
    vec![
        ("state", record.state.to_string()),
        ("suspect", suspect.to_owned()),
        ("cancelled", if record.cancel_requested { "asked for" } else { "no" }.to_owned()),
        ("budget", format!("{} frames, {}", record.max_frames, brief(budget))),
        ("created", instant(Some(record.created))),
        ("started", instant(record.started)),
        ("finished", instant(record.finished)),
    ]
}

fn ago(at: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_failure_takes_one_line_of_the_list() {
        assert_eq!(cut("out of memory"), "out of memory");
        assert_eq!(cut("first\nsecond"), "first...");
        let long = cut(&"ü".repeat(200));
        assert_eq!(long.chars().count(), ERROR_MAX);
        assert!(long.ends_with("..."), "{long}");
        assert_eq!(cut(""), "");
    }
}
