//! Life of a program around its `main`: the runtime, the last words, and an end in bounded time.

use std::error::Error;
use std::process::ExitCode;

use super::error_chain::in_one_line;
use super::{log_queue, output, runtime, traces};
use crate::errln;

/// Runs a program to its end, and returns its exit status: 1 after an error, which is printed on
/// one line.
pub fn run<E: Into<Box<dyn Error + Send + Sync>>>(program: impl Future<Output = Result<ExitCode, E>>) -> ExitCode {
    run_parking(|| (), program)
}

/// Runs a program like [`run`]. Each thread calls `on_park` before it waits for work.
pub fn run_parking<E: Into<Box<dyn Error + Send + Sync>>>(
    on_park: fn(),
    program: impl Future<Output = Result<ExitCode, E>>,
) -> ExitCode {
    let ended = runtime::run(on_park, async {
        program.await.unwrap_or_else(|error| {
            let error: Box<dyn Error + Send + Sync> = error.into();
            errln!("error: {}", in_one_line(&*error));
            ExitCode::FAILURE
        })
    });
    let mut code = ended.unwrap_or_else(|error| {
        errln!("error: cannot start threads: {error}");
        ExitCode::FAILURE
    });
    if let Err(error) = output::finish() {
        errln!("error: cannot write standard output: {error}");
        code = ExitCode::FAILURE;
    }
    traces::finish();
    log_queue::flush();
    code
}
