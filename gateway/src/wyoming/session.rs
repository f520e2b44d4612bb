//! Session of a Wyoming connection: events in, speech out, one sentence after another.

use std::io;
use std::time::Duration;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::{Invalid, Tenant};
use csm_shared::process::connections::Peer;
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::event::{self, WyomingEvent};
use super::info::info;
use crate::app::App;
use crate::http::Problem;
use crate::http::problem::echoed;
use crate::sentence_queue::{SentenceQueue, SpokenPart};
use crate::speech_template::SpeechTemplate;

/// Events that may wait to be handled.
const EVENTS_WAITING_MAX: usize = 16;
/// Longest time for the caller to take one event.
const SEND_LIMIT: Duration = Duration::from_secs(60);
/// Longest silence of a caller for whom nothing is spoken.
const IDLE_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Reason why a session ends.
enum SessionEnd {
    /// The caller left, or takes nothing.
    Gone,
    /// An answer was cut off; nothing on this connection may look like its end.
    Cut,
}

impl From<io::Error> for SessionEnd {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

struct Session {
    app: App,
    write: OwnedWriteHalf,
    /// Sentences of the text that is spoken.
    sentences: SentenceQueue,
    /// Whether a text comes in pieces, and whether all of them have come.
    stream: Option<TextStream>,
    /// True between the start and the stop of an audio.
    begun: bool,
}

/// State of a text that comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextStream {
    Open,
    Stopped,
}

/// Serves a connection until the caller or the gateway leaves.
pub(super) async fn serve(app: App, peer: Peer, socket: TcpStream) {
    let (read, write) = socket.into_split();
    let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
    let _reader = AbortOnDropHandle::new(tokio::spawn(read_events(read, sender)));
    let sentences = SentenceQueue::new(app.clone(), peer, SpeechTemplate::new(Tenant::default()));
    let mut session = Session { app, write, sentences, stream: None, begun: false };
    if let Err(SessionEnd::Cut) = session.run(events).await {
        tracing::debug!("closing Wyoming connection behind a cut");
    }
}

async fn read_events(read: OwnedReadHalf, events: mpsc::Sender<io::Result<WyomingEvent>>) {
    let mut reader = BufReader::new(read);
    while let Some(event) = event::read(&mut reader).await.transpose() {
        let last = event.is_err();
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

impl Session {
    async fn run(&mut self, mut events: mpsc::Receiver<io::Result<WyomingEvent>>) -> Result<(), SessionEnd> {
        loop {
            let idle = self.sentences.is_idle();
            tokio::select! {
                event = events.recv() => match event {
                    Some(Ok(event)) => self.handle(event).await?,
                    Some(Err(error)) => {
                        self.refuse(&error.to_string(), "malformed").await?;
                        return Ok(());
                    }
                    None => return Err(SessionEnd::Gone),
                },
                part = self.sentences.next() => self.deliver(part).await?,
                () = self.app.stop.cancelled(), if idle => return Ok(()),
                () = self.app.late.cancelled() => return Err(SessionEnd::Cut),
                () = tokio::time::sleep(IDLE_LIMIT), if idle => return Ok(()),
            }
        }
    }

    async fn handle(&mut self, event: WyomingEvent) -> Result<(), SessionEnd> {
        match event.kind.as_str() {
            "describe" => self.send("info", &info(&self.app.model_name), &[]).await,
            "ping" => self.send("pong", &json!({"text": event.text("text")}), &[]).await,
            "synthesize-start" => {
                self.sentences.set_voice(voice(&event));
                self.stream = Some(TextStream::Open);
                Ok(())
            }
            "synthesize-chunk" if self.stream.is_none() => {
                self.refuse("synthesize-chunk comes before synthesize-start", "malformed").await
            }
            "synthesize-chunk" => {
                let taken = self.sentences.push(event.text("text").unwrap_or_default());
                self.tell_refusal(taken).await
            }
            "synthesize-stop" => {
                if self.stream.is_some() {
                    self.stream = Some(TextStream::Stopped);
                    let flushed = self.sentences.flush();
                    return self.tell_refusal(flushed).await;
                }
                Ok(())
            }
            // Within a stream this is a copy of the whole text, for servers that take no pieces.
            "synthesize" if self.stream.is_some() => Ok(()),
            "synthesize" => {
                self.sentences.set_voice(voice(&event));
                let taken = self.sentences.push_whole(event.text("text").unwrap_or_default().to_owned());
                self.tell_refusal(taken).await
            }
            other => {
                tracing::debug!(event = echoed(other).as_ref(), "ignoring Wyoming event");
                Ok(())
            }
        }
    }

    async fn deliver(&mut self, part: Result<SpokenPart, Problem>) -> Result<(), SessionEnd> {
        match part {
            Ok(SpokenPart::Begin(_)) => {
                self.begun = true;
                self.send("audio-start", &audio_format(), &[]).await
            }
            Ok(SpokenPart::Samples(samples)) => self.send_samples(&samples).await,
            Ok(SpokenPart::End(_)) => {
                self.begun = false;
                self.send("audio-stop", &json!({}), &[]).await
            }
            Ok(SpokenPart::Flushed) => {
                self.stream = None;
                self.send("synthesize-stopped", &json!({}), &[]).await
            }
            Err(problem) => {
                self.refuse(&problem.to_string(), problem.code()).await?;
                if self.begun { Err(SessionEnd::Cut) } else { Ok(()) }
            }
        }
    }

    async fn send_samples(&mut self, samples: &[i16]) -> Result<(), SessionEnd> {
        self.send("audio-chunk", &audio_format(), &csm_formats::pcm(samples)).await
    }

    /// Tells the caller of text that was not taken.
    async fn tell_refusal(&mut self, taken: Result<(), Invalid>) -> Result<(), SessionEnd> {
        match taken {
            Ok(()) => Ok(()),
            Err(invalid) => self.refuse(&invalid.to_string(), invalid.reason.code()).await,
        }
    }

    async fn refuse(&mut self, text: &str, code: &str) -> Result<(), SessionEnd> {
        self.send("error", &json!({"text": text, "code": code}), &[]).await
    }

    async fn send(&mut self, kind: &str, data: &Value, payload: &[u8]) -> Result<(), SessionEnd> {
        let event = event::write(kind, data, payload);
        timeout(SEND_LIMIT, self.write.write_all(&event)).await.map_err(|_| SessionEnd::Gone)??;
        Ok(())
    }
}

/// Reads the name of the voice.
fn voice(event: &WyomingEvent) -> Option<String> {
    Some(event.data.get("voice")?.get("name")?.as_str()?.to_owned())
}

fn audio_format() -> Value {
    json!({"rate": SAMPLE_RATE, "width": 2, "channels": 1})
}
