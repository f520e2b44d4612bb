//! Recordings of contexts: in the store, not in Redis.

#![expect(clippy::print_stdout, reason = "the figures of the test")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::Clip;
use csm_shared::job::Recording;
use csm_shared::store::ObjectKey;
use futures::{StreamExt as _, stream};
use serde_json::json;
use tokio::time::timeout;

use crate::app::TestApp;
use crate::flac::constant_flac;
use crate::speech::segment;
use crate::worker::TestWorker;

/// Frames of a long recording: 60 s.
const FRAMES: usize = 750;
/// Jobs with long recordings, each with one of its own.
const JOBS: usize = 126;
/// Most bytes that these jobs may take in Redis.
const BYTES_MAX: u64 = 20_000_000;
/// Samples of the longest recording, 120 s, and the largest upload that holds them.
const LONGEST: usize = 120 * 24_000;
const UPLOAD_MAX: usize = 900;
/// Jobs that are sent at the same time.
const AT_ONCE: usize = 4;
/// Longest wait for one answer, on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Returns a segment whose samples depend on `number`.
fn long_segment(number: usize) -> serde_json::Value {
    let samples = (0..FRAMES * 1_920).map(|n| i16::try_from(n.wrapping_mul(number + 31) % 997).unwrap());
    let wav = Clip::from_samples(samples.collect()).to_wav();
    json!({ "text": "Good morning.", "speaker": 1, "audio": BASE64.encode(wav) })
}

async fn memory(app: &TestApp) -> u64 {
    let info: String = app.queue.redis().command(redis::cmd("INFO").arg("memory")).await.unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
    used.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_uploads_of_long_recordings_take_little_of_redis() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let before = memory(&app).await;
    let upload = |number: usize| BASE64.encode(constant_flac(LONGEST, i16::try_from(number).unwrap()));
    assert!(upload(0).len() <= UPLOAD_MAX, "{} bytes", upload(0).len());
    let send = async |number: usize| {
        let segment = json!({ "text": "Good morning.", "speaker": 1, "audio": upload(number) });
        let body = json!({ "text": "How are you?", "max_audio_length_ms": 1_000, "context": [segment] });
        timeout(ANSWER_LIMIT, app.submit(&body.to_string())).await.unwrap();
    };
    stream::iter(0..JOBS).map(send).buffer_unordered(AT_ONCE).collect::<()>().await;
    let bytes = memory(&app).await.saturating_sub(before);
    println!("{JOBS} jobs with 120 s of context in {} bytes each take {bytes} bytes of Redis", upload(0).len());
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
    let recording = &worker.claim(&app).await.spec.context.segments()[0].recording.clone();
    assert!(matches!(recording, Recording::Stored(stored) if stored.samples as usize == LONGEST), "{recording:?}");
}

#[tokio::test]
async fn workers_get_every_sample_of_a_stored_recording() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    for number in 0..2 {
        let body = json!({"text": "How are you?", "max_audio_length_ms": 1_000, "context": [long_segment(number)]});
        app.submit(&body.to_string()).await;
    }
    for number in 0..2 {
        let job = worker.claim(&app).await;
        let Recording::Stored(stored) = &job.spec.context.segments()[0].recording else { panic!("{:?}", job.spec) };
        let key: ObjectKey = stored.location.parse().unwrap();
        let object = app.store.get(&key).await.unwrap();
        let sent = BASE64.decode(long_segment(number)["audio"].as_str().unwrap()).unwrap();
        assert!(object == sent[44..], "the samples of job {number}");
        assert_eq!(stored.read(&object).unwrap().samples().len(), FRAMES * 1_920);
    }
}

#[tokio::test]
async fn the_same_recording_is_one_object_and_a_short_one_is_none() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    for context in [json!([segment(3), segment(750)]), json!([segment(750)]), json!([segment(3), segment(1)])] {
        app.submit(&json!({"text": "a", "max_audio_length_ms": 1_000, "context": context}).to_string()).await;
    }
    let mut keys = Vec::new();
    for _ in 0..2 {
        let spec = worker.claim(&app).await.spec;
        for segment in spec.context.segments() {
            let Recording::Stored(stored) = &segment.recording else { panic!("{segment:?}") };
            keys.push(stored.location.clone());
        }
    }
    assert_eq!(keys.len(), 3);
    assert!(keys[1] == keys[2] && keys[0] != keys[1], "{keys:?}");
    let temporary: u64 = app.queue.redis().command(redis::cmd("ZCARD").arg("csm:temporary")).await.unwrap();
    assert_eq!(temporary, 2);
    let short = worker.claim(&app).await.spec;
    assert!(short.context.segments().iter().all(|segment| matches!(segment.recording, Recording::Clip(_))));
}
