//! Commands that look at a batch, or change it, in one or a few requests.

use csm_shared::{errln, out, outln};
use serde_json::json;

use super::super::UrlArgs;
use super::{BatchArgs, batch_text};
use crate::client::{Batch, GatewayClient, LineOutcome};

/// Batches on a page of the list.
const PAGE: u64 = 100;

/// Prints the newest batches, at most `limit`.
pub(super) async fn list(url: &UrlArgs, limit: u64) -> anyhow::Result<()> {
    let client = GatewayClient::new(&url.url)?;
    let (mut left, mut after) = (limit, None::<String>);
    while left > 0 {
        let (batches, has_more) = client.batches(left.min(PAGE), after.as_deref()).await?;
        for batch in &batches {
            outln!("{}", batch_text::line(batch));
        }
        left = left.saturating_sub(batches.len() as u64);
        after = batches.last().map(|batch| batch.id.clone());
        if !has_more || after.is_none() {
            break;
        }
    }
    if left == limit {
        errln!("no batches");
    }
    Ok(())
}

/// Prints a batch.
pub(super) async fn status(batch: &BatchArgs, json: bool) -> anyhow::Result<()> {
    let client = GatewayClient::new(&batch.url.url)?;
    if json {
        outln!("{:#}", client.batch_json(&batch.id).await?);
    } else {
        out!("{}", batch_text::whole(&client.batch(&batch.id).await?));
    }
    Ok(())
}

/// Pauses a batch.
pub(super) async fn pause(batch: &BatchArgs) -> anyhow::Result<()> {
    tell(&GatewayClient::new(&batch.url.url)?.pause_batch(&batch.id).await?);
    Ok(())
}

/// Ends a batch's pause.
pub(super) async fn resume(batch: &BatchArgs) -> anyhow::Result<()> {
    tell(&GatewayClient::new(&batch.url.url)?.resume_batch(&batch.id).await?);
    Ok(())
}

/// Asks for a batch to be cancelled.
pub(super) async fn cancel(batch: &BatchArgs) -> anyhow::Result<()> {
    tell(&GatewayClient::new(&batch.url.url)?.cancel_batch(&batch.id).await?);
    Ok(())
}

/// Prints the errors of the input, or the lines that failed so far.
pub(super) async fn errors(args: &BatchArgs, json: bool) -> anyhow::Result<()> {
    let client = GatewayClient::new(&args.url.url)?;
    let batch = client.batch(&args.id).await?;
    if json {
        for error in batch.errors.iter().flat_map(|errors| &errors.data) {
            outln!("{}", json!({ "line": error.line, "code": error.code, "message": error.message }));
        }
    } else {
        out!("{}", batch_text::input_errors(&batch));
    }
    for shard in 0..batch.shards {
        let Some(lines) = client.batch_shard(&batch.id, shard).await? else { break };
        for line in lines {
            match line.outcome {
                LineOutcome::Failed { line, .. } if json => outln!("{line}"),
                LineOutcome::Failed { code, message, .. } => {
                    outln!("line {} ({}): {code}: {message}", line.line, line.custom_id);
                }
                LineOutcome::Spoken { .. } => {}
            }
        }
    }
    if !batch.status.is_final() {
        errln!("batch {} has not ended; these are the failures of its first {} shards", batch.id, batch.shards);
    }
    Ok(())
}

/// Asks for a line to be spoken again.
pub(super) async fn redo(batch: &BatchArgs, line: u64, seed: Option<u64>) -> anyhow::Result<()> {
    outln!("{}", GatewayClient::new(&batch.url.url)?.redo_line(&batch.id, line, seed).await?);
    Ok(())
}

fn tell(batch: &Batch) {
    outln!("{} {}", batch.id, batch_text::state(batch));
}
