//! Rows of the tables that hold one load each: the gateway's, and those of the copying server.

use csm_report::{Table, percentile};

use crate::bench_report::{mib, ms, percent};
use crate::heard_delays::{HeardDelays, first_byte_delays};
use crate::paced_workers::PaceLog;
use crate::stream_load::LoadResult;

/// Share of late frames up to which the next step is still taken.
const LATE_SHARE_MAX: f64 = 0.02;
/// Share of a core from which on it counts as used up.
const FULL: f64 = 0.93;

/// Result of one load.
pub(crate) struct LoadRow {
    pub(crate) server: String,
    pub(crate) streams: u32,
    pub(crate) delays: HeardDelays,
    first: Vec<f64>,
    result: LoadResult,
    pace: Option<PaceLog>,
}

impl LoadRow {
    pub(crate) fn new(server: String, streams: u32, result: LoadResult, pace: Option<PaceLog>) -> Self {
        let delays = HeardDelays::of(&result.streams, result.window);
        Self { server, streams, delays, first: first_byte_delays(&result.probes), result, pace }
    }

    /// Returns true if every frame came in time, and no stream failed.
    pub(crate) const fn holds(&self) -> bool {
        self.delays.underruns == 0 && self.result.failed == 0
    }

    /// Returns true if so few frames were late that a larger load is worth a try.
    pub(crate) fn goes_on(&self) -> bool {
        self.late_share() <= LATE_SHARE_MAX && self.result.failed == 0
    }

    fn late_share(&self) -> f64 {
        self.delays.underruns as f64 / self.delays.due.max(1) as f64
    }

    /// Returns the processor time of the server for one frame, in microseconds.
    pub(crate) fn micros(&self) -> f64 {
        self.result.used.server_seconds * 1e6 / self.delays.frames.len() as f64
    }

    /// Makes a table of delays without rows.
    pub(crate) fn delay_table() -> Table {
        Table::new([
            "server",
            "streams",
            "first byte p50 ms",
            "p95 ms",
            "max ms",
            "every frame p50 ms",
            "p95 ms",
            "max ms",
            "frames",
            "underruns",
            "CPU per frame µs",
        ])
    }

    /// Returns the row of a table of delays.
    pub(crate) fn delay_row(&self) -> [String; 11] {
        let frames = &self.delays.frames;
        [
            self.server.clone(),
            self.streams.to_string(),
            ms(&self.first, 50.0),
            ms(&self.first, 95.0),
            ms(&self.first, 100.0),
            ms(frames, 50.0),
            ms(frames, 95.0),
            ms(frames, 100.0),
            frames.len().to_string(),
            self.delays.underruns.to_string(),
            format!("{:.0}", self.micros()),
        ]
    }

    /// Makes a table of loads without rows.
    pub(crate) fn load_table() -> Table {
        Table::new([
            "streams",
            "every frame p50 ms",
            "p95 ms",
            "max ms",
            "underruns",
            "failed",
            "server CPU",
            "µs per frame",
            "Redis CPU",
            "bench CPU",
            "other cores busy",
            "server RSS MiB",
            "Redis answers p95 ms",
            "max ms",
            "paced late p95 ms",
            "what limits",
        ])
    }

    /// Returns the row of a table of loads.
    pub(crate) fn load_row(&self) -> [String; 16] {
        let (frames, used) = (&self.delays.frames, &self.result.used);
        let pace = |of: fn(&PaceLog) -> &Vec<f64>, percent: f64| {
            self.pace.as_ref().map_or("-".to_owned(), |pace| ms(of(pace), percent))
        };
        [
            self.streams.to_string(),
            ms(frames, 50.0),
            ms(frames, 95.0),
            ms(frames, 100.0),
            format!("{} ({:.1} %)", self.delays.underruns, self.late_share() * 100.0),
            self.result.failed.to_string(),
            percent(used.server),
            format!("{:.0}", self.micros()),
            percent(used.redis),
            percent(used.bench),
            percent(used.others_busy),
            mib(used.server_bytes),
            pace(|pace| &pace.answered, 95.0),
            pace(|pace| &pace.answered, 100.0),
            pace(|pace| &pace.late, 95.0),
            self.limit().to_owned(),
        ]
    }

    /// Returns the part that is used up, if frames came too late.
    fn limit(&self) -> &'static str {
        let used = &self.result.used;
        match (self.holds(), used.server >= FULL, used.others_busy >= FULL) {
            (true, _, _) => "nothing yet",
            (_, true, true) => "all cores",
            (_, true, false) => "the server's core",
            (_, false, true) => "the cores of Redis and bench",
            (_, false, false) => "no core: waits for Redis",
        }
    }

    /// Returns the streams that the server's core would hold if nothing but its time were a limit.
    pub(crate) fn by_processor_time(&self) -> f64 {
        f64::from(self.streams) / self.result.used.server
    }

    /// Returns the median delay of a frame, in milliseconds.
    pub(crate) fn median(&self) -> f64 {
        percentile(&mut self.delays.frames.clone(), 50.0)
    }
}
