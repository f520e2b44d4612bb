//! Recordings of contexts: in the store, not in Redis.

#![expect(clippy::print_stdout, reason = "the figures of the test")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::Clip;
use csm_shared::job::Recording;
use csm_shared::store::ObjectKey;
use serde_json::json;

use crate::app::TestApp;
use crate::speech::segment;
use crate::worker::TestWorker;

/// Jobs of one test, each with recordings of its own.
const JOBS: usize = 16;
/// Frames of a recording: 60 s.
const FRAMES: usize = 750;
/// Most bytes that 126 jobs may take in Redis.
const BYTES_OF_126: u64 = 20_000_000;

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

#[tokio::test]
async fn jobs_with_long_recordings_take_little_of_redis_and_workers_get_every_sample() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let before = memory(&app).await;
    for number in 0..JOBS {
        let body = json!({"text": "How are you?", "max_audio_length_ms": 1_000, "context": [long_segment(number)]});
        app.submit(&body.to_string()).await;
    }
    let bytes = memory(&app).await.saturating_sub(before) / JOBS as u64;
    println!("a job with 60 s of context takes {bytes} bytes of Redis, 126 take {}", 126 * bytes);
    assert!(126 * bytes < BYTES_OF_126, "{bytes} bytes a job");

    for number in 0..JOBS {
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
