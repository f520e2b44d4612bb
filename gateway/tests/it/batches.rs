//! Files and batches over HTTP, with a worker of the test.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use csm_queue::queue::Lease;
use csm_shared::job::{Failure, FailureClass};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::app::{TestApp, TestResponse, until};
use crate::worker::{TestWorker, wav};

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
async fn tables_texts_and_subtitles_are_files_of_lines_too() {
    let app = Arc::new(TestApp::start().await);
    let worker = speaking(&app);
    let vtt = "WEBVTT - title\n\nNOTE nobody\nspeaks this\n\n1\n00:01.000 --> 00:02.500 align:left\n<i>One</i> and\ntwo.\n\n\
        01:00:00.000 --> 01:00:01.000\n{\\an8}Three.\n";
    let srt = "1\r\n00:00:01,000 --> 00:00:02,000\r\nOne.\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\n<b>Two.</b>\r\n";
    let csv = "custom_id,text,seed,voice\na,\"One, and\ntwo.\",5,alloy\nb,Three.,,\n";
    let files = [
        ("lines.csv", csv, vec![("a", "One, and\ntwo."), ("b", "Three.")]),
        ("lines.tsv", "input\tspeaker\nOne.\t1\n", vec![("line-0000002", "One.")]),
        ("lines.txt", "One.\n\n  Two.  \n", vec![("line-0000001", "One."), ("line-0000003", "Two.")]),
        ("lines.srt", srt, vec![("cue-000001", "One."), ("cue-000002", "Two.")]),
        ("lines.vtt", vtt, vec![("cue-000001", "One and two."), ("cue-000002", "Three.")]),
    ];
    for (name, file, expected) in files {
        let batch = app.batch_of(name, file, &json!({})).await;
        let done = app.batch_until(&batch, "completed").await;
        let spoken = app.lines_of(&done["output_file_id"]).await;
        assert_eq!(names(&spoken), expected.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "{name}");
        for (line, (_, text)) in spoken.iter().zip(expected) {
            let key = line["response"]["body"]["key"].as_str().unwrap().parse().unwrap();
            assert_eq!(app.store.get(&key).await.unwrap(), wav(text), "{name}");
        }
        if name == "lines.csv" {
            assert_eq!(spoken[0]["response"]["body"]["seed"], 5);
        }
        if name == "lines.vtt" {
            assert_eq!(spoken[1]["response"]["body"]["cue"], json!({"start_ms": 3_600_000, "end_ms": 3_601_000}));
        }
    }
    worker.abort();
}

/// Waits for the refusal of a file; returns its faults.
async fn refused(app: &TestApp, name: &str, file: impl Into<Vec<u8>>) -> Vec<Value> {
    let batch = app.batch_of(name, file, &json!({})).await;
    let failed = app.batch_until(&batch, "failed").await;
    assert_eq!(failed["request_counts"]["total"], 0);
    failed["errors"]["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_bad_file_is_refused_whole_with_line_field_value_and_limit() {
    let app = TestApp::start().await;
    let good = line("good", "A good line.");
    let with = |name: &str, value: Value| {
        let mut line: Value = serde_json::from_str(&line("bad", "A line.")).unwrap();
        match name.strip_prefix("body.") {
            Some(name) => line["body"][name] = value,
            None => line[name] = value,
        }
        line.to_string()
    };
    let cases: Vec<(&str, String, &str, Value, &str)> = vec![
        ("broken JSON", r#"{"custom_id": "a", "#.into(), "invalid_json_line", Value::Null, "JSON request line"),
        ("no object", "[1]".into(), "invalid_json_line", Value::Null, "JSON request line"),
        (
            "a field that nobody knows",
            with("tempo", json!(1)),
            "invalid_json_line",
            Value::Null,
            "unknown field `tempo`",
        ),
        ("no name", with("custom_id", Value::Null), "missing_field", json!("custom_id"), "(missing)"),
        (
            "a path for a name",
            with("custom_id", json!("../a/b")),
            "invalid_custom_id",
            json!("custom_id"),
            "\"../a/b\"",
        ),
        ("a hidden name", with("custom_id", json!(".a")), "invalid_custom_id", json!("custom_id"), "\".a\""),
        ("a long name", with("custom_id", json!("a".repeat(129))), "invalid_custom_id", json!("custom_id"), "1 to 128"),
        ("the name of another line", good.clone(), "duplicate_custom_id", json!("custom_id"), "\"good\""),
        ("another method", with("method", json!("GET")), "invalid_method", json!("method"), "\"GET\""),
        ("another endpoint", with("url", json!("/v1/jobs")), "invalid_url", json!("url"), "/v1/audio/speech"),
        ("no body", with("body", Value::Null), "missing_field", json!("body"), "(missing)"),
        ("a body that is no object", with("body", json!("text")), "malformed", json!("body.(body)"), "a JSON object"),
        (
            "an unknown field of the body",
            with("body.tempo", json!(1)),
            "malformed",
            json!("body.tempo"),
            "a known field",
        ),
        ("no text", with("body.input", Value::Null), "malformed", json!("body.input"), "(missing)"),
        ("a blank text", with("body.input", json!("  ")), "out_of_range", json!("body.input"), "blank"),
        ("punctuation", with("body.input", json!("...")), "malformed", json!("body.input"), "a letter or digit"),
        ("a long text", with("body.input", json!("a".repeat(4_097))), "out_of_range", json!("body.input"), "1 to 4096"),
        ("a wrong speed", with("body.speed", json!(9)), "out_of_range", json!("body.speed"), "0.25 to 4"),
        ("a stream", with("body.stream_format", json!("sse")), "malformed", json!("body.stream_format"), "audio"),
        ("another rate", with("body.sample_rate", json!(8_000)), "malformed", json!("body.sample_rate"), "24000"),
        ("another voice", with("body.voice", json!("nobody")), "malformed", json!("body.voice"), "nobody"),
        ("another model", with("body.model", json!("gpt-9")), "malformed", json!("body.model"), "gpt-9"),
        ("a long line", "a".repeat(10 * 1024 * 1024), "line_too_long", Value::Null, "the limit is 1048576"),
        ("a NUL", "a\0b".into(), "invalid_json_line", Value::Null, "JSON request line"),
    ];
    for (what, bad, code, param, said) in cases {
        let errors = refused(&app, "lines.jsonl", format!("{good}\n{bad}\n")).await;
        assert_eq!(errors.len(), 1, "{what}: {errors:?}");
        let message = errors[0]["message"].as_str().unwrap();
        assert_eq!(
            (&errors[0]["code"], &errors[0]["param"], &errors[0]["line"]),
            (&json!(code), &param, &json!(2)),
            "{what}: {message}"
        );
        assert!(message.contains(said), "{what}: {message}");
        assert!(message.len() < 600, "{what}: {message}");
    }
    let mut utf_16 = vec![0xff, 0xfe];
    utf_16.extend(good.encode_utf16().flat_map(u16::to_le_bytes));
    let files: Vec<(&str, &str, Vec<u8>, &str, Value)> = vec![
        ("only a mark", "lines.jsonl", b"\xef\xbb\xbf".to_vec(), "empty_file", Value::Null),
        ("blank lines", "lines.jsonl", b"\n\r\n \n".to_vec(), "empty_file", Value::Null),
        ("UTF-16", "lines.jsonl", utf_16, "encoding", json!(1)),
        ("half a character", "lines.txt", b"good\n\xc3\n".to_vec(), "encoding", json!(2)),
        ("a NUL in a text", "lines.txt", b"good\na\0b\n".to_vec(), "control_character", json!(2)),
        ("a table without a text", "lines.csv", b"custom_id,words\na,b\n".to_vec(), "invalid_header", json!(1)),
        ("a column twice", "lines.csv", b"text,text\na,b\n".to_vec(), "invalid_header", json!(1)),
        ("a short row", "lines.csv", b"custom_id,text\na,b\nc\n".to_vec(), "invalid_row", json!(3)),
        ("a column that nobody knows", "lines.csv", b"text,tempo\na,1\n".to_vec(), "malformed", json!(2)),
        (
            "times in no order",
            "lines.srt",
            b"1\n00:00:02,000 --> 00:00:01,000\nOne.\n".to_vec(),
            "invalid_times",
            json!(2),
        ),
        ("no cue", "lines.vtt", b"WEBVTT\n\nNOTE nothing\n".to_vec(), "empty_file", Value::Null),
    ];
    for (what, name, file, code, line) in files {
        let errors = refused(&app, name, file).await;
        assert_eq!((&errors[0]["code"], &errors[0]["line"]), (&json!(code), &line), "{what}: {errors:?}");
    }
    assert_eq!(app.queue.stats().await.unwrap().open, 0, "nothing ran");
    nothing_but_inputs_stays(&app).await;
}

/// Checks that refused batches leave no objects beside their input files.
async fn nothing_but_inputs_stays(app: &TestApp) {
    let left = app.store_files("audio/batches");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn all_bad_lines_are_counted_and_the_first_thousand_are_listed() {
    let app = TestApp::start().await;
    let file: String = (0..1_200).map(|number| line(&format!("a{number}"), "") + "\n").collect();
    let errors = refused(&app, "lines.jsonl", file).await;
    assert_eq!((errors.len(), &errors[999]["line"]), (1_001, &json!(1_000)));
    assert_eq!(errors[1_000]["message"], "1200 lines are refused; the first 1000 are listed.");
}

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
