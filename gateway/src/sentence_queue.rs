//! Text that comes in pieces, spoken sentence by sentence: a sentence begins as soon as it is whole,
//! or when the caller flushes.
//!
//! All sockets that take text in pieces speak through this queue. Each sentence is a live job of its
//! own, in the voice of the queue, and they run one after another. Dropping the queue, or clearing
//! it, cancels what is spoken.

use std::collections::VecDeque;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::Invalid;
use csm_shared::job::limits::TEXT_CHARS;
use csm_shared::process::connections::Peer;
use csm_shared::text::whole_sentences;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::Problem;
use crate::live_audio::{LiveAudio, LivePart};
use crate::openai::begin_speech;

/// Texts that may wait to be spoken; while there are as many, no more text is to be read.
const WAITING_MAX: usize = 16;
/// Samples for a text with nothing to say: 100 ms.
const SILENCE_SAMPLES: usize = SAMPLE_RATE as usize / 10;

/// Next part of the speech.
pub(crate) enum SpokenPart {
    /// A sentence begins.
    Begin,
    /// Samples that follow those before: 24 kHz, mono.
    Samples(Vec<i16>),
    /// The sentence has ended.
    End,
    /// Everything before this flush was spoken.
    Flushed,
}

/// Entry of the queue.
enum Waiting {
    /// Text, and the voice for it.
    Text(String, Option<String>),
    Flush,
}

/// Sentence in progress.
enum Speaking {
    Beginning(BoxFuture<'static, Result<Option<LiveAudio>, Problem>>),
    Audio(Box<LiveAudio>),
    /// Rest of a moment of silence.
    Silence(Vec<i16>),
}

/// Queue of one caller's sentences.
pub(crate) struct SentenceQueue {
    app: App,
    peer: Peer,
    voice: Option<String>,
    /// Pieces of the sentence that is not whole yet.
    rest: String,
    waiting: VecDeque<Waiting>,
    speaking: Option<Speaking>,
}

impl SentenceQueue {
    /// Creates an empty queue. Without a voice the default one speaks.
    pub(crate) const fn new(app: App, peer: Peer, voice: Option<String>) -> Self {
        Self { app, peer, voice, rest: String::new(), waiting: VecDeque::new(), speaking: None }
    }

    /// Returns true if no more text is to be read for now.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Returns true if nothing is spoken and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.speaking.is_none() && self.waiting.is_empty()
    }

    /// Sets the voice of the texts to come; `None` is the default one.
    pub(crate) fn set_voice(&mut self, voice: Option<String>) {
        self.voice = voice;
    }

    /// Takes a piece of text; whole sentences wait to be spoken.
    pub(crate) fn push(&mut self, piece: &str) -> Result<(), Invalid> {
        self.rest.push_str(piece);
        let whole = whole_sentences(&self.rest);
        if whole > 0 {
            let rest = self.rest.split_off(whole);
            let text = std::mem::replace(&mut self.rest, rest);
            self.waiting.push_back(Waiting::Text(text, self.voice.clone()));
        }
        let chars = self.rest.chars().count();
        if chars as u64 <= TEXT_CHARS.max {
            return Ok(());
        }
        self.rest.clear();
        Err(Invalid::outside("text", format!("a sentence of {chars} characters"), &TEXT_CHARS))
    }

    /// Takes a whole text.
    pub(crate) fn push_whole(&mut self, text: String) {
        self.waiting.push_back(Waiting::Text(text, self.voice.clone()));
    }

    /// Lets the rest be spoken, and asks for [`SpokenPart::Flushed`] behind it.
    pub(crate) fn flush(&mut self) {
        let text = std::mem::take(&mut self.rest);
        if !text.trim().is_empty() {
            self.waiting.push_back(Waiting::Text(text, self.voice.clone()));
        }
        self.waiting.push_back(Waiting::Flush);
    }

    /// Drops everything that is not delivered yet.
    pub(crate) fn clear(&mut self) {
        self.rest.clear();
        self.waiting.clear();
        self.speaking = None;
    }

    /// Returns the next part; waits while there is none. Nothing is lost if the call is dropped.
    pub(crate) async fn next(&mut self) -> Result<SpokenPart, Problem> {
        let Some(speaking) = &mut self.speaking else { return self.begin().await };
        match speaking {
            Speaking::Beginning(begun) => {
                let begun = begun.await;
                self.speaking = None;
                self.speaking = Some(match begun? {
                    Some(audio) => Speaking::Audio(Box::new(audio)),
                    None => Speaking::Silence(vec![0; SILENCE_SAMPLES]),
                });
                Ok(SpokenPart::Begin)
            }
            Speaking::Silence(samples) if samples.is_empty() => {
                self.speaking = None;
                Ok(SpokenPart::End)
            }
            Speaking::Silence(samples) => Ok(SpokenPart::Samples(std::mem::take(samples))),
            Speaking::Audio(audio) => match audio.next().await {
                Ok(LivePart::Samples(samples)) => Ok(SpokenPart::Samples(samples)),
                Ok(LivePart::End(_)) => {
                    self.speaking = None;
                    Ok(SpokenPart::End)
                }
                Err(problem) => {
                    self.speaking = None;
                    Err(problem)
                }
            },
        }
    }

    /// Begins what waits first.
    async fn begin(&mut self) -> Result<SpokenPart, Problem> {
        match self.waiting.pop_front() {
            None => std::future::pending().await,
            Some(Waiting::Flush) => Ok(SpokenPart::Flushed),
            Some(Waiting::Text(text, voice)) => {
                let (app, peer) = (self.app.clone(), self.peer);
                let body: Value = json!({"input": text, "voice": voice, "response_format": "pcm"});
                let begun = async move { begin_speech(&app, peer, &body).await }.boxed();
                self.speaking = Some(Speaking::Beginning(begun));
                Box::pin(self.next()).await
            }
        }
    }
}
