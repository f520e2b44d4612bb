//! `csm dlq`: dead letters, for the operator.

mod letter_text;

use std::io::{IsTerminal as _, Write as _, stdin};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use csm_queue::queue::{LetterFilter, Queue};
use csm_shared::job::JobId;
use csm_shared::{errln, out, outln};

use super::RedisQueueArgs;
use super::queue::REDIS_PATIENCE;

/// Classes of failures that make dead letters.
const CLASSES: [&str; 3] = ["transient", "resource", "worker_lost"];

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
    Retry {
        /// With --all, do not ask on a terminal
        #[arg(long, requires = "all")]
        yes: bool,
        #[command(flatten)]
        which: LetterSelection,
    },
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
    /// With --all, only those whose last failure was of this class
    #[arg(long, requires = "all", value_parser = CLASSES)]
    class: Option<String>,
    #[command(flatten)]
    queue: RedisQueueArgs,
}

pub(crate) async fn run(command: DlqCommand) -> anyhow::Result<ExitCode> {
    match command {
        DlqCommand::List { limit, json, queue } => list(&queue.open(REDIS_PATIENCE)?, limit, json).await,
        DlqCommand::Show { id, queue } => show(&queue.open(REDIS_PATIENCE)?, &id).await,
        DlqCommand::Retry { which, yes } => retry(&which, yes).await,
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

async fn retry(which: &LetterSelection, yes: bool) -> anyhow::Result<ExitCode> {
    let queue = which.queue.open(REDIS_PATIENCE)?;
    if let Some(id) = &which.id {
        let new = queue.replay(id).await?.ok_or_else(|| missing(id))?;
        outln!("{id} {new}");
        return Ok(ExitCode::SUCCESS);
    }
    let letters = which.letters(&queue).await?;
    errln!("{} to be made into new jobs", which.count(&letters));
    if !yes && !letters.is_empty() && stdin().is_terminal() && !confirmed()? {
        bail!("nothing was changed");
    }
    let mut outcome = BulkOutcome::default();
    for id in letters {
        let new = queue.replay(&id).await?;
        if let Some(new) = new {
            outln!("{id} {new}");
        }
        outcome.add(new.is_some());
    }
    outcome.tell("made into new jobs")
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
    let letters = which.letters(&queue).await?;
    if !yes {
        let class = which.class.as_ref().map_or_else(String::new, |class| format!(" --class {class}"));
        let count = which.count(&letters);
        bail!("this throws {count} away for good; to do it, type: csm dlq purge --all --yes{class}");
    }
    let mut outcome = BulkOutcome::default();
    for id in letters {
        outcome.add(queue.purge(&id).await?);
    }
    outcome.tell("purged")
}

impl LetterSelection {
    /// Returns the jobs of the letters that are there now and of the class. Letters that arrive
    /// later are left out, because a retried job may soon be dead again.
    async fn letters(&self, queue: &Queue) -> anyhow::Result<Vec<JobId>> {
        let filter = LetterFilter { class: self.class.clone(), ..LetterFilter::default() };
        Ok(queue.dead_letter_jobs(&filter).await?.into_iter().map(|(_, id)| id).collect())
    }

    /// Says how many letters there are, and of which class.
    fn count(&self, letters: &[JobId]) -> String {
        let class = self.class.as_ref().map_or_else(String::new, |class| format!(" of class {class}"));
        format!("{} dead letters{class}", letters.len())
    }
}

/// Asks on the terminal. Anything but "y" or "yes" means no.
fn confirmed() -> anyhow::Result<bool> {
    // Nobody can agree who does not see the question.
    let mut terminal = std::io::stderr();
    terminal.write_all(b"go on? [y/N] ").and_then(|()| terminal.flush())?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

/// Outcome of an operation on many dead letters.
#[derive(Debug, Default)]
struct BulkOutcome {
    done: usize,
    left: usize,
}

impl BulkOutcome {
    fn add(&mut self, done: bool) {
        *(if done { &mut self.done } else { &mut self.left }) += 1;
    }

    fn tell(&self, what: &str) -> anyhow::Result<ExitCode> {
        errln!("{} dead letters {what}", self.done);
        match self.left {
            0 => Ok(ExitCode::SUCCESS),
            left => bail!("{left} could not be: their records are gone"),
        }
    }
}

fn missing(id: &JobId) -> anyhow::Error {
    anyhow::anyhow!("no job {id} among the dead letters")
}
