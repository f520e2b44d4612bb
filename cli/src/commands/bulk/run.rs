//! `csm bulk run`: one batch from its input to its files, in one process or in several.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use csm_shared::process::shutdown::{COMMAND_END_LIMIT, Shutdown};
use csm_shared::{errln, out, outln};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::RunArgs;
use super::collect::Collector;
use super::display::BulkDisplay;
use super::download::are_there;
use super::input::InputFile;
use super::local_results::promised_in_all;
use super::patience::Patience;
use super::run_context::RunContext;
use super::run_state::{RunConditions, RunFolder, RunState, STATE_FILE};
use super::summary::Summary;
use super::{batch_text, begin, follow};
use crate::client::{BatchStatus, GatewayClient};

pub(super) async fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let shutdown = Shutdown::on_signals(COMMAND_END_LIMIT)?;
    let client = GatewayClient::new(&args.url.url)?;
    let input = InputFile::read(&args.file).await?;
    let folder = RunFolder::open(&args.out)?;
    let mut state = state(args, &input, &folder)?;
    let display = BulkDisplay::new();
    let patience = Patience::new(Duration::from_secs(args.patience), &display);
    let context = RunContext { client: &client, patience: &patience, display: &display, folder: &folder };
    let ended = tokio::select! {
        biased;
        () = shutdown.begun() => None,
        ended = Box::pin(speak(&context, &input, &mut state)) => Some(ended),
    };
    display.clear();
    conclude(args, &state, &folder, begun.elapsed(), ended)
}

/// Prints the end of a run; `None` if a signal interrupted it. Returns the exit status.
pub(super) fn conclude(
    args: &RunArgs,
    state: &RunState,
    folder: &RunFolder,
    took: Duration,
    ended: Option<anyhow::Result<Ended>>,
) -> anyhow::Result<ExitCode> {
    match ended {
        Some(Ok(Ended { status, input_errors })) => {
            let batch = state.batch_id.as_deref().unwrap_or_default();
            let summary =
                Summary { batch, status, collected: &state.collected, input_errors, took, folder: folder.path() };
            if args.json {
                outln!("{:#}", summary.as_json());
            } else {
                out!("{}", summary.in_words());
            }
            Ok(summary.exit_code())
        }
        Some(Err(error)) => {
            errln!("to go on: {}", again(args));
            Err(error)
        }
        None => {
            errln!("interrupted\n{}", way_on(args, state));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Returns the state of the run in a folder, or that of a new run.
fn state(args: &RunArgs, input: &InputFile, folder: &RunFolder) -> anyhow::Result<RunState> {
    let conditions = RunConditions {
        gateway: args.url.url.trim_end_matches('/'),
        input: &input.identity,
        endpoint: &args.endpoint,
        window: &args.window,
    };
    match folder.load()? {
        // Nothing came of an input that was refused.
        Some(state) if state.ended != Some(BatchStatus::Failed) => state.go_on(&conditions),
        _ => Ok(RunState::new(Uuid::new_v4().to_string(), &conditions)),
    }
}

/// End of a batch.
pub(super) struct Ended {
    pub(super) status: BatchStatus,
    /// Errors of the input, one on a line.
    pub(super) input_errors: String,
}

/// Takes the batch to its end, and its results into the folder.
async fn speak(context: &RunContext<'_>, input: &InputFile, state: &mut RunState) -> anyhow::Result<Ended> {
    let Some(batch) = begin::batch(context, input, state).await? else { return forgotten(context, state).await };
    let id = batch.id.clone();
    context.display.remark(&format!("batch {id}"));
    let (seen, newest) = watch::channel(batch);
    let collector = Collector::open(context, id.clone(), state).await?;
    tokio::select! {
        ended = async { tokio::try_join!(follow::follow(context, &id, &seen), collector.collect(seen.subscribe())) } => {
            ended?;
        }
        never = context.display.follow(async || context.client.fleet_slots().await.ok(), seen.subscribe()) => match never {},
    }
    let batch = newest.borrow();
    Ok(Ended { status: batch.status, input_errors: batch_text::input_errors(&batch) })
}

/// Ends a run whose batch the gateway no longer has. It must have ended, with all files still here.
async fn forgotten(context: &RunContext<'_>, state: &RunState) -> anyhow::Result<Ended> {
    let (folder, id) = (context.folder.path(), state.batch_id.as_deref().unwrap_or_default());
    let promised = promised_in_all(folder, &state.collected);
    if let (Some(status), Some(promised)) = (state.ended, promised)
        && are_there(folder, &promised).await?
    {
        context.display.remark(&format!("the gateway no longer has batch {id}; its results are here"));
        return Ok(Ended { status, input_errors: String::new() });
    }
    let file = folder.join(STATE_FILE);
    bail!("{} has no batch {id}; to begin anew, remove {}", state.gateway, file.display())
}

/// Says what becomes of the batch without this process, and how to go on.
fn way_on(args: &RunArgs, state: &RunState) -> String {
    let again = again(args);
    let Some(id) = state.batch_id.as_ref().filter(|_| !args.local) else { return format!("to go on: {again}") };
    let cancel = shell_line(&["csm", "bulk", "cancel", id, "--url", &args.url.url]);
    format!("batch {id} goes on at the gateway\nto fetch the rest: {again}\nto stop it: {cancel}")
}

/// Returns the command that goes on with the run.
fn again(args: &RunArgs) -> String {
    let (file, out) = (args.file.display().to_string(), args.out.display().to_string());
    let (slots, model, weights) =
        (args.slots.to_string(), args.speech.model.to_string(), args.speech.weights.to_string());
    let mut words = vec!["csm", "bulk", "run", &file, "--out", &out];
    if args.local {
        // With another model or number format the folder would be refused.
        words.extend(["--local", "--model", &model, "--weights", &weights, "--slots", &slots]);
    } else {
        words.extend(["--url", &args.url.url]);
    }
    if args.endpoint != super::ENDPOINTS[0] {
        words.extend(["--endpoint", &args.endpoint]);
    }
    if args.window != super::DEFAULT_WINDOW {
        words.extend(["--window", &args.window]);
    }
    shell_line(&words)
}

/// Joins words into a line for a shell.
fn shell_line(words: &[&str]) -> String {
    let is_plain = |word: &str| {
        !word.is_empty()
            && word.chars().all(|character| character.is_alphanumeric() || "-_./:=,+@%".contains(character))
    };
    let quoted = words
        .iter()
        .map(|word| if is_plain(word) { (*word).to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    #[test]
    fn the_way_on_of_a_local_run_names_its_model_its_format_and_its_slots() {
        let typed = ["run", "a.txt", "--out", "o", "--local", "--model", "tiny", "--weights", "q4_k", "--slots", "3"];
        let way_on = again(&Cli::try_parse_from(typed).unwrap().run);
        assert_eq!(way_on, "csm bulk run a.txt --out o --local --model tiny --weights q4_k --slots 3");
    }

    #[test]
    fn the_way_on_can_be_pasted_into_a_shell() {
        let words = ["csm", "my book.txt", "it's", "--out", "a/b-1", ""];
        assert_eq!(shell_line(&words), r"csm 'my book.txt' 'it'\''s' --out a/b-1 ''");
    }
}
