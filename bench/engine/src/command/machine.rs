//! The machine that was measured, as Linux tells it.

use std::fs;
use std::path::Path;

use crate::measure::Subject;
use anyhow::Context as _;
use serde::Serialize;

use csm_report::{cores, cpu_name, kilobytes};

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// The name of the accelerator that the model runs on, if it does.
    pub(crate) accelerator: Option<String>,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Work that waited for a core when the bench began, by the average of the last minute.
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

    /// What the model runs on.
    pub(crate) fn name(&self) -> &str {
        self.accelerator.as_deref().unwrap_or(&self.cpu)
    }

    /// Writes a text of Markdown into `folder`, in a file named `name` and the processor or accelerator, and says so.
    pub(crate) fn write_down(&self, folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
        let file = folder.join(format!("{name}-{}.md", self.slug()));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
        written.with_context(|| file.display().to_string())?;
        eprintln!("written: {}", file.display());
        Ok(())
    }

    /// [`Machine::name`] as part of a file's name.
    pub(crate) fn slug(&self) -> String {
        let words = self.name().to_lowercase();
        let words = words.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }
}

/// The greatest resident size of this process so far.
pub(crate) fn peak_rss_bytes() -> u64 {
    kilobytes(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmHWM:").unwrap_or(0)
}
