//! Input files: every format, and every fault of a file.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{line, names, speaking};
use crate::app::TestApp;
use crate::worker::wav;

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
