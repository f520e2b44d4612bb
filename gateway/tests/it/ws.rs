//! `GET /ws` as a browser uses it.

use csm_queue::live::{AudioChunk, Event, EventId};
use csm_queue::queue::Claimed;
use csm_shared::audio::Clip;
use csm_shared::job::{Failure, FailureClass};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::app::{PATIENCE, TestApp, until};
use crate::sockets::{Socket, next};
use crate::speech::{OLD_REQUEST, say};
use crate::worker::{TestWorker, wav};

/// Opens a WebSocket.
pub(crate) async fn open(app: &TestApp) -> Socket {
    connect_async(format!("ws://{}/ws", app.address)).await.unwrap().0
}

/// Returns the code of a close message.
pub(crate) fn close_code(message: Message) -> u16 {
    match message {
        Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("{other:?}"),
    }
}

/// Reads until the answer to a ping.
async fn until_pong(socket: &mut Socket) {
    let pong = async { while !matches!(socket.next().await.unwrap().unwrap(), Message::Pong(_)) {} };
    tokio::time::timeout(PATIENCE, pong).await.unwrap();
}

fn problem(message: &Message) -> Value {
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn each_request_is_answered_with_one_wav_in_order() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let mut socket = open(&app).await;
    socket.send(OLD_REQUEST.into()).await.unwrap();
    // Requests that are sent before the first answer wait their turn.
    for text in ["two", "three", "four"] {
        socket.send(say(text).into()).await.unwrap();
    }
    let ((), ()) = tokio::join!(worker.work(&app, 4), async {
        for text in ["Hello from Sesame TTS!", "two", "three", "four"] {
            assert_eq!(next(&mut socket).await, Message::Binary(wav(text).into()), "{text}");
        }
    });
    socket.close(None).await.unwrap();
}

/// A caller who did not ask gets the old sequence of messages.
#[tokio::test]
async fn a_summary_follows_each_file_where_asked() {
    let (app, worker) = (TestApp::start().await, TestWorker::who_cuts_off());
    let (mut plain, asked) = (open(&app).await, format!("ws://{}/ws?receipts=true", app.address));
    let mut asking = connect_async(asked).await.unwrap().0;
    for text in ["one", "two"] {
        asking.send(say(text).into()).await.unwrap();
        let job = worker.claim(&app).await;
        let id = job.lease.at().id.to_string();
        worker.succeed(&app, job).await;
        assert_eq!(next(&mut asking).await, Message::Binary(wav(text).into()), "{text}");
        let summary = problem(&next(&mut asking).await);
        let expected = serde_json::json!({
            "job": id, "finish_reason": "length", "warnings": [{"code": "cut_off", "sentences": [0]}]
        });
        assert_eq!(summary, expected);
    }
    for text in ["three", "four"] {
        plain.send(say(text).into()).await.unwrap();
        worker.work(&app, 1).await;
        assert_eq!(next(&mut plain).await, Message::Binary(wav(text).into()), "{text}");
    }
}

#[tokio::test]
async fn one_job_at_a_time() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let mut socket = open(&app).await;
    socket.send(say("one").into()).await.unwrap();
    let first = worker.claim(&app).await;
    socket.send(Message::Ping("read".into())).await.unwrap();
    socket.send(say("two").into()).await.unwrap();
    // The pong proves that the gateway reads the socket while the first job runs. The job below is
    // accepted after the second request could have been.
    until_pong(&mut socket).await;
    app.submit(&say("between")).await;
    assert_eq!(app.depth().await, 2, "the second request waits for the first");
    worker.succeed(&app, first).await;
    worker.work(&app, 2).await;
    for text in ["one", "two"] {
        assert_eq!(next(&mut socket).await, Message::Binary(wav(text).into()), "{text}");
    }
}

#[tokio::test]
async fn after_an_error_the_socket_stays_open() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let mut socket = open(&app).await;
    socket.send(r#"{"text": "a", "topk": 0}"#.into()).await.unwrap();
    let refused = problem(&next(&mut socket).await);
    insta::assert_json_snapshot!("ws_refused", refused, {".request_id" => "[id]"});
    socket.send("not json".into()).await.unwrap();
    assert_eq!(problem(&next(&mut socket).await)["status"], 400);
    assert_eq!(app.depth().await, 0);

    socket.send(say("still here").into()).await.unwrap();
    worker.work(&app, 1).await;
    assert_eq!(next(&mut socket).await, Message::Binary(wav("still here").into()));
}

#[tokio::test]
async fn a_caller_who_leaves_takes_the_job_along() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let mut socket = open(&app).await;
    socket.send(say("goodbye").into()).await.unwrap();
    let job = worker.claim(&app).await;
    drop(socket);
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let app = TestApp::start().await;
    let (mut sink, mut stream) = open(&app).await.split();
    let send = async { sink.send("x".repeat(25 * 1024 * 1024).into()).await };
    let receive = async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let (_, code) = tokio::time::timeout(PATIENCE, futures::future::join(send, receive)).await.unwrap();
    assert_eq!(code, CloseCode::Size);
}

/// Publishes frames of samples, one event each, from `offset`.
async fn publish(app: &TestApp, job: &Claimed, frames: &[&[i16]]) {
    let mut offset = 0;
    for (sequence, samples) in frames.iter().enumerate() {
        let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let audio = AudioChunk::new(offset, &pcm);
        offset += samples.len() as u64;
        let at = job.lease.at();
        let event = Event::Progress { frames: 1, max_frames: 125, audio };
        let id = EventId { attempt: at.attempt, sequence: 2 + sequence as u64 };
        app.live.publish(&at.id, id, &event).await.unwrap();
    }
}

#[tokio::test]
async fn a_streamed_answer_is_pieces_of_one_wav_and_an_end() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let mut socket = open(&app).await;
    let request = json!({"text": "Hello.", "stream": true}).to_string();
    socket.send(request.clone().into()).await.unwrap();
    let job = worker.claim(&app).await;
    let samples: Vec<i16> = (0..3_840).map(|n| n as i16).collect();
    publish(&app, &job, &[&samples[..1_920], &samples[1_920..]]).await;
    let mut heard = next(&mut socket).await.into_data().to_vec();
    assert_eq!((&heard[..4], heard.len()), (&b"RIFF"[..], 44 + 3_840), "while the job runs");
    let id = job.lease.at().id;
    worker.succeed_with(&app, job, Clip::from_samples(samples.clone()).to_wav()).await;
    heard.extend_from_slice(&next(&mut socket).await.into_data());
    assert_eq!(heard[44..], samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>());
    let end = problem(&next(&mut socket).await);
    let expected =
        json!({"done": true, "job": id.to_string(), "samples": 3_840, "finish_reason": "eos", "warnings": []});
    assert_eq!(end, expected);

    // A failure stands in the end's place, and the next request is served.
    socket.send(request.into()).await.unwrap();
    let job = worker.claim(&app).await;
    publish(&app, &job, &[&samples[..1_920]]).await;
    assert!(next(&mut socket).await.is_binary());
    worker.fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    assert_eq!(problem(&next(&mut socket).await)["code"], "job_failed");
    socket.send(say("two").into()).await.unwrap();
    worker.work(&app, 1).await;
    assert_eq!(next(&mut socket).await, Message::Binary(wav("two").into()));
}
