//! Tie between this process and a child: when this process ends, however it ends, the child gets
//! SIGTERM.
//!
//! A small shell waits at the other end of a pipe. The system closes the pipe when this process is
//! gone, even after `kill -9`, and the shell then sends SIGTERM. The parent-death signal of Linux
//! would need unsafe code, and fires when the *thread* that started the child ends.

use std::io;
use std::process::Stdio;

use tokio::process::{Child, Command};

const SCRIPT: &str = "read -r _; kill -TERM \"$1\"";

/// Pipe and shell that tie one child to this process.
#[derive(Debug)]
pub(super) struct Tether {
    shell: Child,
}

impl Tether {
    /// Ties the process `pid` to this one.
    pub(super) fn to(pid: u32) -> io::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "csm-tether", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { shell })
    }

    /// Returns the shell's pid, for tests.
    #[cfg(test)]
    pub(super) fn id(&self) -> Option<u32> {
        self.shell.id()
    }

    /// Sends the child SIGTERM.
    pub(super) fn pull(&mut self) {
        drop(self.shell.stdin.take());
    }

    /// Unties the child. To be called before the child is waited for: afterwards its pid may belong
    /// to another process.
    pub(super) async fn cut(&mut self) {
        // Fails only for a shell that has ended already.
        let _ = self.shell.kill().await;
    }
}
