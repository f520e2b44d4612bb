//! Recordings in base64 as clients write it, and refusals of what is none.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use csm_shared::audio::{Clip, FORMATS};
use csm_shared::job::Recording;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::speech::segment;
use crate::worker::TestWorker;

/// Returns a request with a recording, as a client writes the recording.
fn with_audio(audio: &str) -> String {
    let recording = json!({"text": "Good morning.", "speaker": 1, "audio": audio});
    json!({"text": "a", "max_audio_length_ms": 1_000, "context_segments": [segment(1), recording]}).to_string()
}

/// Breaks a text into lines.
fn lines(text: &str, width: usize, end: &str) -> String {
    let lines = text.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap());
    lines.map(|line| format!("{line}{end}")).collect()
}

#[tokio::test]
async fn every_form_of_base64_brings_the_same_samples() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    // Three samples more than whole frames, so that the file needs padding.
    let clip = Clip::from_samples((0..2 * 1_920 + 3).map(|n: i32| (n * 7_919 % 30_011) as i16).collect());
    let file = clip.to_wav();
    let (plain, url_safe) = (STANDARD.encode(&file), URL_SAFE.encode(&file));
    assert!(plain.contains(['+', '/']) && plain.ends_with('='), "the alphabets differ, and there is padding");
    for audio in [
        plain.clone(),
        format!("data:audio/wav;base64,{plain}"),
        format!("data:audio/x-wav;rate=24000;base64,{plain}"),
        format!("{plain}\n"),
        lines(&plain, 76, "\r\n"),
        lines(&plain, 64, "\n"),
        lines(&plain, 76, " "),
        plain.trim_end_matches('=').to_owned(),
        url_safe.clone(),
        URL_SAFE_NO_PAD.encode(&file),
        format!("data:;base64,{}", lines(&url_safe, 76, "\n")),
    ] {
        app.submit(&with_audio(&audio)).await;
        let spec = worker.claim(&app).await.spec;
        let shown: String = audio.chars().take(60).collect();
        assert_eq!(spec.context.segments()[1].recording, Recording::Clip(clip.clone()), "{shown}");
    }
}

#[tokio::test]
async fn what_is_no_base64_is_told_why_and_where() {
    let app = TestApp::start().await;
    let plain = STANDARD.encode(Clip::from_samples(vec![99; 100]).to_wav());
    let (start, rest) = plain.split_at(41);
    let (expected, mut told) = (format!("base64 of {FORMATS} ("), BTreeMap::new());
    for (name, audio) in [
        ("address", "https://example.org/voice.wav".to_owned()),
        ("blank_for_plus", format!("{start} {rest}")),
        ("blanks_alone", " \r\n".to_owned()),
        ("cut_off", plain[..plain.len() - 5].to_owned()),
        ("data_url_as_text", "data:audio/wav,RIFF".to_owned()),
        ("escaped_line_break", format!("{start}\\n{rest}")),
        ("file_name", "/home/me/my voice.wav".to_owned()),
        ("mixed_alphabets", format!("ab-d{start}+/")),
        ("padding_inside", format!("{start}=\r\n{rest}")),
        ("stray_character", format!("data:audio/wav;base64,{start}é{rest}")),
    ] {
        let answer = app.post("/v1/jobs", with_audio(&audio)).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (422, "malformed"), "{name}: {}", answer.body);
        assert_eq!(answer.text("field"), "context_segments[1].audio", "{name}");
        let reason = answer.text("limit").strip_prefix(&expected).and_then(|reason| reason.strip_suffix(')'));
        told.insert(name, json!({"value": answer.text("value"), "reason": reason}));
    }
    insta::assert_json_snapshot!("bad_base64", Value::from_iter(told));
    assert_eq!(app.depth().await, 0, "no lane grew");
}
