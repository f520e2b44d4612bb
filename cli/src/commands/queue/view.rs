//! The queue's numbers as lines with colours for a terminal; without the colours they are plain
//! text.

use std::fmt;
use std::time::Duration;

use csm_queue::queue::{LaneStats, QueueStats, TargetWaits, Unclaimed, WorkerStatus};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::{Line, Span};

use super::rates::Rates;

/// Longest bar of a worker's slots, in characters.
const BAR_MAX: u8 = 16;
/// Space between two columns.
const GAP: &str = "  ";

/// Numbers of one read of the queue, with an earlier one to take rates over, if any.
#[derive(Debug)]
pub(crate) struct View<'a> {
    now: &'a QueueStats,
    before: Option<(&'a QueueStats, Duration)>,
    targets: Option<TargetWaits>,
}

impl<'a> View<'a> {
    /// Makes a view of a first read.
    pub(crate) const fn of(now: &'a QueueStats) -> Self {
        Self { now, before: None, targets: None }
    }

    /// Makes a view of a read that lies `elapsed` after an earlier one.
    pub(crate) const fn since(now: &'a QueueStats, before: &'a QueueStats, elapsed: Duration) -> Self {
        Self { now, before: Some((before, elapsed)), targets: None }
    }

    /// Adds the slots that the lanes want for these waits.
    pub(crate) const fn with_targets(self, targets: TargetWaits) -> Self {
        Self { targets: Some(targets), ..self }
    }

    /// Returns lanes, totals and rates, then a line for each worker.
    pub(crate) fn lines(&self) -> Vec<Line<'static>> {
        let lanes = self.now.lanes.iter().map(|lane| self.lane(lane)).collect();
        let mut lines = table(["lane", "depth", "waiting audio", "running audio", "oldest", "predicted wait"], lanes);
        lines.extend([Line::default(), self.totals()]);
        lines.extend(self.rates());
        lines.extend(self.slots());
        lines.extend(self.now.lanes.iter().filter_map(|lane| Some(unclaimed(lane, self.now.unclaimed(lane)?))));
        if !self.now.workers.is_empty() {
            lines.push(Line::default());
            let workers = self.now.workers.iter().map(worker).collect();
            lines.extend(table(["worker", "slots", "frames/s", "frames made", "build", "state"], workers));
        }
        lines
    }

    fn lane(&self, lane: &LaneStats) -> [Span<'static>; 6] {
        let time = |time: Option<Duration>| Span::raw(time.map_or_else(|| "-".to_owned(), brief));
        let wait = if lane.paused { "paused".yellow() } else { time(self.now.predicted_wait(lane.lane)) };
        [
            Span::raw(lane.lane.name()),
            Span::raw(lane.depth.to_string()),
            time(Some(lane.waiting_audio)),
            time(Some(lane.running_audio)),
            time(lane.oldest),
            wait,
        ]
    }

    fn totals(&self) -> Line<'static> {
        let now = self.now;
        let head =
            format!("{} open: {} running, {} suspects, {} delayed; ", now.open, now.running, now.suspects, now.delayed);
        let dead = Span::styled(format!("dead letters {}", now.dead), alarm(now.dead > 0));
        let intake = if now.closed { "intake closed" } else { "intake open" };
        Line::from(vec![Span::raw(head), dead, Span::raw("; "), Span::styled(intake, alarm(now.closed))])
    }

    /// Returns the slots that are there, and those that each lane wants, if the target waits are known.
    fn slots(&self) -> Option<Line<'static>> {
        let (now, targets) = (self.now, self.targets?);
        let wanted = now.lanes.iter().map(|lane| format!("{} {}", now.desired_slots(lane, &targets), lane.lane));
        let wanted = wanted.collect::<Vec<_>>().join(", ");
        let staying = now.workers.iter().map(|worker| &worker.report).filter(|report| !report.draining);
        let there: u32 = staying.map(|report| u32::from(report.slots)).sum();
        Some(Line::raw(format!("slots: {there} there; wanted: {wanted}")))
    }

    /// Returns ended jobs per second, if there was an earlier read, and frames per second.
    fn rates(&self) -> Vec<Line<'static>> {
        let workers = match self.now.workers.len() {
            1 => "1 worker".to_owned(),
            count => format!("{count} workers"),
        };
        let able = format!("{:.1} that {workers} can make", self.now.frames_per_second);
        let rates = self.before.and_then(|(before, elapsed)| Rates::between(before, self.now, elapsed));
        let Some(rates) = rates else { return vec![Line::raw(format!("frames a second: {able}"))] };
        let ended: Vec<_> = rates.ended.iter().map(|(state, rate)| format!("{rate:.1} {state}")).collect();
        vec![
            Line::raw(format!("jobs a second: {}", ended.join(", "))),
            Line::raw(format!("frames a second: {:.1} of {able}", rates.frames)),
        ]
    }
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{}", line.to_string().trim_end()))
    }
}

/// Says that jobs of a lane wait and nobody claims them.
fn unclaimed(lane: &LaneStats, why: Unclaimed) -> Line<'static> {
    let why = match why {
        Unclaimed::NoWorker => "no worker takes them",
        Unclaimed::NotClaiming => "no worker claims them",
    };
    Line::styled(format!("{} jobs wait, and {why}", lane.lane), alarm(true))
}

fn worker(worker: &WorkerStatus) -> [Span<'static>; 6] {
    let report = &worker.report;
    // The boot id, behind the host name, tells workers of one machine apart.
    let boot = worker.owner.rsplit(':').next().unwrap_or_default();
    let rate = if report.frames_per_second > 0.0 { format!("{:.1}", report.frames_per_second) } else { "-".to_owned() };
    let state = match (report.draining, report.running) {
        (true, _) => "draining".yellow(),
        (false, 0) => "idle".into(),
        (false, _) => "busy".into(),
    };
    [
        Span::raw(format!("{} {}", report.host, boot.get(..8).unwrap_or(boot))),
        Span::raw(format!("{} {}/{}", bar(report.running, report.slots), report.running, report.slots)),
        Span::raw(rate),
        Span::raw(report.frames.to_string()),
        Span::raw(report.build.clone()),
        state,
    ]
}

/// Draws the busy share of all slots as a bar. A bar is empty or full only if the slots are.
fn bar(busy: u8, slots: u8) -> String {
    let length = slots.min(BAR_MAX);
    let scaled = (u32::from(busy.min(slots)) * u32::from(length)).div_ceil(u32::from(slots.max(1))) as u8;
    let full = if busy < slots { scaled.min(length.saturating_sub(1)) } else { length };
    "█".repeat(full.into()) + &"░".repeat((length - full).into())
}

/// Formats rows under headings, each column as wide as its widest cell. The first column is aligned
/// left, the others right.
fn table<const N: usize>(headings: [&'static str; N], cells: Vec<[Span<'static>; N]>) -> Vec<Line<'static>> {
    let rows: Vec<_> = std::iter::once(headings.map(|heading| heading.bold())).chain(cells).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: [Span<'static>; N]| {
        let mut spans = Vec::new();
        for (column, (cell, width)) in row.into_iter().zip(&widths).enumerate() {
            let blank = Span::raw(" ".repeat(width - cell.width()));
            spans.extend(if column == 0 { [cell, blank] } else { [Span::raw(GAP.to_owned() + &blank.content), cell] });
        }
        Line::from(spans)
    };
    rows.into_iter().map(line).collect()
}

fn alarm(raised: bool) -> Style {
    if raised { Style::new().red().bold() } else { Style::new() }
}

/// Formats a duration in at most two units.
pub(crate) fn brief(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    match seconds {
        0..10 => format!("{}.{}s", seconds, time.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{}d{:02}h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use csm_queue::queue::WorkerReport;

    use super::*;

    /// Makes a worker that has made `frames` frames.
    pub(crate) fn worker(owner: &str, frames: u64) -> WorkerStatus {
        let report = WorkerReport {
            host: owner.split(':').next().unwrap_or_default().to_owned(),
            model: "m".into(),
            build: "0.1.0".into(),
            slots: 5,
            lane_slots: [5; 3],
            running: 2,
            frames_per_second: 50.0,
            frames,
            draining: false,
        };
        WorkerStatus { owner: owner.to_owned(), report }
    }

    #[test]
    fn an_empty_queue_without_workers() {
        let expected = "\
lane      depth  waiting audio  running audio  oldest  predicted wait
live          0           0.0s           0.0s       -               -
standard      0           0.0s           0.0s       -               -
bulk          0           0.0s           0.0s       -               -

0 open: 0 running, 0 suspects, 0 delayed; dead letters 0; intake open
frames a second: 0.0 that 0 workers can make
";
        assert_eq!(View::of(&QueueStats::empty()).to_string(), expected);
    }

    #[test]
    fn a_busy_fleet_with_all_that_an_operator_must_see() {
        let before = QueueStats::empty();
        let mut now = QueueStats::empty();
        now.lanes[0].depth = 12;
        now.lanes[0].oldest = Some(Duration::from_millis(1_250));
        now.lanes[0].waiting_audio = Duration::from_secs(80);
        now.lanes[0].running_audio = Duration::from_secs(9);
        now.lanes[0].wait = Some(Duration::from_secs(20));
        now.lanes[1].wait = Some(Duration::ZERO);
        now.lanes[2].paused = true;
        (now.open, now.running, now.suspects, now.delayed, now.dead) = (15, 2, 1, 2, 3);
        (now.frames_per_second, now.closed) = (50.0, true);
        now.ended[0].1 = 25;
        let mut draining = worker("box-2:99999999aaaa", 40);
        (draining.report.draining, draining.report.frames_per_second) = (true, 0.0);
        now.workers = vec![worker("gpu-host-1:0123456789ab", 1_000), draining];
        let expected = "\
lane      depth  waiting audio  running audio  oldest  predicted wait
live         12          1m20s           9.0s    1.2s             20s
standard      0           0.0s           0.0s       -            0.0s
bulk          0           0.0s           0.0s       -          paused

15 open: 2 running, 1 suspects, 2 delayed; dead letters 3; intake closed
jobs a second: 2.5 succeeded, 0.0 failed, 0.0 cancelled, 0.0 expired
frames a second: 0.0 of 50.0 that 2 workers can make

worker                   slots  frames/s  frames made  build     state
gpu-host-1 01234567  ██░░░ 2/5      50.0         1000  0.1.0      busy
box-2 99999999       ██░░░ 2/5         -           40  0.1.0  draining
";
        assert_eq!(View::since(&now, &before, Duration::from_secs(10)).to_string(), expected);
    }

    #[test]
    fn the_slots_that_lanes_want_and_the_work_that_nobody_claims() {
        let seconds = Duration::from_secs;
        let targets = TargetWaits { live: seconds(2), standard: seconds(30), bulk: seconds(600) };
        let lines = |stats: &QueueStats| {
            let view = View::of(stats).with_targets(targets).to_string();
            view.lines().skip(6).take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut stats = QueueStats::empty();
        (stats.lanes[0].depth, stats.lanes[0].waiting_audio) = (2, seconds(7));
        stats.lanes[0].waiting = 20;
        let none = [
            "frames a second: 0.0 that 0 workers can make",
            "slots: 0 there; wanted: 4 live, 0 standard, 0 bulk",
            "live jobs wait, and no worker takes them",
        ];
        assert_eq!(lines(&stats), none);
        stats.workers = vec![worker("gpu-1:0123456789ab", 7)];
        stats.lanes[0].oldest = Some(seconds(60));
        let idle = [
            "frames a second: 0.0 that 1 worker can make",
            "slots: 5 there; wanted: 5 live, 0 standard, 0 bulk",
            "live jobs wait, and no worker claims them",
        ];
        assert_eq!(lines(&stats), idle);
    }

    #[test]
    fn a_bar_is_full_or_empty_only_when_the_slots_are() {
        assert_eq!([bar(0, 3), bar(1, 3), bar(3, 3)], ["░░░", "█░░", "███"]);
        assert_eq!(bar(1, 64), "█".to_owned() + &"░".repeat(15));
        assert_eq!(bar(63, 64), "█".repeat(15) + "░");
        assert_eq!(bar(64, 64), "█".repeat(16));
        assert_eq!([bar(9, 2), bar(0, 0)], ["██", ""]);
    }

    #[test]
    fn durations_in_at_most_two_units() {
        let told = |seconds: f64| brief(Duration::from_secs_f64(seconds));
        assert_eq!([told(0.0), told(9.99), told(59.9)], ["0.0s", "9.9s", "59s"]);
        assert_eq!([told(61.0), told(7_260.0), told(93_600.0)], ["1m01s", "2h01m", "1d02h"]);
    }
}
