//! Programs that pages call, and the check of each.

use std::process::Command;

use csm_testing::process::program_path;

use super::shell::Call;
use crate::source_tree::{files, read, root};

/// Check of a program's calls.
#[derive(Clone, Copy)]
enum Check {
    /// Targets and variables are in the Makefile.
    Make,
    /// Packages, and tests named in part, exist.
    Cargo,
    /// Requests are sent to a real gateway, by another test.
    Requests,
    /// The built program of this name takes the arguments.
    Program(&'static str),
    /// CI lacks what is named here, or must not do it. Files of the tree among the arguments exist.
    NotRun(&'static str),
}

/// Programs of the pages. Scripts of the tree are known too, and need only exist.
const PROGRAMS: [(&str, Check); 26] = [
    ("make", Check::Make),
    ("cargo", Check::Cargo),
    ("curl", Check::Requests),
    ("csm", Check::Program("csm")),
    ("target/release/csm", Check::Program("csm")),
    ("target/release/csm-gateway", Check::Program("csm-gateway")),
    ("target/release/csm-worker", Check::Program("csm-worker")),
    ("target/release/csm-attack", Check::Program("csm-attack")),
    ("target/release/csm-bench-queue", Check::Program("csm-bench-queue")),
    ("target/release/csm-bench-gateway", Check::Program("csm-bench-gateway")),
    ("target/cuda/89/csm-worker", Check::Program("csm-worker")),
    ("docker", Check::NotRun("a Docker daemon that may build images; `make manifests` checks the compose file")),
    ("kubectl", Check::NotRun("a cluster; `make manifests` checks the manifests")),
    ("python3", Check::NotRun("PyTorch, weights of full size and a GPU")),
    ("redis-server", Check::NotRun("the default port; every whole-system test starts one of its own")),
    ("redis-cli", Check::NotRun("an operator's Redis; tests/operations/procedures.py sends the same commands")),
    ("redis-check-aof", Check::NotRun("a damaged file of Redis")),
    ("nvidia-smi", Check::NotRun("an NVIDIA GPU")),
    ("dmesg", Check::NotRun("the log of an operator's kernel")),
    ("df", Check::NotRun("an operator's disks")),
    ("du", Check::NotRun("an operator's disks")),
    ("cp", Check::NotRun("an operator's files")),
    ("mkdir", Check::NotRun("an operator's files")),
    ("rm", Check::NotRun("an operator's files, which it removes")),
    ("openssl", Check::NotRun("openssl, which here only draws a random secret")),
    ("find", Check::NotRun("an operator's store, from which it removes files")),
];

/// Placeholders among the arguments of pages, and a value in place of each.
const PLACEHOLDERS: [(&str, &str); 2] = [("ID", "01890a5d-ac96-774b-bcce-b302099a8057"), ("LANE", "live")];

/// Returns the names of the known programs.
pub(super) fn known() -> Vec<&'static str> {
    PROGRAMS.iter().map(|(name, _)| *name).collect()
}

/// Returns true for a call whose requests are sent to a gateway.
pub(super) fn is_request(call: &Call) -> bool {
    matches!(check_of(call), Some(Check::Requests))
}

fn check_of(call: &Call) -> Option<Check> {
    PROGRAMS.iter().find(|(name, _)| *name == call.program).map(|(_, check)| *check)
}

/// Checks a call without running it.
pub(super) fn check(path: &str, call: &Call) -> Result<(), String> {
    match check_of(call) {
        Some(Check::Make) => make(&call.words),
        Some(Check::Cargo) => cargo(&call.words),
        Some(Check::Program(name)) => takes(name, &call.words),
        Some(Check::NotRun(reason)) => {
            println!("{path}:{}: {} is not run, since it needs {reason}", call.line, call.program);
            exist(&call.words)
        }
        // Scripts have stand-ins only if they exist.
        Some(Check::Requests) | None => Ok(()),
    }
}

fn make(words: &[String]) -> Result<(), String> {
    let makefile = read("Makefile");
    for word in words {
        let is_known = match word.split_once('=') {
            Some((variable, _)) => makefile.contains(&format!("$({variable})")),
            None => makefile.lines().any(|line| line.starts_with(&format!("{word}:"))),
        };
        if !is_known {
            return Err(format!("the Makefile has no {word}"));
        }
    }
    Ok(())
}

fn cargo(words: &[String]) -> Result<(), String> {
    let subcommands = if words.first().is_some_and(|word| word == "nextest") { 2 } else { 1 };
    let mut words = words.iter().map(String::as_str).skip(subcommands);
    let (manifests, mut filters) = (all("toml"), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "-p" | "--package" => {
                let package = words.next().unwrap_or_default();
                if !manifests.contains(&format!("\nname = \"{package}\"\n")) {
                    return Err(format!("there is no package {package}"));
                }
            }
            "--test" | "--bin" | "--features" | "--profile" => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => filters.push(word.trim_end_matches("::")),
        }
    }
    let sources = if filters.is_empty() { String::new() } else { all("rs") };
    match filters.iter().find(|name| !["fn", "mod"].iter().any(|kind| sources.contains(&format!("{kind} {name}")))) {
        Some(name) => Err(format!("there is no test and no module {name}")),
        None => Ok(()),
    }
}

/// Returns all files of the tree with an extension, one after another.
fn all(extension: &str) -> String {
    files("", extension).iter().map(|path| read(path)).collect()
}

/// Gives a built program the arguments and `--help` after them: the program reads all arguments
/// first, and does nothing else.
fn takes(program: &str, words: &[String]) -> Result<(), String> {
    let value = |word: &String| {
        let placeholder = PLACEHOLDERS.iter().find(|(name, _)| name == word);
        placeholder.map_or_else(|| word.clone(), |(_, value)| (*value).to_owned())
    };
    let file = program_path(program).unwrap();
    let ran = Command::new(&file).args(words.iter().map(value)).arg("--help").env_clear().output();
    let ran = ran.unwrap_or_else(|error| panic!("{}: {error}; run `cargo build --bins` first", file.display()));
    if ran.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ran.stderr).into_owned()) }
}

/// Checks that those words that look like scripts of the tree are some.
fn exist(words: &[String]) -> Result<(), String> {
    match words.iter().find(|word| word.ends_with(".py") && !root().join(word).exists()) {
        Some(word) => Err(format!("there is no {word}")),
        None => Ok(()),
    }
}

/// Returns the settings of the project that a page assigns and no source reads.
pub(super) fn unknown_settings(page: &str) -> Vec<String> {
    let sources = all("rs");
    let assigned = page.match_indices("CSM_").filter_map(|(at, _)| {
        let rest = &page[at..];
        let end =
            rest.find(|letter: char| !letter.is_ascii_uppercase() && !letter.is_ascii_digit() && letter != '_')?;
        rest[end..].starts_with('=').then(|| rest[..end].to_owned())
    });
    assigned.filter(|name| !sources.contains(&format!("\"{name}\""))).collect()
}
