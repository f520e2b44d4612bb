//! `csm-fuzz`: damaged inputs for one reader of bytes from outside. The last line printed is the
//! verdict with its figures. The exit status is 0 for a pass and 1 otherwise.
#![expect(unsafe_code, reason = "an allocator that counts; no crate of this workspace has one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use csm_shared::outln;
use csm_tests::fuzz::fuzz_run::{AllocationMeter, FuzzOptions};
use csm_tests::fuzz::{FuzzTargetName, run};

/// Bytes that are allocated.
static NOW: AtomicUsize = AtomicUsize::new(0);
/// The most bytes since the last reset.
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The system's allocator, with a count of bytes.
struct CountingAllocator;

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: each method passes its arguments unchanged to the system's allocator, which upholds the
// contract; the counts touch no memory of the caller. `realloc` and `alloc_zeroed` have defaults
// that use these two.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc`, which is the same.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            add(layout.size());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the memory came from `System.alloc` with this layout.
        unsafe { System.dealloc(memory, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc_zeroed`, which is the same.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            add(layout.size());
        }
        memory
    }
}

/// Feed damaged inputs to one reader of bytes from outside
#[derive(Parser)]
#[command(name = "csm-fuzz")]
struct FuzzCli {
    /// Reader
    #[arg(long, value_enum)]
    target: FuzzTargetName,
    /// Length of the run
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Seed of every change
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Folder for inputs that are faults
    #[arg(long, default_value = "out/fuzz", value_name = "DIR")]
    folder: PathBuf,
    /// Read this file alone
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let FuzzCli { target, seconds, seed, folder, replay } = FuzzCli::parse();
    let meter = AllocationMeter {
        now: || NOW.load(Ordering::Relaxed),
        peak: || PEAK.load(Ordering::Relaxed),
        reset: || PEAK.store(NOW.load(Ordering::Relaxed), Ordering::Relaxed),
    };
    let options = FuzzOptions { duration: Duration::from_secs(seconds), seed, folder, replay, meter };
    match run(target, &options).await {
        Ok(report) => {
            outln!("{report}");
            ExitCode::from(u8::from(!report.passed()))
        }
        Err(error) => {
            outln!("FAIL: the run broke off: {error:#}");
            ExitCode::FAILURE
        }
    }
}
