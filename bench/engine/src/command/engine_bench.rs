//! `csm bench engine`: takes every measurement in turn, then prints the tables and saves them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use crate::measure::{Bandwidth, device_bandwidth, host_bandwidth};
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum as _};
use csm_engine::engine::{DeviceChoice, MAX_SLOTS};
use csm_engine::model::WeightFormat;
use csm_engine::random_model;
use csm_shared::{errln, outln};
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::child::measure;
use super::engine_tables::{EngineBenchReport, Floor};
use super::machine::Machine;
use super::measurements::{CodecMeasurement, EngineMeasurement, StepMeasurement};
use super::part::{BenchPart, CANDLE_CSM, CANDLE_MIMI};
use csm_report::today;

use super::{SubjectArgs, command_line};

/// Slots of the measured engine: a worker's default.
const ENGINE_SLOTS: u8 = 5;
/// Batch sizes of the peers that can batch, and of the codecs.
const PEER_ROWS: [u8; 2] = [1, 5];
/// Number formats of the peers, by device: the fastest, and the choice of the peer's example.
const CANDLE_ON_CPU: [(BenchPart, &str); 2] = [(BenchPart::CandleF32, "f32"), (BenchPart::CandleF16, "f16")];
const CANDLE_ON_CUDA: [(BenchPart, &str); 1] = [(BenchPart::CandleBf16, "bf16")];
const TRANSFORMERS_ON_CPU: [&str; 2] = ["bf16", "f32"];
const TRANSFORMERS_ON_CUDA: [&str; 1] = ["bf16"];
/// Frames that a codec decodes in one call: one, as for the first sound, and two seconds.
const CODEC_CALLS: [u16; 2] = [1, 25];
/// Script in the peers' folder.
const PEER_SCRIPT: &str = "transformers_peer.py";
/// Buffer of the bandwidth measurement, in bytes; an eighth of the memory if that is less.
const BUFFER_BYTES: u64 = 1 << 30;

#[derive(Args, Debug)]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Rows of a step, one measurement each
    #[arg(long, default_value = "1,2,5,8,16", value_delimiter = ',', value_name = "N,N", value_parser = clap::value_parser!(u8).range(1..=MAX_SLOTS as i64))]
    slots: Vec<u8>,
    /// Number formats of csm-fleet's weights; the threaded engine is measured with the first
    #[arg(long, default_value = "q8_0,f32", value_delimiter = ',', value_name = "FORMAT,FORMAT")]
    weights: Vec<WeightFormat>,
    /// Frames that are timed
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    frames: u16,
    /// Frames of the peers that are timed
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    peer_frames: u16,
    /// Folder of the peers' scripts, or `none`
    #[arg(long, default_value = "bench/peers", value_name = "DIR|none")]
    peers: Peers,
    /// Python that has torch and transformers
    #[arg(long, env = "PYTHON", default_value = "python3", value_name = "FILE")]
    python: PathBuf,
    /// Write all numbers to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to a file of this folder, named after day and processor
    #[arg(long, value_name = "DIR")]
    docs: Option<PathBuf>,
}

/// Folder of the peers' scripts, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    None,
    Folder(PathBuf),
}

impl FromStr for Peers {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "none" { Self::None } else { Self::Folder(text.into()) })
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Folder(folder) => folder.display().fmt(f),
        }
    }
}

pub(crate) async fn run(args: EngineArgs) -> Result<ExitCode> {
    let machine = Machine::this(&args.subject.subject());
    let mut bench = EngineBench { args, skipped: Vec::new() };
    let report = bench.report(machine).await?;
    outln!("{report}");
    if let Some(file) = &bench.args.json {
        fs::write(file, format!("{:#}\n", serde_json::to_value(&report)?))
            .with_context(|| file.display().to_string())?;
    }
    if let Some(folder) = &bench.args.docs {
        report.machine.write_down(folder, &report.date, &report.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

struct EngineBench {
    args: EngineArgs,
    /// Measurements that a peer could not make, each with the reason.
    skipped: Vec<String>,
}

impl EngineBench {
    async fn report(&mut self, machine: Machine) -> Result<EngineBenchReport> {
        let floor = self.floor(&machine)?;
        let mut steps = Vec::new();
        for format in self.args.weights.clone() {
            for rows in self.args.slots.clone() {
                steps.push(self.ours::<StepMeasurement>(BenchPart::Steps, format, rows, self.args.frames).await?);
            }
        }
        let slots = self.args.slots.iter().copied().max().unwrap_or(1).clamp(2, ENGINE_SLOTS);
        let engine = match self.args.weights.first() {
            Some(&format) => {
                Some(self.ours::<EngineMeasurement>(BenchPart::Engine, format, slots, self.args.frames).await?)
            }
            None => None,
        };
        let mut codec = Vec::new();
        for (rows, block) in codec_batches() {
            codec.push(self.codec(BenchPart::Codec, rows, block).await?);
        }
        let mut peers = Vec::new();
        if let Peers::Folder(folder) = self.args.peers.clone() {
            peers = self.peers(&folder).await;
            codec.extend(self.peer_codecs(&folder).await);
        }
        Ok(EngineBenchReport {
            date: today(),
            command: command_line(),
            model: self.args.subject.model.display().to_string(),
            noise_only: random_model::is_noise(&self.args.subject.model),
            threads: self.args.subject.threads(),
            machine,
            floor,
            steps,
            engine,
            codec,
            peers,
            skipped: std::mem::take(&mut self.skipped),
        })
    }

    fn floor(&self, machine: &Machine) -> Result<Floor> {
        errln!("memory bandwidth");
        let buffer = usize::try_from(BUFFER_BYTES.min(machine.memory_bytes / 8)).unwrap_or(usize::MAX);
        let Bandwidth { read, copy, buffer, .. } = match self.args.subject.device {
            DeviceChoice::Cpu => host_bandwidth(self.args.subject.threads(), buffer),
            DeviceChoice::Cuda(_) | DeviceChoice::Auto => device_bandwidth(&self.args.subject.subject(), buffer)?,
        };
        Ok(Floor { read, copy, buffer: buffer as u64 })
    }

    /// Takes one of this program's own measurements of a model.
    async fn ours<T: DeserializeOwned>(
        &self,
        part: BenchPart,
        format: WeightFormat,
        rows: u8,
        frames: u16,
    ) -> Result<T> {
        let (rows, frames) = (rows.to_string(), frames.to_string());
        self.part(part, &["--weights", format.name(), "--rows", &rows, "--frames", &frames]).await
    }

    /// Measures a codec over as many frames as a model, but at least two calls.
    async fn codec(&self, part: BenchPart, rows: u8, block: u16) -> Result<CodecMeasurement> {
        let frames = self.args.frames.max(2 * block).to_string();
        let (rows, block) = (rows.to_string(), block.to_string());
        self.part(part, &["--rows", &rows, "--frames", &frames, "--frames-per-call", &block]).await
    }

    async fn part<T: DeserializeOwned>(&self, part: BenchPart, arguments: &[&str]) -> Result<T> {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        errln!("{name} {}", arguments.join(" "));
        let mut command = Command::new(std::env::current_exe().context("this program's own file")?);
        command.args(["bench", "part", &name]).args(self.args.subject.to_arguments()).args(arguments);
        // Threads of candle's modules.
        let threads = self.args.subject.threads().to_string();
        command.env("RAYON_NUM_THREADS", &threads).env("CANDLE_NUM_THREADS", &threads);
        measure(&mut command).await
    }

    async fn peers(&mut self, folder: &Path) -> Vec<StepMeasurement> {
        let (candle, transformers): (&[_], &[_]) = match self.args.subject.device {
            DeviceChoice::Cpu => (&CANDLE_ON_CPU, &TRANSFORMERS_ON_CPU),
            DeviceChoice::Cuda(_) | DeviceChoice::Auto => (&CANDLE_ON_CUDA, &TRANSFORMERS_ON_CUDA),
        };
        let mut runs = Vec::new();
        for &(part, weights) in candle {
            let run = self.part::<StepMeasurement>(part, &["--frames", &self.args.peer_frames.to_string()]).await;
            runs.extend(self.or_skipped(&format!("{CANDLE_CSM}, {weights}"), run));
        }
        for weights in transformers {
            for rows in PEER_ROWS {
                let (rows, frames) = (rows.to_string(), self.args.peer_frames.to_string());
                let arguments = ["steps", "--dtype", weights, "--rows", &rows, "--frames", &frames];
                let run = self.python::<StepMeasurement>(folder, &arguments).await;
                runs.extend(self.or_skipped(&format!("transformers, {}", arguments.join(" ")), run));
            }
        }
        runs
    }

    async fn peer_codecs(&mut self, folder: &Path) -> Vec<CodecMeasurement> {
        let mut runs = Vec::new();
        for (rows, block) in codec_batches() {
            let run = self.codec(BenchPart::CandleMimi, rows, block).await;
            runs.extend(self.or_skipped(CANDLE_MIMI, run));
            let frames = self.args.frames.max(2 * block).to_string();
            let (rows, block) = (rows.to_string(), block.to_string());
            let arguments = ["codec", "--rows", &rows, "--frames-per-call", &block, "--frames", &frames];
            let run = self.python::<CodecMeasurement>(folder, &arguments).await;
            runs.extend(self.or_skipped(&format!("transformers, {}", arguments.join(" ")), run));
        }
        runs
    }

    async fn python<T: DeserializeOwned>(&self, folder: &Path, arguments: &[&str]) -> Result<T> {
        errln!("transformers {}", arguments.join(" "));
        let SubjectArgs { model, prompt, device, .. } = &self.args.subject;
        let mut command = Command::new(&self.args.python);
        command.arg(folder.join(PEER_SCRIPT)).args(arguments).arg("--model").arg(model);
        command.args(["--prompt", &prompt.to_string(), "--threads", &self.args.subject.threads().to_string()]);
        command.args(["--device", &device.to_string()]);
        measure(&mut command).await
    }

    /// Records a peer's failure in the report, so the other measurements go on.
    fn or_skipped<T>(&mut self, what: &str, run: Result<T>) -> Option<T> {
        let reason = |error: anyhow::Error| format!("{what}: {error:#}").lines().collect::<Vec<_>>().join(" / ");
        run.map_err(|error| self.skipped.push(reason(error))).ok()
    }
}

/// Returns rows and frames of each call of a codec.
fn codec_batches() -> impl Iterator<Item = (u8, u16)> {
    CODEC_CALLS.into_iter().flat_map(|block| PEER_ROWS.map(|rows| (rows, block)))
}
