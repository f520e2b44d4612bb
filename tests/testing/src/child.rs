//! The test binary started once more, as a process of its own that tests may send signals to.

use std::process::{ExitStatus, Stdio};

use csm_shared::outln;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

/// Beginning of each line from a child to its parent; the test harness prints others.
const MARK: &str = "child says: ";

/// Running child process.
pub struct Child {
    process: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts the ignored test `name` in a process of its own.
    pub fn start(name: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// Returns the next text that the child passes to [`say`].
    pub async fn says(&mut self) -> String {
        loop {
            let line = self.lines.next_line().await.unwrap().unwrap();
            if let Some(text) = line.strip_prefix(MARK) {
                return text.to_owned();
            }
        }
    }

    /// Sends a signal, named as for the `kill` command.
    pub async fn signal(&self, signal: &str) {
        let pid = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }

    /// Waits for the child's end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process.wait().await.unwrap()
    }
}

/// Sends a text from a child to its parent.
pub fn say(text: &str) {
    outln!("\n{MARK}{text}");
}
