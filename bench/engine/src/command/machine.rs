//! The measured machine, as Linux describes it.

use std::fs;
use std::path::Path;

use crate::measure::Subject;
use anyhow::Context as _;
use csm_shared::errln;
use serde::Serialize;

use csm_report::{cores, cpu_name, kilobytes};

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Name of the processor.
    pub(crate) cpu: String,
    /// Name of the accelerator, if the model runs on one.
    pub(crate) accelerator: Option<String>,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Load average of the last minute before the benchmark began.
    pub(crate) load: f64,
}

impl Machine {
    pub(crate) fn this(subject: &Subject) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: cpu_name(&read("/proc/cpuinfo")),
            accelerator: subject.accelerator(),
            cores: cores(),
            memory_bytes: kilobytes(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }

    /// Returns the name of the device that runs the model.
    pub(crate) fn name(&self) -> &str {
        self.accelerator.as_deref().unwrap_or(&self.cpu)
    }

    /// Writes Markdown into a file of `folder`, named after `name` and the processor or
    /// accelerator. Prints the file's path.
    pub(crate) fn write_down(&self, folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
        let file = folder.join(format!("{name}-{}.md", self.slug()));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
        written.with_context(|| file.display().to_string())?;
        errln!("written: {}", file.display());
        Ok(())
    }

    /// Returns [`Machine::name`] in a form for file names.
    pub(crate) fn slug(&self) -> String {
        let words = self.name().to_lowercase();
        let words = words.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }
}

/// Returns the peak resident size of this process so far.
pub(crate) fn peak_rss_bytes() -> u64 {
    kilobytes(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmHWM:").unwrap_or(0)
}
