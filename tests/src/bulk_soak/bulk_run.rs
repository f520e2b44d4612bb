//! The run: one batch from its upload to its end, under kills, and the count of its lines.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use csm_shared::outln;
use csm_shared::watermark::{Detector, WatermarkKey};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::BulkEngine;
use super::bulk_fleet::{BulkFleet, GATEWAYS};
use super::ledger::Ledger;
use super::peak_memory::PeakMemory;

/// Pause between two looks at the batch and at memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks between two lines of progress.
const TELL_EVERY: u32 = 20;
/// Longest time without a further line that has ended.
const SILENCE_MAX: Duration = Duration::from_secs(180);
/// Longest time for a request that is repeated.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);
/// Kills in ten of a gateway, of a worker, and of Redis.
const KILLS: [(&str, u32); 3] = [("gateway", 4), ("worker", 4), ("redis", 2)];

/// Options of a run.
#[derive(Clone, Debug)]
pub struct BulkOptions {
    /// Lines of the batch.
    pub lines: usize,
    /// Worker of the run.
    pub engine: BulkEngine,
    /// Model of the gateways, and of the workers that have one.
    pub model: Option<PathBuf>,
    /// Number of workers.
    pub workers: usize,
    /// Slots of each worker.
    pub slots: u8,
    /// Time of a job of a worker without a model, in milliseconds.
    pub job_ms: u64,
    /// Mean time between two kills; none without.
    pub kill_every: Option<Duration>,
    /// Every how many files the mark is looked for.
    pub stride: usize,
    /// Seed of every choice.
    pub seed: u64,
    /// Redis speaks TLS alone and knows the fleet's users and their rights.
    pub secure: bool,
}

/// Figures and faults of a run.
#[derive(Debug)]
pub struct BulkReport {
    lines: usize,
    seconds: f64,
    /// Mean share of the slots that were busy, between a tenth and nine tenths of the lines.
    busy: f64,
    kills: Vec<(&'static str, usize)>,
    peak: PeakMemory,
    ledger: Ledger,
}

impl BulkReport {
    /// Returns true if every line is accounted for.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.ledger.faults.is_empty() && self.ledger.spoken + self.ledger.failed.values().sum::<usize>() == self.lines
    }
}

impl fmt::Display for BulkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, seconds, busy, kills, peak, ledger } = self;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        for fault in &ledger.faults {
            writeln!(f, "FAULT {fault}")?;
        }
        writeln!(f, "{lines} lines in {seconds:.0} s, {:.0} a second", *lines as f64 / seconds)?;
        let audio_hours = ledger.audio_ms as f64 / 3_600_000.0;
        writeln!(f, "{audio_hours:.2} hours of audio, {:.1} in an hour", audio_hours * 3_600.0 / seconds)?;
        writeln!(f, "slots busy in the middle: {:.1} %", busy * 100.0)?;
        writeln!(f, "kills: {kills:?}")?;
        writeln!(
            f,
            "spoken {}, failed {:?}, not by the first attempt {}",
            ledger.spoken, ledger.failed, ledger.tried_again
        )?;
        writeln!(f, "mark looked for in {} files", ledger.examined)?;
        write!(f, "peak memory: gateway {:.1} MiB, Redis {:.1} MiB", mib(peak.gateway), mib(peak.redis))
    }
}

/// Returns the name of a line.
fn name(number: usize) -> String {
    format!("Line-{number}")
}

/// Returns the text of a line; all have one to three sentences.
fn text(number: usize) -> String {
    let more = ["", " It is dark outside.", " We have to go home now. Come with me."][number % 3];
    format!("This is line {number} of the night.{more}")
}

/// Runs a batch on a fleet under kills, counts its lines, and prints the figures.
///
/// # Errors
/// If the batch does not end. Faults of one that ended are in the report.
pub async fn run(options: BulkOptions) -> anyhow::Result<BulkReport> {
    let folder = tempfile::Builder::new().prefix("csm-bulk-soak-").tempdir()?;
    match Box::pin(gather(&options, folder.path())).await {
        Ok(report) => {
            // It takes minutes to remove the files of many lines.
            outln!("{report}");
            if !report.passed() {
                outln!("logs, files and the data of Redis are in {}", folder.keep().display());
            }
            Ok(report)
        }
        Err(error) => Err(error.context(format!("see {}", folder.keep().display()))),
    }
}

async fn gather(options: &BulkOptions, folder: &Path) -> anyhow::Result<BulkReport> {
    let mut fleet = BulkFleet::start(folder, options).await?;
    let caller = Caller { client: Client::new(), addresses: fleet.addresses.clone() };
    let lines = (0..options.lines).map(|number| {
        let body = json!({"input": text(number), "response_format": "wav"});
        json!({"custom_id": name(number), "method": "POST", "url": "/v1/audio/speech", "body": body}).to_string() + "\n"
    });
    let batch = caller.order(lines.collect()).await?;
    let begun = Instant::now();
    let (mut kills, mut peak) = (KILLS.map(|(what, _)| (what, 0_usize)), PeakMemory::default());
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut next_kill = options.kill_every.map(|mean| begun + pause(&mut random, mean));
    let (mut ended, mut moved, mut busy) = (0, Instant::now(), Vec::new());
    for look in 0_u32.. {
        sleep(LOOK_EVERY).await;
        fleet.gateways.iter().for_each(|gateway| peak.see_gateway(gateway.process.id()));
        peak.see_redis(&fleet.redis.admin_url()).await;
        if let (Some(at), Some(mean)) = (next_kill, options.kill_every)
            && Instant::now() >= at
        {
            kill(&mut fleet, &mut random, &mut kills).await?;
            next_kill = Some(Instant::now() + pause(&mut random, mean));
        }
        let Some(document) = caller.once(|at| caller.client.get(format!("{at}/v1/batches/{batch}"))).await else {
            continue;
        };
        let counts = &document["request_counts"];
        let now = counts["completed"].as_u64().unwrap_or_default() + counts["failed"].as_u64().unwrap_or_default();
        if now != ended {
            (ended, moved) = (now, Instant::now());
        }
        if look.is_multiple_of(TELL_EVERY) {
            outln!("{:4.0} s: {} {counts}", begun.elapsed().as_secs_f64(), document["status"]);
        }
        let middle = options.lines as u64 / 10..options.lines as u64 * 9 / 10;
        if middle.contains(&now)
            && let Some(fleet) = caller.once(|at| caller.client.get(format!("{at}/v1/fleet"))).await
        {
            let running = fleet["lanes"].as_array().into_iter().flatten().filter_map(|lane| lane["running"].as_u64());
            busy.push(running.sum::<u64>() as f64 / (options.workers as f64 * f64::from(options.slots)));
        }
        match document["status"].as_str() {
            Some("completed") => {
                fleet.redis.check_logs(&folder.join("log"))?;
                let seconds = begun.elapsed().as_secs_f64();
                let ledger = count(options, &caller, &document, &folder.join("store")).await?;
                let kills = kills.into_iter().collect();
                let busy = busy.iter().sum::<f64>() / busy.len().max(1) as f64;
                return Ok(BulkReport { lines: options.lines, seconds, busy, kills, peak, ledger });
            }
            Some("failed" | "expired" | "cancelled") => bail!("the batch ended: {document}"),
            _ if moved.elapsed() > SILENCE_MAX && document["status"] != "finalizing" => {
                bail!("no line has ended for {} s: {document}", SILENCE_MAX.as_secs())
            }
            _ => {}
        }
    }
    bail!("the run has no end")
}

/// Draws the pause before the next kill.
fn pause(random: &mut ChaCha8Rng, mean: Duration) -> Duration {
    mean.mul_f64(random.random_range(0.3..1.7))
}

async fn kill(fleet: &mut BulkFleet, random: &mut ChaCha8Rng, kills: &mut [(&str, usize); 3]) -> anyhow::Result<()> {
    let mut draw = random.random_range(0..KILLS.iter().map(|(_, share)| share).sum());
    let mut which = 0;
    while draw >= KILLS[which].1 {
        draw -= KILLS[which].1;
        which += 1;
    }
    match which {
        0 => fleet.gateways[random.random_range(0..GATEWAYS)].kill().await?,
        1 => {
            let worker = random.random_range(0..fleet.workers.len());
            fleet.workers[worker].kill().await?;
        }
        _ => fleet.redis.restart().await?,
    }
    kills[which].1 += 1;
    Ok(())
}

/// Reads output and errors of a batch, and notes each line.
async fn count(options: &BulkOptions, caller: &Caller, batch: &Value, store: &Path) -> anyhow::Result<Ledger> {
    let (mut ledger, detector) = (Ledger::default(), Detector::new(&WatermarkKey::development()));
    for file in [&batch["output_file_id"], &batch["error_file_id"]] {
        let Some(id) = file.as_str() else { continue };
        let text = caller.text(&format!("/v1/files/{id}/content")).await?;
        for line in text.lines() {
            ledger.note(&serde_json::from_str(line)?, store, &detector, options.stride);
        }
    }
    ledger.close((0..options.lines).map(name));
    Ok(ledger)
}

/// Caller that asks any gateway that answers.
struct Caller {
    client: Client,
    addresses: Vec<std::net::SocketAddr>,
}

impl Caller {
    /// Uploads lines and makes a batch of them. Returns its id.
    async fn order(&self, lines: String) -> anyhow::Result<String> {
        let upload = |at: &str| {
            let file = Part::text(lines.clone()).file_name("lines.jsonl");
            self.client
                .post(format!("{at}/v1/files"))
                .multipart(Form::new().text("purpose", "batch").part("file", file))
        };
        let file = self.until_answered(upload).await?;
        let body = json!({"input_file_id": file["id"], "endpoint": "/v1/audio/speech", "completion_window": "7d"});
        let create =
            |at: &str| self.client.post(format!("{at}/v1/batches")).header("idempotency-key", "the-night").json(&body);
        let batch = self.until_answered(create).await?;
        Ok(batch["id"].as_str().context("a batch without an id")?.to_owned())
    }

    async fn until_answered(&self, request: impl Fn(&str) -> RequestBuilder) -> anyhow::Result<Value> {
        let end = Instant::now() + REQUEST_LIMIT;
        while Instant::now() < end {
            if let Some(answer) = self.once(&request).await {
                return Ok(answer);
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("no gateway has answered for {} s", REQUEST_LIMIT.as_secs())
    }

    /// Sends a request to one gateway after another, until one answers well.
    async fn once(&self, request: impl Fn(&str) -> RequestBuilder) -> Option<Value> {
        for address in &self.addresses {
            if let Ok(answer) = request(&format!("http://{address}")).send().await
                && answer.status().is_success()
                && let Ok(document) = answer.json().await
            {
                return Some(document);
            }
        }
        None
    }

    async fn text(&self, path: &str) -> anyhow::Result<String> {
        let end = Instant::now() + REQUEST_LIMIT;
        while Instant::now() < end {
            for address in &self.addresses {
                if let Ok(answer) = self.client.get(format!("http://{address}{path}")).send().await
                    && answer.status().is_success()
                    && let Ok(text) = answer.text().await
                {
                    return Ok(text);
                }
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("{path} could not be read for {} s", REQUEST_LIMIT.as_secs())
    }
}
