//! A private Redis server as a child process: the queue of `csm dev` and of tests that need a real
//! one.
//!
//! The server keeps an append-only file in its own folder, synced before every answer. An answered
//! write therefore survives `kill -9` and a restart. With a sync only every second, Redis may hold
//! answered writes back while a sync is under way.
//!
//! The server ends with its parent, however the parent ends ([`tether`]). A signal for the parent's
//! terminal does not reach the server, so that a drain still has its queue.
//!
//! The server of `csm dev` listens on a socket in its folder, which other users may not enter
//! ([`socket`]), and is started again when it ends ([`supervise`]).

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

mod probe;
mod socket;
mod supervise;
#[cfg(test)]
mod tests;
mod tether;

pub use socket::{SocketFolder, running_url};
pub use supervise::SupervisedRedis;

use tether::Tether;

/// Programs looked for on PATH, in this order; both speak the same protocol and take the same
/// options.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];

/// Ports tried if none is asked for. The range lies below the one that systems use for outgoing
/// connections, so that a restart finds its port free.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Ports tried before giving up.
const PORT_TRIES: usize = 10;

/// Memory for the data of the server. A full server refuses new jobs, and ends those it has; without
/// a bound it would take the machine's memory.
const MEMORY_MAX: &str = "1gb";

/// Longest time from start to the first PONG: a large append-only file takes time to load.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Longest time from SIGTERM to exit; then the server is killed. The file is synced at every write,
/// so nothing is left to write.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Options of [`LocalRedis::spawn`]; the default is right for tests.
#[derive(Debug, Clone, Default)]
pub struct LocalRedisOptions {
    /// Port on 127.0.0.1; by default a free one.
    pub port: Option<u16>,
    /// Listen on a socket that other users cannot reach, instead of a port.
    pub socket: bool,
    /// User of this process and password, if the settings name an ACL file; part of the URL.
    pub login: Option<(String, String)>,
    /// Executable of the server; by default `redis-server` or `valkey-server` from PATH.
    pub server: Option<PathBuf>,
    /// Further settings of the server, each as `["--name", "value"]`; they override the built-in
    /// ones.
    pub settings: Vec<String>,
}

/// Reason why there is no private Redis.
#[derive(Debug, thiserror::Error)]
pub enum LocalRedisError {
    /// No server is installed.
    #[error(
        "{0} not found. Install it: `apt-get install redis-server` (Debian, Ubuntu), `dnf install valkey` (Fedora), \
         `apk add valkey` (Alpine), `brew install redis` (macOS)"
    )]
    NotInstalled(String),
    /// Another server works in this folder.
    #[error("another redis-server uses {0}; stop it or choose another data folder")]
    FolderInUse(PathBuf),
    /// The folder or the process could not be created.
    #[error("{what}: {source}")]
    Io {
        /// Action that failed.
        what: String,
        /// Error of the system.
        source: io::Error,
    },
    /// The server ended at once; `log` is the end of its log.
    #[error("redis-server on {place} ended at start ({status}); its log ends:\n{log}")]
    Ended {
        /// Port or socket that the server was to take.
        place: RedisPlace,
        /// Exit status of the server.
        status: ExitStatus,
        /// Last lines of the server's log.
        log: String,
    },
    /// The server runs but does not answer.
    #[error("redis-server on {place} was not ready within {} s", READY_LIMIT.as_secs())]
    NotReady {
        /// Port or socket that the server took.
        place: RedisPlace,
    },
    /// The task that restarts the server failed.
    #[error("the supervisor of redis-server failed: {0}")]
    Supervisor(#[from] tokio::task::JoinError),
}

/// Place at which a server listens.
#[derive(Debug, Clone)]
pub enum RedisPlace {
    /// Port on 127.0.0.1.
    Port(u16),
    /// Socket in a folder of this user.
    Socket(SocketFolder),
}

impl fmt::Display for RedisPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Socket(folder) => write!(f, "socket {}", folder.socket().display()),
        }
    }
}

impl RedisPlace {
    fn url(&self, login: Option<&(String, String)>) -> String {
        match (self, login) {
            (Self::Port(port), None) => format!("redis://127.0.0.1:{port}/"),
            (Self::Port(port), Some((user, password))) => format!("redis://{user}:{password}@127.0.0.1:{port}/"),
            (Self::Socket(folder), None) => socket::url(&folder.socket()),
            (Self::Socket(folder), Some((user, password))) => {
                format!("{}?user={user}&pass={password}", socket::url(&folder.socket()))
            }
        }
    }
}

/// A running private Redis. Dropping it kills the server.
#[derive(Debug)]
pub struct LocalRedis {
    child: Child,
    tether: Tether,
    place: RedisPlace,
    data_dir: PathBuf,
    options: LocalRedisOptions,
}

impl LocalRedis {
    /// Starts a server that keeps its data in `data_dir` (created if missing), and waits until it
    /// answers.
    ///
    /// # Errors
    /// [`LocalRedisError`]. Without a fixed port, a port that another process takes meanwhile is
    /// replaced by another.
    pub async fn spawn(data_dir: &Path, options: &LocalRedisOptions) -> Result<Self, LocalRedisError> {
        fs::create_dir_all(data_dir).map_err(io_error(format!("data folder {}", data_dir.display())))?;
        let data_dir = data_dir.canonicalize().map_err(io_error(format!("data folder {}", data_dir.display())))?;
        if options.socket {
            let folder = SocketFolder::choose(&data_dir)?;
            let started = Self::start(&data_dir, RedisPlace::Socket(folder.clone()), options).await?;
            folder.announce(&data_dir)?;
            return Ok(started);
        }
        let mut tries = if options.port.is_some() { 1 } else { PORT_TRIES };
        loop {
            tries -= 1;
            let port = options.port.map_or_else(free_port, Ok)?;
            match Self::start(&data_dir, RedisPlace::Port(port), options).await {
                Err(LocalRedisError::Ended { log, .. }) if tries > 0 && is_port_taken(&log) => {}
                done => return done,
            }
        }
    }

    /// Returns the URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        self.place.url(self.options.login.as_ref())
    }

    /// Returns the port on 127.0.0.1, or 0 if the server listens on a socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self.place {
            RedisPlace::Port(port) => port,
            RedisPlace::Socket(_) => 0,
        }
    }

    /// Ends the server as a crash would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// If the process cannot be killed.
    pub async fn kill(&mut self) -> Result<(), LocalRedisError> {
        self.tether.cut().await;
        self.child.kill().await.map_err(io_error("killing redis-server"))
    }

    /// Starts the server again on the same place and data, killing it first if it still runs.
    ///
    /// # Errors
    /// As [`LocalRedis::spawn`].
    pub async fn restart(&mut self) -> Result<(), LocalRedisError> {
        self.kill().await?;
        *self = Self::start(&self.data_dir, self.place.clone(), &self.options).await?;
        Ok(())
    }

    /// Ends the server cleanly (SIGTERM: the file is synced) and waits. A server that hangs is
    /// killed.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub async fn shutdown(mut self) -> Result<(), LocalRedisError> {
        self.tether.pull();
        match timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(ended) => ended.map(drop).map_err(io_error("waiting for redis-server")),
            Err(_) => {
                tracing::warn!(place = %self.place, "killing redis-server after stop limit");
                self.kill().await
            }
        }
    }

    async fn start(data_dir: &Path, place: RedisPlace, options: &LocalRedisOptions) -> Result<Self, LocalRedisError> {
        let (mut child, server) = spawn_server(data_dir, options.server.as_deref(), &place, &options.settings)?;
        let pid = child.id().unwrap_or_default();
        let tether = Tether::to(pid).map_err(io_error("starting the shell that watches redis-server"))?;
        let url = place.url(options.login.as_ref());
        let ready = tokio::select! {
            ended = child.wait() => {
                let status = ended.map_err(io_error("waiting for redis-server"))?;
                return Err(LocalRedisError::Ended { place, status, log: log_tail(data_dir) });
            }
            ready = timeout(READY_LIMIT, probe::until_ready(&url, pid)) => ready,
        };
        if ready.is_err() {
            return Err(LocalRedisError::NotReady { place });
        }
        tracing::info!(%place, data_dir = %data_dir.display(), "started private redis-server");
        // A restart takes the same program.
        let options = LocalRedisOptions { server: Some(server), ..options.clone() };
        Ok(Self { child, tether, place, data_dir: data_dir.to_owned(), options })
    }
}

fn spawn_server(
    data_dir: &Path,
    server: Option<&Path>,
    place: &RedisPlace,
    settings: &[String],
) -> Result<(Child, PathBuf), LocalRedisError> {
    let candidates = match server {
        Some(server) => vec![server.to_owned()],
        None => SERVERS.map(PathBuf::from).to_vec(),
    };
    for server in &candidates {
        match server_command(server, data_dir, place, lock(data_dir)?).args(settings).spawn() {
            Ok(child) => return Ok((child, server.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(format!("starting {}", server.display()))(error)),
        }
    }
    let names: Vec<_> = candidates.iter().map(|server| server.display().to_string()).collect();
    Err(LocalRedisError::NotInstalled(names.join(" or ")))
}

fn server_command(server: &Path, data_dir: &Path, place: &RedisPlace, lock: File) -> Command {
    let mut command = Command::new(server);
    match place {
        RedisPlace::Port(port) => command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]),
        RedisPlace::Socket(folder) => {
            command.args(["--port", "0", "--unixsocketperm", "700", "--unixsocket"]).arg(folder.socket())
        }
    };
    command
        .args(["--daemonize", "no", "--loglevel", "warning"])
        .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
        .args(["--maxmemory", MEMORY_MAX, "--maxmemory-policy", "noeviction"])
        .args(["--logfile", "redis.log", "--dir"])
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(lock)
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Locks the folder for one server. The server inherits the lock as its (unused) standard output.
/// The lock therefore lives exactly as long as the server, whatever becomes of this process.
fn lock(data_dir: &Path) -> Result<File, LocalRedisError> {
    let path = data_dir.join("redis.lock");
    let file = File::options().create(true).append(true).open(&path).map_err(io_error(path.display().to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LocalRedisError::FolderInUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error(path.display().to_string())(error)),
    }
}

fn free_port() -> Result<u16, LocalRedisError> {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut candidates = std::iter::repeat_with(|| rand::random_range(PORTS)).take(100);
    candidates.find(is_free).ok_or_else(|| io_error("looking for a free port")(io::ErrorKind::AddrInUse.into()))
}

fn is_port_taken(log: &str) -> bool {
    log.contains("Address already in use")
}

fn log_tail(data_dir: &Path) -> String {
    const LINES: usize = 5;
    let log = fs::read_to_string(data_dir.join("redis.log")).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> LocalRedisError {
    |source| LocalRedisError::Io { what: what.into(), source }
}
