//! A shard: some lines of a batch in a row, whose outcomes become one object when all have ended.

use bytes::Bytes;
use csm_shared::job::JobId;

use super::outcome::{Outcome, to_lines};
use super::request_line::RequestLine;

/// Lines of a shard; the last one may have fewer.
pub(super) const SHARD_LINES: usize = 100;

/// Place of a line between the file and its outcome.
#[derive(Debug)]
pub(super) enum LineState {
    /// Not in the queue as far as is known.
    Waiting,
    /// In the queue.
    Submitted,
    /// In the queue, and cancelled.
    Cancelled,
    /// Ended.
    Ended(Box<Outcome>),
}

/// A line of a shard.
#[derive(Debug)]
pub(super) struct ShardLine {
    pub(super) request: RequestLine,
    pub(super) job: JobId,
    pub(super) state: LineState,
}

impl ShardLine {
    /// Returns the outcome of a line that has ended.
    fn outcome(&self) -> Option<&Outcome> {
        if let LineState::Ended(outcome) = &self.state { Some(outcome) } else { None }
    }
}

/// Lines of a batch in a row.
#[derive(Debug)]
pub(super) struct Shard {
    /// Byte of the checked lines at which the shard begins.
    pub(super) offset: u64,
    /// Lines, in their order; empty once the outcomes are written.
    pub(super) lines: Vec<ShardLine>,
    /// Jobs of the lines, once the outcomes are written.
    pub(super) jobs: Vec<JobId>,
    /// True if no line follows in this shard.
    pub(super) closed: bool,
    /// True once the outcomes are in the store.
    pub(super) written: bool,
    /// Lines that were spoken.
    pub(super) completed: u64,
    /// Lines that were not.
    pub(super) failed: u64,
    /// Speech of the lines, in milliseconds.
    pub(super) audio_ms: u64,
}

impl Shard {
    /// Begins a shard at a byte of the checked lines.
    pub(super) const fn new(offset: u64) -> Self {
        Self {
            offset,
            lines: Vec::new(),
            jobs: Vec::new(),
            closed: false,
            written: false,
            completed: 0,
            failed: 0,
            audio_ms: 0,
        }
    }

    /// Adds the next line, and closes a shard that is full by it.
    pub(super) fn push(&mut self, request: RequestLine, job: JobId) {
        self.lines.push(ShardLine { request, job, state: LineState::Waiting });
        self.closed = self.lines.len() == SHARD_LINES;
    }

    /// Records the outcome of a line.
    pub(super) fn end(&mut self, place: usize, outcome: Outcome) {
        let Some(line) = self.lines.get_mut(place).filter(|line| !matches!(line.state, LineState::Ended(_))) else {
            return;
        };
        if outcome.is_spoken() {
            self.completed += 1;
        } else {
            self.failed += 1;
        }
        self.audio_ms += outcome.audio_ms();
        // A request may be large, and is of no use any more.
        line.request.body = String::new();
        line.state = LineState::Ended(Box::new(outcome));
    }

    /// Drops the lines, whose outcomes are in the store.
    pub(super) fn release(&mut self) {
        self.jobs = std::mem::take(&mut self.lines).into_iter().map(|line| line.job).collect();
        self.written = true;
    }

    /// Returns the places of lines that have not ended.
    pub(super) fn open_places(&self) -> impl Iterator<Item = usize> + '_ {
        let open = |(place, line): (usize, &ShardLine)| (!matches!(line.state, LineState::Ended(_))).then_some(place);
        self.lines.iter().enumerate().filter_map(open)
    }

    /// Returns the outcomes as JSON lines if all lines have ended and the shard is not written yet.
    pub(super) fn outcomes(&self) -> Option<serde_json::Result<Bytes>> {
        if !self.closed || self.written || self.open_places().next().is_some() {
            return None;
        }
        Some(to_lines(self.lines.iter().filter_map(ShardLine::outcome)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_once() {
        let line = |line| RequestLine { line, custom_id: format!("a{line}"), body: "{}".to_owned(), cue: None };
        let mut shard = Shard::new(0);
        for number in 1..=2 {
            shard.push(line(number), JobId::of_line("batch", number));
        }
        let failed = || Outcome::failed(&line(1), JobId::of_line("batch", 1), "job_failed", String::new());
        shard.end(0, failed());
        shard.end(0, failed());
        assert_eq!((shard.completed, shard.failed), (0, 1));
        assert_eq!(shard.open_places().collect::<Vec<_>>(), [1]);
        shard.end(1, failed());
        assert!(shard.outcomes().is_none(), "the shard is not closed");
        shard.closed = true;
        assert_eq!(
            shard.outcomes().and_then(Result::ok).map(|text| text.split(|&byte| byte == b'\n').count()),
            Some(3)
        );
    }
}
