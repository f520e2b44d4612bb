//! Tables of `csm bench engine` in Markdown, for the terminal and for a file.

use std::fmt;

use serde::Serialize;

use super::machine::Machine;
use super::measurements::{CodecMeasurement, EngineMeasurement, StepMeasurement};
use super::part::CANDLE_CSM;
use csm_report::Table;

/// Frames in a second of audio.
const FRAMES_PER_SECOND: f64 = 12.5;

/// Bandwidth of the memory that holds the weights, in bytes per second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Floor {
    pub(crate) read: f64,
    /// Bytes read and bytes written, added.
    pub(crate) copy: f64,
    /// Length of the buffer, in bytes.
    pub(crate) buffer: u64,
}

/// Everything that one run measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EngineBenchReport {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) model: String,
    pub(crate) noise_only: bool,
    pub(crate) threads: usize,
    pub(crate) machine: Machine,
    pub(crate) floor: Floor,
    pub(crate) steps: Vec<StepMeasurement>,
    pub(crate) engine: Option<EngineMeasurement>,
    pub(crate) codec: Vec<CodecMeasurement>,
    pub(crate) peers: Vec<StepMeasurement>,
    pub(crate) skipped: Vec<String>,
}

impl EngineBenchReport {
    fn opening(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, memory_bytes, kernel, load, .. } = &self.machine;
        writeln!(f, "# Engine bench, {}, {}\n", self.date, self.machine.name())?;
        writeln!(
            f,
            "- {cpu}: {cores} cores, {:.0} GiB, Linux {kernel}; threads: {}",
            gib(*memory_bytes),
            self.threads
        )?;
        let Floor { read, copy, buffer } = self.floor;
        writeln!(
            f,
            "- memory, by streams of {:.2} GiB: {:.1} GB/s read, {:.1} GB/s copied (read and written)",
            gib(buffer),
            read / 1e9,
            copy / 1e9
        )?;
        let weights = if self.noise_only { "random weights" } else { "trained weights" };
        writeln!(f, "- model: {} ({weights})", self.model)?;
        if *load > 0.5 {
            writeln!(f, "- **the machine was not idle**: load {load:.1} when the bench began")?;
        }
        writeln!(f, "\n```sh\n{}\n```", self.command)
    }

    /// Returns csm-fleet's steps by format and rows.
    fn ours(&self) -> Table {
        let mut table = Table::new([
            "weights, rows",
            "model ms",
            "median",
            "backbone",
            "depth",
            "sampling",
            "codec",
            "mark",
            "frames/s",
            "x real time",
            "of one row",
            "of the floor",
            "peak GiB",
        ]);
        for run in &self.steps {
            let one = self.steps.iter().find(|one| one.rows == 1 && one.weights == run.weights);
            let stages = run.stages;
            let whole = run.rows as f64 * 1e3 / run.whole_ms();
            table.row([
                format!("{}, {}", run.weights, run.rows),
                number(run.mean_ms),
                number(run.median_ms),
                maybe(stages.backbone, number),
                maybe(stages.depth, number),
                maybe(stages.sampling, number),
                maybe(stages.codec, number),
                maybe(stages.watermark, number),
                number(run.frames_per_second()),
                format!("{:.2}", whole / FRAMES_PER_SECOND),
                maybe(one.map(|one| run.mean_ms / one.mean_ms), |times| format!("{times:.2}x")),
                maybe(run.share_of_floor(self.floor.read), percent),
                format!("{:.2}", gib(run.peak_rss_bytes)),
            ]);
        }
        table
    }

    fn peer_steps(&self) -> Table {
        let mut table = Table::new([
            "peer, weights, rows",
            "ms",
            "median",
            "backbone",
            "depth",
            "frames/s",
            "frames timed",
            "peak GiB",
        ]);
        for run in &self.peers {
            table.row([
                named(run),
                number(run.mean_ms),
                number(run.median_ms),
                maybe(run.stages.backbone, number),
                maybe(run.stages.depth, number),
                number(run.frames_per_second()),
                run.frames.to_string(),
                format!("{:.2}", gib(run.peak_rss_bytes)),
            ]);
        }
        table
    }

    /// Returns csm-fleet's frames per second divided by each peer's, for comparable measurements.
    /// Two measurements compare if their rows are equal, or if the peer speaks one utterance after
    /// another.
    fn ratios(&self) -> Table {
        let peers: Vec<_> = self.peers.iter().map(named).collect();
        let headings: Vec<_> = ["ours"].into_iter().chain(peers.iter().map(String::as_str)).collect();
        let mut table = Table::new(&headings);
        for run in &self.steps {
            let cells: Vec<_> = self.peers.iter().map(|peer| maybe(ratio(run, peer), times)).collect();
            if cells.iter().any(|cell| cell != "-") {
                table.row([format!("{}, {}", run.weights, run.rows)].into_iter().chain(cells));
            }
        }
        table
    }

    fn codecs(&self) -> Table {
        let mut table = Table::new(["codec, rows", "frames a call", "ms per frame and row", "over ours"]);
        for run in &self.codec {
            let ours = self.codec.iter().find(|ours| ours.batch() == run.batch());
            let share = ours.map(|ours| run.ms_per_frame_and_row / ours.ms_per_frame_and_row);
            table.row([
                format!("{}, {}", run.implementation, run.rows),
                run.frames_per_call.to_string(),
                format!("{:.2}", run.ms_per_frame_and_row),
                maybe(share, times),
            ]);
        }
        table
    }

    fn engine(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(run) = &self.engine else { return Ok(()) };
        let mut table = Table::new(["the engine with its threads", ""]);
        let mut line = |what: String, value: String| table.row([what, value]);
        line(format!("all {} slots, sound included: frames/s", run.slots), number(run.frames_per_second));
        line("x real time".to_owned(), format!("{:.2}", run.frames_per_second / FRAMES_PER_SECOND));
        line("a step of them, ms".to_owned(), number(run.step_together_ms));
        line("the codec beside it, ms per frame and row".to_owned(), number(run.codec_ms));
        line("first sound of an utterance alone, ms".to_owned(), number(run.first_sound_ms));
        line("frames that the model had made by then".to_owned(), run.first_sound_frames.to_string());
        line("a step of one row, ms".to_owned(), number(run.step_alone_ms));
        line("its longest gap between two frames, ms".to_owned(), number(run.gap_alone_ms));
        line(
            format!("its longest gap while {} positions are admitted, ms", run.admitted_positions),
            number(run.gap_admitting_ms),
        );
        line(format!("the longest of their {} pieces, ms", run.pieces), number(run.longest_piece_ms));
        line(
            "peak memory, every slot filled to its last position, GiB".to_owned(),
            format!("{:.2}", gib(run.peak_rss_bytes)),
        );
        write!(f, "\n## The engine, {}, {} slots\n\n{table}", run.weights, run.slots)
    }

    /// Writes the resident memory at the rows of the engine's measurement.
    fn memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(engine) = &self.engine else { return Ok(()) };
        let run = self.steps.iter().filter(|run| run.weights == engine.weights && run.rows <= engine.slots);
        let Some(run) = run.max_by_key(|run| run.rows) else { return Ok(()) };
        let mut table = Table::new(["resident", "MiB"]);
        for (name, bytes) in &run.memory {
            table.row([name.clone(), mib(*bytes)]);
        }
        table.row(["together".to_owned(), mib(run.memory.iter().map(|(_, bytes)| bytes).sum())]);
        write!(f, "\n## Memory, {}, {} slots\n\n{table}", run.weights, run.rows)
    }
}

impl fmt::Display for EngineBenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.opening(f)?;
        let frames = self.steps.first().map_or(0, |run| run.frames);
        writeln!(f, "\n## Ours: milliseconds of one frame of all rows, {frames} frames timed\n\n{}", self.ours())?;
        writeln!(
            f,
            "\"frames/s\" is the model's alone, \"x real time\" with codec and mark one after another. \"Of one row\" is the \
             model's time over that of one row. \"Of the floor\" is the time that reading a step's weights once takes at the \
             read bandwidth, over the model's time."
        )?;
        self.engine(f)?;
        self.memory(f)?;
        write!(f, "\n## Codec\n\n{}", self.codecs())?;
        if !self.peers.is_empty() {
            writeln!(f, "\n## Peers, the model alone\n\n{}", self.peer_steps())?;
            let prompts = self.peers.first().map_or(0, |peer| peer.prompt_positions);
            writeln!(
                f,
                "Prompts of {prompts} text positions, as ours; no utterance ends early; warm-up and prompt are not timed. \
                 transformers runs its own `generate()`."
            )?;
        }
        let ratios = self.ratios();
        if !ratios.is_empty() {
            writeln!(f, "\n## Frames per second, ours over theirs, the model alone\n\n{ratios}")?;
            writeln!(f, "{CANDLE_CSM} has no batch: several utterances take it one after another.")?;
        }
        let notes: Vec<_> =
            self.steps.iter().chain(&self.peers).filter_map(|run| Some((run, run.note.as_ref()?))).collect();
        for (run, note) in notes {
            writeln!(f, "\n- {}: {note}", named(run))?;
        }
        for skipped in &self.skipped {
            writeln!(f, "\n- not measured: {skipped}")?;
        }
        Ok(())
    }
}

/// Returns csm-fleet's frames per second divided by a peer's; `None` if their rows do not compare.
pub(crate) fn ratio(ours: &StepMeasurement, peer: &StepMeasurement) -> Option<f64> {
    let fair = ours.rows == peer.rows || peer.implementation == CANDLE_CSM;
    fair.then(|| ours.frames_per_second() / peer.frames_per_second())
}

fn named(run: &StepMeasurement) -> String {
    format!("{}, {}, {}", run.implementation, run.weights, run.rows)
}

/// Formats a value with three significant digits.
pub(crate) fn number(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

fn maybe(value: Option<f64>, shown: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn times(ratio: f64) -> String {
    format!("{}x", number(ratio))
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}
