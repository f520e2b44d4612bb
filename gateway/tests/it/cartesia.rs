//! Cartesia's socket: many contexts, their audio and words, their ends.

use csm_queue::queue::Claimed;
use csm_shared::audio::{Clip, FRAME_SAMPLES};
use csm_shared::job::{Failure, FailureClass, Lane, VoiceName};
use serde_json::{Value, json};

use crate::app::{TestApp, until};
use crate::openai::{bytes, publish, speak, tone};
use crate::sockets::{JsonSocket, decoded, types};
use crate::worker::TestWorker;

mod bad_input;
mod requests;

const PATH: &str = "/tts/websocket?cartesia_version=2025-04-16";

async fn open(app: &TestApp) -> JsonSocket {
    JsonSocket::open(app, PATH).await
}

/// Makes a message as LiveKit and Pipecat send it, with the members of `more`.
fn piece(context: &str, transcript: &str, more: &Value) -> Value {
    let mut message = json!({
        "model_id": "sonic-3", "language": "en", "context_id": context, "transcript": transcript, "continue": true,
        "voice": {"mode": "id", "id": "Ash", "__experimental_controls": {"speed": "fast"}},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000},
    });
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message
}

fn last(context: &str, transcript: &str) -> Value {
    piece(context, transcript, &json!({"continue": false}))
}

/// Reads up to the end of one context.
async fn until_done(socket: &mut JsonSocket, context: &str) -> Vec<Value> {
    socket.told_until(|message| message["type"] == "done" && message["context_id"] == context).await
}

fn of<'a>(messages: &'a [Value], context: &'a str) -> impl Iterator<Item = &'a Value> {
    messages.iter().filter(move |message| message["context_id"] == context)
}

pub(crate) async fn cancel_requested(app: &TestApp, job: &Claimed) {
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
}

#[tokio::test]
async fn pieces_are_spoken_sentence_by_sentence_with_times_of_the_context() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    for text in ["The ", "first one. ", "Number 2"] {
        socket.send(piece("a", text, &json!({"add_timestamps": true}))).await;
    }
    let first = TestWorker::new().claim(&app).await;
    assert_eq!((first.spec.text.as_str(), first.spec.voice), ("The first one.", Some(VoiceName::Ash)));
    assert_eq!(first.spec.lane, Lane::Live);
    socket.send(last("a", " ")).await;
    let worker = async {
        speak(&app, first, 25).await;
        let second = TestWorker::new().claim(&app).await;
        assert_eq!(second.spec.text.as_str().trim(), "Number 2");
        speak(&app, second, 5).await;
    };
    let ((), messages) = tokio::join!(worker, until_done(&mut socket, "a"));
    let mut order = types(&messages);
    order.dedup();
    assert_eq!(order, ["chunk", "timestamps", "chunk", "timestamps", "done"], "as LiveKit tests them");
    assert_eq!(decoded(&messages, "data"), [bytes(&tone(25 * 1_920)), bytes(&tone(5 * 1_920))].concat());
    let times: Vec<_> = messages.iter().filter(|message| message["type"] == "timestamps").collect();
    assert_eq!(times[0]["word_timestamps"]["words"], json!(["The", "first", "one."]));
    assert_eq!(times[1]["word_timestamps"]["words"], json!(["Number", "2"]), "in the caller's own words");
    let start = |message: &Value| message["word_timestamps"]["start"][0].as_f64().unwrap();
    assert!(start(times[0]) < 0.2 && (2.0..2.4).contains(&start(times[1])), "seconds of the context: {times:?}");
    let (done, others) = messages.split_last().unwrap();
    assert_eq!((&done["done"], &done["status_code"]), (&json!(true), &json!(206)));
    assert!(others.iter().all(|message| message["done"] == false && message["context_id"] == "a"), "{others:?}");
    assert!(others[0]["step_time"].is_number() && others[0]["flush_id"] == 1, "{}", others[0]);
}

#[tokio::test]
async fn contexts_speak_at_once_and_end_on_their_own() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(last("a", "One.")).await;
    socket.send(piece("b", "Two.", &json!({"continue": false, "voice": "echo"}))).await;
    let (first, second) = (TestWorker::new().claim(&app).await, TestWorker::new().claim(&app).await);
    let all = tone(2 * FRAME_SAMPLES);
    for frame in 0..2 {
        for job in [&first, &second] {
            let at = frame * FRAME_SAMPLES;
            publish(&app, job, 2 + frame as u64, at, &all[at..at + FRAME_SAMPLES]).await;
        }
    }
    let mut messages = Vec::new();
    while messages.len() < 4 {
        messages.push(socket.told().await);
    }
    for context in ["a", "b"] {
        assert_eq!(decoded(of(&messages, context), "data"), bytes(&all), "both are heard while both run");
    }
    let voices = [first.spec.voice, second.spec.voice];
    assert!(voices.contains(&Some(VoiceName::Ash)) && voices.contains(&Some(VoiceName::Echo)), "{voices:?}");
    let wav = Clip::from_samples(all).to_wav();
    TestWorker::new().succeed_with(&app, second, wav.clone()).await;
    assert_eq!(socket.told().await["type"], "done");
    TestWorker::new().succeed_with(&app, first, wav).await;
    assert_eq!(socket.told().await["type"], "done");
    socket.send(last("a", "Again.")).await;
    assert!(socket.told().await["message"].as_str().unwrap().contains("has ended"));
}

/// Text with nothing to say is ready at once, so without turns the first context would hold the socket.
#[tokio::test]
async fn contexts_take_turns() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    for _ in 0..200 {
        socket.send(piece("long", "...", &json!({"max_buffer_delay_ms": 0}))).await;
    }
    socket.send(last("long", "")).await;
    socket.send(last("short", "...")).await;
    let messages = until_done(&mut socket, "long").await;
    assert_eq!(of(&messages, "short").last().unwrap()["type"], "done", "it does not wait for the long one");
    assert_eq!(decoded(of(&messages, "long"), "data").len(), 200 * 4_800);
}

#[tokio::test]
async fn a_cancel_ends_its_job_and_no_other() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(last("a", "One sentence. Another one.")).await;
    let job = TestWorker::new().claim(&app).await;
    socket.send(last("b", "Something else.")).await;
    let other = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    assert_eq!(socket.told().await["context_id"], "a");
    socket.send(json!({"context_id": "a", "cancel": true})).await;
    cancel_requested(&app, &job).await;
    publish(&app, &job, 3, FRAME_SAMPLES, &tone(FRAME_SAMPLES)).await;
    let ((), messages) = tokio::join!(speak(&app, other, 2), until_done(&mut socket, "b"));
    assert_eq!(of(&messages, "a").count(), 0, "nothing more of it, not even an end");
    socket.send(json!({"context_id": "a", "cancel": true})).await;
    let twice = socket.told().await;
    assert_eq!(
        (&twice["type"], &twice["context_id"], &twice["field"]),
        (&json!("error"), &json!("a"), &json!("context_id"))
    );
    assert!(TestWorker::new().try_claim(&app).await.is_none());
}

#[tokio::test]
async fn a_flush_is_answered_behind_all_before_it() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(piece("a", "No stop", &json!({}))).await;
    socket.assert_silent().await;
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "the sentence is not whole");
    socket.send(piece("a", "", &json!({"flush": true}))).await;
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 1).await };
    let ((), flushed) = tokio::join!(worker, socket.told_until(|message| message["type"] == "flush_done"));
    let flush = flushed.last().unwrap();
    assert_eq!((&flush["flush_id"], &flush["flush_done"], &flush["done"]), (&json!(1), &json!(true), &json!(false)));
    socket.send(last("a", "More.")).await;
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 1).await };
    let ((), messages) = tokio::join!(worker, until_done(&mut socket, "a"));
    assert_eq!((types(&messages), &messages[0]["flush_id"]), (vec!["chunk", "done"], &json!(2)));
}

#[tokio::test]
async fn text_without_a_delay_is_spoken_as_it_comes() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(piece("a", "No stop", &json!({"max_buffer_delay_ms": 0}))).await;
    let job = TestWorker::new().claim(&app).await;
    assert_eq!(job.spec.text.as_str(), "No stop");
    socket.send(last("a", "")).await;
    let ((), messages) = tokio::join!(speak(&app, job, 1), until_done(&mut socket, "a"));
    assert_eq!(types(&messages), ["chunk", "done"]);
    socket.send(last("b", "")).await;
    assert_eq!(socket.told().await["type"], "done", "of nothing");
}

#[tokio::test]
async fn samples_have_the_form_that_is_asked_for() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    for (rate, encoding, size) in [
        (8_000, "pcm_s16le", 2 * 640),
        (16_000, "pcm_s16le", 2 * 1_280),
        (22_050, "pcm_s16le", 2 * 1_764),
        (44_100, "pcm_s16le", 2 * 3_528),
        (48_000, "pcm_f32le", 4 * 3_840),
        (24_000, "pcm_f32le", 4 * 1_920),
    ] {
        let context = format!("{rate}-{encoding}");
        let output = json!({"container": "raw", "encoding": encoding, "sample_rate": rate});
        let more = json!({"continue": false, "output_format": output, "generation_config": {"speed": 1.25}});
        socket.send(piece(&context, "Hello.", &more)).await;
        let job = TestWorker::new().claim(&app).await;
        assert_eq!(job.spec.speed.get(), 1.25);
        let ((), messages) = tokio::join!(speak(&app, job, 5), until_done(&mut socket, &context));
        let heard = decoded(&messages, "data");
        assert_eq!(heard.len(), 5 * size, "{context}");
        if context == "24000-pcm_f32le" {
            let floats = heard.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes) * 32_768.0);
            assert_eq!(floats.map(|sample| sample as i16).collect::<Vec<_>>(), tone(5 * FRAME_SAMPLES));
        }
    }
}

/// LiveKit takes any message with `done: true` for the end, so a failure has `done: false`.
#[tokio::test]
async fn a_failure_is_never_an_end_and_leaves_the_other_contexts() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(last("a", "Hello.")).await;
    let job = TestWorker::new().claim(&app).await;
    socket.send(last("b", "Hello.")).await;
    let other = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    assert_eq!(socket.told().await["type"], "chunk");
    TestWorker::new().fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    let error = socket.told().await;
    assert_eq!((&error["type"], &error["context_id"], &error["done"]), (&json!("error"), &json!("a"), &json!(false)));
    assert_eq!((&error["status_code"], &error["error_code"]), (&json!(502), &json!("job_failed")));
    assert!(error["error"].as_str().unwrap().contains("the device failed"), "{error}");
    let ((), messages) = tokio::join!(speak(&app, other, 1), until_done(&mut socket, "b"));
    assert_eq!(types(&messages), ["chunk", "done"]);
}

#[tokio::test]
async fn a_caller_that_leaves_ends_all_jobs() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    socket.send(last("a", "Hello.")).await;
    socket.send(piece("b", "Hello there. And", &json!({}))).await;
    let jobs = [TestWorker::new().claim(&app).await, TestWorker::new().claim(&app).await];
    drop(socket);
    for job in &jobs {
        cancel_requested(&app, job).await;
    }
}

#[tokio::test]
async fn a_drain_lets_the_contexts_end() {
    let mut app = TestApp::start().await;
    let (mut busy, mut idle) = (open(&app).await, open(&app).await);
    busy.send(last("a", "Hello.")).await;
    let job = TestWorker::new().claim(&app).await;
    app.stop.cancel();
    assert_eq!(idle.next().await, Err(1012));
    let ((), messages) = tokio::join!(speak(&app, job, 2), until_done(&mut busy, "a"));
    assert_eq!(decoded(&messages, "data").len(), 4 * FRAME_SAMPLES);
    assert_eq!(busy.next().await, Err(1012));
    drop((busy, idle));
    app.join().await;
}
