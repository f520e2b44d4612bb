//! `csm dlq`: dead letters, for the operator.

mod letter_text;

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use csm_queue::queue::{DeadLetter, Queue};
use csm_shared::job::JobId;
use csm_shared::{errln, out, outln};

use super::RedisQueueArgs;
use super::queue::REDIS_PATIENCE;

/// Letters read at a time with `--all`.
const BATCH: usize = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Print the dead letters, oldest first
    List {
        /// Most letters to print
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// As JSON, with the failures in full
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Print one dead letter and its job's record
    Show {
        /// Id of the job
        id: JobId,
        #[command(flatten)]
        queue: RedisQueueArgs,
    },
    /// Make a dead letter into a new job of the same request; prints both ids
    Retry(LetterSelection),
    /// Throw a dead letter away, with its request
    Purge {
        /// With --all, needed to throw the letters away
        #[arg(long, requires = "all")]
        yes: bool,
        #[command(flatten)]
        which: LetterSelection,
    },
}

/// Dead letter, or all dead letters.
#[derive(Args, Debug)]
pub(crate) struct LetterSelection {
    /// Id of the job
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<JobId>,
    /// All dead letters that are there now
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    queue: RedisQueueArgs,
}

pub(crate) async fn run(command: DlqCommand) -> anyhow::Result<ExitCode> {
    match command {
        DlqCommand::List { limit, json, queue } => list(&queue.open(REDIS_PATIENCE)?, limit, json).await,
        DlqCommand::Show { id, queue } => show(&queue.open(REDIS_PATIENCE)?, &id).await,
        DlqCommand::Retry(which) => retry(&which).await,
        DlqCommand::Purge { yes, which } => purge(&which, yes).await,
    }
}

async fn list(queue: &Queue, limit: usize, json: bool) -> anyhow::Result<ExitCode> {
    let mut letters = queue.dead_letters(limit).await?;
    letters.truncate(limit);
    if json {
        outln!("{}", serde_json::to_string_pretty(&letters)?);
        return Ok(ExitCode::SUCCESS);
    }
    for letter in &letters {
        outln!("{}", letter_text::line(letter));
    }
    let dead = queue.stats().await?.dead;
    if dead > letters.len() as u64 {
        errln!("{} of {dead} dead letters; --limit N prints more", letters.len());
    } else if dead == 0 {
        errln!("no dead letters");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(queue: &Queue, id: &JobId) -> anyhow::Result<ExitCode> {
    let record = queue.record(id).await?;
    match queue.dead_letter(id).await? {
        Some(letter) => out!("{}", letter_text::whole(&letter, record.as_ref())),
        None => match record.and_then(|record| record.replayed_as) {
            Some(new) => bail!("no job {id} among the dead letters; it was made into job {new}"),
            None => return Err(missing(id)),
        },
    }
    Ok(ExitCode::SUCCESS)
}

async fn retry(which: &LetterSelection) -> anyhow::Result<ExitCode> {
    let queue = which.queue.open(REDIS_PATIENCE)?;
    if let Some(id) = &which.id {
        let new = queue.replay(id).await?.ok_or_else(|| missing(id))?;
        outln!("{id} {new}");
        return Ok(ExitCode::SUCCESS);
    }
    let all = for_all(&queue, async |id| {
        let new = queue.replay(id).await?;
        if let Some(new) = new {
            outln!("{id} {new}");
        }
        Ok(new.is_some())
    });
    all.await?.tell("made into new jobs")
}

async fn purge(which: &LetterSelection, yes: bool) -> anyhow::Result<ExitCode> {
    let queue = which.queue.open(REDIS_PATIENCE)?;
    if let Some(id) = &which.id {
        if !queue.purge(id).await? {
            return Err(missing(id));
        }
        outln!("{id} purged");
        return Ok(ExitCode::SUCCESS);
    }
    if !yes {
        let dead = queue.stats().await?.dead;
        bail!("this throws {dead} dead letters away for good; to do it, type: csm dlq purge --all --yes");
    }
    for_all(&queue, async |id| Ok(queue.purge(id).await?)).await?.tell("purged")
}

/// Outcome of an operation on all dead letters.
#[derive(Debug, Default)]
struct BulkOutcome {
    done: usize,
    left: usize,
}

impl BulkOutcome {
    fn tell(&self, what: &str) -> anyhow::Result<ExitCode> {
        errln!("{} dead letters {what}", self.done);
        match self.left {
            0 => Ok(ExitCode::SUCCESS),
            left => bail!("{left} could not be: their records are gone"),
        }
    }
}

/// Applies `act` to each letter that exists now, oldest first. Letters that arrive meanwhile are
/// left out, because a retried job may soon be dead again. `act` removes a letter, or returns false
/// if it could not.
async fn for_all(
    queue: &Queue,
    mut act: impl AsyncFnMut(&JobId) -> anyhow::Result<bool>,
) -> anyhow::Result<BulkOutcome> {
    let there = usize::try_from(queue.stats().await?.dead).unwrap_or(usize::MAX);
    let (mut done, mut stuck) = (0, HashSet::new());
    loop {
        let letters = queue.dead_letters(BATCH.saturating_add(stuck.len())).await?;
        let new: Vec<DeadLetter> = letters.into_iter().filter(|letter| !stuck.contains(&letter.id)).collect();
        if new.is_empty() || done + stuck.len() >= there {
            return Ok(BulkOutcome { done, left: stuck.len() });
        }
        for letter in new.into_iter().take(there - done - stuck.len()) {
            let id = letter.id.parse().with_context(|| format!("dead letter of job {:?}", letter.id))?;
            if act(&id).await? {
                done += 1;
            } else {
                stuck.insert(letter.id);
            }
        }
    }
}

fn missing(id: &JobId) -> anyhow::Error {
    anyhow::anyhow!("no job {id} among the dead letters")
}
