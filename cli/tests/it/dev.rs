//! `csm dev` on a shared machine, with a Redis that dies, and without a reader of its output.

use std::fs;
use std::io::{BufRead as _, BufReader, pipe};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use crate::fleet::Dev;
use crate::{assert_status, csm, run, stderr, stdout};

/// Longest wait for a Redis that was killed.
const LIMIT: Duration = Duration::from_secs(60);

fn say(folder: &Path, url: &str, file: &str) -> Output {
    run(csm(folder).args(["say", "Hello.", "-o", file, "--max-audio-length-ms", "400", "--url", url]))
}

/// Returns the pid of the `redis-server` that a process started.
fn redis_of(parent: u32) -> Option<u32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes.into_iter().find(|pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(") ") else { return false };
        // The state is the first word behind the name, the parent the second.
        name.ends_with("(redis-server") && rest.split(' ').nth(1) == Some(&parent.to_string())
    })
}

fn kill(pid: u32) {
    let kill = format!("kill -s KILL {pid}");
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn a_redis_that_dies_is_started_again_and_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = pipe().unwrap();
    let log = std::thread::spawn(move || BufReader::new(reader).lines().map_while(Result::ok).collect::<Vec<_>>());
    let dev = Dev::start_with(folder.path(), writer.into());
    assert_status(&say(folder.path(), &dev.url, "before.wav"), 0);

    let first = redis_of(dev.child.id()).expect("a redis-server runs");
    kill(first);
    let deadline = Instant::now() + LIMIT;
    while !say(folder.path(), &dev.url, "after.wav").status.success() {
        assert!(Instant::now() < deadline, "the fleet did not come back");
    }
    let second = redis_of(dev.child.id()).expect("a redis-server runs again");
    assert_ne!(first, second);
    let queue = run(csm(folder.path()).args(["queue", "stats"]));
    assert_status(&queue, 0);
    assert!(stdout(&queue).contains("2 workers"), "{}", stdout(&queue));
    dev.stop();

    let log = log.join().unwrap();
    let count = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("redis-server ended, starting it again"), 1, "{log:#?}");
    for loop_line in ["cannot claim job", "cannot run housekeeping", "cannot renew lease", "reconnecting subscription"]
    {
        assert!(count(loop_line) <= 2, "{loop_line}: {log:#?}");
    }
}

/// Returns everything below a folder that other users could read or enter.
fn open_to_others(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let there = fs::symlink_metadata(&path).unwrap();
        if there.permissions().mode() & 0o077 != 0 {
            found.push(path.clone());
        }
        if there.is_dir() {
            open_to_others(&path, found);
        }
    }
}

#[test]
fn other_users_of_the_machine_reach_neither_redis_nor_files() {
    let folder = tempfile::tempdir().unwrap();
    // As left by an earlier version.
    fs::create_dir_all(folder.path().join(".data/redis")).unwrap();
    fs::set_permissions(folder.path().join(".data/redis"), fs::Permissions::from_mode(0o755)).unwrap();
    let dev = Dev::start_with(folder.path(), std::process::Stdio::inherit());
    assert_status(&say(folder.path(), &dev.url, "a.wav"), 0);

    let redis = redis_of(dev.child.id()).expect("a redis-server runs");
    let sockets = fs::read_to_string(format!("/proc/{redis}/net/tcp")).unwrap();
    let inodes: Vec<_> = fs::read_dir(format!("/proc/{redis}/fd"))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()?.to_str()?.strip_prefix("socket:[").map(str::to_owned))
        .map(|inode| inode.trim_end_matches(']').to_owned())
        .collect();
    assert!(!inodes.is_empty());
    for line in sockets.lines().skip(1) {
        let inode = line.split_whitespace().nth(9).unwrap_or_default();
        assert!(!inodes.iter().any(|own| own == inode), "redis-server has a TCP socket: {line}");
    }
    let mut open = Vec::new();
    open_to_others(&folder.path().join(".data/redis"), &mut open);
    open_to_others(&folder.path().join(".data/store"), &mut open);
    assert!(open.is_empty(), "{open:?}");
    for private in [".data/redis", ".data/store"] {
        let mode = fs::metadata(folder.path().join(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{private}");
    }
    dev.stop();
}

#[test]
fn the_commands_for_operators_find_the_running_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_with(folder.path(), std::process::Stdio::inherit());
    for arguments in [&["top", "--once"][..], &["queue", "stats"], &["queue", "stats", "--data", ".data"]] {
        let output = run(csm(folder.path()).args(arguments).env("CSM_KEY_PREFIX", "other"));
        assert_status(&output, 0);
        assert!(stdout(&output).contains("2 workers"), "{arguments:?}: {}", stdout(&output));
    }
    let letters = run(csm(folder.path()).args(["dlq", "list"]));
    assert_status(&letters, 0);
    assert_eq!(stderr(&letters), "no dead letters\n");
    let elsewhere = run(csm(folder.path()).args(["top", "--once", "--redis-url", "redis://127.0.0.1:9"]));
    assert_status(&elsewhere, 1);
    dev.stop();
}

#[test]
fn a_fleet_without_a_reader_of_its_output_goes_on_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = pipe().unwrap();
    let mut dev = Dev::start_with(folder.path(), writer.into());
    // As `csm dev 2>&1 | tee log` after a Ctrl-C of tee.
    drop(reader);
    dev.lines = None;
    kill(redis_of(dev.child.id()).expect("a redis-server runs"));
    let deadline = Instant::now() + LIMIT;
    while !say(folder.path(), &dev.url, "a.wav").status.success() {
        assert!(Instant::now() < deadline, "the fleet does not answer");
    }
    dev.stop();
}

#[test]
fn a_taken_port_names_its_flag_and_its_cause_once() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(csm(folder.path()).args(["dev", "--model", "noise", "--log", "warn", "--listen", &address]));
    assert_status(&output, 1);
    let told = stderr(&output);
    assert_eq!(told.matches("Address already in use").count(), 1, "{told}");
    assert!(told.contains(&format!("error: cannot listen on {address} (--listen, CSM_LISTEN): ")), "{told}");
}

#[test]
fn settings_of_the_shell_are_used_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(csm(folder.path())
        .args(["dev", "--log", "warn"])
        .env("CSM_MODEL", "noise")
        .env("CSM_LISTEN", &address)
        .env("CSM_STORE", "folder:/nowhere")
        .env("CSM_ADMIN_LISTEN", "127.0.0.1:9"));
    assert_status(&output, 1);
    let told = stderr(&output);
    assert!(told.contains(&format!("cannot listen on {address}")), "{told}");
    assert!(told.contains("ignoring settings") && told.contains("CSM_ADMIN_LISTEN CSM_STORE"), "{told}");
    assert_status(&run(csm(folder.path()).arg("dev").env("CSM_SLOTS", "0")), 2);
}
