//! Files and batches over HTTP, with a worker of the test.

mod input;
mod orders;
mod requests;
mod results;

use std::sync::Arc;

use csm_queue::queue::Lease;
use csm_shared::job::{Failure, FailureClass};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::app::{TestApp, TestResponse, until};
use crate::worker::TestWorker;

/// Text of which the worker of these tests makes a failure.
const UNSPEAKABLE: &str = "unspeakable";

/// Makes a request line in OpenAI's shape.
fn line(custom_id: &str, text: &str) -> String {
    json!({"custom_id": custom_id, "method": "POST", "url": "/v1/audio/speech",
        "body": {"model": "tts-1", "input": text, "response_format": "wav"}})
    .to_string()
}

impl TestApp {
    async fn upload_as(&self, name: &str, file: impl Into<Vec<u8>>) -> TestResponse {
        let part = Part::bytes(file.into()).file_name(name.to_owned());
        let form = Form::new().text("purpose", "batch").part("file", part);
        self.send(self.request(Method::POST, "/v1/files").multipart(form)).await
    }

    async fn create_batch(&self, file: &str, more: &Value) -> TestResponse {
        let mut body = json!({"input_file_id": file, "endpoint": "/v1/audio/speech", "completion_window": "24h"});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.post("/v1/batches", body.to_string()).await
    }

    /// Uploads a file and makes a batch of it. Returns the id of the batch.
    async fn batch_of(&self, name: &str, file: impl Into<Vec<u8>>, more: &Value) -> String {
        let file = self.upload_as(name, file).await;
        assert_eq!(file.status, 200, "{}", file.body);
        let batch = self.create_batch(file.text("id"), more).await;
        assert_eq!((batch.status.as_u16(), batch.text("status")), (200, "validating"), "{}", batch.body);
        batch.text("id").to_owned()
    }

    /// Waits until a batch has a status.
    async fn batch_until(&self, id: &str, status: &str) -> Value {
        let path = format!("/v1/batches/{id}");
        until(&format!("{id} is {status}"), async || self.get(&path).await.text("status") == status).await;
        self.get(&path).await.body
    }

    async fn text_of(&self, path: &str) -> String {
        let answer = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    /// Reads the lines of a file of a batch; none if the batch has no such file.
    async fn lines_of(&self, file: &Value) -> Vec<Value> {
        let Some(id) = file.as_str() else { return Vec::new() };
        json_lines(&self.text_of(&format!("/v1/files/{id}/content")).await)
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["custom_id"].as_str().unwrap()).collect()
}

/// Starts a worker that speaks all jobs, and fails those of [`UNSPEAKABLE`].
fn speaking(app: &Arc<TestApp>) -> JoinHandle<()> {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let worker = TestWorker::new();
        loop {
            let job = worker.claim_however_late(&app).await;
            if job.spec.text.as_str() == UNSPEAKABLE {
                let lease: Lease = job.lease;
                worker.fail(&app, lease, &Failure::new(FailureClass::Invalid, "nobody can say this")).await;
            } else {
                worker.succeed(&app, job).await;
            }
        }
    })
}
