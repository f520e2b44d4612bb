//! Figures of the process itself for `/metrics`, under the names that Prometheus' own clients use.
//!
//! They are read from `/proc` when the metrics are asked for. Elsewhere than on Linux there are
//! none.

use std::fmt::Write as _;
use std::fs;

use super::descriptors;

/// Ticks of the times in `/proc/PID/stat` a second: a constant of Linux for programs (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Place of the time spent in the program itself in `/proc/self/stat`, counted from 0 behind the
/// name; the time spent in the kernel follows. See proc(5).
const USER_TIME: usize = 11;
/// Place of the start, in ticks since the machine's own.
const START_TIME: usize = 19;

/// Returns the figures as Prometheus text.
#[must_use]
pub fn render() -> String {
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        let Some(value) = value else { return };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}");
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let seconds = |place| ticks(&stat, place).map(|ticks| ticks / TICKS_PER_SECOND);
    let cpu = seconds(USER_TIME).zip(seconds(USER_TIME + 1)).map(|(user, system)| user + system);
    add("cpu_seconds_total", "counter", "CPU time spent, in seconds.", cpu);
    add("resident_memory_bytes", "gauge", "Resident memory, in bytes.", field(&status, "VmRSS:").map(kib));
    add("virtual_memory_bytes", "gauge", "Virtual memory, in bytes.", field(&status, "VmSize:").map(kib));
    add("threads", "gauge", "Threads.", field(&status, "Threads:"));
    add("open_fds", "gauge", "Open file descriptors.", open_descriptors());
    let limit = (!stat.is_empty()).then(|| descriptors::limit() as f64);
    add("max_fds", "gauge", "Largest number of open file descriptors.", limit);
    let booted = field(&fs::read_to_string("/proc/stat").unwrap_or_default(), "btime ");
    let start = booted.zip(seconds(START_TIME)).map(|(booted, after)| booted + after);
    add("start_time_seconds", "gauge", "Start of the process, in seconds since 1970.", start);
    text
}

/// Returns a number of `/proc/self/stat` by its place behind the name. The name stands in brackets
/// and may hold blanks and brackets.
fn ticks(stat: &str, place: usize) -> Option<f64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(place)?.parse().ok()
}

/// Returns the number on the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Converts KiB to bytes.
fn kib(number: f64) -> f64 {
    number * 1_024.0
}

/// Returns the number of open descriptors, without the one that reads the list.
fn open_descriptors() -> Option<f64> {
    let list = fs::read_dir("/proc/self/fd").ok()?;
    Some(list.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_number() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 9000 1 2";
        assert_eq!((ticks(stat, USER_TIME), ticks(stat, USER_TIME + 1)), (Some(250.0), Some(50.0)));
        assert_eq!(ticks(stat, START_TIME), Some(9_000.0));
        assert_eq!(ticks("", USER_TIME), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_figures() {
        let text = render();
        let value = |name: &str| field(&text, &format!("process_{name} ")).unwrap_or(f64::NAN);
        assert!(value("resident_memory_bytes") > 1e5 && value("virtual_memory_bytes") > value("resident_memory_bytes"));
        assert!(value("open_fds") >= 3.0 && value("open_fds") <= value("max_fds"), "{text}");
        assert!(value("start_time_seconds") > 1e9 && value("cpu_seconds_total") >= 0.0 && value("threads") >= 1.0);
    }
}
