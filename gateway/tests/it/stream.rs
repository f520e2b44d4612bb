//! The native socket: contexts, their audio, their ends, resume, and refusals.

use std::collections::HashMap;
use std::time::Duration;

use csm_shared::audio::FRAME_SAMPLES;
use csm_shared::job::{Failure, FailureClass, JobState, Lane, Recording, VoiceName};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::app::{TestApp, until};
use crate::openai::{bytes, publish, speak, tone};
use crate::sockets::{Socket, connect, next, send, told};
use crate::worker::TestWorker;

mod bad_input;

async fn open(app: &TestApp) -> Socket {
    connect(app, "/v1/stream").await
}

/// Starts a context with the members of `more`; returns its number.
async fn start(socket: &mut Socket, id: &str, more: Value) -> u64 {
    let mut message = json!({"type": "start", "context_id": id});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    send(socket, message).await;
    let started = told(socket).await;
    assert_eq!((&started["type"], &started["context_id"]), (&json!("started"), &json!(id)), "{started}");
    started["context"].as_u64().unwrap()
}

async fn say(socket: &mut Socket, id: &str, text: &str) {
    send(socket, json!({"type": "text", "context_id": id, "text": text, "flush": true})).await;
}

/// Part of a binary message: context, offset, event, samples.
type Heard = (u64, u64, String, Vec<u8>);

fn heard(message: &[u8]) -> Heard {
    let number =
        |from: usize, to: usize| message[from..to].iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte));
    assert_eq!(message[..4], [1, 1, 0, 0]);
    let event = format!("{}-{}", number(16, 20), number(20, 24));
    (number(4, 8), number(8, 16), event, message[24..].to_vec())
}

/// Reads up to a message of the type `kind`; returns the audio of each context, and all messages.
async fn until_told(socket: &mut Socket, kind: &str) -> (HashMap<u64, Vec<u8>>, Vec<Value>) {
    let (mut audio, mut messages) = (HashMap::<u64, Vec<u8>>::new(), Vec::new());
    loop {
        match next(socket).await {
            Message::Binary(message) => {
                let (context, offset, _, samples) = heard(&message);
                let so_far = audio.entry(context).or_default();
                so_far.extend(samples);
                assert!(so_far.len() as u64 / 2 >= offset, "nothing is left out");
            }
            message => {
                let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
                let found = message["type"] == kind;
                messages.push(message);
                if found {
                    return (audio, messages);
                }
            }
        }
    }
}

#[tokio::test]
async fn text_in_pieces_is_spoken_sentence_by_sentence_to_its_end() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    let number =
        start(&mut socket, "a", json!({"voice": "Ash", "seed": 7, "temperature": 0.5, "lane": "standard"})).await;
    for piece in ["The ", "first one. ", "The second", " one"] {
        send(&mut socket, json!({"type": "text", "context_id": "a", "text": piece})).await;
    }
    let job = TestWorker::new().claim(&app).await;
    let spec = &job.spec;
    assert_eq!((spec.text.as_str(), spec.voice, spec.lane), ("The first one.", Some(VoiceName::Ash), Lane::Standard));
    assert_eq!((spec.sampling.seed.get(), spec.sampling.temperature.get()), (7, 0.5));
    send(&mut socket, json!({"type": "flush", "context_id": "a"})).await;
    let worker = async {
        speak(&app, job, 3).await;
        let second = TestWorker::new().claim(&app).await;
        assert_eq!((second.spec.text.as_str(), second.spec.sampling.seed.get()), ("The second one", 8));
        let context = second.spec.context.segments();
        assert_eq!((context.len(), context[0].text.as_str()), (1, "The first one."), "it hears the one before");
        assert!(matches!(&context[0].recording, Recording::Stored(stored) if stored.samples == 3 * 1_920));
        speak(&app, second, 2).await;
    };
    let ((), (audio, messages)) = tokio::join!(worker, until_told(&mut socket, "flushed"));
    assert_eq!(audio[&number], [bytes(&tone(3 * FRAME_SAMPLES)), bytes(&tone(2 * FRAME_SAMPLES))].concat());
    let kinds: Vec<_> = messages.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["sentence", "sentence_end", "sentence", "sentence_end", "flushed"]);
    assert_eq!((&messages[0]["text"], &messages[2]["index"]), (&json!("The first one. "), &json!(1)));
    let end = &messages[1];
    assert_eq!((&end["samples"], &end["receipt"]["samples"]), (&json!(5_760), &json!(5_760)));
    let words = end["words"].as_array().unwrap();
    assert_eq!(words.iter().map(|word| word["word"].as_str().unwrap()).collect::<Vec<_>>(), ["The", "first", "one."]);
    assert_eq!(end["words_estimated"], true);
    send(&mut socket, json!({"type": "end", "context_id": "a"})).await;
    let done = told(&mut socket).await;
    let expected = json!({"type": "done", "context_id": "a", "sentences": 2, "samples_sent": 9_600,
        "text_sent": "The first one. The second one"});
    assert_eq!(done, expected);
    send(&mut socket, json!({"type": "ping", "id": "x"})).await;
    assert_eq!(told(&mut socket).await, json!({"type": "pong", "id": "x"}));
}

#[tokio::test]
async fn twenty_contexts_speak_at_once_on_one_socket() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    let ids: Vec<_> = (0..20).map(|n| format!("context {n}")).collect();
    for id in &ids {
        start(&mut socket, id, json!({})).await;
    }
    for id in &ids {
        say(&mut socket, id, &format!("This is {id}.")).await;
        send(&mut socket, json!({"type": "end", "context_id": id})).await;
    }
    // Every job is half spoken before any of them goes on.
    let mut jobs = Vec::new();
    for _ in 0..20 {
        let job = TestWorker::new().claim(&app).await;
        publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
        jobs.push(job);
    }
    let all = tone(3 * FRAME_SAMPLES);
    let worker = async {
        for job in jobs {
            publish(&app, &job, 3, FRAME_SAMPLES, &all[FRAME_SAMPLES..]).await;
            TestWorker::new()
                .succeed_with(&app, job, csm_shared::audio::Clip::from_samples(all.clone()).to_wav())
                .await;
        }
    };
    let listen = async {
        let (mut audio, mut done) = (HashMap::<u64, Vec<u8>>::new(), 0);
        while done < 20 {
            let (more, messages) = until_told(&mut socket, "done").await;
            more.into_iter().for_each(|(context, samples)| audio.entry(context).or_default().extend(samples));
            done += 1;
            assert!(messages.iter().all(|message| message["type"] != "error"), "{messages:?}");
        }
        audio
    };
    let ((), audio) = tokio::join!(worker, listen);
    assert_eq!(audio.len(), 20);
    assert!(audio.values().all(|samples| *samples == bytes(&all)));
}

#[tokio::test]
async fn a_cancel_stops_one_context_at_once_and_says_what_was_sent() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    start(&mut socket, "a", json!({})).await;
    start(&mut socket, "b", json!({})).await;
    say(&mut socket, "a", "One two three. Four five six. ").await;
    let job = TestWorker::new().claim(&app).await;
    say(&mut socket, "b", "Another.").await;
    let other = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(6 * FRAME_SAMPLES)).await;
    let (_, messages) = until_told(&mut socket, "sentence").await;
    assert_eq!(messages[0]["context_id"], "a");
    while !next(&mut socket).await.is_binary() {}
    send(&mut socket, json!({"type": "cancel", "context_id": "a"})).await;
    let (audio, messages) = until_told(&mut socket, "cancelled").await;
    assert!(audio.is_empty());
    let cancelled = messages.last().unwrap();
    assert_eq!((&cancelled["samples_sent"], &cancelled["text_sent"]), (&json!(6 * FRAME_SAMPLES), &json!("One")));
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
    publish(&app, &job, 3, 6 * FRAME_SAMPLES, &tone(FRAME_SAMPLES)).await;
    let ((), (audio, _)) = tokio::join!(speak(&app, other, 2), until_told(&mut socket, "sentence_end"));
    assert_eq!(audio.len(), 1, "nothing late of the cancelled context");
    send(&mut socket, json!({"type": "cancel", "context_id": "a"})).await;
    let refused = told(&mut socket).await;
    assert_eq!((&refused["problem"]["field"], &refused["ended"]), (&json!("context_id"), &json!(false)));
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "the second sentence was dropped");
}

#[tokio::test]
async fn a_lost_connection_ends_the_job_or_leaves_it_to_be_resumed() {
    let app = TestApp::start().await;
    for (mode, detached) in [("cancel", false), ("detach", true)] {
        let mut socket = open(&app).await;
        start(&mut socket, "a", json!({"on_disconnect": mode})).await;
        say(&mut socket, "a", "A sentence.").await;
        let job = TestWorker::new().claim(&app).await;
        let id = job.lease.at().id;
        let all = tone(5 * FRAME_SAMPLES);
        publish(&app, &job, 2, 0, &all[..2 * FRAME_SAMPLES]).await;
        assert_eq!(told(&mut socket).await["job"], id.to_string());
        let (_, offset, event, first) = heard(&next(&mut socket).await.into_data());
        assert_eq!((offset, event.as_str()), (0, "1-2"));
        drop(socket);
        if !detached {
            until("the job is asked to stop", async || app.record(&id).await.cancel_requested).await;
            continue;
        }
        publish(&app, &job, 3, 2 * FRAME_SAMPLES, &all[2 * FRAME_SAMPLES..]).await;
        TestWorker::new().succeed_with(&app, job, csm_shared::audio::Clip::from_samples(all.clone()).to_wav()).await;
        assert!(!app.record(&id).await.cancel_requested);
        let mut socket = open(&app).await;
        let resume = json!({"type": "resume", "context_id": "z", "job": id.to_string(), "after": event});
        send(&mut socket, resume.clone()).await;
        assert_eq!(told(&mut socket).await["type"], "started");
        assert_eq!(told(&mut socket).await["resumed"], true);
        let (_, offset, event, rest) = heard(&next(&mut socket).await.into_data());
        assert_eq!((offset, event.as_str()), (2 * FRAME_SAMPLES as u64, "1-3"));
        assert_eq!([first, rest].concat(), bytes(&all), "bit for bit");
        assert_eq!(told(&mut socket).await["receipt"]["samples"], all.len());
        // Behind the last samples there is only the end.
        let resume = json!({"type": "resume", "context_id": "y", "job": id.to_string(), "after": "1-3"});
        send(&mut socket, resume).await;
        let (audio, _) = until_told(&mut socket, "sentence_end").await;
        assert!(audio.is_empty());
        say(&mut socket, "y", "It goes on.").await;
        let next_job = TestWorker::new().claim(&app).await;
        let ((), (audio, _)) = tokio::join!(speak(&app, next_job, 1), until_told(&mut socket, "sentence_end"));
        assert_eq!(audio.len(), 1);
    }
}

#[tokio::test]
async fn audio_comes_in_base64_and_at_another_rate_on_request() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    start(&mut socket, "a", json!({"audio": "base64", "sample_rate": 8_000})).await;
    say(&mut socket, "a", "A sentence.").await;
    let job = TestWorker::new().claim(&app).await;
    let ((), (audio, messages)) = tokio::join!(speak(&app, job, 4), until_told(&mut socket, "sentence_end"));
    assert!(audio.is_empty(), "no binary message");
    let decode = |text: &Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap().len()
    };
    let parts: Vec<_> = messages.iter().filter(|message| message["type"] == "audio").collect();
    assert!(parts.len() > 1);
    let mut offset = 0;
    for part in &parts {
        assert_eq!(part["offset"], offset);
        offset += decode(&part["audio"]) / 2;
    }
    assert_eq!(offset, 4 * FRAME_SAMPLES / 3);
    assert_eq!(messages.last().unwrap()["samples"], offset);
}

#[tokio::test]
async fn a_failure_ends_its_context_and_no_other() {
    let app = TestApp::start().await;
    let mut socket = open(&app).await;
    start(&mut socket, "a", json!({})).await;
    start(&mut socket, "b", json!({})).await;
    say(&mut socket, "a", "It fails.").await;
    let job = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    TestWorker::new().fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    let (_, messages) = until_told(&mut socket, "error").await;
    let error = messages.last().unwrap();
    assert_eq!((&error["context_id"], &error["ended"]), (&json!("a"), &json!(true)));
    assert_eq!((&error["problem"]["code"], &error["samples_sent"]), (&json!("job_failed"), &json!(FRAME_SAMPLES)));
    assert!(messages.iter().all(|message| message["type"] != "sentence_end" && message["type"] != "done"));
    say(&mut socket, "b", "It works.").await;
    let job = TestWorker::new().claim(&app).await;
    let ((), (audio, _)) = tokio::join!(speak(&app, job, 2), until_told(&mut socket, "sentence_end"));
    assert_eq!(audio[&1], bytes(&tone(2 * FRAME_SAMPLES)));
    say(&mut socket, "b", "...").await;
    let (audio, messages) = until_told(&mut socket, "sentence_end").await;
    assert_eq!((audio[&1].len(), &messages[0]["job"]), (4_800, &Value::Null), "nothing to say is silence");
}

#[tokio::test]
async fn a_gateway_that_shuts_down_lets_speech_finish_and_says_where_to_go_on() {
    let mut app = TestApp::start_with(|args| args.drain = Duration::from_secs(1)).await;
    let mut socket = open(&app).await;
    start(&mut socket, "a", json!({"on_disconnect": "detach"})).await;
    say(&mut socket, "a", "A sentence.").await;
    let job = TestWorker::new().claim(&app).await;
    publish(&app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    while !next(&mut socket).await.is_binary() {}
    app.stop.cancel();
    let (_, messages) = until_told(&mut socket, "restart").await;
    let hint = &messages.last().unwrap()["contexts"][0];
    let id = job.lease.at().id.to_string();
    assert_eq!((&hint["context_id"], &hint["job"], &hint["after"]), (&json!("a"), &json!(id), &json!("1-2")));
    assert_eq!(hint["samples_sent"], FRAME_SAMPLES);
    assert!(matches!(next(&mut socket).await, Message::Close(Some(frame)) if u16::from(frame.code) == 1012));
    app.join().await;
    let record = app.record(&job.lease.at().id).await;
    assert_eq!((record.state, record.cancel_requested), (JobState::Running, false));
}
