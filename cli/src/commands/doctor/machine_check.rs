//! Processor and memory, compared with the needs of the model.

use std::fs;

use super::CheckResult;
use csm_report::kilobytes;

/// Memory that a full-size worker needs on a CPU: q8_0 weights, codec, caches of five slots.
const MODEL_BYTES: u64 = 4 << 30;

/// Checks the cores and the instructions that multiply quantised weights.
pub(super) fn processor() -> CheckResult {
    const CHECK: &str = "cpu";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let what = |means: &str| format!("{cores} cores, {means}");
    match instructions() {
        Some(name) => CheckResult::ok(CHECK, what(&format!("{name} for q8_0 weights"))),
        None => CheckResult::warning(
            CHECK,
            what("none of the instructions that q8_0 weights have kernels for"),
            "The full-size model will be many times slower than on an x86-64 with AVX2 or AVX-512 VNNI",
        ),
    }
}

/// Returns the best instruction set that both the kernels and this CPU support.
fn instructions() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if !(has!("avx2") && has!("fma") && has!("f16c")) {
            return None;
        }
        let wide = has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq") && has!("avx512vnni");
        Some(if wide { "AVX-512 VNNI, the fastest there is," } else { "AVX2, slower than AVX-512 VNNI," })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Compares free memory, as far as the control group allows it, with the model's need.
pub(super) fn memory() -> CheckResult {
    const CHECK: &str = "memory";
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let Some(available) = kilobytes(&info, "MemAvailable:") else {
        return CheckResult::ok(CHECK, "this system does not tell how much is free");
    };
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|limit| limit.trim().parse().ok());
    let usable = available.min(limit.unwrap_or(u64::MAX));
    let what =
        format!("{:.1} GiB free; a full-size worker takes {} GiB with q8_0 weights", gib(usable), gib(MODEL_BYTES));
    if usable < MODEL_BYTES {
        return CheckResult::warning(CHECK, what, "Free some, choose q4_k weights, or run the tiny model");
    }
    CheckResult::ok(CHECK, what)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
