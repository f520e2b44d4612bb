//! ElevenLabs' speech API: the socket with many contexts, the requests, and the list of voices.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_queue::queue::Claimed;
use csm_shared::audio::{FRAME_SAMPLES, read};
use csm_shared::job::{Failure, FailureClass, VoiceName};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, until};
use crate::openai::{bytes, publish, speak, tone};
use crate::sockets;
use crate::worker::TestWorker;

mod bad_input;
mod requests;

/// Query of LiveKit's plugin, but for the format.
const LIVEKIT: &str = "model_id=eleven_turbo_v2_5&output_format=pcm_24000&enable_ssml_parsing=false&enable_logging=true\
    &inactivity_timeout=180&apply_text_normalization=auto&sync_alignment=true&auto_mode=true";
/// Query of Pipecat's service.
const PIPECAT: &str = "model_id=eleven_flash_v2_5&output_format=pcm_24000&auto_mode=true";

pub(crate) struct Socket(sockets::Socket);

/// Speech of a context, up to its last message.
#[derive(Default)]
struct Spoken {
    audio: Vec<u8>,
    /// `alignment` of each message that has one.
    alignments: Vec<Value>,
}

impl Socket {
    async fn open(app: &TestApp, query: &str) -> Self {
        Self(sockets::connect(app, &format!("/v1/text-to-speech/Ash/multi-stream-input?{query}")).await)
    }

    async fn send(&mut self, message: Value) {
        sockets::send(&mut self.0, message).await;
    }

    /// Sends a piece of text for a context.
    async fn say(&mut self, context: &str, text: &str) {
        self.send(json!({"text": text, "context_id": context})).await;
    }

    /// Flushes and closes a context, as clients do at the end of a turn.
    async fn end(&mut self, context: &str) {
        self.send(json!({"context_id": context, "flush": true})).await;
        self.send(json!({"context_id": context, "close_context": true})).await;
    }

    async fn told(&mut self) -> Value {
        sockets::told(&mut self.0).await
    }

    /// Reads the code of the close, which is the next message.
    async fn close_code(&mut self) -> u16 {
        sockets::close_code(&mut self.0).await
    }

    /// Reads a speech up to its `isFinal`. All messages are about its context.
    async fn spoken(&mut self, context: &str) -> Spoken {
        let mut spoken = Spoken::default();
        loop {
            let message = self.told().await;
            assert_eq!(message["contextId"], context, "{message}");
            if spoken.add(&message) {
                return spoken;
            }
        }
    }
}

impl Spoken {
    /// Adds a message; returns true for the last one.
    fn add(&mut self, message: &Value) -> bool {
        if message["isFinal"] == true {
            assert!(message.get("audio").is_none() && message.get("error").is_none(), "{message}");
            return true;
        }
        self.audio.append(&mut BASE64.decode(message["audio"].as_str().unwrap()).unwrap());
        assert_eq!(message["alignment"], message["normalizedAlignment"]);
        if message["alignment"].is_object() {
            self.alignments.push(message["alignment"].clone());
        }
        false
    }

    /// Returns the characters of all times.
    fn text(&self) -> String {
        self.alignments.iter().flat_map(|one| strings(&one["chars"])).collect()
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|one| one.as_u64().unwrap()).collect()
}

/// Speaks the next job of this text.
async fn speak_next(app: &TestApp, text: &str, frames: usize) {
    let job = TestWorker::new().claim(app).await;
    assert_eq!(job.spec.text.as_str(), text);
    speak(app, job, frames).await;
}

/// Claims a job and publishes its first frame.
async fn begun(app: &TestApp) -> Claimed {
    let job = TestWorker::new().claim(app).await;
    publish(app, &job, 2, 0, &tone(FRAME_SAMPLES)).await;
    job
}

async fn is_cancelled(app: &TestApp, job: &Claimed) {
    until("the job is asked to stop", async || app.record(&job.lease.at().id).await.cancel_requested).await;
}

#[tokio::test]
async fn pieces_are_spoken_as_soon_as_a_sentence_is_whole() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
    socket.send(json!({"text": " ", "voice_settings": {"speed": 1.2}, "context_id": "a"})).await;
    for word in ["The ", "first ", "sentence. ", "The second"] {
        socket.say("a", word).await;
    }
    let job = TestWorker::new().claim(&app).await;
    assert_eq!((job.spec.text.as_str(), job.spec.voice), ("The first sentence.", Some(VoiceName::Ash)));
    assert_eq!(job.spec.speed.get(), 1.2);
    speak(&app, job, 3).await;
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "the second sentence is not whole");
    socket.end("a").await;
    let ((), spoken) = tokio::join!(speak_next(&app, "The second", 2), socket.spoken("a"));
    assert_eq!(spoken.audio, [bytes(&tone(3 * FRAME_SAMPLES)), bytes(&tone(2 * FRAME_SAMPLES))].concat());
    assert_eq!(spoken.text(), "The first sentence. The second ");
    socket.send(json!({"close_socket": true})).await;
    assert_eq!(socket.close_code().await, 1000);
}

#[tokio::test]
async fn in_auto_mode_a_piece_that_ends_a_sentence_is_spoken_at_once() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, PIPECAT).await;
    socket.say("a", "Only this.").await;
    let ((), first) = tokio::join!(speak_next(&app, "Only this.", 1), socket.told());
    assert_eq!(first["contextId"], "a");
    assert!(socket.told().await["alignment"].is_object());
    socket.say("a", "No end").await;
    socket.send(json!({"text": ""})).await;
    socket.send(json!({"text": "", "context_id": "a"})).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "a keepalive flushes nothing");
    socket.send(json!({"text": "", "context_id": "a", "flush": true})).await;
    let ((), more) = tokio::join!(speak_next(&app, "No end", 1), socket.told());
    assert_eq!(more["contextId"], "a");
}

#[tokio::test]
async fn contexts_speak_in_turn_and_lose_nothing() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
    let (mut first, mut second, mut unnamed) = (Spoken::default(), Spoken::default(), Spoken::default());
    socket.say("a", "The first context. ").await;
    socket.say("b", "The second context. ").await;
    socket.send(json!({"text": "No context. ", "flush": true})).await;
    socket.send(json!({"close_context": true})).await;
    socket.end("a").await;
    socket.end("b").await;
    let worker = async {
        let mut jobs = Vec::new();
        for _ in 0..3 {
            jobs.push(TestWorker::new().claim(&app).await);
        }
        // All jobs have samples before the first of them ends.
        let samples = tone(4 * FRAME_SAMPLES);
        for frame in 0..4 {
            for job in &jobs {
                let at = frame * FRAME_SAMPLES;
                publish(&app, job, 2 + frame as u64, at, &samples[at..at + FRAME_SAMPLES]).await;
            }
        }
        for job in jobs {
            let wav = csm_shared::audio::Clip::from_samples(samples.clone()).to_wav();
            TestWorker::new().succeed_with(&app, job, wav).await;
        }
    };
    let reader = async {
        let (mut order, mut open) = (Vec::new(), 3);
        while open > 0 {
            let message = socket.told().await;
            let spoken = match message["contextId"].as_str() {
                Some("a") => &mut first,
                Some("b") => &mut second,
                None => &mut unnamed,
                other => panic!("{other:?}"),
            };
            order.push(message["contextId"].as_str().unwrap_or_default().to_owned());
            open -= usize::from(spoken.add(&message));
        }
        order
    };
    let ((), order) = tokio::join!(worker, reader);
    for (spoken, text) in
        [(&first, "The first context. "), (&second, "The second context. "), (&unnamed, "No context. ")]
    {
        assert_eq!((&spoken.audio, spoken.text().as_str()), (&bytes(&tone(4 * FRAME_SAMPLES)), text));
    }
    let last = |context: &str| order.iter().rposition(|one| one == context).unwrap();
    let start = |context: &str| order.iter().position(|one| one == context).unwrap();
    assert!(start("a") < last("b") && start("b") < last("a") && start("") < last("a"), "{order:?}");
}

#[tokio::test]
async fn a_close_in_mid_speech_ends_the_context_at_once() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, LIVEKIT).await;
    // As LiveKit's plugin: each sentence is flushed, and the turn is not.
    socket.send(json!({"text": "One sentence. ", "context_id": "a", "flush": true})).await;
    socket.send(json!({"text": "Another one. ", "context_id": "a", "flush": true})).await;
    let job = begun(&app).await;
    assert_eq!(socket.told().await["contextId"], "a");
    socket.send(json!({"context_id": "a", "close_context": true})).await;
    assert_eq!(socket.told().await, json!({"contextId": "a", "isFinal": true}));
    is_cancelled(&app, &job).await;
    publish(&app, &job, 3, FRAME_SAMPLES, &tone(FRAME_SAMPLES)).await;
    // The next turn begins on the same socket, and is heard alone.
    socket.say("b", "The next turn. ").await;
    socket.end("b").await;
    let ((), spoken) = tokio::join!(speak_next(&app, "The next turn.", 2), socket.spoken("b"));
    assert_eq!(spoken.audio, bytes(&tone(2 * FRAME_SAMPLES)));
}

#[tokio::test]
async fn a_second_close_is_an_interruption() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, PIPECAT).await;
    socket.say("a", "One sentence.").await;
    socket.end("a").await;
    let job = begun(&app).await;
    assert!(!socket.told().await["audio"].as_str().unwrap().is_empty());
    socket.send(json!({"context_id": "a", "close_context": true})).await;
    assert_eq!(socket.told().await, json!({"contextId": "a", "isFinal": true}));
    is_cancelled(&app, &job).await;
}

#[tokio::test]
async fn a_close_behind_a_flush_lets_everything_be_spoken() {
    let app = TestApp::start().await;
    for (query, last) in [
        (LIVEKIT, json!({"text": "The end. ", "context_id": "a", "flush": true})),
        ("output_format=pcm_24000", json!({"text": "The end", "context_id": "a", "flush": true})),
    ] {
        let mut socket = Socket::open(&app, query).await;
        let said = last["text"].as_str().unwrap().trim().to_owned();
        socket.send(last).await;
        socket.send(json!({"context_id": "a", "close_context": true})).await;
        let ((), spoken) = tokio::join!(speak_next(&app, &said, 3), socket.spoken("a"));
        assert_eq!(spoken.audio, bytes(&tone(3 * FRAME_SAMPLES)), "{query}");
    }
}

#[tokio::test]
async fn a_close_of_the_socket_lets_all_contexts_finish() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
    socket.say("a", "No full stop").await;
    socket.send(json!({"close_socket": true})).await;
    let ((), spoken) = tokio::join!(speak_next(&app, "No full stop", 2), socket.spoken("a"));
    assert_eq!(spoken.audio, bytes(&tone(2 * FRAME_SAMPLES)));
    assert_eq!(socket.close_code().await, 1000);
}

/// Returns the start of the first character and the end of the last one of each text.
fn spans(spoken: &Spoken) -> Vec<(u64, u64)> {
    let spans = spoken.alignments.iter().map(|one| {
        let (starts, durations) = (numbers(&one["charStartTimesMs"]), numbers(&one["charDurationsMs"]));
        assert!(starts.is_sorted() && starts.len() == strings(&one["chars"]).len());
        (starts[0], starts.last().unwrap() + durations.last().unwrap())
    });
    spans.collect()
}

#[tokio::test]
async fn times_are_those_of_the_context_or_of_the_message() {
    let app = TestApp::start().await;
    for (query, second) in [(LIVEKIT, (240, 400)), (PIPECAT, (0, 160))] {
        let mut socket = Socket::open(&app, query).await;
        for text in ["Good\nmorning. ", "The tea is ready."] {
            socket.send(json!({"text": text, "context_id": "a", "flush": true})).await;
        }
        socket.end("a").await;
        let worker = async {
            speak_next(&app, "Good\nmorning.", 3).await;
            speak_next(&app, "The tea is ready.", 2).await;
        };
        let ((), spoken) = tokio::join!(worker, socket.spoken("a"));
        assert_eq!(spoken.text(), "Good morning. The tea is ready. ", "each word ends with a blank");
        assert_eq!(spans(&spoken), [(0, 240), second], "{query}");
    }
}

#[tokio::test]
async fn every_format_carries_the_whole_context() {
    let app = TestApp::start().await;
    let said = 20 * FRAME_SAMPLES;
    for (format, least, most) in [
        ("pcm_8000", said / 3, said / 3),
        ("pcm_44100", said * 147 / 80, said * 147 / 80),
        ("pcm_48000", said * 2, said * 2),
        ("mp3_22050_32", said, said + 3 * 1_200),
        ("mp3_44100_128", said, said + 3 * 1_200),
        ("opus_48000_64", said, said),
    ] {
        let mut socket = Socket::open(&app, &format!("output_format={format}")).await;
        socket.say("a", "The first sentence. ").await;
        socket.say("a", "The second sentence. ").await;
        socket.end("a").await;
        let worker = async {
            speak_next(&app, "The first sentence.", 12).await;
            speak_next(&app, "The second sentence.", 8).await;
        };
        let ((), spoken) = tokio::join!(worker, socket.spoken("a"));
        let samples = match format.starts_with("pcm") {
            true => spoken.audio.len() / 2,
            false => read(&spoken.audio).unwrap().clip.samples().len(),
        };
        assert!((least..=most).contains(&samples), "{format}: {samples} of {least}");
        if format == "mp3_22050_32" {
            assert_eq!((spoken.audio[0], spoken.audio[2] & 0xfc), (0xff, 0xa0), "96 kb/s at 22,050 samples a second");
        }
    }
}

#[tokio::test]
async fn a_failure_is_never_an_end() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, "output_format=pcm_24000").await;
    socket.say("a", "This one fails. And more. ").await;
    let job = begun(&app).await;
    assert_eq!(socket.told().await["contextId"], "a");
    socket.say("b", "This one goes on. ").await;
    socket.end("b").await;
    let other = TestWorker::new().claim(&app).await;
    TestWorker::new().fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    let error = socket.told().await;
    assert_eq!(
        (&error["error"], &error["contextId"], &error["code"]),
        (&json!("job_failed"), &json!("a"), &json!(1011))
    );
    assert!(error["message"].as_str().unwrap().contains("the device failed"), "{error}");
    // What the client sends before it reads the error.
    socket.say("a", "Late text. ").await;
    socket.end("a").await;
    let ((), spoken) = tokio::join!(speak(&app, other, 2), socket.spoken("b"));
    assert_eq!(spoken.audio, bytes(&tone(2 * FRAME_SAMPLES)));
    assert_eq!(socket.close_code().await, 1011);
    assert!(TestWorker::new().try_claim(&app).await.is_none(), "nothing more of the context is spoken");
}

#[tokio::test]
async fn a_caller_that_leaves_ends_all_jobs() {
    let app = TestApp::start().await;
    let mut socket = Socket::open(&app, PIPECAT).await;
    socket.say("a", "One context.").await;
    socket.say("b", "Another one.").await;
    let jobs = [TestWorker::new().claim(&app).await, TestWorker::new().claim(&app).await];
    drop(socket);
    for job in &jobs {
        is_cancelled(&app, job).await;
    }
}
