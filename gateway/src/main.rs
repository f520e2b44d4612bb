//! The gateway process: settings, logs, metrics, serve, drain.

#![deny(unsafe_code)]

use std::ffi::{c_int, c_long};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use csm_gateway::{GatewayArgs, GatewayError};
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::{self, TelemetryArgs};
use csm_shared::process::{descriptors, program, secrets};

/// Longest time from the end of the drain to the end of the process: answers leave, tasks end.
const END_MARGIN: Duration = Duration::from_secs(8);

/// Allocator that gives memory back to the system soon after a large request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of the allocator's option `purge_delay`: the milliseconds for which it keeps freed memory.
const PURGE_DELAY: c_int = 15;

/// Shortest pause between two collections of one thread's memory.
const COLLECT_EVERY: Duration = Duration::from_secs(1);

#[expect(unsafe_code, reason = "the allocator's crate has no safe functions for options and collections")]
mod allocator {
    use std::cell::Cell;
    use std::time::Instant;

    use super::{COLLECT_EVERY, PURGE_DELAY, c_int, c_long};

    unsafe extern "C" {
        /// Sets an option of mimalloc 3, by its number in `mimalloc.h`.
        fn mi_option_set(option: c_int, value: c_long);
        /// Takes back what other threads freed of this thread's memory, and frees empty pages.
        fn mi_collect(force: bool);
    }

    thread_local! {
        static COLLECTED: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    /// Has this thread's unused memory given back, at most once in [`COLLECT_EVERY`]. Connections end
    /// on other threads than those that opened them, and a thread that waits takes nothing back.
    pub(super) fn collect() {
        let now = Instant::now();
        if COLLECTED.get().is_some_and(|last| now.duration_since(last) < COLLECT_EVERY) {
            return;
        }
        COLLECTED.set(Some(now));
        // SAFETY: the function concerns the calling thread's own heap, which it may use at any time.
        unsafe { mi_collect(true) }
    }

    /// Has freed memory given back at once. Kept memory comes on top of what requests are granted.
    pub(super) fn purge_at_once() {
        // SAFETY: the function writes a number into a table of the allocator, and any number is
        // allowed. No other thread runs yet.
        unsafe { mi_option_set(PURGE_DELAY, 0) }
    }
}

/// HTTP and WebSocket front of csm-fleet
#[derive(Parser)]
#[command(version)]
struct GatewayCli {
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

fn main() -> ExitCode {
    allocator::purge_at_once();
    let cli: GatewayCli = secrets::parse();
    program::run_parking(allocator::collect, serve(&cli))
}

/// Serves until a signal.
async fn serve(cli: &GatewayCli) -> anyhow::Result<ExitCode> {
    telemetry::start_logs(&cli.telemetry)?;
    descriptors::raise_limit();
    secrets::warn_of_visible::<GatewayCli>();
    let shutdown = Shutdown::on_signals(cli.gateway.grace() + END_MARGIN).context("signal handlers")?;
    let metrics = telemetry::start_metrics(shutdown.token().clone())?;
    match csm_gateway::serve(&cli.gateway, metrics, shutdown.token().clone()).await {
        Ok(gateway) => gateway.join().await?,
        Err(GatewayError::Stopped) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}
