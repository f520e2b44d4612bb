//! OpenAI's speech route: audio while it is made, its end, its failures, and the lists.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_queue::live::{AudioChunk, Event, EventId};
use csm_queue::queue::Claimed;
use csm_shared::audio::{Clip, FRAME_SAMPLES, read};
use csm_shared::job::{Delivery, Failure, FailureClass, JobState, Lane};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::app::{TestApp, until};
use crate::worker::TestWorker;

mod bad_input;

/// Returns `samples` samples of a tone.
pub(crate) fn tone(samples: usize) -> Vec<i16> {
    (0..samples).map(|n| ((n as f32 * 0.05).sin() * 9_000.0) as i16).collect()
}

pub(crate) fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Sends a request and returns its answer, whose body is not read yet.
async fn ask(app: &TestApp, body: Value) -> Response {
    app.request(Method::POST, "/v1/audio/speech").json(&body).send().await.unwrap()
}

/// Publishes one frame of samples from `offset`.
pub(crate) async fn publish(app: &TestApp, job: &Claimed, sequence: u64, offset: usize, samples: &[i16]) {
    let audio = AudioChunk::new(offset as u64, &bytes(samples));
    let event = Event::Progress { frames: sequence as u32, max_frames: 125, audio };
    let id = EventId { attempt: job.lease.at().attempt, sequence };
    app.live.publish(&job.lease.at().id, id, &event).await.unwrap();
}

/// Speaks `frames` frames of a tone as a worker does, live and as a file.
pub(crate) async fn speak(app: &TestApp, job: Claimed, frames: usize) {
    let samples = tone(frames * FRAME_SAMPLES);
    if job.spec.delivery == Delivery::Both {
        for frame in 0..frames {
            let at = frame * FRAME_SAMPLES;
            publish(app, &job, 2 + frame as u64, at, &samples[at..at + FRAME_SAMPLES]).await;
        }
        TestWorker::new().succeed_with(app, job, Clip::from_samples(samples).to_wav()).await;
    } else {
        TestWorker::new().succeed_pcm(app, job, bytes(&samples)).await;
    }
}

/// Asks for a speech of ten frames, and returns its body.
async fn spoken(app: &TestApp, body: Value) -> (Response, Claimed) {
    let worker = TestWorker::new();
    let (answer, job) = tokio::join!(ask(app, body), async {
        let job = worker.claim(app).await;
        publish(app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
        job
    });
    (answer, job)
}

#[tokio::test]
async fn the_first_samples_are_heard_while_the_job_runs() {
    let app = TestApp::start().await;
    let body =
        json!({"model": "tts-1", "input": "Hello.", "voice": "ash", "response_format": "pcm", "instructions": "calm"});
    let (mut answer, job) = spoken(&app, body).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((header("content-type"), header("x-ignored")), ("audio/pcm".into(), "instructions".into()));
    assert_eq!(header("x-job-id"), job.lease.at().id.to_string());
    assert_eq!((job.spec.lane, job.spec.delivery), (Lane::Live, Delivery::Both));
    let all = tone(3 * FRAME_SAMPLES);
    assert_eq!(answer.chunk().await.unwrap().unwrap(), bytes(&all[..FRAME_SAMPLES]), "before the job has ended");
    assert_eq!(app.record(&job.lease.at().id).await.state, JobState::Running);
    publish(&app, &job, 3, FRAME_SAMPLES, &all[FRAME_SAMPLES..]).await;
    let id = job.lease.at().id;
    TestWorker::new().succeed_with(&app, job, Clip::from_samples(all.clone()).to_wav()).await;
    assert_eq!(answer.bytes().await.unwrap(), bytes(&all[FRAME_SAMPLES..]));
    let receipt = app.send(app.request(Method::GET, &format!("/v1/audio/speech/{id}"))).await;
    assert_eq!((receipt.status, receipt.body["samples"].as_u64()), (StatusCode::OK, Some(all.len() as u64)));
}

#[tokio::test]
async fn every_format_carries_all_samples() {
    let app = TestApp::start().await;
    for (format, media_type) in
        [("flac", "audio/flac"), ("wav", "audio/wav"), ("opus", "audio/ogg; codecs=opus"), ("mp3", "audio/mpeg")]
    {
        let worker = async { speak(&app, TestWorker::new().claim(&app).await, 10).await };
        let body = json!({"input": "Hello.", "response_format": format});
        let ((), answer) = tokio::join!(worker, ask(&app, body));
        assert_eq!(answer.headers()["content-type"], media_type);
        let body = answer.bytes().await.unwrap();
        let said = tone(10 * FRAME_SAMPLES);
        match format {
            "wav" => assert_eq!(body[44..], bytes(&said)),
            "flac" => assert_eq!(read(&body).unwrap().clip.samples(), said),
            "opus" => assert_eq!(read(&body).unwrap().clip.samples().len(), said.len()),
            _ => assert_eq!(body.len() % 288, 0, "whole frames of MP3"),
        }
    }
}

#[tokio::test]
async fn a_recording_that_is_cut_off_is_named_in_a_header() {
    let app = TestApp::start().await;
    let mut file = Clip::from_samples(vec![99; FRAME_SAMPLES]).to_wav();
    file.truncate(file.len() - 102);
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 2).await };
    let context = json!([{"text": "Good morning.", "audio": BASE64.encode(file)}]);
    let body = json!({"input": "Hello.", "response_format": "pcm", "context_segments": context});
    let ((), answer) = tokio::join!(worker, ask(&app, body));
    let told = answer.headers()["x-input-warning"].to_str().unwrap();
    assert!(told.starts_with("context_segments[0].audio: ") && told.contains("102"), "{told}");
}

#[tokio::test]
async fn samples_come_at_the_rate_that_is_asked_for() {
    let app = TestApp::start().await;
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 10).await };
    let body = json!({"input": "Hello.", "response_format": "pcm", "sample_rate": 8_000});
    let ((), answer) = tokio::join!(worker, ask(&app, body));
    assert_eq!(answer.bytes().await.unwrap().len(), 10 * FRAME_SAMPLES * 2 / 3);
}

/// Splits server-sent events into their documents. Every line is `data: ` or empty.
fn events(body: &str) -> Vec<Value> {
    let lines = body.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn events_hold_the_same_bytes_and_an_end() {
    let app = TestApp::start().await;
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 10).await };
    let body = json!({"input": "Hello.", "response_format": "pcm", "stream_format": "sse"});
    let ((), answer) = tokio::join!(worker, ask(&app, body));
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let events = events(&answer.text().await.unwrap());
    let (done, deltas) = events.split_last().unwrap();
    let mut heard = Vec::new();
    for delta in deltas {
        assert_eq!(delta["type"], "speech.audio.delta");
        heard.append(&mut BASE64.decode(delta["audio"].as_str().unwrap()).unwrap());
    }
    assert_eq!(heard, bytes(&tone(10 * FRAME_SAMPLES)));
    assert_eq!(done["type"], "speech.audio.done");
    assert_eq!(done["usage"], json!({"input_tokens": 9, "output_tokens": 10, "total_tokens": 19}));
    assert_eq!(done["receipt"]["samples"], 10 * FRAME_SAMPLES);
}

#[tokio::test]
async fn a_failure_behind_the_first_samples_is_no_end() {
    let app = TestApp::start().await;
    let failure = Failure::new(FailureClass::Resource, "the GPU is gone");
    for stream in ["audio", "sse"] {
        let body = json!({"input": "Hello.", "response_format": "pcm", "stream_format": stream});
        let (mut answer, job) = spoken(&app, body).await;
        assert!(answer.chunk().await.unwrap().is_some());
        TestWorker::new().fail(&app, job.lease, &failure).await;
        let mut rest = Vec::new();
        let cut = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => rest.extend_from_slice(&chunk),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(cut, "{stream}: a client would take this for the end");
        let told = String::from_utf8(rest).unwrap();
        if stream == "sse" {
            let events = events(&told);
            assert_eq!((events.len(), &events[0]["type"]), (1, &json!("error")));
            assert!(events[0]["error"]["message"].as_str().unwrap().contains("the GPU is gone"));
        } else {
            assert!(told.is_empty());
        }
    }
}

#[tokio::test]
async fn a_failure_before_the_first_samples_is_an_error_of_openai() {
    let app = TestApp::start().await;
    let worker = async {
        let job = TestWorker::new().claim(&app).await;
        TestWorker::new().fail(&app, job.lease, &Failure::new(FailureClass::Resource, "no memory")).await;
    };
    let ((), answer) = tokio::join!(worker, ask(&app, json!({"input": "Hello."})));
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-should-retry"]), (502, &"true".parse().unwrap()));
    let error = &answer.json::<Value>().await.unwrap()["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("server_error"), &json!("job_failed")));
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_job() {
    let app = TestApp::start().await;
    let (answer, job) = spoken(&app, json!({"input": "Hello.", "response_format": "pcm"})).await;
    drop(answer);
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
}

#[tokio::test]
async fn a_long_result_is_read_from_its_file() {
    let app = TestApp::start().await;
    let worker = async {
        let job = TestWorker::new().claim(&app).await;
        assert_eq!(job.spec.delivery, Delivery::Store);
        speak(&app, job, 40).await;
    };
    let body = json!({"input": "Hi.", "response_format": "flac", "max_audio_length_ms": 150_000, "speed": 0.5});
    let ((), answer) = tokio::join!(worker, ask(&app, body));
    assert_eq!(read(&answer.bytes().await.unwrap()).unwrap().clip.samples(), tone(40 * FRAME_SAMPLES));
}

#[tokio::test]
async fn a_long_text_is_heard_while_most_of_it_waits() {
    let app = TestApp::start().await;
    let text = "This sentence is one of many that follow one another for a while. ".repeat(90);
    let key = |request: reqwest::RequestBuilder| request.header("idempotency-key", "long-text");
    let request = |stream: &str| {
        let body = json!({"input": text, "response_format": "pcm", "seed": 1, "stream_format": stream});
        key(app.request(Method::POST, "/v1/audio/speech").json(&body)).send()
    };
    let worker = async {
        let job = TestWorker::new().claim(&app).await;
        assert!(job.spec.text.as_str().len() <= 500 && job.spec.context.segments().is_empty());
        publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
        job
    };
    let asked = async {
        let answer = request("audio").await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
        answer
    };
    let (mut answer, job) = tokio::join!(asked, worker);
    let id = job.lease.at().id;
    assert_eq!(answer.headers()["x-job-id"], id.to_string().as_str());
    assert_eq!(answer.chunk().await.unwrap().unwrap().len(), 2 * FRAME_SAMPLES);
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "the next job waits for the one before");
    TestWorker::new().succeed_with(&app, job, Clip::from_samples(tone(FRAME_SAMPLES)).to_wav()).await;
    let rest = async {
        let (mut said, mut jobs) = (0, 1);
        while said < text.trim().len() - 500 {
            let job = TestWorker::new().claim(&app).await;
            assert_eq!(job.spec.context.segments().len(), jobs.min(2), "it hears the ones before");
            said += job.spec.text.as_str().len() + 1;
            jobs += 1;
            speak(&app, job, 1).await;
        }
        jobs
    };
    let (jobs, body) = tokio::join!(rest, async { answer.bytes().await.unwrap() });
    assert_eq!(body.len(), (jobs - 1) * 2 * FRAME_SAMPLES);
    let receipt = app.send(app.request(Method::GET, &format!("/v1/audio/speech/{id}"))).await.body;
    assert_eq!(receipt["samples"], jobs * FRAME_SAMPLES);
    assert_eq!(
        (receipt["parts"].as_array().unwrap().len(), &receipt["parts"][0]["job"]),
        (jobs, &json!(id.to_string()))
    );
    assert_eq!(receipt["sentences"][1]["start_ms"], 80);
    // The same request again is the same speech.
    let again = request("audio").await.unwrap().bytes().await.unwrap();
    assert_eq!(again.len(), jobs * 2 * FRAME_SAMPLES);
    let events = request("sse").await.unwrap();
    assert_eq!(events.status(), StatusCode::BAD_REQUEST, "the key belongs to another request");
    assert_eq!(app.depth().await, 0);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let app = TestApp::start_with(|args| args.queue.tenant_open_max = 1).await;
    let (answer, _job) = spoken(&app, json!({"input": "Hello.", "response_format": "pcm"})).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let refused = ask(&app, json!({"input": "Hello."})).await;
    let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((refused.status().as_u16(), header("x-should-retry")), (429, "true".into()));
    assert_eq!(header("retry-after-ms"), format!("{}000", header("retry-after")));
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["type"], "rate_limit_error");
}

#[tokio::test]
async fn nothing_to_say_is_a_moment_of_silence() {
    let app = TestApp::start().await;
    let answer = ask(&app, json!({"input": "...", "response_format": "wav"})).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.bytes().await.unwrap();
    assert!(body.len() == 44 + 4_800 && body[44..].iter().all(|&byte| byte == 0));
}

#[tokio::test]
async fn models_and_voices_are_listed_in_the_shapes_that_clients_read() {
    let app = TestApp::start().await;
    let get = async |path: &str| app.send(app.request(Method::GET, path)).await;
    let models = get("/v1/models").await.body;
    let ids: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"tts-1") && ids.contains(&"csm-1b"), "{ids:?}");
    assert_eq!(get("/v1/models/tts-1").await.body["voices"].as_array().unwrap().len(), 13);
    let missing = get("/v1/models/whisper-1").await;
    assert_eq!((missing.status.as_u16(), missing.body["error"]["code"].as_str()), (404, Some("model_not_found")));
    assert_eq!(get("/v1/audio/models").await.body["models"][0]["id"], ids[0]);
    let voices = get("/v1/audio/voices").await.body;
    assert_eq!((voices["voices"].as_array().unwrap().len(), &voices["voices"][0]["id"]), (13, &json!("alloy")));
    assert_eq!(get("/v1/audio/voices?legacy=true").await.body[12], "cedar");
    assert_eq!(get("/v1/test").await.body, json!({"status": "ok"}));
    assert_eq!(get("/v1/readyz").await.status, StatusCode::NOT_FOUND);
    let fleet = get("/v1/fleet").await.body;
    assert_eq!((fleet["model"]["kind"].as_str(), fleet["lanes"].as_array().unwrap().len()), (Some("real"), 3));
}
