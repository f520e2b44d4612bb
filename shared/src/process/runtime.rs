//! The tokio runtime of a process, with a bounded end.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::Builder;

/// Longest time after the end of the main task for threads that still work, such as one that
/// decodes a recording of a caller that has left.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Time after which a blocking thread without work ends. The allocator gives the memory of a thread
/// back to the system when the thread ends.
const IDLE_THREAD_LIMIT: Duration = Duration::from_secs(1);

/// Runs the main task of a process. Threads that still work after its end are waited for during
/// [`END_LIMIT`], then abandoned. Each thread calls `on_park` before it waits for work.
///
/// # Errors
/// If the threads of the runtime cannot be started.
pub fn run<T>(on_park: fn(), main: impl Future<Output = T>) -> io::Result<T> {
    let mut threads = Builder::new_multi_thread();
    let runtime = threads.enable_all().thread_keep_alive(IDLE_THREAD_LIMIT).on_thread_park(on_park).build()?;
    let outcome = runtime.block_on(main);
    runtime.shutdown_timeout(END_LIMIT);
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_still_works_does_not_hold_the_process() {
        let (release, released) = channel::<()>();
        let began = Instant::now();
        let outcome = run(|| (), async {
            // Blocks until the other end is dropped.
            tokio::task::spawn_blocking(move || released.recv().is_err());
            7
        });
        assert_eq!(outcome.ok(), Some(7));
        assert!(began.elapsed() >= END_LIMIT, "the thread was waited for");
        drop(release);
    }
}
