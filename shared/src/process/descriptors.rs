//! File descriptors of a process: their limit is raised at the start, and callers get only a part.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that callers' connections leave for everything else: the admin port, Redis, files of
/// the store, the hub. Half of the limit if the limit is small.
const RESERVED: u64 = 512;

/// Raises the soft limit of open descriptors to the hard one. The usual soft limit of 1,024 is for
/// programs that call `select`.
///
/// A process that may not raise the limit goes on with the one that it has.
pub fn raise_limit() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft >= hard {
        return;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => tracing::debug!(before = soft, now = hard, "raised limit of open files"),
        Err(error) => tracing::warn!(soft, hard, error = %error, "cannot raise limit of open files"),
    }
}

/// Returns the soft limit of open descriptors.
#[must_use]
pub fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// Returns the number of HTTP connections that callers may hold, so that probes are answered however
/// many callers come.
#[must_use]
pub fn for_connections() -> usize {
    usize::try_from(of_limit(limit()) / 4 * 3).unwrap_or(usize::MAX).max(1)
}

/// Returns the number of WebSockets that callers may hold besides their HTTP connections.
#[must_use]
pub fn for_sockets() -> usize {
    usize::try_from(of_limit(limit()) / 4).unwrap_or(usize::MAX).max(1)
}

/// Returns the part of a limit that callers may hold: three quarters of it as HTTP connections, one
/// as WebSockets.
const fn of_limit(limit: u64) -> u64 {
    let reserved = if limit / 2 < RESERVED { limit / 2 } else { RESERVED };
    let left = limit - reserved;
    if left == 0 { 1 } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_get_what_the_reserve_leaves() {
        for (limit, callers) in [(0, 1), (1, 1), (64, 32), (1_024, 512), (4_096, 3_584), (1_048_576, 1_048_064)] {
            assert_eq!(of_limit(limit), callers, "{limit}");
        }
    }
}
