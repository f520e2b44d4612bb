//! Places on this machine: the data folder, the disk under it, the ports.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::CheckResult;
use super::program::{answer, find};

/// Free bytes below which `csm dev` stops taking jobs within minutes.
const DISK_LEAST: u64 = 100 << 20;
/// Free bytes that hold a day of audio and Redis' file.
const DISK_GOOD: u64 = 2 << 30;
/// Default ports for health and metrics of gateway and worker.
const ADMIN_PORTS: [u16; 2] = [9090, 9091];

/// Checks whether the data folder can be written, or made.
pub(super) fn folder(data: &Path) -> CheckResult {
    const CHECK: &str = "data folder";
    let existing = nearest(data);
    let probe = existing.join(format!(".csm-doctor-{}", std::process::id()));
    let written = File::create_new(&probe).and_then(|_| fs::remove_file(&probe));
    let place = if existing == data { data.display().to_string() } else { format!("{} will be made", data.display()) };
    match written {
        Ok(()) => CheckResult::ok(CHECK, format!("{place}; it can be written")),
        Err(error) => CheckResult::problem(
            CHECK,
            format!("{} cannot be written: {error}", existing.display()),
            "Choose another one by --data, or change its rights",
        ),
    }
}

/// Checks the free space under the data folder, as `df` reports it.
pub(super) async fn disk(data: &Path) -> CheckResult {
    const CHECK: &str = "disk";
    let existing = nearest(data);
    let told = match find("df") {
        Some(df) => answer(df, &["-Pk", &existing.to_string_lossy()], &[]).await,
        None => None,
    };
    let Some(free) = told.and_then(|output| free_bytes(&String::from_utf8_lossy(&output.stdout))) else {
        return CheckResult::warning(CHECK, "`df` does not tell the free space", "Look for yourself");
    };
    let what = format!("{:.1} GB free at {}", free as f64 / 1e9, existing.display());
    if free < DISK_LEAST {
        return CheckResult::problem(CHECK, what, "Redis and the store need room: free some, or choose another --data");
    }
    if free < DISK_GOOD {
        return CheckResult::warning(CHECK, what, "An hour of audio is 170 MB, and the model's download several GB");
    }
    CheckResult::ok(CHECK, what)
}

/// Reads the available bytes from the answer of `df -Pk`.
pub(super) fn free_bytes(told: &str) -> Option<u64> {
    let row = told.lines().nth(1)?;
    Some(row.split_whitespace().nth(3)?.parse::<u64>().ok()? * 1024)
}

/// Checks whether the default ports of a fleet are free.
pub(super) fn ports(listen: SocketAddr) -> CheckResult {
    const CHECK: &str = "ports";
    let admin = ADMIN_PORTS.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    let taken: Vec<_> =
        [listen].into_iter().chain(admin).filter_map(|at| TcpListener::bind(at).err().map(|why| (at, why))).collect();
    if taken.is_empty() {
        return CheckResult::ok(CHECK, format!("{listen} and the health ports 9090, 9091 are free"));
    }
    let what: Vec<_> = taken.iter().map(|(at, why)| format!("{at}: {why}")).collect();
    CheckResult::warning(
        CHECK,
        what.join("; "),
        "A fleet may run here already; else choose by --listen, --admin-listen",
    )
}

/// Returns the folder itself or, until it exists, its nearest existing ancestor.
fn nearest(data: &Path) -> PathBuf {
    let above = data.ancestors().find(|folder| folder.is_dir());
    above.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}
