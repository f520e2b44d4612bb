//! A program of this project as a child process, ended by real signals.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

/// Longest wait for a program to become ready or to end.
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at a readiness port that does not answer yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    pub(crate) fn start(program: &str, args: &[String], environment: &[(String, String)]) -> Self {
        let mut command = Command::new(binary(program));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CSM_") || name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.args(args).envs(environment.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; run `cargo build --bins` first"));
        Self { name: program.to_owned(), child }
    }

    /// SIGKILL, as a crash.
    pub(crate) async fn kill9(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, as a rollout; answers how the program ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let pid = self.child.id().expect("still running").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        assert!(sent.success());
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} did not end after SIGTERM", self.name)).unwrap()
    }

    /// Waits until the program says on its health port that it is ready.
    pub(crate) async fn ready(&mut self, admin: SocketAddr) {
        let url = format!("http://{admin}/readyz");
        let wait = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    panic!("{} ended before it was ready: {status}", self.name);
                }
                if reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200) {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        waited.unwrap_or_else(|_| panic!("{} was not ready within {LIMIT:?}", self.name));
    }
}

/// Where cargo puts programs: two folders above this test's own executable.
fn binary(program: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    folder.pop();
    folder.join(program)
}
