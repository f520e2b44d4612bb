//! Processor time and memory of processes, as Linux counts them.

use std::fs;
use std::time::Instant;

use crate::core_plan::CorePlan;

/// Ticks of a second in `/proc`; the same on every Linux.
const TICKS: f64 = 100.0;

/// Processes of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes {
    /// Gateway, or the server beside it.
    pub(crate) server: u32,
    /// Redis; absent beside the copying server.
    pub(crate) redis: Option<u32>,
}

/// Readings at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readings {
    at: Instant,
    server: f64,
    redis: f64,
    bench: f64,
    others: f64,
}

/// Use of the machine between two readings. Shares are of one core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineUse {
    pub(crate) server: f64,
    pub(crate) redis: f64,
    pub(crate) bench: f64,
    /// Share of the cores beside the server's on which anything ran, whichever program it was.
    pub(crate) others_busy: f64,
    /// Seconds of processor time of the server.
    pub(crate) server_seconds: f64,
    /// Resident memory of the server at the end, in bytes.
    pub(crate) server_bytes: u64,
}

impl Readings {
    pub(crate) fn take(processes: Processes, cores: &CorePlan) -> Self {
        Self {
            at: Instant::now(),
            server: seconds_of(processes.server),
            redis: processes.redis.map_or(0.0, seconds_of),
            bench: seconds_of(std::process::id()),
            others: cores.others.iter().map(|core| busy_seconds(*core)).sum(),
        }
    }

    /// Returns the use since these readings.
    pub(crate) fn until_now(&self, processes: Processes, cores: &CorePlan) -> MachineUse {
        let (now, wall) = (Self::take(processes, cores), self.at.elapsed().as_secs_f64());
        let status = fs::read_to_string(format!("/proc/{}/status", processes.server)).unwrap_or_default();
        MachineUse {
            server: (now.server - self.server) / wall,
            redis: (now.redis - self.redis) / wall,
            bench: (now.bench - self.bench) / wall,
            others_busy: (now.others - self.others) / wall / cores.others.len() as f64,
            server_seconds: now.server - self.server,
            server_bytes: csm_report::kilobytes(&status, "VmRSS:").unwrap_or(0),
        }
    }
}

/// Returns the processor time of all threads of a process, in seconds.
fn seconds_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold blanks; times of user and system are the 12th and 13th behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Returns the time in which a core was not idle, in seconds.
fn busy_seconds(core: usize) -> f64 {
    let (stat, name) = (fs::read_to_string("/proc/stat").unwrap_or_default(), format!("cpu{core} "));
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
    let ticks = line.split_whitespace().filter_map(|ticks| ticks.parse::<f64>().ok()).enumerate();
    // The fourth and fifth are idle time and waits for disks; those behind the eighth are counted twice.
    ticks.filter(|(place, _)| *place < 8 && ![3, 4].contains(place)).map(|(_, ticks)| ticks).sum::<f64>() / TICKS
}
