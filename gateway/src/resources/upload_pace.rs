//! Least pace of an upload: a body, or a message of a socket.

use std::time::Duration;

use tokio::time::Instant;

/// Longest time for a whole upload.
pub(crate) const UPLOAD_LIMIT: Duration = Duration::from_secs(60);
/// Time that each upload has, whatever its length.
pub(crate) const UPLOAD_GRACE: Duration = Duration::from_secs(5);
/// Least pace after [`UPLOAD_GRACE`], in bytes a second.
pub(crate) const UPLOAD_RATE: usize = 8 * 1024;

/// Pace of one upload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadPace {
    began: Instant,
}

impl UploadPace {
    /// Begins with the first byte, or with the wait for it.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    /// Returns the time at which an upload of `bytes` so far is too slow.
    pub(crate) fn deadline(self, bytes: usize) -> Instant {
        let earned = Duration::from_secs_f64(bytes as f64 / UPLOAD_RATE as f64);
        self.began + (UPLOAD_GRACE + earned).min(UPLOAD_LIMIT)
    }
}
