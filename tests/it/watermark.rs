//! Callers get the mark on every surface: HTTP in each format, the two old snippets, samples sent
//! with events, the object in S3. An utterance that a second worker took over has it too, and so
//! has a cancelled one. Each test looks for the mark in the delivered bytes with a detector of its
//! own.

mod listener;

use std::time::Duration;

use csm_shared::audio::FRAME_SAMPLES;
use csm_worker::marks::{Detector, Verdict, WatermarkKey};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::test_client::read_wav;
use crate::test_system::{Keep, TestSystem, s3};
use listener::LiveListener;

/// Frames of a result: 5 s, more than the detector needs of any format.
const FRAMES: u64 = 63;
/// Frames of a result that is disturbed while it is spoken, close to the longest one that can be
/// streamed live. So the samples sent before are a small part, even on a busy machine.
const LONG_FRAMES: u64 = 1_400;
/// Most bytes that the events of an ended live job may take in Redis.
const EVENT_BYTES_MAX: u64 = 500_000;
/// Samples received before the stream is disturbed: 3 s.
const HEARD: usize = 72_000;

/// Makes a request for `frames` frames, with a text long enough to fill them.
fn request(seed: u64, frames: u64) -> Value {
    const SENTENCE: &str = "All good things take time. ";
    /// Audio allowed at least for each byte of a text, in milliseconds.
    const BYTE_MS: usize = 100;
    let text = SENTENCE.repeat(1 + frames as usize * 80 / BYTE_MS / SENTENCE.len());
    json!({ "text": text.trim_end(), "seed": seed, "max_audio_length_ms": frames * 80 })
}

/// Returns the request with one more field.
fn with(mut request: Value, field: &str, value: &str) -> Value {
    request[field] = json!(value);
    request
}

async fn submit(system: &TestSystem, request: &Value) -> String {
    let answer = system.client.post("/v1/jobs", request).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

/// Returns samples of 16 bit, lowest byte first.
fn samples(pcm: &[u8]) -> Vec<i16> {
    assert!(pcm.len().is_multiple_of(2));
    pcm.chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect()
}

/// Fails unless the fleet's mark is in these samples, and no other key's.
fn assert_detected(samples: &[i16]) {
    let clip: Vec<f32> = samples.iter().copied().map(csm_shared::audio::to_f32).collect();
    let found = Detector::new(&WatermarkKey::development()).detect(&clip);
    assert_eq!(found.verdict, Verdict::Detected, "z = {}", found.z);
    let other = Detector::new(&WatermarkKey::parse("the key of somebody else altogether").unwrap()).detect(&clip);
    assert_ne!(other.verdict, Verdict::Detected, "z = {}", other.z);
    println!("{} samples, z = {:.1}", samples.len(), found.z);
}

/// Returns the download of a result in `format`, and the number of samples in its receipt.
async fn download(format: &str, media_type: &str) -> (Vec<u8>, usize) {
    let system = TestSystem::start(1, 2).await;
    let id = submit(&system, &with(request(1, FRAMES), "format", format)).await;
    let record = system.client.finished(&id).await;
    assert_eq!(record["status"], "succeeded", "{record}");
    let answer = system.client.get(&format!("/v1/jobs/{id}/audio")).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &media_type.parse().unwrap()));
    let file = answer.bytes().await.unwrap().to_vec();
    assert_eq!(record["receipt"]["bytes"], file.len(), "{record}");
    (file, record["receipt"]["samples"].as_u64().unwrap() as usize)
}

#[tokio::test]
async fn http_wav() {
    let (file, told) = download("wav", "audio/wav").await;
    let (samples, _) = read_wav(&file);
    assert_eq!((samples.len(), told), (FRAMES as usize * FRAME_SAMPLES, told));
    assert_detected(&samples);
}

#[tokio::test]
async fn http_pcm() {
    let (file, told) = download("pcm", "audio/pcm;rate=24000;encoding=signed-int;bits=16").await;
    let samples = samples(&file);
    assert_eq!(samples.len(), told);
    assert_detected(&samples);
}

#[tokio::test]
async fn http_flac() {
    let (file, told) = download("flac", "audio/flac").await;
    assert!(file.starts_with(b"fLaC"));
    let clip = csm_shared::audio::read(&file).unwrap().clip;
    assert_eq!(clip.samples().len(), told);
    assert_detected(clip.samples());
}

#[tokio::test]
async fn http_opus() {
    let (file, told) = download("opus", "audio/ogg;codecs=opus").await;
    assert!(file.starts_with(b"OggS"));
    let clip = csm_shared::audio::read(&file).unwrap().clip;
    assert!(clip.samples().len().abs_diff(told) <= 1, "{} samples of {told}", clip.samples().len());
    assert_detected(clip.samples());
}

#[tokio::test]
async fn generate() {
    let system = TestSystem::start(1, 2).await;
    let answer = system.client.post("/generate", &request(2, FRAMES)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = answer.json().await.unwrap();
    assert_detected(&read_wav(&listener::base64(&body["audio"])).0);
}

#[tokio::test]
async fn websocket() {
    use futures::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    let system = TestSystem::start(1, 2).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", system.client.address)).await.unwrap();
    socket.send(Message::text(request(3, FRAMES).to_string())).await.unwrap();
    let wav = loop {
        match socket.next().await.expect("the socket stays open").unwrap() {
            Message::Binary(wav) => break wav,
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_detected(&read_wav(&wav).0);
}

#[tokio::test]
async fn s3_object() {
    let server = s3().await;
    let system = TestSystem::start_with(Keep::S3(server.address), 1, 2).await;
    let id = submit(&system, &request(4, FRAMES)).await;
    let record = system.client.finished(&id).await;
    assert_eq!(record["status"], "succeeded", "{record}");
    let redirect = system.client.get(&format!("/v1/jobs/{id}/audio")).await;
    assert_eq!(redirect.status(), StatusCode::FOUND);
    let object = redirect.headers()["location"].to_str().unwrap();
    let location = record["receipt"]["location"].as_str().unwrap();
    assert!(object.starts_with(&format!("http://{}/", server.address)) && object.contains(location), "{object}");
    let object = reqwest::get(object).await.unwrap().bytes().await.unwrap();
    assert_detected(&read_wav(&object).0);
}

/// Checks that live samples are those of the file, also if the connection breaks in the middle.
#[tokio::test]
async fn sse_live_audio() {
    let system = TestSystem::start(1, 2).await;
    let id = submit(&system, &with(request(5, LONG_FRAMES), "delivery", "both")).await;
    let mut listener = LiveListener::new(&system, &id);
    listener.receive_until(|heard| heard.pcm.len() >= 2 * HEARD).await;
    assert!(listener.end.is_none(), "it comes while it is spoken");
    let half = listener.clone();
    listener.receive_all().await;
    let Some((name, end)) = &listener.end else { panic!("no end") };
    assert_eq!(name, "done");
    let heard = samples(&listener.pcm);
    assert_eq!(end["receipt"]["samples"], heard.len());
    assert_detected(&heard);
    assert_detected(&heard[..HEARD]);

    let wav = system.client.audio(&system.client.job(&id).await).await;
    assert!(read_wav(&wav).0 == heard, "the file holds what was heard");
    // The listener heard of the end just before the events leave Redis.
    let left = async {
        loop {
            let bytes = system.event_bytes(&id).await;
            if bytes < EVENT_BYTES_MAX {
                return bytes;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let left = tokio::time::timeout(Duration::from_secs(60), left).await.expect("the events leave Redis");
    println!("{} s of live audio leave {left} bytes of events in Redis", heard.len() / 24_000);
    let mut again = LiveListener::new(&system, &id);
    again.receive_all().await;
    assert!(again.pcm == listener.pcm, "from the beginning, afterwards");
    let mut rest = half;
    rest.receive_all().await;
    assert!(rest.pcm == listener.pcm, "from the middle, by Last-Event-ID");
    assert_eq!(listener.open().await.status(), 204, "a browser that connects again is told to stay away");
}

/// Kills the worker in mid-utterance; another one goes on. The listener's connection stays, and its
/// samples are those of an undisturbed worker.
#[tokio::test]
async fn retry_on_another_worker() {
    let mut system = TestSystem::start(1, 1).await;
    let asked = with(request(6, LONG_FRAMES), "delivery", "both");
    let undisturbed = submit(&system, &request(6, LONG_FRAMES)).await;
    let undisturbed = system.client.finished(&undisturbed).await;
    let undisturbed = read_wav(&system.client.audio(&undisturbed).await).0;

    let id = submit(&system, &asked).await;
    let mut listener = LiveListener::new(&system, &id);
    listener.receive_until(|heard| heard.pcm.len() >= 2 * HEARD).await;
    let mut first = system.workers.pop().unwrap();
    first.process.kill9().await.unwrap();
    let cut = listener.pcm.len() / 2;
    system.add_worker();
    system.ready().await;
    listener.receive_all().await;

    let record = system.client.finished(&id).await;
    let receipt = &record["receipt"];
    assert_eq!(record["attempt"], 2, "{record}");
    assert!(receipt["resumed_frames"].as_u64().unwrap() > 0, "{record}");
    let heard = samples(&listener.pcm);
    assert!(cut < heard.len(), "it was killed before its end");
    assert!(heard == undisturbed, "every sample once, over the kill");
    assert_detected(&heard);
    assert_detected(&heard[cut.saturating_sub(HEARD)..][..2 * HEARD]);
    let file = read_wav(&system.client.audio(&record).await).0;
    assert!(file == undisturbed);
    assert_detected(&file);
}

/// Cancels the job after 3 s. The samples sent until then carry the mark, and no event follows the
/// end.
#[tokio::test]
async fn cancelled_stream() {
    let system = TestSystem::start(1, 1).await;
    let id = submit(&system, &with(request(7, LONG_FRAMES), "delivery", "both")).await;
    let mut listener = LiveListener::new(&system, &id);
    listener.receive_until(|heard| heard.pcm.len() >= 2 * HEARD).await;
    assert_eq!(system.client.delete(&format!("/v1/jobs/{id}")).await.status(), StatusCode::OK);
    listener.receive_all().await;
    assert_eq!(
        listener.end.as_ref().map(|(name, end)| (name.as_str(), &end["state"])),
        Some(("no_result", &json!("cancelled")))
    );
    let heard = samples(&listener.pcm);
    assert!((HEARD..LONG_FRAMES as usize * FRAME_SAMPLES).contains(&heard.len()), "{} samples", heard.len());
    assert_detected(&heard);

    // The worker's one slot is free again, so its last samples have been sent.
    let next = submit(&system, &request(8, 10)).await;
    assert_eq!(system.client.finished(&next).await["status"], "succeeded");
    let mut again = LiveListener::new(&system, &id);
    again.receive_all().await;
    assert!(again.pcm == listener.pcm, "nothing was sent behind the end");
    assert_eq!(system.client.get(&format!("/v1/jobs/{id}/audio")).await.status(), StatusCode::GONE);
}
