//! Results of a batch: output, errors, shards, audio, archives, cues and events.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{UNSPEAKABLE, json_lines, line, names, speaking};
use crate::app::{TestApp, until};
use crate::speech::encode;
use crate::worker::wav;

#[tokio::test]
async fn every_line_of_a_file_is_in_the_output_or_among_the_errors() {
    let app = Arc::new(TestApp::start().await);
    let text = |number: usize| if number % 50 == 7 { UNSPEAKABLE.to_owned() } else { format!("Line {number}.") };
    let file: String = (0..230).map(|number| line(&format!("Take_{number}"), &text(number)) + "\r\n").collect();
    let worker = speaking(&app);
    let batch =
        app.batch_of("lines.jsonl", format!("\u{feff}{file}\n\n"), &json!({"metadata": {"film": "Ünter"}})).await;
    let done = app.batch_until(&batch, "completed").await;
    assert_eq!(done["request_counts"], json!({"total": 230, "completed": 225, "failed": 5}));
    assert_eq!(
        (&done["metadata"], &done["shards"], &done["errors"]),
        (&json!({"film": "Ünter"}), &json!(3), &Value::Null)
    );
    assert_eq!(done["audio_ms"], 225 * 160);
    let (spoken, failed) = (app.lines_of(&done["output_file_id"]).await, app.lines_of(&done["error_file_id"]).await);
    assert_eq!(names(&failed), ["Take_7", "Take_57", "Take_107", "Take_157", "Take_207"]);
    assert_eq!(failed[0]["error"], json!({"code": "job_failed", "message": "nobody can say this"}));
    let all: BTreeSet<_> = names(&spoken).into_iter().chain(names(&failed)).collect();
    assert_eq!((all.len(), spoken.len()), (230, 225));
    assert_eq!(names(&spoken)[..3], ["Take_0", "Take_1", "Take_2"]);
    let (response, body) = (&spoken[2]["response"], &spoken[2]["response"]["body"]);
    assert_eq!((&response["status_code"], &body["line"], &body["attempts"]), (&json!(200), &json!(3), &json!(1)));
    assert!(body["key"].as_str().unwrap().starts_with(&format!("audio/batches/{batch}/0000003-take_2.a1-")), "{body}");
    let audio = app.request(Method::GET, &format!("/v1/batches/{batch}/lines/3/audio")).send().await.unwrap();
    assert_eq!(audio.headers()["content-type"], "audio/wav");
    assert_eq!(audio.bytes().await.unwrap(), wav("Line 2."));
    assert_eq!(app.get(&format!("/v1/batches/{batch}/lines/8/audio")).await.status, 404);
    assert_eq!(app.get(&format!("/v1/batches/{batch}/lines/231/audio")).await.status, 404);
    let shard = json_lines(&app.text_of(&format!("/v1/batches/{batch}/shards/2")).await);
    assert_eq!((names(&shard)[0], shard.len()), ("Take_200", 30));
    assert_eq!(app.get(&format!("/v1/batches/{batch}/shards/3")).await.status, 404);
    archives_hold_all(&app, &batch, &spoken).await;
    worker.abort();
}

/// Checks both archives of a batch against its output.
async fn archives_hold_all(app: &TestApp, batch: &str, spoken: &[Value]) {
    let get = async |format: &str| {
        let path = format!("/v1/batches/{batch}/archive?format={format}");
        app.request(Method::GET, &path).send().await.unwrap().bytes().await.unwrap()
    };
    let mut zip = zip::ZipArchive::new(Cursor::new(get("zip").await)).unwrap();
    let mut tar = tar::Archive::new(Cursor::new(get("tar").await));
    let read = |file: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let names: BTreeSet<_> = tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
    assert_eq!((names.len(), zip.len()), (spoken.len() + 1, spoken.len() + 1));
    assert_eq!(read(&mut zip.by_name("Take_2.wav").unwrap()), wav("Line 2."));
    let manifest = json_lines(&String::from_utf8(read(&mut zip.by_name("manifest.jsonl").unwrap())).unwrap());
    let bodies: Vec<_> = spoken.iter().map(|line| line["response"]["body"].clone()).collect();
    assert_eq!(manifest, bodies);
    assert_eq!(app.get(&format!("/v1/batches/{batch}/archive?format=rar")).await.status, 400);
}

#[tokio::test]
async fn the_output_names_what_a_recording_lacks() {
    let app = Arc::new(TestApp::start().await);
    let mut file = csm_shared::audio::Clip::from_samples(vec![99; 1_920]).to_wav();
    file.truncate(file.len() - 102);
    let context = json!([{"text": "Good morning.", "audio": encode(&file)}]);
    let body = json!({"input": "One.", "response_format": "wav", "context_segments": context});
    let line = json!({"custom_id": "a", "method": "POST", "url": "/v1/audio/speech", "body": body}).to_string();
    let worker = speaking(&app);
    let batch = app.batch_of("lines.jsonl", line, &json!({})).await;
    let done = app.batch_until(&batch, "completed").await;
    let spoken = app.lines_of(&done["output_file_id"]).await;
    let warnings = &spoken[0]["response"]["body"]["input_warnings"];
    assert_eq!(warnings[0]["field"], "context_segments[0].audio", "{}", spoken[0]);
    assert!(warnings[0]["message"].as_str().unwrap().contains("102"), "{warnings}");
    worker.abort();
}

#[tokio::test]
async fn the_events_of_a_batch_end_with_its_final_status() {
    let app = Arc::new(TestApp::start().await);
    let worker = speaking(&app);
    let file: String = (0..120).map(|number| line(&format!("a{number}"), "One.") + "\n").collect();
    let batch = app.batch_of("lines.jsonl", file, &json!({})).await;
    let events = app.text_of(&format!("/v1/batches/{batch}/events")).await;
    let events: Vec<Value> = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(events.last().unwrap()["status"], "completed");
    assert_eq!(events.last().unwrap()["request_counts"]["completed"], 120);
    worker.abort();
}

#[tokio::test]
async fn a_line_is_spoken_again_with_another_seed_and_nothing_else_changes() {
    let app = Arc::new(TestApp::start().await);
    let worker = speaking(&app);
    let file: String = (0..120).map(|number| line(&format!("a{number}"), &format!("Line {number}.")) + "\n").collect();
    let batch = app.batch_of("lines.jsonl", file, &json!({})).await;
    let done = app.batch_until(&batch, "completed").await;
    let before = app.lines_of(&done["output_file_id"]).await;
    let path = format!("/v1/batches/{batch}/lines/112/redo");
    for (path, body, status) in [
        (format!("/v1/batches/{batch}/lines/121/redo"), "", 404),
        (path.clone(), r#"{"seed": -1}"#, 400),
        (path.clone(), r#"{"seed": "one"}"#, 400),
    ] {
        assert_eq!(app.post(&path, body).await.status.as_u16(), status, "{path} {body}");
    }
    let ordered = app.post(&path, r#"{"seed": 99}"#).await;
    assert_eq!((ordered.status.as_u16(), &ordered.body["seed"]), (202, &json!(99)), "{}", ordered.body);
    let output = async || app.lines_of(&app.get(&format!("/v1/batches/{batch}")).await.body["output_file_id"]).await;
    until("the line is replaced", async || output().await[111]["response"]["body"]["seed"] == 99).await;
    let after = output().await;
    assert_eq!(after[111]["response"]["request_id"], ordered.body["job"]);
    assert_ne!(after[111]["response"]["body"]["key"], before[111]["response"]["body"]["key"]);
    assert_eq!((&after[..111], &after[112..]), (&before[..111], &before[112..]));
    let done = app.batch_until(&batch, "completed").await;
    assert_eq!(done["request_counts"], json!({"total": 120, "completed": 120, "failed": 0}));
    worker.abort();
}

#[tokio::test]
async fn a_dialogue_is_one_line_with_a_cue_for_each_turn() {
    let app = Arc::new(TestApp::start().await);
    let worker = speaking(&app);
    let voice = |number: usize| ["ash", "nova"][number % 2];
    let turns: Vec<_> =
        (0..40).map(|number| json!({"text": format!("Turn {number}."), "voice": voice(number)})).collect();
    let line = json!({"custom_id": "scene", "method": "POST", "url": "/v1/audio/speech", "body": {"turns": turns}});
    let batch = app.batch_of("lines.jsonl", line.to_string(), &json!({})).await;
    let done = app.batch_until(&batch, "completed").await;
    let spoken = app.lines_of(&done["output_file_id"]).await;
    let told = spoken[0]["response"]["body"]["turns"].as_array().unwrap();
    assert_eq!((told.len(), &told[39]["text"], &told[39]["voice"]), (40, &json!("Turn 39."), &json!("nova")));
    let path = format!("/v1/batches/{batch}/lines/1/cues");
    let cues: Vec<Value> = serde_json::from_str(&app.text_of(&path).await).unwrap();
    let starts: Vec<_> = cues.iter().map(|cue| cue["start_ms"].as_u64().unwrap()).collect();
    assert!(cues.len() == 40 && starts.is_sorted(), "{starts:?}");
    assert!(
        app.text_of(&format!("{path}?format=srt")).await.starts_with("1\n00:00:00,000 --> 00:00:01,000\nTurn 0.\n")
    );
    assert!(app.text_of(&format!("{path}?format=vtt")).await.contains("<v ash>Turn 0.\n"));
    assert_eq!(app.get(&format!("{path}?format=ass")).await.status, 400);
    worker.abort();
}
