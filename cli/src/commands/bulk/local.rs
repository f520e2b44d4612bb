//! `csm bulk run --local`: the lines of a file, spoken by this process.

mod journal;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use anyhow::{Context as _, bail, ensure};
use csm_gateway::{LocalBatch, LocalLine};
use csm_shared::models::{ModelFiles, resolve};
use csm_shared::process::admin::Readiness;
use csm_shared::process::shutdown::{COMMAND_END_LIMIT, Shutdown};
use csm_shared::store::{StoreArgs, StoreLocation};
use csm_worker::offline::{OfflineError, OfflineWorker};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;
use uuid::Uuid;

use super::RunArgs;
use super::audio_name::audio_name;
use super::batch_text::error_lines;
use super::display::BulkDisplay;
use super::input::InputFile;
use super::run::{Ended, conclude};
use super::run_state::{RunConditions, RunFolder, RunState, THIS_MACHINE};
use crate::client::{Batch, BatchStatus, FleetSlots, RequestCounts};
use crate::speech_args::{ChosenModel, choose};
use journal::Journal;

/// Folder below that of the results, for what only the running command needs.
const PRIVATE_FOLDER: &str = ".csm-bulk";

pub(super) async fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let shutdown = Shutdown::on_signals(COMMAND_END_LIMIT)?;
    let input = InputFile::read(&args.file).await?;
    let folder = RunFolder::open(&args.out)?;
    let mut state = state(args, &input, &folder)?;
    let display = BulkDisplay::new();
    let ended = tokio::select! {
        biased;
        () = shutdown.begun() => None,
        ended = Box::pin(speak(args, &input, &folder, &mut state, &display)) => Some(ended),
    };
    display.clear();
    conclude(args, &state, &folder, begun.elapsed(), ended)
}

/// Returns the state of the run in a folder, or that of a new run.
fn state(args: &RunArgs, input: &InputFile, folder: &RunFolder) -> anyhow::Result<RunState> {
    let conditions = RunConditions {
        gateway: THIS_MACHINE,
        input: &input.identity,
        endpoint: &args.endpoint,
        window: super::DEFAULT_WINDOW,
    };
    match folder.load()? {
        // Nothing came of an input that was refused.
        Some(state) if state.ended != Some(BatchStatus::Failed) => state.go_on(&conditions),
        _ => {
            let mut state = RunState::new(Uuid::new_v4().to_string(), &conditions);
            state.batch_id = Some(format!("local-{}", state.run_id));
            Ok(state)
        }
    }
}

/// Speaks all lines that are not spoken yet.
async fn speak(
    args: &RunArgs,
    input: &InputFile,
    folder: &RunFolder,
    state: &mut RunState,
    display: &BulkDisplay,
) -> anyhow::Result<Ended> {
    let private = folder.path().join(PRIVATE_FOLDER);
    folder.save(state)?;
    display.step("finding the model");
    let model = choose(&args.speech.model, &private.join("models"), &args.speech.hub).await?;
    display.step(&format!("checking the lines of {}", input.identity.name));
    let id = state.batch_id.clone().unwrap_or_default();
    let lines = Arc::new(local_batch(&id, args, input, &model).await?);
    let checked = Arc::clone(&lines);
    let total = match spawn_blocking(move || checked.check()).await?? {
        Ok(total) => total,
        Err(errors) => {
            state.ended = Some(BatchStatus::Failed);
            remove(&private)?;
            folder.save(state)?;
            return Ok(Ended { status: BatchStatus::Failed, input_errors: error_lines(&errors) });
        }
    };
    let worker = Arc::new(start(args, &model, &private, display).await?);
    let identity = worker.identity();
    let is_same = *state.speaker.get_or_insert_with(|| identity.clone()) == identity;
    ensure!(is_same, "the folder belongs to a run with another model, number format or watermark key");
    folder.save(state)?;
    let mut journal = Journal::open(folder.path(), state.ended.is_some()).await?;
    (state.ended, state.collected) = (None, journal.totals());
    folder.save(state)?;
    let spoken = Speech { lines, worker, folder, slots: args.slots };
    spoken.all(&id, total, &mut journal, display).await?;
    state.collected = journal.finish()?;
    state.ended = Some(BatchStatus::Completed);
    folder.save(state)?;
    journal::remove(folder.path())?;
    remove(&private)?;
    Ok(Ended { status: BatchStatus::Completed, input_errors: String::new() })
}

/// Opens the lines for the tokenizer of a model.
async fn local_batch(id: &str, args: &RunArgs, input: &InputFile, model: &ChosenModel) -> anyhow::Result<LocalBatch> {
    let model_folder = resolve(&model.source, ModelFiles::Tokenizer, &model.hub).await?;
    let (id, file, endpoint) = (id.to_owned(), input.path.clone(), args.endpoint.clone());
    let name = model.source.name();
    let open = move || LocalBatch::open(&id, &file, &endpoint, &name, &model_folder.path);
    Ok(spawn_blocking(open).await??)
}

/// Loads the model, and shows how far it is.
async fn start(
    args: &RunArgs,
    model: &ChosenModel,
    private: &Path,
    display: &BulkDisplay,
) -> anyhow::Result<OfflineWorker> {
    let store = private.join("store");
    fs::create_dir_all(&store).with_context(|| store.display().to_string())?;
    let location = StoreLocation::Folder(store);
    let store = StoreArgs { location, endpoint: None, region: None, path_style: None }.build().await?;
    let (state, mut phases) = watch::channel(Readiness::Starting { phase: "loading the model".into() });
    let settings = args.speech.of_worker(model);
    let mut starting = Box::pin(OfflineWorker::start(&settings, args.slots, store, &state));
    loop {
        tokio::select! {
            started = &mut starting => break Ok(started?),
            Ok(()) = phases.changed() => {
                if let Readiness::Starting { phase } = &*phases.borrow_and_update() {
                    display.step(phase);
                }
            }
        }
    }
}

/// Everything that the speech of a run needs.
struct Speech<'a> {
    lines: Arc<LocalBatch>,
    worker: Arc<OfflineWorker>,
    folder: &'a RunFolder,
    slots: u8,
}

impl Speech<'_> {
    /// Speaks the lines that the journal does not have, and writes their outcomes there.
    async fn all(&self, id: &str, total: u64, journal: &mut Journal, display: &BulkDisplay) -> anyhow::Result<()> {
        let (seen, _) = watch::channel(batch(id, total, journal));
        let busy = AtomicU64::new(0);
        let slots = async || Some(FleetSlots { busy: busy.load(Ordering::Relaxed), total: self.slots.into() });
        tokio::select! {
            ended = Box::pin(self.missing(id, total, journal, &busy, &seen, display)) => ended,
            never = display.follow(slots, seen.subscribe()) => match never {},
        }
    }

    async fn missing(
        &self,
        id: &str,
        total: u64,
        journal: &mut Journal,
        busy: &AtomicU64,
        seen: &watch::Sender<Batch>,
        display: &BulkDisplay,
    ) -> anyhow::Result<()> {
        let (lines, known) = (Arc::clone(&self.lines), journal.numbers());
        let (sender, mut waiting) = mpsc::channel(1);
        let reading = spawn_blocking(move || {
            lines.lines(|line| known.contains(&line.number()) || sender.blocking_send(line).is_ok())
        });
        let mut running = JoinSet::new();
        loop {
            let room = running.len() < usize::from(self.slots);
            tokio::select! {
                Some(line) = waiting.recv(), if room => {
                    running.spawn(speak_line(Arc::clone(&self.worker), line, self.folder.path().to_owned()));
                }
                Some(spoken) = running.join_next() => {
                    let outcome = spoken??;
                    self.folder.sync()?;
                    journal.append(&outcome)?;
                    display.set_fetched(journal.totals().spoken);
                    seen.send_replace(batch(id, total, journal));
                }
                else => break,
            }
            busy.store(running.len() as u64, Ordering::Relaxed);
        }
        reading.await??;
        let ended = journal.totals();
        ensure!(ended.spoken + ended.failed == total, "the file has changed since its check");
        Ok(())
    }
}

/// Returns the run as a batch, for the display.
fn batch(id: &str, total: u64, journal: &Journal) -> Batch {
    let totals = journal.totals();
    Batch {
        id: id.to_owned(),
        status: BatchStatus::InProgress,
        created_at: 0,
        errors: None,
        request_counts: RequestCounts { total, completed: totals.spoken, failed: totals.failed },
        metadata: None,
        paused: false,
        shards: 0,
        audio_ms: totals.audio_ms,
    }
}

/// Speaks a line, and gives its audio the last name. Returns the line of the journal.
async fn speak_line(worker: Arc<OfflineWorker>, line: LocalLine, folder: PathBuf) -> anyhow::Result<Value> {
    let mut receipt = match worker.speak(line.job, &line.spec).await {
        Ok(receipt) => receipt,
        Err(OfflineError::Job(failure)) => return Ok(line.failed(&failure.message)?),
        Err(OfflineError::Stopped(reason)) => bail!("line {}: {reason}", line.number()),
    };
    let name = audio_name(line.custom_id(), line.number(), receipt.format);
    let stored = folder.join(PRIVATE_FOLDER).join("store").join(&receipt.location);
    tokio::fs::rename(&stored, folder.join(&name)).await.with_context(|| stored.display().to_string())?;
    receipt.location = name;
    Ok(line.spoken(&receipt))
}

/// Removes a folder, which may be gone.
fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context(folder.display().to_string()),
        _ => Ok(()),
    }
}
