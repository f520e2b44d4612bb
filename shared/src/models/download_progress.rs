//! Progress of a download: logs it, and notices a stall.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use tokio::time::Instant;

/// Shortest time between two log lines.
const LOG_PAUSE: Duration = Duration::from_secs(5);

const MIB: u64 = 1024 * 1024;

/// Progress of the download of one file. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct DownloadProgress {
    file: String,
    state: Arc<Mutex<DownloadState>>,
}

#[derive(Debug)]
struct DownloadState {
    bytes: u64,
    moved: Instant,
    logged: Instant,
}

impl DownloadProgress {
    pub(super) fn new(file: &str) -> Self {
        let now = Instant::now();
        Self { file: file.to_owned(), state: Arc::new(Mutex::new(DownloadState { bytes: 0, moved: now, logged: now })) }
    }

    /// Returns once no byte has arrived for `limit`.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let deadline = self.lock().moved + limit;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }

    fn at(&self, bytes: u64, total: u64) {
        let mut state = self.lock();
        let now = Instant::now();
        if bytes > state.bytes {
            state.bytes = bytes;
            state.moved = now;
        }
        if now >= state.logged + LOG_PAUSE {
            state.logged = now;
            tracing::info!(file = self.file, done_mib = bytes / MIB, total_mib = total / MIB, "downloading model");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DownloadState> {
        // The state is plain numbers, which stay usable after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProgressHandler for DownloadProgress {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                for file in files {
                    self.at(file.bytes_completed, file.total_bytes);
                }
            }
            ProgressEvent::Download(DownloadEvent::AggregateProgress { bytes_completed, total_bytes, .. }) => {
                self.at(*bytes_completed, *total_bytes);
            }
            _ => {}
        }
    }
}
