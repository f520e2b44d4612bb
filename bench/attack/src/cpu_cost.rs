//! Cost of the mark: one thread's CPU time for a second of audio.

use std::fs;
use std::time::{Duration, Instant};

use csm_shared::watermark::{Detector, Watermark};

use super::attack_matrix::{Pair, floats, mark};
use csm_report::Table;

use super::attack_report::AttackReport;
use super::corpus::LENGTHS;

/// Greatest share of one core for marking a stream in real time, in percent.
const EMBED_LIMIT_PERCENT: f64 = 3.0;
/// Clips that are timed.
const CLIPS: usize = 20;

/// Returns a clock of the calling thread's CPU time, or of wall time if Linux does not report CPU
/// time.
fn clock() -> impl Fn() -> Duration {
    let cpu = || -> Option<Duration> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    };
    let (begun, begun_cpu) = (Instant::now(), cpu());
    move || match (cpu(), begun_cpu) {
        (Some(now), Some(before)) => now.saturating_sub(before),
        _ => begun.elapsed(),
    }
}

/// Measures the CPU seconds of `work`.
pub(crate) fn cpu_seconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let elapsed = clock();
    let result = work();
    (elapsed().as_secs_f64(), result)
}

/// Times marking and detecting on the longest clips.
pub(crate) fn run(report: &mut AttackReport, watermark: &Watermark, detector: &Detector, pairs: &[Pair]) {
    let longest = || pairs.iter().filter(|pair| pair.clip.length == LENGTHS.len() - 1).take(CLIPS);
    let audio = longest().count().max(1) as f64 * f64::from(LENGTHS[LENGTHS.len() - 1]);
    let (embed, bytes) = cpu_seconds(|| longest().map(|pair| mark(watermark, &pair.clip.pcm).len()).sum::<usize>());
    let clips: Vec<_> = longest().map(|pair| floats(&pair.marked)).collect();
    let (detect, z) = cpu_seconds(|| clips.iter().map(|clip| detector.detect(clip).z).sum::<f32>());
    let (any_speed, score) =
        cpu_seconds(|| clips.iter().take(2).map(|clip| detector.examine_thoroughly(clip).score).sum::<f64>());
    let any_speed = any_speed * clips.len() as f64 / clips.len().clamp(1, 2) as f64;
    // The assertion uses the results; otherwise the compiler might leave the work out.
    assert!(bytes > 0 && z >= 0.0 && score >= 0.0, "nothing was marked or looked at");
    let percent = 100.0 * embed / audio;
    report.demand(percent < EMBED_LIMIT_PERCENT, || format!("marking takes {percent:.2} % of a core"));
    let mut table = Table::new(["work", "CPU ms per second of audio", "of one core in real time"]);
    for (name, seconds) in [
        ("builtin: mark a stream, 1920 samples at a time", embed),
        ("builtin: detect, 10 s clips", detect),
        ("builtin: detect at any speed", any_speed),
    ] {
        table.row([
            name.to_owned(),
            format!("{:.3}", 1_000.0 * seconds / audio),
            format!("{:.3} %", 100.0 * seconds / audio),
        ]);
    }
    report.say("\n## Cost\n");
    report.say(table);
}
