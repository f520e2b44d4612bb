//! Requests for files and batches: fields, lists, repetition.

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::line;
use crate::app::TestApp;
use crate::worker::TestWorker;

#[tokio::test]
async fn uploads_and_orders_are_checked_by_field() {
    let app = TestApp::start().await;
    let send = async |form: Form| app.send(app.request(Method::POST, "/v1/files").multipart(form)).await;
    let file = || Part::bytes(line("a", "One.").into_bytes()).file_name("lines.jsonl");
    let forms = [
        (Form::new().part("file", file()), "purpose"),
        (Form::new().text("purpose", "fine-tune").part("file", file()), "purpose"),
        (Form::new().part("file", file()).text("purpose", "vision"), "purpose"),
        (Form::new().text("purpose", "batch"), "file"),
        (Form::new().text("purpose", "batch").part("file", Part::bytes(Vec::new()).file_name("a")), "file"),
        (Form::new().text("purpose", "batch").part("file", file()).part("file", file()), "file"),
        (Form::new().text("purpose", "batch").text("tempo", "1").part("file", file()), "tempo"),
        (Form::new().text("expires_after[seconds]", "1").part("file", file()), "expires_after[seconds]"),
        (Form::new().text("expires_after[anchor]", "now").part("file", file()), "expires_after[anchor]"),
        (Form::new().text("purpose", "a".repeat(1_000)).part("file", file()), "purpose"),
    ];
    for (form, field) in forms {
        let answer = send(form).await;
        assert_eq!((answer.status.as_u16(), &answer.body["error"]["param"]), (400, &json!(field)), "{}", answer.body);
    }
    assert_eq!(app.post("/v1/files", "{}").await.status, 415);
    assert!(app.store_files("audio/files").is_empty(), "a refused form leaves nothing");
    let file = app.upload_as("lines.jsonl", line("a", "One.")).await;
    let file = file.text("id");
    let bodies = [
        (json!({"input_file_id": "file-none"}), 404, Value::Null),
        (json!({"input_file_id": 7}), 400, json!("input_file_id")),
        (json!({"endpoint": "/v1/chat/completions"}), 400, json!("endpoint")),
        (json!({"endpoint": null}), 400, json!("endpoint")),
        (json!({"completion_window": "24"}), 400, json!("completion_window")),
        (json!({"completion_window": "90d"}), 400, json!("completion_window")),
        (json!({"metadata": {"a": 1}}), 400, json!("metadata.a")),
        (json!({"metadata": {"a": "b".repeat(513)}}), 400, json!("metadata.a")),
        (
            json!({"output_expires_after": {"anchor": "now", "seconds": 3600}}),
            400,
            json!("output_expires_after.anchor"),
        ),
        (
            json!({"output_expires_after": {"anchor": "created_at", "seconds": 1}}),
            400,
            json!("output_expires_after.seconds"),
        ),
        (json!({"tempo": 1}), 400, json!("tempo")),
    ];
    for (body, status, param) in bodies {
        let answer = app.create_batch(file, &body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]["param"]),
            (status, &param),
            "{body}: {}",
            answer.body
        );
    }
    for path in ["/v1/batches/batch_none", "/v1/files/file-none", "/v1/files/file-none/content"] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
    assert_eq!(app.post("/v1/batches/batch_none/cancel", "").await.status, 404);
    assert_eq!(app.get("/v1/files?limit=0").await.status, 400);
    let foreign = app.send_with(Method::GET, &format!("/v1/files/{file}"), &[("x-tenant", "other")], "").await;
    assert_eq!(foreign.status, 404);
}

#[tokio::test]
async fn files_are_listed_and_deleted() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(app.upload_as("lines.jsonl", line(&format!("a{number}"), "One.")).await.text("id").to_owned());
    }
    let listed = async |path: &str| {
        let page = app.get(path).await.body;
        let ids: Vec<_> = page["data"].as_array().unwrap().iter().map(|file| file["id"].clone()).collect();
        (json!(ids), page["has_more"].clone())
    };
    let all: BTreeSet<_> = ids.iter().cloned().collect();
    let (page, more) = listed("/v1/files").await;
    assert_eq!(serde_json::from_value::<BTreeSet<String>>(page.clone()).unwrap(), all);
    assert_eq!(more, json!(false));
    let (first, more) = listed("/v1/files?limit=2").await;
    assert_eq!((first.as_array().unwrap().len(), more), (2, json!(true)));
    let (rest, _) = listed(&format!("/v1/files?limit=2&after={}", first[1].as_str().unwrap())).await;
    assert_eq!(rest, json!([page[2]]));
    let path = format!("/v1/files/{}", ids[0]);
    assert_eq!(app.text_of(&format!("{path}/content")).await, line("a0", "One."));
    assert_eq!(app.delete(&path).await.body, json!({"id": ids[0], "object": "file", "deleted": true}));
    assert_eq!(app.get(&path).await.status, 404);
    assert_eq!(app.store_files("audio/files").len(), 2);
}

#[tokio::test]
async fn turns_are_checked_by_field() {
    let app = TestApp::start().await;
    let turn = json!({"text": "One.", "speaker": 0});
    let cases = [
        (json!({"turns": []}), "turns"),
        (json!({"turns": "One."}), "turns"),
        (json!({"turns": vec![turn.clone(); 65]}), "turns"),
        (json!({"turns": [turn, {"text": "a".repeat(4_095)}]}), "turns"),
        (json!({"turns": [turn], "text": "One."}), "text"),
        (json!({"turns": [turn], "voice": "ash"}), "voice"),
        (json!({"turns": [turn, 7]}), "turns[1]"),
        (json!({"turns": [{"speaker": 0}]}), "turns[0].text"),
        (json!({"turns": [{"text": " "}]}), "turns[0].text"),
        (json!({"turns": [{"text": "One.", "speaker": 12}]}), "turns[0].speaker"),
        (json!({"turns": [{"text": "One.", "voice": "nobody"}]}), "turns[0].voice"),
        (json!({"turns": [{"text": "One.", "voice": "ash", "speaker": 1}]}), "turns[0].speaker"),
        (json!({"turns": [{"text": "One.", "pause_ms": 10_001}]}), "turns[0].pause_ms"),
        (json!({"turns": [{"text": "One.", "pause_ms": -1}]}), "turns[0].pause_ms"),
        (json!({"turns": [{"text": "One.", "tempo": 1}]}), "turns[0].tempo"),
        (json!({"turns": [{"text": "One.", "voice": "ash"}, {"text": "Two.", "voice": "echo"}]}), "turns[1].voice"),
    ];
    for (body, field) in cases {
        let answer = app.post("/v1/jobs", body.to_string()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["field"]), (422, &json!(field)), "{}", answer.body);
    }
    let id = app.submit(&json!({"turns": [turn, {"text": "Two.", "speaker": 1, "pause_ms": 0}]}).to_string()).await;
    let job = TestWorker::new().claim(&app).await;
    assert_eq!((job.lease.at().id, job.spec.text.as_str(), job.spec.turns.as_slice().len()), (id, "One.\nTwo.", 2));
    assert_eq!(app.get(&format!("/v1/jobs/{id}/cues")).await.status, 409);
}

#[tokio::test]
async fn a_repeated_order_is_the_same_batch() {
    let app = TestApp::start().await;
    let file = app.upload_as("lines.jsonl", line("a", "One.")).await;
    let body = json!({"input_file_id": file.text("id"), "endpoint": "/v1/audio/speech", "completion_window": "24h"});
    let send =
        async || app.send_with(Method::POST, "/v1/batches", &[("idempotency-key", "night")], &body.to_string()).await;
    let (first, second) = (send().await, send().await);
    assert_eq!(first.text("id"), second.text("id"));
    assert_eq!(app.get("/v1/batches").await.body["data"].as_array().unwrap().len(), 1);
}
