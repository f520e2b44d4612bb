//! CUDA checked from outside: the driver, its devices, and whether the CUDA worker starts here.
//!
//! A CUDA worker is a program of its own, because the loader refuses it if a CUDA library is
//! missing. The loader's message is translated into advice here.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::CheckResult;
use super::program::{answer, find, first_line};

/// Oldest driver that accepts code of the CUDA toolkit 13.0.
const DRIVER_LEAST: u32 = 580;
/// Library of the driver, which no toolkit contains.
const DRIVER_LIBRARY: &str = "libcuda.so.1";
/// Exit status of the loader of shared libraries if one is missing.
const LOADER_EXIT: i32 = 127;

const GPU: &str = "gpu";
const DRIVER: &str = "driver";
const WORKER: &str = "cuda worker";

/// GPU as `nvidia-smi` describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gpu {
    pub(super) name: String,
    /// Major number of the driver's version.
    pub(super) driver: u32,
    /// Compute capability without its dot: 89 for 8.9.
    pub(super) capability: u32,
}

pub(super) async fn check(given: Option<&Path>) -> Vec<CheckResult> {
    let gpu = gpu().await;
    let there = gpu.is_some() || has_device();
    let mut findings = vec![match &gpu {
        Some(gpu) => CheckResult::ok(GPU, format!("{}, compute capability {}", gpu.name, gpu.capability)),
        None if there => CheckResult::warning(
            GPU,
            "/dev/nvidia0 is there, but nvidia-smi tells nothing",
            "In a container, pass the GPU with its tools: --gpus all, NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        ),
        None => CheckResult::ok(GPU, "no NVIDIA GPU on this machine: the CPU worker is the one to run"),
    }];
    if there {
        findings.push(driver(gpu.as_ref(), driver_loads().await));
    }
    findings.push(worker(given, gpu.as_ref(), there).await);
    findings
}

async fn gpu() -> Option<Gpu> {
    let query = ["--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"];
    let told = answer(find("nvidia-smi")?, &query, &[]).await?;
    if told.status.success() { parse_gpu(&first_line(&told.stdout)) } else { None }
}

/// Parses a line such as `NVIDIA L4, 580.65.06, 8.9`.
pub(super) fn parse_gpu(line: &str) -> Option<Gpu> {
    let mut fields = line.split(',').map(str::trim);
    let name = fields.next()?.to_owned();
    let driver = fields.next()?.split('.').next()?.parse().ok()?;
    let capability = fields.next()?.replace('.', "").parse().ok()?;
    Some(Gpu { name, driver, capability })
}

fn has_device() -> bool {
    let names = fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| {
        let number = name.to_str().and_then(|name| name.strip_prefix("nvidia"));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

/// Checks whether the loader finds the driver's library. A child is asked to preload the library
/// and complains if it cannot.
async fn driver_loads() -> bool {
    match find("true") {
        Some(program) => {
            let output = answer(program, &[], &[("LD_PRELOAD", DRIVER_LIBRARY)]).await;
            output.is_some_and(|output| output.stderr.is_empty())
        }
        None => false,
    }
}

pub(super) fn driver(gpu: Option<&Gpu>, loads: bool) -> CheckResult {
    if !loads {
        return CheckResult::problem(
            DRIVER,
            format!("{DRIVER_LIBRARY} cannot be loaded, so no CUDA program starts"),
            "Install the NVIDIA driver; in a container, run with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        );
    }
    match gpu {
        Some(gpu) if gpu.driver < DRIVER_LEAST => CheckResult::problem(
            DRIVER,
            format!("the driver is {}, while the CUDA worker needs {DRIVER_LEAST} or later", gpu.driver),
            "Update the NVIDIA driver",
        ),
        Some(gpu) => CheckResult::ok(DRIVER, format!("{}, and {DRIVER_LIBRARY} loads", gpu.driver)),
        None => CheckResult::ok(DRIVER, format!("{DRIVER_LIBRARY} loads")),
    }
}

async fn worker(given: Option<&Path>, gpu: Option<&Gpu>, there: bool) -> CheckResult {
    let make = format!("Build one: make cuda CAP={}", gpu.map_or(89, |gpu| gpu.capability));
    let Some(file) = given.map(Path::to_owned).or_else(|| built(gpu)) else {
        return if there {
            CheckResult::warning(WORKER, "none is built, so the GPU is not used", make)
        } else {
            CheckResult::ok(WORKER, "none is built, and none is needed here")
        };
    };
    let Some(output) = answer(&file, &["--version"], &[]).await else {
        return CheckResult::problem(WORKER, format!("{} cannot be run", file.display()), make);
    };
    if output.status.success() {
        let what = format!("{} starts: {}", file.display(), first_line(&output.stdout));
        return match (gpu, capability_of(&file)) {
            (Some(gpu), Some(built)) if built != gpu.capability => {
                let what = format!("{what}; it is built for capability {built}, the GPU has {}", gpu.capability);
                CheckResult::warning(WORKER, what, make)
            }
            _ => CheckResult::ok(WORKER, what),
        };
    }
    let (why, advice) = in_words(&output);
    let what = format!("{} does not start: {why}", file.display());
    if there { CheckResult::problem(WORKER, what, advice) } else { CheckResult::warning(WORKER, what, advice) }
}

/// Returns the worker that `make cuda` left beside this program's own folder, preferably one for
/// this GPU.
fn built(gpu: Option<&Gpu>) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let folders = fs::read_dir(own.parent()?.parent()?.join("cuda")).ok()?.flatten();
    let mut workers: Vec<_> =
        folders.map(|folder| folder.path().join("csm-worker")).filter(|file| file.is_file()).collect();
    workers.sort_by_key(|file| (gpu.map(|gpu| gpu.capability) != capability_of(file), file.clone()));
    workers.into_iter().next()
}

/// Returns the compute capability that names the folder of a worker.
fn capability_of(worker: &Path) -> Option<u32> {
    worker.parent()?.file_name()?.to_str()?.parse().ok()
}

/// Returns why a program ended at its start, and advice.
pub(super) fn in_words(output: &Output) -> (String, String) {
    let said = first_line(&output.stderr);
    match (output.status.code(), missing_library(&said)) {
        (Some(LOADER_EXIT), Some(DRIVER_LIBRARY)) => (
            format!("the loader finds no {DRIVER_LIBRARY}, which is part of the NVIDIA driver"),
            "Without an NVIDIA GPU, run the CPU worker; with one, install its driver (580 or later), and in a container \
             pass it by --gpus all"
                .to_owned(),
        ),
        (Some(LOADER_EXIT), Some(library)) => (
            format!("the loader finds no {library}, which is part of the CUDA 13 libraries"),
            "Install cuBLAS, cuRAND and NVRTC of CUDA 13, or set LD_LIBRARY_PATH to the folder that `make cuda` printed"
                .to_owned(),
        ),
        (Some(code), _) => (format!("it exits with {code}: {said}"), "Build it anew: make cuda".to_owned()),
        (None, _) => {
            let signal = output.status.signal().unwrap_or_default();
            (format!("signal {signal} ended it"), "It may be built for another processor: make cuda".to_owned())
        }
    }
}

/// Returns the library named in `x: error while loading shared libraries: libcuda.so.1: cannot open
/// ...`.
fn missing_library(said: &str) -> Option<&str> {
    let rest = said.split_once("error while loading shared libraries: ")?.1;
    Some(rest.split_once(':')?.0)
}
