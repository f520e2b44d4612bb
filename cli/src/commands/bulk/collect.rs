//! Results, fetched shard by shard as the shards become complete.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::sync::watch;

use super::download::{are_there, fetch_all};
use super::local_results::{PromisedAudio, ResultFiles, promised_so_far};
use super::run_context::RunContext;
use super::run_state::{Collected, RunState};
use crate::client::{Batch, BatchStatus, ResultLine};

/// Times that a shard is fetched if its audio is not what it promises. A line that is being spoken
/// again changes both.
const SHARD_TRIES: usize = 4;
/// Pause before a shard is fetched again.
const SHARD_PAUSE: Duration = Duration::from_secs(2);

/// Writer of a run's results.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    context: &'a RunContext<'a>,
    /// Id of the batch.
    batch: String,
    state: &'a mut RunState,
    files: ResultFiles,
    /// Names of the audio files so far.
    names: HashSet<String>,
    /// Number of the last line so far.
    last_line: u64,
}

impl<'a> Collector<'a> {
    /// Goes on behind the shards that the state names. Begins with the first shard if one of their
    /// files is gone, and in a run that has ended, because lines may have been spoken again.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) async fn open(
        context: &'a RunContext<'a>,
        batch: String,
        state: &'a mut RunState,
    ) -> anyhow::Result<Self> {
        let folder = context.folder.path();
        if state.ended.is_none()
            && let Some(promised) = promised_so_far(folder, &state.collected)
            && are_there(folder, &promised).await?
            && let Some(files) = ResultFiles::open(folder, &state.collected)?
        {
            context.display.set_fetched(state.collected.spoken);
            let last_line = promised.last().map_or(0, |audio| audio.line);
            let names = promised.into_iter().map(|audio| audio.name).collect();
            return Ok(Self { context, batch, state, files, names, last_line });
        }
        if state.collected.shards > 0 {
            context.display.remark("looking at all results again");
        }
        (state.collected, state.ended) = (Collected::default(), None);
        context.folder.save(state)?;
        let files = ResultFiles::open(folder, &state.collected)?.context("cannot empty the manifest")?;
        Ok(Self { context, batch, state, files, names: HashSet::new(), last_line: 0 })
    }

    /// Fetches all results until the batch has ended, then names the manifest.
    ///
    /// # Errors
    /// If the gateway breaks its promises or stays away for too long, or the disk fails.
    pub(super) async fn collect(mut self, mut seen: watch::Receiver<Batch>) -> anyhow::Result<()> {
        let ended = loop {
            let (shards, status, counts) = {
                let batch = seen.borrow_and_update();
                (batch.shards, batch.status, batch.request_counts)
            };
            if self.state.collected.shards < shards {
                self.next_shard().await?;
            } else if status.is_final() {
                break (status, counts);
            } else {
                seen.changed().await?;
            }
        };
        let (status, counts) = ended;
        let Collected { spoken, failed, .. } = self.state.collected;
        ensure!(
            status != BatchStatus::Completed || spoken + failed == counts.total,
            "the gateway has results of {} of {} lines",
            spoken + failed,
            counts.total
        );
        self.files.publish().context("cannot rename the manifest")?;
        self.state.ended = Some(status);
        self.context.folder.save(self.state)
    }

    /// Fetches the next shard with its audio.
    async fn next_shard(&mut self) -> anyhow::Result<()> {
        let shard = self.state.collected.shards;
        let mut wrong = None;
        for attempt in 0..SHARD_TRIES {
            if attempt > 0 {
                tokio::time::sleep(SHARD_PAUSE).await;
            }
            let fetched = self.context.patience.call(|| self.context.client.batch_shard(&self.batch, shard));
            let Some(lines) = fetched.await? else { continue };
            let promised = self.check(&lines)?;
            wrong = fetch_all(self.context, &self.batch, &promised).await?;
            if wrong.is_none() {
                return self.keep(&lines, promised);
            }
        }
        match wrong {
            Some(line) => bail!("the audio of line {line} is not what the gateway promises: size or SHA-256 differ"),
            None => bail!("the gateway has no results of shard {shard}, and says that it is complete"),
        }
    }

    /// Returns the audio files of a shard. Its lines must follow those before.
    fn check(&self, lines: &[ResultLine]) -> anyhow::Result<Vec<PromisedAudio>> {
        let mut last = self.last_line;
        for line in lines {
            ensure!(line.line > last, "the gateway has line {} behind line {last}", line.line);
            last = line.line;
        }
        let promised: Vec<_> = lines.iter().filter_map(PromisedAudio::of).collect();
        let mut names = HashSet::new();
        for audio in &promised {
            let is_new = !self.names.contains(&audio.name) && names.insert(&audio.name);
            ensure!(is_new, "two lines have the audio file {}: line {} is the second", audio.name, audio.line);
        }
        Ok(promised)
    }

    /// Notes a shard whose audio is in the folder.
    fn keep(&mut self, lines: &[ResultLine], promised: Vec<PromisedAudio>) -> anyhow::Result<()> {
        self.context.folder.sync().context("cannot write the folder")?;
        self.files.append(lines, &mut self.state.collected).context("cannot write the manifest")?;
        self.last_line = lines.last().map_or(self.last_line, |line| line.line);
        self.names.extend(promised.into_iter().map(|audio| audio.name));
        self.context.folder.save(self.state)?;
        self.context.display.set_fetched(self.state.collected.spoken);
        Ok(())
    }
}
