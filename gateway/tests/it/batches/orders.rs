//! Orders to a batch: cancel, pause and go on, and the end of its window.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{line, speaking};
use crate::app::{TestApp, until};
use crate::worker::TestWorker;

#[tokio::test]
async fn a_cancelled_batch_keeps_what_was_done_and_accounts_for_the_rest() {
    let app = Arc::new(TestApp::start_with(|args| args.batch_window = 8).await);
    let file: String = (0..150).map(|number| line(&format!("a{number}"), "One.") + "\n").collect();
    let batch = app.batch_of("lines.jsonl", file, &json!({})).await;
    let worker = TestWorker::new();
    worker.work(&app, 5).await;
    let running = worker.claim(&app).await;
    let cancelled = app.post(&format!("/v1/batches/{batch}/cancel"), "").await;
    assert_eq!((cancelled.status.as_u16(), cancelled.text("status")), (200, "cancelling"));
    app.batch_until(&batch, "cancelling").await;
    // The job that runs ends, and its audio is kept.
    until("the running job is told", async || app.record(&running.lease.at().id).await.cancel_requested).await;
    running.lease.cancelled().await.unwrap();
    let done = app.batch_until(&batch, "cancelled").await;
    assert_eq!(done["request_counts"], json!({"total": 150, "completed": 5, "failed": 145}));
    let failed = app.lines_of(&done["error_file_id"]).await;
    assert_eq!(failed.len() + app.lines_of(&done["output_file_id"]).await.len(), 150);
    assert!(failed.iter().all(|line| line["error"]["code"] == "batch_cancelled"), "{failed:?}");
    assert_eq!(app.queue.stats().await.unwrap().open, 0);
    let again = app.post(&format!("/v1/batches/{batch}/cancel"), "").await;
    assert_eq!((again.status.as_u16(), &again.body["error"]["code"]), (409, &json!("batch_already_final")));
}

#[tokio::test]
async fn a_batch_ends_with_its_window() {
    let app = Arc::new(TestApp::start_with(|args| args.batch_window = 8).await);
    let file: String = (0..20).map(|number| line(&format!("a{number}"), "One.") + "\n").collect();
    let batch = app.batch_of("lines.jsonl", file, &json!({"completion_window": "2s"})).await;
    TestWorker::new().work(&app, 3).await;
    let done = app.batch_until(&batch, "expired").await;
    assert_eq!(done["request_counts"], json!({"total": 20, "completed": 3, "failed": 17}));
    assert!(done["expired_at"].is_number());
    let failed = app.lines_of(&done["error_file_id"]).await;
    assert!(failed.iter().all(|line| line["error"]["code"] == "batch_expired"), "{failed:?}");
}

#[tokio::test]
async fn a_paused_batch_feeds_no_lines_until_it_goes_on() {
    let app = Arc::new(TestApp::start_with(|args| args.batch_window = 8).await);
    let file: String = (0..30).map(|number| line(&format!("a{number}"), "One.") + "\n").collect();
    let batch = app.batch_of("lines.jsonl", file, &json!({})).await;
    until("the window is full", async || app.depth().await == 8).await;
    let paused = app.post(&format!("/v1/batches/{batch}/pause"), "").await;
    assert_eq!(paused.body["paused"], true);
    // The feeder reads orders when it renews its lease, which shows in the counts.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let worker = TestWorker::new();
    worker.work(&app, 8).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.depth().await, 0, "nothing more comes");
    assert_eq!(app.post(&format!("/v1/batches/{batch}/resume"), "").await.body["paused"], false);
    let speaking = speaking(&app);
    let done = app.batch_until(&batch, "completed").await;
    assert_eq!(done["request_counts"]["completed"], 30);
    speaking.abort();
}
