//! A program of this project as a child process, stopped and ended by real signals.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longest wait for a program to become ready or to end.
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two requests to a readiness port that does not answer yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Range of the ports given out. The range lies below that of outgoing connections, so a restarted
/// program finds its port free.
const PORTS: std::ops::Range<u16> = 10_000..20_000;
/// Ports tried before giving up.
const PORT_TRIES: usize = 100;

/// Running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts a program that lies beside this one (or beside a test's folder), without any `CSM_*`
    /// and `AWS_*` of the environment. Its log goes to `log`, or else to this process' standard
    /// error.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        program: &str,
        args: &[String],
        environment: &[(String, String)],
        log: Option<File>,
    ) -> anyhow::Result<Self> {
        Self::start_file(&program_path(program)?, args, environment, log)
    }

    /// Starts the program in a file, in all else as [`Self::start`] does.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_file(
        file: &Path,
        args: &[String],
        environment: &[(String, String)],
        log: Option<File>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(file);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CSM_") || name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.args(args).envs(environment.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
        if let Some(log) = log {
            command.stdout(log.try_clone()?).stderr(log);
        }
        let child = command.spawn();
        let child = child.with_context(|| format!("{}; run `cargo build --bins` first", file.display()))?;
        Ok(Self { name: file.file_name().unwrap_or_default().to_string_lossy().into_owned(), child })
    }

    /// Returns the process id; `None` once the program has been waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends SIGKILL, as in a crash; waits until the process is gone.
    ///
    /// # Errors
    /// If the system refuses.
    pub async fn kill9(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Sends SIGTERM, as in a rollout; returns the program's exit status.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal("TERM").await?;
        let ended = timeout(LIMIT, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} did not end after SIGTERM", self.name))??)
    }

    /// Waits until the program ends by itself; returns its exit status.
    ///
    /// # Errors
    /// If it does not.
    pub async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(LIMIT, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} did not end by itself", self.name))??)
    }

    /// Waits until the program ends by itself, however long that takes; returns its exit status.
    ///
    /// # Errors
    /// If the system refuses to tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends SIGSTOP: the process stands still until [`Self::resume`].
    ///
    /// # Errors
    /// If the process is gone.
    pub async fn pause(&mut self) -> anyhow::Result<()> {
        self.signal("STOP").await
    }

    /// Sends SIGCONT.
    ///
    /// # Errors
    /// If the process is gone.
    pub async fn resume(&mut self) -> anyhow::Result<()> {
        self.signal("CONT").await
    }

    /// Returns the exit status if the process has ended.
    ///
    /// # Errors
    /// If the system refuses to tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    async fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        let Some(pid) = self.child.id() else { bail!("{} is gone", self.name) };
        send_signal(pid, signal).await
    }

    /// Waits until the program's health port reports that it is ready.
    ///
    /// # Errors
    /// If it ends before, or takes longer than a minute.
    pub async fn ready(&mut self, admin: SocketAddr) -> anyhow::Result<()> {
        let (url, http) = (format!("http://{admin}/readyz"), reqwest::Client::new());
        let wait = async {
            loop {
                if let Some(status) = self.child.try_wait()? {
                    bail!("{} ended before it was ready: {status}", self.name);
                }
                if http.get(&url).send().await.is_ok_and(|answer| answer.status() == 200) {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        timeout(LIMIT, wait).await.with_context(|| format!("{} was not ready within {LIMIT:?}", self.name))?
    }
}

/// Sends a process a signal by its name, such as `STOP`.
pub async fn send_signal(pid: u32, signal: &str) -> anyhow::Result<()> {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().await?;
    ensure!(sent.success(), "SIG{signal} to {pid}: {sent}");
    Ok(())
}

/// Returns an address on this machine that is free at this moment, and that this process has not
/// returned before.
///
/// # Errors
/// If no port is free.
pub fn free_address() -> io::Result<SocketAddr> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random()));
    for _ in 0..PORT_TRIES {
        let port = PORTS.start + NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Returns the path of a program: beside this program, or, for a test, one folder above it.
///
/// # Errors
/// If the path of this program is unknown.
pub fn program_path(program: &str) -> io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let beside = here.with_file_name(program);
    if beside.exists() {
        return Ok(beside);
    }
    Ok(here.ancestors().nth(2).unwrap_or(&here).join(program))
}
