//! The loop over damaged inputs, with the limits of each, and its report.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use csm_testing::mutator::Mutator;
use tokio::time::timeout;

/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;
/// Longest time for one input.
pub const INPUT_LIMIT: Duration = Duration::from_secs(5);

/// Reader of bytes from outside.
pub(super) trait FuzzTarget: Send + Sync + 'static {
    /// Name of the reader.
    const NAME: &'static str;
    /// Most bytes of an input.
    const INPUT_BYTES_MAX: usize;
    /// Most bytes that all allocations for one input may hold at once.
    const PEAK_BYTES_MAX: usize;
    /// Words that the reader's format is made of.
    const WORDS: &'static [&'static str];

    /// Returns the undamaged inputs.
    fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>>;

    /// Reads an input. Returns the kind of the outcome, or what must not happen as an error.
    fn read(&self, input: Vec<u8>) -> impl Future<Output = Result<String, String>> + Send;
}

/// Counts of the allocator of this process.
#[derive(Clone, Copy)]
pub struct AllocationMeter {
    /// Returns the bytes that are allocated.
    pub now: fn() -> usize,
    /// Returns the most bytes since the last reset.
    pub peak: fn() -> usize,
    /// Begins a new peak.
    pub reset: fn(),
}

/// Options of a run.
#[derive(Clone)]
pub struct FuzzOptions {
    /// Length of the run.
    pub duration: Duration,
    /// Seed of every change.
    pub seed: u64,
    /// Folder for the input that is being read and for faults.
    pub folder: PathBuf,
    /// File with the only input to read.
    pub replay: Option<PathBuf>,
    /// Allocator of this process.
    pub meter: AllocationMeter,
}

/// Result of a run.
#[derive(Clone, Debug)]
pub struct FuzzReport {
    name: &'static str,
    inputs: u64,
    took: Duration,
    outcomes: usize,
    peak: usize,
    peak_max: usize,
    longest: Duration,
    /// Fault and the file with its input.
    fault: Option<(String, PathBuf)>,
}

impl FuzzReport {
    /// Returns true if no input was a fault.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.fault.is_none()
    }
}

impl fmt::Display for FuzzReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, peak) = (self.took.as_secs_f64(), self.peak as f64 / MIB);
        write!(f, "{}: {} inputs in {seconds:.1} s, {} outcomes; ", self.name, self.inputs, self.outcomes)?;
        let (most, longest) = (self.peak_max as f64 / MIB, self.longest.as_millis());
        write!(f, "peak {peak:.1} of {most:.0} MiB, longest {longest} ms: ")?;
        match &self.fault {
            None => write!(f, "PASS"),
            Some((fault, file)) => write!(f, "FAIL: {fault}; the input is {}", file.display()),
        }
    }
}

/// Panics of this process, in any thread.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn panics() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Feeds inputs to a reader until the first fault or the end of the time.
pub(super) async fn drive<T: FuzzTarget>(target: T, options: &FuzzOptions) -> anyhow::Result<FuzzReport> {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
    }));
    fs::create_dir_all(&options.folder)?;
    let current = options.folder.join(format!("{}-{}", T::NAME, options.seed));
    let corpus = match &options.replay {
        Some(file) => vec![fs::read(file)?],
        None => target.corpus()?,
    };
    let mut mutator = Mutator::new(options.seed, corpus.clone(), T::WORDS, T::INPUT_BYTES_MAX);
    let (target, began, mut outcomes) = (Arc::new(target), Instant::now(), BTreeSet::new());
    let mut report = FuzzReport {
        name: T::NAME,
        inputs: 0,
        took: Duration::ZERO,
        outcomes: 0,
        peak: 0,
        peak_max: T::PEAK_BYTES_MAX,
        longest: Duration::ZERO,
        fault: None,
    };
    let mut undamaged = corpus.into_iter();
    while report.fault.is_none() && began.elapsed() < options.duration {
        let input = match undamaged.next() {
            Some(input) => input,
            None if options.replay.is_some() => break,
            None => mutator.next_input(),
        };
        // Written first, because a fault may end the process.
        fs::write(&current, &input)?;
        match read(&target, &input, options.meter, &mut report).await {
            Ok(outcome) => {
                if outcomes.insert(outcome) {
                    mutator.keep(&input);
                }
            }
            Err(fault) => report.fault = Some((fault, current.clone())),
        }
        report.inputs += 1;
    }
    report.took = began.elapsed();
    report.outcomes = outcomes.len();
    if report.fault.is_none() {
        fs::remove_file(&current)?;
    }
    drop(std::panic::take_hook());
    Ok(report)
}

/// Reads one input within its limits.
async fn read<T: FuzzTarget>(
    target: &Arc<T>,
    input: &[u8],
    meter: AllocationMeter,
    report: &mut FuzzReport,
) -> Result<String, String> {
    let (reader, copy) = (Arc::clone(target), input.to_vec());
    (meter.reset)();
    let (before, began) = ((meter.now)(), Instant::now());
    let outcome = timeout(INPUT_LIMIT, tokio::spawn(async move { reader.read(copy).await })).await;
    let took = began.elapsed();
    let peak = (meter.peak)().saturating_sub(before);
    report.peak = report.peak.max(peak);
    report.longest = report.longest.max(took);
    if let Some(panic) = panics().into_iter().next() {
        return Err(panic);
    }
    let outcome = outcome.map_err(|_| format!("no end within {} s", INPUT_LIMIT.as_secs()))?;
    let outcome = outcome.map_err(|error| error.to_string())??;
    if peak > T::PEAK_BYTES_MAX {
        return Err(format!("{:.1} MiB at once", peak as f64 / MIB));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reader with one planted fault.
    struct Planted(fn(&[u8]) -> Result<String, String>);

    impl FuzzTarget for Planted {
        const NAME: &'static str = "planted";
        const INPUT_BYTES_MAX: usize = 100;
        const PEAK_BYTES_MAX: usize = 1_000;
        const WORDS: &'static [&'static str] = &["fault"];

        fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>> {
            Ok(vec![b"no harm".to_vec()])
        }

        async fn read(&self, input: Vec<u8>) -> Result<String, String> {
            (self.0)(&input)
        }
    }

    fn meter(peak: fn() -> usize) -> AllocationMeter {
        AllocationMeter { now: || 0, peak, reset: || {} }
    }

    async fn fault(read: fn(&[u8]) -> Result<String, String>, peak: fn() -> usize) -> Option<String> {
        let folder = tempfile::tempdir().expect("a folder");
        let duration = Duration::from_secs(60);
        let options = FuzzOptions { duration, seed: 1, folder: folder.path().into(), replay: None, meter: meter(peak) };
        let report = drive(Planted(read), &options).await.expect("a run");
        let (fault, file) = report.fault?;
        assert!(file.exists(), "the input is kept");
        Some(fault)
    }

    fn has_the_word(input: &[u8]) -> bool {
        input.windows(5).any(|five| five == b"fault")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_planted_fault_is_found() {
        let refuse = |input: &[u8]| if has_the_word(input) { Err("planted".to_owned()) } else { Ok(String::new()) };
        assert_eq!(fault(refuse, || 0).await.as_deref(), Some("planted"));
        let panic = |input: &[u8]| {
            assert!(!has_the_word(input), "planted panic");
            Ok(String::new())
        };
        assert!(fault(panic, || 0).await.is_some_and(|fault| fault.contains("planted panic")));
        let large = fault(|_| Ok(String::new()), || 2_000).await;
        assert_eq!(large.as_deref(), Some("0.0 MiB at once"));
    }
}
