//! The batch of a run: the one that it has, or a new one.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

use super::input::InputFile;
use super::run_context::RunContext;
use super::run_state::RunState;
use crate::client::{Batch, BatchRequest, ClientError, GatewayClient};

/// Name of the metadata that holds the id of the run.
const RUN_ID_NAME: &str = "csm_bulk_run";
/// Batches on a page of the list.
const PAGE: u64 = 100;
/// Most pages that are looked through for the batch of a run.
const PAGES_MAX: usize = 100;

/// Returns the batch of a run, and makes it if there is none. `None` if the gateway no longer has
/// it. The state is saved before and after each step.
pub(super) async fn batch(
    context: &RunContext<'_>,
    input: &InputFile,
    state: &mut RunState,
) -> anyhow::Result<Option<Batch>> {
    if let Some(id) = state.batch_id.clone() {
        return known(context, &id, state).await;
    }
    context.folder.save(state)?;
    let found = context.patience.call(|| find(context.client, &state.run_id)).await?;
    let batch = match found {
        Some(batch) => batch,
        None => create(context, input, state).await?,
    };
    state.batch_id = Some(batch.id.clone());
    context.folder.save(state)?;
    Ok(Some(batch))
}

/// Returns the batch that the state names.
async fn known(context: &RunContext<'_>, id: &str, state: &RunState) -> anyhow::Result<Option<Batch>> {
    let answer = context.patience.call(async || match context.client.batch(id).await {
        Err(error) if error.is_not_found() => Ok(None),
        answer => answer.map(Some),
    });
    let batch = answer.await?;
    let is_ours = batch.as_ref().is_none_or(|batch| run_id(batch) == Some(&state.run_id));
    ensure!(is_ours, "batch {id} at this gateway belongs to another run");
    Ok(batch)
}

/// Uploads the input, unless it was uploaded before, and creates the batch.
async fn create(context: &RunContext<'_>, input: &InputFile, state: &mut RunState) -> anyhow::Result<Batch> {
    if let Some(file_id) = state.file_id.take() {
        match order(context, &file_id, state).await {
            // Uploaded files expire.
            Err(error) if is_refusal(&error) => {}
            batch => return batch,
        }
    }
    let file_id = upload(context, input).await?;
    state.file_id = Some(file_id.clone());
    context.folder.save(state)?;
    order(context, &file_id, state).await.context("the gateway has the file and makes no batch of it")
}

async fn upload(context: &RunContext<'_>, input: &InputFile) -> anyhow::Result<String> {
    context.display.step(&format!("uploading {}", input.identity.name));
    let uploaded = context.patience.call(async || {
        let file = match input.open().await {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        context.client.upload(&input.identity.name, input.identity.bytes, file).await.map(Ok)
    });
    uploaded.await?
}

/// Creates the batch of an uploaded input. The id of the run makes the request repeatable.
async fn order(context: &RunContext<'_>, file_id: &str, state: &RunState) -> anyhow::Result<Batch> {
    context.display.step("creating the batch");
    let request = BatchRequest {
        input_file_id: file_id.to_owned(),
        endpoint: state.endpoint.clone(),
        completion_window: state.window.clone(),
        metadata: BTreeMap::from([(RUN_ID_NAME.to_owned(), state.run_id.clone())]),
    };
    context.patience.call(|| context.client.create_batch(&state.run_id, &request)).await
}

/// Looks for the batch of a run in the list of batches.
async fn find(client: &GatewayClient, wanted: &str) -> Result<Option<Batch>, ClientError> {
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let (batches, has_more) = client.batches(PAGE, after.as_deref()).await?;
        after = batches.last().map(|batch| batch.id.clone());
        if let Some(batch) = batches.into_iter().find(|batch| run_id(batch).is_some_and(|id| id == wanted)) {
            return Ok(Some(batch));
        }
        if !has_more || after.is_none() {
            break;
        }
    }
    Ok(None)
}

fn run_id(batch: &Batch) -> Option<&String> {
    batch.metadata.as_ref()?.get(RUN_ID_NAME)
}

fn is_refusal(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::Refused(problem)) if matches!(problem.status, 400 | 404 | 422))
}
