//! `csm bulk`: speaks all lines of a file through the gateway's batch API, and looks at batches.

mod audio_name;
mod batch_text;
mod begin;
mod collect;
mod display;
mod download;
mod follow;
mod input;
mod local;
mod local_results;
mod operate;
mod patience;
mod rates;
mod run;
mod run_context;
mod run_state;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use csm_engine::engine::MAX_SLOTS;

use super::UrlArgs;
use crate::speech_args::SpeechArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum BulkCommand {
    /// Speak all lines of a file into a folder. The same command goes on where it was interrupted.
    /// Exit status 3: some lines failed; 4: the file is refused; 5: the batch was cancelled
    /// or expired
    Run(Box<RunArgs>),
    /// Print the batches, newest first
    List {
        /// Most batches to print
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        #[command(flatten)]
        url: UrlArgs,
    },
    /// Print a batch
    Status {
        #[command(flatten)]
        batch: BatchArgs,
        /// As JSON, as the gateway gives it
        #[arg(long)]
        json: bool,
    },
    /// Pause a batch: no further lines begin. Running lines go on
    Pause(BatchArgs),
    /// Resume a paused batch
    Resume(BatchArgs),
    /// Ask for a batch to be stopped. Lines that were spoken stay
    Cancel(BatchArgs),
    /// Print the lines that failed
    Errors {
        #[command(flatten)]
        batch: BatchArgs,
        /// One JSON object a line, as the gateway gives it
        #[arg(long)]
        json: bool,
    },
    /// Speak one line again; prints the job's id. `csm bulk run` fetches the result when it is run
    /// again
    Redo {
        #[command(flatten)]
        batch: BatchArgs,
        /// Number of the line, counted from 1
        #[arg(value_name = "LINE", value_parser = clap::value_parser!(u64).range(1..))]
        line: u64,
        /// Seed of the draws [default: drawn by the gateway]
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
}

/// Input, place of the results, and conditions of a run.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Lines to speak: .jsonl (requests in the format of OpenAI's batches), .csv, .tsv, .txt, .srt
    /// or .vtt
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder for the audio, manifest.jsonl and errors.jsonl
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Route whose requests the lines are
    #[arg(long, value_name = "ROUTE", default_value = ENDPOINTS[0], value_parser = ENDPOINTS)]
    endpoint: String,
    /// Time within which the gateway is to finish
    #[arg(long, value_name = "TIME", default_value = DEFAULT_WINDOW, conflicts_with = "local")]
    window: String,
    /// Seconds to wait for a gateway that does not answer
    #[arg(long, value_name = "S", default_value_t = patience::DEFAULT_LIMIT_S, conflicts_with = "local")]
    patience: u64,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    url: UrlArgs,
    /// Speak on this machine, in this process, without gateway and Redis. Options of model and marks are
    /// for this
    #[arg(long)]
    local: bool,
    /// Lines that are spoken at once, with --local
    #[arg(long, default_value_t = LOCAL_SLOTS, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_SLOTS as i64), requires = "local")]
    slots: u8,
    #[command(flatten)]
    speech: SpeechArgs,
}

/// Batch to look at or to change.
#[derive(Args, Debug)]
pub(crate) struct BatchArgs {
    /// Id of the batch
    id: String,
    #[command(flatten)]
    url: UrlArgs,
}

/// Routes whose requests the lines of an input may be.
const ENDPOINTS: [&str; 2] = ["/v1/audio/speech", "/v1/jobs"];
/// Usual number of lines that are spoken at once by this process.
const LOCAL_SLOTS: u8 = 16;
/// Usual completion window.
const DEFAULT_WINDOW: &str = "24h";

pub(crate) async fn run(command: BulkCommand) -> anyhow::Result<ExitCode> {
    match command {
        BulkCommand::Run(args) if args.local => return local::run(&args).await,
        BulkCommand::Run(args) => return run::run(&args).await,
        BulkCommand::List { limit, url } => operate::list(&url, limit).await?,
        BulkCommand::Status { batch, json } => operate::status(&batch, json).await?,
        BulkCommand::Pause(batch) => operate::pause(&batch).await?,
        BulkCommand::Resume(batch) => operate::resume(&batch).await?,
        BulkCommand::Cancel(batch) => operate::cancel(&batch).await?,
        BulkCommand::Errors { batch, json } => operate::errors(&batch, json).await?,
        BulkCommand::Redo { batch, line, seed } => operate::redo(&batch, line, seed).await?,
    }
    Ok(ExitCode::SUCCESS)
}
