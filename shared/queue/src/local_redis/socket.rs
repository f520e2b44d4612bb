//! The socket of a private Redis, in a folder that other users cannot enter.
//!
//! Whoever reaches the server can read payloads and stop the intake, so a port without a password
//! is no place for it on a machine that several users share.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{LocalRedisError, io_error};

/// Mode of the folder: its user alone.
const PRIVATE: u32 = 0o700;
/// Name of the socket.
const SOCKET: &str = "redis.sock";
/// Name of a socket for a try, as long as [`SOCKET`]: a socket's path has about 100 bytes at most.
const TRIED: &str = "tried.sock";
/// File in the data folder that holds the socket's path.
const ANNOUNCEMENT: &str = "redis.socket";

/// Private folder of a socket.
#[derive(Debug, Clone)]
pub struct SocketFolder {
    path: PathBuf,
    /// Folder below the temporary ones, removed with the last server that uses it.
    _temporary: Option<Arc<TemporaryFolder>>,
}

#[derive(Debug)]
struct TemporaryFolder(PathBuf);

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // The server removes its socket, unless it was killed. An empty folder may stay.
        let _ = fs::remove_file(self.0.join(SOCKET));
        let _ = fs::remove_dir(&self.0);
    }
}

impl SocketFolder {
    /// Makes the data folder private and chooses it, or a temporary folder if no socket can be
    /// there: if its path is too long, or its file system has no sockets.
    pub(super) fn choose(data_dir: &Path) -> Result<Self, LocalRedisError> {
        let failed = |path: &Path| io_error(format!("private folder {}", path.display()));
        fs::set_permissions(data_dir, Permissions::from_mode(PRIVATE)).map_err(failed(data_dir))?;
        if holds_sockets(data_dir) {
            return Ok(Self { path: data_dir.to_owned(), _temporary: None });
        }
        let path = std::env::temp_dir().join(format!("csm-{:016x}", rand::random::<u64>()));
        DirBuilder::new().mode(PRIVATE).create(&path).map_err(failed(&path))?;
        let temporary = Arc::new(TemporaryFolder(path.clone()));
        Ok(Self { path, _temporary: Some(temporary) })
    }

    /// Returns the socket's path.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }

    /// Writes the socket's path into the data folder, for [`running_url`].
    pub(super) fn announce(&self, data_dir: &Path) -> Result<(), LocalRedisError> {
        let file = data_dir.join(ANNOUNCEMENT);
        fs::write(&file, self.socket().as_os_str().as_bytes()).map_err(io_error(file.display().to_string()))
    }
}

fn holds_sockets(folder: &Path) -> bool {
    let tried = folder.join(TRIED);
    let _ = fs::remove_file(&tried);
    let held = UnixListener::bind(&tried).is_ok();
    let _ = fs::remove_file(&tried);
    held
}

/// Returns the URL of the server that runs in a data folder and listens on a socket, or `None` if
/// there is none.
#[must_use]
pub fn running_url(data_dir: &Path) -> Option<String> {
    let socket = fs::read(data_dir.join(ANNOUNCEMENT)).ok()?;
    let socket = Path::new(OsStr::from_bytes(&socket));
    UnixStream::connect(socket).ok()?;
    Some(url(socket))
}

/// Returns the URL of a socket, its path percent-encoded.
pub(super) fn url(socket: &Path) -> String {
    let mut url = "unix://".to_owned();
    for &byte in socket.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => url.push(char::from(byte)),
            _ => url += &format!("%{byte:02X}"),
        }
    }
    url
}
