//! Life of a program around its `main`: the runtime, the last words, and an end in bounded time.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use super::{log_queue, output};
use crate::errln;

/// Longest wait for tasks on threads of their own, after the program's work has ended.
const THREADS_END_LIMIT: Duration = Duration::from_secs(2);

/// Runs a program to its end, and returns its exit status: 1 after an error, which is printed on
/// one line.
pub fn run<E: Into<Box<dyn Error + Send + Sync>>>(program: impl Future<Output = Result<ExitCode, E>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            errln!("error: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut code = runtime.block_on(program).unwrap_or_else(|error| {
        let error: Box<dyn Error + Send + Sync> = error.into();
        errln!("error: {}", causes(&*error));
        ExitCode::FAILURE
    });
    if let Err(error) = output::finish() {
        errln!("error: cannot write standard output: {error}");
        code = ExitCode::FAILURE;
    }
    runtime.shutdown_timeout(THREADS_END_LIMIT);
    log_queue::flush();
    code
}

/// Formats an error with its causes on one line. A cause that the text before it already holds is
/// left out: many errors repeat their cause in their own text.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text += ": ";
            text += &told;
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }

    fn chain(texts: &[&'static str]) -> Option<Box<Told>> {
        texts.iter().copied().rev().fold(None, |source, text| Some(Box::new(Told { text, source })))
    }

    #[test]
    fn a_cause_is_told_once() {
        let told = |texts: &[&'static str]| chain(texts).map(|error| causes(&*error));
        let doubled = told(&["cannot listen on a: in use", "in use"]);
        assert_eq!(doubled.as_deref(), Some("cannot listen on a: in use"));
        assert_eq!(told(&["reading x", "no such file"]).as_deref(), Some("reading x: no such file"));
        let thrice = told(&["worker: store: gone", "store: gone", "gone"]);
        assert_eq!(thrice.as_deref(), Some("worker: store: gone"));
    }
}
