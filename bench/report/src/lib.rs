//! Shared output of every benchmark: tables in Markdown, the machine, and the day.

#![forbid(unsafe_code)]

mod proc;
mod table;

pub use proc::kilobytes;
pub use table::Table;

use std::fs;

/// Returns the number of cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the day in UTC, as YYYY-MM-DD.
#[must_use]
pub fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Returns `model name` from the text of `/proc/cpuinfo`, without trade marks.
#[must_use]
pub fn cpu_name(info: &str) -> String {
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("unknown processor", |(_, name)| name).replace("(R)", "").replace("(TM)", "");
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns cores, processor and kernel, as Linux reports them, and the load of the machine.
#[must_use]
pub fn machine() -> (String, String) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (name, kernel) = (cpu_name(&read("/proc/cpuinfo")), read("/proc/sys/kernel/osrelease"));
    let load = read("/proc/loadavg").split_whitespace().next().unwrap_or("unknown").to_owned();
    (format!("{} cores of an {name}, Linux {}", cores(), kernel.trim()), load)
}

/// Returns the value below which `percent` of the values lie; NaN for none.
#[must_use]
pub fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * percent / 100.0).round() as usize).copied().unwrap_or(f64::NAN)
}
