//! `POST /v1/watermark/detect`: findings in recordings, and refusals.

mod uploads;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use csm_queue::detect_queue::{DetectQueue, DetectRequest, DetectorAvailability, REQUESTS_WAITING_MAX};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::audio::{Clip, to_i16};
use csm_shared::job::{AudioFormat, JobId};
use csm_shared::watermark::WatermarkKeyArgs;
use csm_shared::watermark::{DEVELOPMENT_SECRET, Finding, Scheme, Verdict, Watermark, WatermarkKey};
use futures::future::join_all;
use jiff::Timestamp;
use redis::Cmd;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{PATIENCE, TestApp, TestResponse, until};
use crate::flac::flac;

const PATH: &str = "/v1/watermark/detect";

/// Returns the path of a file that `shared/tests/data/make.sh` made.
fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "shared", "tests", "data", name].iter().collect()
}

/// Makes three seconds of a gliding harmonic sound over a little noise, in place of a voice.
fn voice() -> Vec<f32> {
    let mut noise = 1_u32;
    let mut phase = 0.0_f32;
    let sample = |i: u32| {
        let seconds = i as f32 / 24_000.0;
        phase = (phase + (140.0 + 40.0 * (4.0 * seconds).sin()) / 24_000.0).fract();
        let harmonics = (1..30_u8).map(f32::from).map(|k| (k * phase * std::f32::consts::TAU).sin() / (k + 2.0));
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let hiss = (noise >> 8) as f32 / (1 << 23) as f32 - 1.0;
        (0.15 + 0.1 * (9.0 * seconds).sin()) * harmonics.sum::<f32>() + 0.005 * hiss
    };
    (0..72_000).map(sample).collect()
}

/// Makes the voice marked with the development key.
fn marked() -> Clip {
    let mut stream = Watermark::new(&WatermarkKey::development()).stream();
    let mut marked = stream.push(&voice());
    marked.append(stream.finish());
    Clip::from_samples(marked.samples().to_vec())
}

fn plain() -> Clip {
    Clip::from_samples(voice().into_iter().map(to_i16).collect())
}

/// Writes the recording that `make.sh` turns into the files of other formats.
#[test]
#[ignore = "makes a file of shared/tests/data"]
fn write_marked() {
    std::fs::write(data("marked.wav"), marked().to_wav()).unwrap();
}

async fn detect(app: &TestApp, file: impl Into<reqwest::Body>) -> TestResponse {
    app.send(app.request(Method::POST, PATH).body(file)).await
}

fn verdict(answer: &TestResponse) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.text("verdict")
}

fn detect_queue(app: &TestApp) -> DetectQueue {
    DetectQueue::new(redis(app))
}

/// Makes the finding of a worker.
fn finding(verdict: Verdict) -> Finding {
    let (scheme, key_id) = (Scheme::Silentcipher, "0bad".to_owned());
    Finding { scheme, verdict, p_value: 1e-12, score: 0.97, key_id, regions: Vec::new() }
}

/// Starts a worker at the detect queue that gives `answer` for every recording.
async fn attended(app: &TestApp, answer: Result<Verdict, &'static str>) -> (CancellationToken, JoinHandle<()>) {
    attended_by(app, move |_| answer.map(|verdict| vec![finding(verdict)]).map_err(str::to_owned)).await
}

/// Starts a worker at the detect queue that examines recordings with `look`.
async fn attended_by(
    app: &TestApp,
    look: impl Fn(&DetectRequest) -> Result<Vec<Finding>, String> + Send + Sync + 'static,
) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let (detect_queue, until_then) = (detect_queue(app), stop.clone());
    let serving = tokio::spawn(async move { detect_queue.serve(look, until_then).await });
    let detect_queue = self::detect_queue(app);
    until("a worker at the detect queue", async || {
        detect_queue.availability().await.unwrap() == DetectorAvailability::Available
    })
    .await;
    (stop, serving)
}

fn redis(app: &TestApp) -> RedisClient {
    let args = RedisArgs::new(app.redis.url(), "csm");
    RedisClient::new(&args, PATIENCE).unwrap()
}

#[tokio::test]
async fn the_mark_is_found_in_every_format() {
    let app = TestApp::start().await;
    let clip = marked();
    let mut files = vec![("WAV", clip.to_wav()), ("FLAC", flac(clip.samples()))];
    for name in ["marked.mp3", "marked-vorbis.ogg", "marked-opus.ogg"] {
        files.push((name, std::fs::read(data(name)).unwrap()));
    }
    for (name, file) in files {
        let answer = detect(&app, file).await;
        assert_eq!(verdict(&answer), "detected", "{name}: {}", answer.body);
        assert_eq!(answer.text("scheme"), "builtin");
        assert_eq!(answer.text("key_id"), WatermarkKey::development().id().to_string());
        assert!(answer.body["p_value"].as_f64().unwrap() < 1e-5, "{name}: {}", answer.body);
        assert_eq!(answer.body["findings"].as_array().unwrap().len(), 1);
        assert!(answer.body["regions"][0]["end_ms"].as_u64().unwrap() > 2_000, "{name}: {}", answer.body);
    }
    let pcm: Vec<u8> = clip.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let request = app.request(Method::POST, PATH).header("content-type", AudioFormat::Pcm.media_type());
    assert_eq!(verdict(&app.send(request.body(pcm)).await), "detected");
}

#[tokio::test]
async fn what_is_not_marked_is_not_found_and_nothing_more_is_claimed() {
    let app = TestApp::start_with(|args| {
        args.watermark.watermark_key = Some("a secret of this very year".to_owned().into());
    });
    let app = app.await;
    for clip in [plain(), marked()] {
        let answer = detect(&app, clip.to_wav()).await;
        assert_eq!(verdict(&answer), "not_detected", "{}", answer.body);
        assert!(answer.text("disclaimer").contains("never means that a human made"));
        assert_eq!(answer.body["regions"].as_array().unwrap().len(), 0);
    }
}

#[tokio::test]
async fn the_mark_of_an_old_key_is_found_and_named() {
    // The development secret holds a comma, so a list holds its hexadecimal digits.
    let hex: String = DEVELOPMENT_SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let app = TestApp::start_with(|args| {
        args.watermark.watermark_key = Some("a secret of this very year".to_owned().into());
        args.watermark.watermark_old_keys = Some(format!("a secret of another year,{hex}").into());
    });
    let answer = detect(&app.await, marked().to_wav()).await;
    assert_eq!((verdict(&answer), answer.text("key_id")), ("detected", &*WatermarkKey::development().id().to_string()));
}

#[tokio::test]
async fn refusals_name_field_value_and_limit() {
    let app = TestApp::start().await;
    let long = too_long();
    let wrong: [(u16, &str, Vec<u8>); 6] = [
        (422, "malformed", Vec::new()),
        (415, "malformed", b"{\"text\": \"no audio\"}".to_vec()),
        (415, "malformed", b"#!AMR\n no reader of it".to_vec()),
        (422, "malformed", b"fLaC".to_vec()),
        (413, "too_large", long),
        (413, "too_large", vec![0; 25 * 1024 * 1024]),
    ];
    for (status, code, file) in wrong {
        let answer = detect(&app, file).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (status, code), "{}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.text("field"), "(body)");
        assert!(!answer.text("value").is_empty() && !answer.text("limit").is_empty(), "{}", answer.body);
    }
    assert_eq!(app.get(PATH).await.status, 405);
}

/// Makes a WAV file of ten minutes and a second, 4.8 MB.
fn too_long() -> Vec<u8> {
    let mut file = Clip::from_samples(vec![0; 601 * 4_000]).to_wav();
    file[24..28].copy_from_slice(&8_000_u32.to_le_bytes());
    file[34..36].copy_from_slice(&8_u16.to_le_bytes());
    file[32..34].copy_from_slice(&1_u16.to_le_bytes());
    file[28..32].copy_from_slice(&8_000_u32.to_le_bytes());
    file
}

#[tokio::test]
async fn without_a_key_the_setting_is_named() {
    let app = TestApp::start_with(|args| args.watermark = WatermarkKeyArgs::default()).await;
    let answer = detect(&app, marked().to_wav()).await;
    assert_eq!((answer.status.as_u16(), answer.text("code")), (501, "no_watermark_key"));
    assert!(answer.text("detail").contains("CSM_WATERMARK_KEY"));
}

/// Requests that wait for a worker hold no permit to examine a recording.
#[tokio::test]
async fn the_builtin_mark_is_found_while_workers_are_waited_for() {
    let app = TestApp::start().await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let look = move |_: &DetectRequest| {
        // Blocks until the other end is dropped.
        let _ = released.lock().unwrap().recv();
        Ok(vec![finding(Verdict::Detected)])
    };
    let mut workers = Vec::new();
    for _ in 0..2 {
        workers.push(attended_by(&app, look.clone()).await);
    }
    let plain = bytes::Bytes::from(plain().to_wav());
    let waiting = async {
        // Fills all places: one in each of two workers, and those of the detect queue.
        join_all((0..2 + REQUESTS_WAITING_MAX).map(|_| detect(&app, plain.clone()))).await
    };
    let meanwhile = async {
        let redis = redis(&app);
        let mut count = Cmd::new();
        count.arg("LLEN").arg("csm:{detect}:waiting");
        until("all wait", async || redis.command::<usize>(&count).await.unwrap() == REQUESTS_WAITING_MAX).await;
        let answer = detect(&app, marked().to_wav()).await;
        assert_eq!(verdict(&answer), "detected", "{}", answer.body);
        assert_eq!(answer.body["not_looked_for"], json!(["silentcipher"]), "{}", answer.body);
        let answer = detect(&app, plain.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (503, "undetermined"), "{}", answer.body);
        drop(release);
    };
    let (answers, ()) = tokio::join!(waiting, meanwhile);
    assert!(answers.iter().all(|answer| answer.text("scheme") == "silentcipher"), "{answers:?}");
    for (stop, serving) in workers {
        stop.cancel();
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_job_that_is_named_reaches_the_worker() {
    let app = TestApp::start().await;
    let job = JobId::generate();
    let look = move |asked: &DetectRequest| {
        let verdict = match asked.job {
            Some(named) if named == job => Verdict::Detected,
            Some(_) => Verdict::Inconclusive,
            None => Verdict::NotDetected,
        };
        Ok(vec![finding(verdict)])
    };
    let (stop, serving) = attended_by(&app, look).await;
    let other = JobId::generate();
    for (query, said) in [
        (format!("?job={job}"), "detected"),
        (format!("?job={other}"), "inconclusive"),
        (String::new(), "not_detected"),
    ] {
        let request = app.request(Method::POST, &format!("{PATH}{query}")).body(plain().to_wav());
        assert_eq!(verdict(&app.send(request).await), said, "{query}");
    }
    let request = app.request(Method::POST, &format!("{PATH}?job=the-last-one")).body(plain().to_wav());
    let answer = app.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.text("field")), (422, "job"), "{}", answer.body);
    assert_eq!(answer.text("value"), "the-last-one");
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_worker_at_the_detect_queue_is_asked() {
    let app = TestApp::start().await;
    let (stop, serving) = attended(&app, Ok(Verdict::Detected)).await;
    let answer = detect(&app, plain().to_wav()).await;
    assert_eq!((verdict(&answer), answer.text("scheme"), answer.text("key_id")), ("detected", "silentcipher", "0bad"));
    assert_eq!(answer.body["findings"][0]["verdict"], "not_detected");
    assert_eq!(answer.body["findings"][1]["verdict"], "detected");
    stop.cancel();
    serving.await.unwrap();
    assert!(answer.body.get("not_looked_for").is_none(), "{}", answer.body);

    // The worker has left, but audio with its marks may be anywhere. Without a worker the verdict
    // is therefore not "not detected".
    let answer = detect(&app, plain().to_wav()).await;
    assert_eq!((verdict(&answer), answer.body["findings"].as_array().unwrap().len()), ("inconclusive", 1));
    assert_eq!(answer.body["findings"][0]["verdict"], "not_detected");
    assert_eq!(answer.body["not_looked_for"], json!(["silentcipher"]));
    assert_eq!(verdict(&detect(&app, marked().to_wav()).await), "detected");
}

#[tokio::test]
async fn workers_that_died_are_forgotten_and_their_scheme_is_not() {
    let app = TestApp::start().await;
    let redis = redis(&app);
    let () = redis.command(Cmd::new().arg("ZADD").arg("csm:{detect}:attended").arg(1).arg("the dead")).await.unwrap();
    assert_eq!(
        detect_queue(&app).availability().await.unwrap(),
        DetectorAvailability::Unused,
        "its word is good no more"
    );
    let (stop, serving) = attended(&app, Ok(Verdict::NotDetected)).await;
    let here: Vec<String> =
        redis.command(Cmd::new().arg("ZRANGE").arg("csm:{detect}:attended").arg(0).arg(-1)).await.unwrap();
    assert!(here.len() == 1 && here[0] != "the dead", "{here:?}");
    stop.cancel();
    serving.await.unwrap();
    assert_eq!(detect_queue(&app).availability().await.unwrap(), DetectorAvailability::Gone);
    let kept: i64 = redis.command(Cmd::new().arg("PTTL").arg("csm:{detect}:schemes")).await.unwrap();
    assert_eq!(kept, -1, "it stays for good");
}

#[tokio::test]
async fn a_part_that_was_heard_is_no_no_for_the_whole() {
    let app = TestApp::start().await;
    let (stop, serving) = attended(&app, Ok(Verdict::NotDetected)).await;
    let mut samples = plain().samples().repeat(41);
    let answer = detect(&app, Clip::from_samples(samples.clone()).to_wav()).await;
    assert_eq!(answer.body["findings"][1]["verdict"], "inconclusive", "{}", answer.body);
    samples.truncate(120 * 24_000);
    let answer = detect(&app, Clip::from_samples(samples).to_wav()).await;
    assert_eq!(answer.body["findings"][1]["verdict"], "not_detected", "{}", answer.body);
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn no_answer_is_no_not_detected() {
    let app = TestApp::start().await;
    let (stop, serving) = attended(&app, Err("no memory")).await;
    let answer = detect(&app, plain().to_wav()).await;
    assert_eq!((answer.status.as_u16(), answer.text("code")), (503, "undetermined"), "{}", answer.body);
    assert!(!answer.body.to_string().contains("no memory"), "what went wrong inside stays inside");
    // The detected builtin mark decides alone.
    assert_eq!(verdict(&detect(&app, marked().to_wav()).await), "detected");
    stop.cancel();
    serving.await.unwrap();

    // A worker is registered and takes no request.
    let redis = redis(&app);
    let soon = Timestamp::now().as_second() + 10;
    let () = redis.command(Cmd::new().arg("ZADD").arg("csm:{detect}:attended").arg(soon).arg("nobody")).await.unwrap();
    for _ in 0..REQUESTS_WAITING_MAX {
        let () = redis.command(Cmd::new().arg("RPUSH").arg("csm:{detect}:waiting").arg("x")).await.unwrap();
    }
    let answer = detect(&app, plain().to_wav()).await;
    assert_eq!((answer.status.as_u16(), answer.text("code")), (503, "undetermined"), "{}", answer.body);
}
