//! Shared output of every benchmark: tables in Markdown, the machine, and the day.

#![forbid(unsafe_code)]

mod proc;
mod table;

pub use proc::kilobytes;
pub use table::Table;

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
