//! Session of a Wyoming connection: events in, speech out, one sentence after another.

use std::io;
use std::time::Duration;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::{Invalid, Tenant, VoiceName};
use csm_shared::process::connections::Peer;
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::event::{self, ReadError, WyomingEvent};
use super::info::info;
use crate::app::App;
use crate::fields::voice_named;
use crate::http::Problem;
use crate::http::problem::echoed;
use crate::message_fields::MessageFields;
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
    /// Text that comes in pieces, from its start until all of it is spoken.
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

async fn read_events(read: OwnedReadHalf, events: mpsc::Sender<Result<WyomingEvent, ReadError>>) {
    let mut reader = BufReader::new(read);
    while let Some(event) = event::read(&mut reader).await.transpose() {
        let last = event.is_err();
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

impl Session {
    async fn run(&mut self, mut events: mpsc::Receiver<Result<WyomingEvent, ReadError>>) -> Result<(), SessionEnd> {
        loop {
            let idle = self.sentences.is_idle();
            tokio::select! {
                event = events.recv() => match event {
                    Some(Ok(event)) => self.handle(&event).await?,
                    Some(Err(ReadError::Invalid(invalid))) => return self.refuse(&invalid.into()).await,
                    Some(Err(ReadError::Connection)) | None => return Err(SessionEnd::Gone),
                },
                part = self.sentences.next() => self.deliver(part).await?,
                () = self.app.stop.cancelled(), if idle => return Ok(()),
                () = self.app.late.cancelled() => return Err(SessionEnd::Cut),
                () = tokio::time::sleep(IDLE_LIMIT), if idle => return Ok(()),
            }
        }
    }

    async fn handle(&mut self, event: &WyomingEvent) -> Result<(), SessionEnd> {
        let data = MessageFields::of(&event.data);
        let taken = match event.kind.as_str() {
            "describe" => return self.send("info", &info(&self.app.model_name), &[]).await,
            "ping" => match data.string("text") {
                Ok(text) => return self.send("pong", &json!({"text": text}), &[]).await,
                Err(invalid) => Err(invalid),
            },
            "synthesize-start" => self.begin_stream(&data),
            "synthesize-chunk" => self.take_piece(&data),
            "synthesize-stop" => self.end_stream(),
            // Within a stream this is a copy of the whole text, for servers that take no pieces.
            "synthesize" if self.stream.is_some() => Ok(()),
            "synthesize" => self.take_whole(&data),
            other => {
                tracing::debug!(event = echoed(other).as_ref(), "ignoring Wyoming event");
                Ok(())
            }
        };
        match taken {
            Ok(()) => Ok(()),
            Err(invalid) => self.refuse(&invalid.into()).await,
        }
    }

    /// Begins a text that comes in pieces.
    fn begin_stream(&mut self, data: &MessageFields<'_>) -> Result<(), Invalid> {
        if self.stream.is_some() {
            return Err(Invalid::malformed("type", "synthesize-start", "allowed before synthesize-stopped"));
        }
        self.sentences.set_voice(voice(data)?);
        self.stream = Some(TextStream::Open);
        Ok(())
    }

    fn take_piece(&mut self, data: &MessageFields<'_>) -> Result<(), Invalid> {
        match self.stream {
            Some(TextStream::Open) => self.sentences.push(text(data)?),
            Some(TextStream::Stopped) => {
                Err(Invalid::malformed("type", "synthesize-chunk", "allowed behind synthesize-stop"))
            }
            None => Err(Invalid::malformed("type", "synthesize-chunk", "allowed before synthesize-start")),
        }
    }

    /// Ends a text that comes in pieces: no more follow.
    fn end_stream(&mut self) -> Result<(), Invalid> {
        if self.stream != Some(TextStream::Open) {
            return Err(Invalid::malformed("type", "synthesize-stop", "allowed without synthesize-start"));
        }
        self.stream = Some(TextStream::Stopped);
        self.sentences.flush()
    }

    fn take_whole(&mut self, data: &MessageFields<'_>) -> Result<(), Invalid> {
        let text = text(data)?;
        self.sentences.set_voice(voice(data)?);
        self.sentences.push_whole(text.to_owned())
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
                self.refuse(&problem).await?;
                if self.begun { Err(SessionEnd::Cut) } else { Ok(()) }
            }
        }
    }

    async fn send_samples(&mut self, samples: &[i16]) -> Result<(), SessionEnd> {
        self.send("audio-chunk", &audio_format(), &csm_formats::pcm(samples)).await
    }

    async fn refuse(&mut self, problem: &Problem) -> Result<(), SessionEnd> {
        problem.report("wyoming");
        self.send("error", &json!({"text": problem.to_string(), "code": problem.code()}), &[]).await
    }

    async fn send(&mut self, kind: &str, data: &Value, payload: &[u8]) -> Result<(), SessionEnd> {
        let event = event::write(kind, data, payload);
        timeout(SEND_LIMIT, self.write.write_all(&event)).await.map_err(|_| SessionEnd::Gone)??;
        Ok(())
    }
}

/// Reads the text.
fn text<'a>(data: &MessageFields<'a>) -> Result<&'a str, Invalid> {
    data.string("text")?.ok_or_else(|| data.missing("text", "a string"))
}

/// Reads the name of the voice. A voice without a name, which is one of a language, is the default.
fn voice(data: &MessageFields<'_>) -> Result<Option<VoiceName>, Invalid> {
    let Some(voice) = data.object("voice")? else { return Ok(None) };
    let Some(name) = voice.string("name")? else { return Ok(None) };
    voice_named(name).map(Some).map_err(voice.name("name"))
}

fn audio_format() -> Value {
    json!({"rate": SAMPLE_RATE, "width": 2, "channels": 1})
}
