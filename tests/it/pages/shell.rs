//! Shell commands of a page, read by a real shell.
//!
//! The shell runs the commands of a page in an empty folder. Its `PATH` holds only stand-ins of the
//! known programs, and each stand-in writes down its arguments. So quotes, variables and
//! continuations are the shell's matter, and no program of a page runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::markdown::{code, spans};
use crate::source_tree::files;

/// Separator of the words that a stand-in writes.
const SEPARATOR: char = '\u{1f}';

/// Call of a program by a page.
pub(super) struct Call {
    /// Line of the page.
    pub(super) line: usize,
    pub(super) program: String,
    /// Arguments, after all expansions.
    pub(super) words: Vec<String>,
}

/// Returns the calls of a page, in code blocks and in the code spans that begin with a known
/// program.
///
/// # Errors
/// The shell's complaint: a program is unknown, a variable is not set, or the syntax is wrong.
pub(super) fn calls(path: &str, page: &str, programs: &[&str]) -> Result<Vec<Call>, String> {
    let scripts = [files("scripts", "sh"), files("bench", "sh")].concat();
    let programs: Vec<_> = programs.iter().copied().chain(scripts.iter().map(String::as_str)).collect();
    let folder = TempDir::new().unwrap();
    for program in &programs {
        stand_in(folder.path(), program);
    }
    // The shell names this file and the line in its complaints.
    let file = path.replace('/', "-");
    fs::write(folder.path().join(&file), script(page, &programs)).unwrap();
    let log = folder.path().join("calls");
    fs::write(&log, "").unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-u", &format!("./{file}")]).current_dir(folder.path()).env_clear();
    shell.env("PATH", folder.path().join("bin")).env("CALLS", &log).env("LINE", "0");
    let ran = shell.output().unwrap();
    let complaints = String::from_utf8_lossy(&ran.stderr);
    if !ran.status.success() || !complaints.is_empty() {
        return Err(format!("{path}: {} {complaints}", ran.status));
    }
    Ok(fs::read_to_string(&log).unwrap().lines().map(read_call).collect())
}

/// Returns a script with each command on the line that it has in the page.
fn script(page: &str, programs: &[&str]) -> String {
    let mut script = vec![String::new(); page.lines().count()];
    let mut continues = false;
    for line in code(page, "sh") {
        let text = line.text.trim();
        script[line.number - 1] = if continues { text.to_owned() } else { format!("LINE={}; {text}", line.number) };
        continues = text.ends_with('\\');
    }
    for (number, span) in spans(page) {
        if span.split_once(' ').is_some_and(|(program, _)| programs.contains(&program)) {
            script[number - 1].push_str(&format!("LINE={number}; {span}; "));
        }
    }
    script.push("wait\n".to_owned());
    script.join("\n")
}

/// Writes the stand-in of a program: a name to be found by `PATH`, or a path from the root.
fn stand_in(folder: &Path, program: &str) {
    let file = if program.contains('/') { folder.join(program) } else { folder.join("bin").join(program) };
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = format!(
        "#!/bin/sh\n\
        call=\"$LINE{SEPARATOR}{program}\"\n\
        for word in \"$@\"; do call=\"$call{SEPARATOR}$word\"; done\n\
        printf '%s\\n' \"$call\" >>\"$CALLS\"\n"
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn read_call(line: &str) -> Call {
    let mut words = line.split(SEPARATOR).map(str::to_owned);
    let (number, program) = (words.next().unwrap(), words.next().unwrap());
    Call { line: number.parse().unwrap(), program, words: words.collect() }
}
