//! One Wyoming connection: events in, speech out, one sentence after another.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::limits::TEXT_CHARS;
use csm_shared::process::connections::Peer;
use csm_shared::text::whole_sentences;
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
use crate::live_audio::{LiveAudio, LivePart};
use crate::openai::begin_speech;

/// Events that may wait to be handled.
const EVENTS_WAITING_MAX: usize = 16;
/// Texts that may wait to be spoken; while there are as many, no event is read.
const TEXTS_WAITING_MAX: usize = 16;
/// Longest time for the caller to take one event.
const SEND_LIMIT: Duration = Duration::from_secs(60);
/// Longest silence of a caller for whom nothing is spoken.
const IDLE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Samples for a text with nothing to say: 100 ms.
const SILENCE_SAMPLES: usize = SAMPLE_RATE as usize / 10;

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

/// Text that waits to be spoken.
struct WaitingText {
    text: String,
    voice: Option<String>,
}

/// Text that comes in pieces.
#[derive(Default)]
struct TextStream {
    voice: Option<String>,
    /// Pieces of the sentence that is not whole yet.
    rest: String,
    /// True once the caller has sent all pieces.
    stopped: bool,
}

struct Session {
    app: App,
    peer: Peer,
    write: OwnedWriteHalf,
    waiting: VecDeque<WaitingText>,
    speaking: Option<LiveAudio>,
    stream: Option<TextStream>,
}

/// Serves a connection until the caller or the gateway leaves.
pub(super) async fn serve(app: App, peer: Peer, socket: TcpStream) {
    let (read, write) = socket.into_split();
    let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
    let _reader = AbortOnDropHandle::new(tokio::spawn(read_events(read, sender)));
    let mut session = Session { app, peer, write, waiting: VecDeque::new(), speaking: None, stream: None };
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
            self.begin_next().await?;
            let idle = self.speaking.is_none();
            tokio::select! {
                event = events.recv(), if self.waiting.len() < TEXTS_WAITING_MAX => match event {
                    Some(Ok(event)) => self.handle(event).await?,
                    Some(Err(error)) => {
                        self.refuse(&error.to_string(), "malformed").await?;
                        return Ok(());
                    }
                    None => return Err(SessionEnd::Gone),
                },
                part = next(&mut self.speaking) => self.deliver(part).await?,
                () = self.app.stop.cancelled(), if idle => return Ok(()),
                () = self.app.late.cancelled() => return Err(SessionEnd::Cut),
                () = tokio::time::sleep(IDLE_LIMIT), if idle => return Ok(()),
            }
        }
    }

    /// Begins the next text if nothing is spoken; behind the last one of a stream, says so.
    async fn begin_next(&mut self) -> Result<(), SessionEnd> {
        while self.speaking.is_none() {
            let Some(WaitingText { text, voice }) = self.waiting.pop_front() else {
                if self.stream.as_ref().is_some_and(|stream| stream.stopped) {
                    self.stream = None;
                    self.send("synthesize-stopped", &json!({}), &[]).await?;
                }
                return Ok(());
            };
            let body = json!({"input": text, "voice": voice, "response_format": "pcm"});
            match begin_speech(&self.app, self.peer, &body).await {
                Ok(Some(audio)) => {
                    self.speaking = Some(audio);
                    self.send("audio-start", &audio_format(), &[]).await?;
                }
                Ok(None) => {
                    self.send("audio-start", &audio_format(), &[]).await?;
                    self.send_samples(&[0; SILENCE_SAMPLES]).await?;
                    self.send("audio-stop", &json!({}), &[]).await?;
                }
                Err(problem) => self.refuse(&problem.to_string(), problem.code()).await?,
            }
        }
        Ok(())
    }

    async fn handle(&mut self, event: WyomingEvent) -> Result<(), SessionEnd> {
        match event.kind.as_str() {
            "describe" => self.send("info", &info(&self.app.model_name), &[]).await,
            "ping" => self.send("pong", &json!({"text": event.text("text")}), &[]).await,
            "synthesize-start" => {
                self.stream = Some(TextStream { voice: voice(&event), ..TextStream::default() });
                Ok(())
            }
            "synthesize-chunk" => self.take_piece(event.text("text").unwrap_or_default()).await,
            "synthesize-stop" => {
                if let Some(stream) = &mut self.stream {
                    stream.stopped = true;
                    let (text, voice) = (std::mem::take(&mut stream.rest), stream.voice.clone());
                    if !text.trim().is_empty() {
                        self.waiting.push_back(WaitingText { text, voice });
                    }
                }
                Ok(())
            }
            // Within a stream this is a copy of the whole text, for servers that take no pieces.
            "synthesize" if self.stream.is_some() => Ok(()),
            "synthesize" => {
                let text = event.text("text").unwrap_or_default().to_owned();
                self.waiting.push_back(WaitingText { text, voice: voice(&event) });
                Ok(())
            }
            other => {
                tracing::debug!(event = crate::http::problem::echoed(other).as_ref(), "ignoring Wyoming event");
                Ok(())
            }
        }
    }

    /// Takes a piece of a text; whole sentences wait to be spoken.
    async fn take_piece(&mut self, piece: &str) -> Result<(), SessionEnd> {
        let Some(stream) = &mut self.stream else {
            return self.refuse("synthesize-chunk comes before synthesize-start", "malformed").await;
        };
        stream.rest.push_str(piece);
        let whole = whole_sentences(&stream.rest);
        if whole > 0 {
            let rest = stream.rest.split_off(whole);
            let text = std::mem::replace(&mut stream.rest, rest);
            self.waiting.push_back(WaitingText { text, voice: stream.voice.clone() });
        } else if stream.rest.chars().count() as u64 > TEXT_CHARS.max {
            stream.rest.clear();
            let limit = format!("a sentence is longer than {} characters", TEXT_CHARS.max);
            return self.refuse(&limit, "out_of_range").await;
        }
        Ok(())
    }

    async fn deliver(&mut self, part: Result<LivePart, Problem>) -> Result<(), SessionEnd> {
        match part {
            Ok(LivePart::Samples(samples)) => self.send_samples(&samples).await,
            Ok(LivePart::End(_)) => {
                self.speaking = None;
                self.send("audio-stop", &json!({}), &[]).await
            }
            Err(problem) => {
                self.refuse(&problem.to_string(), problem.code()).await?;
                Err(SessionEnd::Cut)
            }
        }
    }

    async fn send_samples(&mut self, samples: &[i16]) -> Result<(), SessionEnd> {
        self.send("audio-chunk", &audio_format(), &csm_formats::pcm(samples)).await
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

/// Returns the next part of what is spoken; never, if nothing is.
async fn next(speaking: &mut Option<LiveAudio>) -> Result<LivePart, Problem> {
    match speaking {
        Some(audio) => audio.next().await,
        None => std::future::pending().await,
    }
}

/// Reads the name of the voice.
fn voice(event: &WyomingEvent) -> Option<String> {
    Some(event.data.get("voice")?.get("name")?.as_str()?.to_owned())
}

fn audio_format() -> Value {
    json!({"rate": SAMPLE_RATE, "width": 2, "channels": 1})
}
