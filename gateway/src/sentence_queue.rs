//! Text that comes in pieces, spoken sentence by sentence: a sentence begins as soon as it is whole,
//! or when the caller flushes.
//!
//! All sockets that take text in pieces speak through this queue. Each sentence is a live job of its
//! own, in the voice of the queue, and they run one after another. Dropping the queue, or clearing
//! it, cancels what is spoken.

use std::collections::VecDeque;

use csm_shared::job::Invalid;
use csm_shared::job::limits::{Limit, TEXT_CHARS};
use csm_shared::process::connections::Peer;
use csm_shared::text::{split_sentences, whole_sentences};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::Problem;
use crate::live_audio::{LiveAudio, LivePart};
use crate::openai::{SILENCE_SAMPLES, begin_speech};

/// Entries that may wait. The bound refuses more instead of leaving messages unread, because one of
/// them may be the order to be silent.
const WAITING_MAX: usize = 1_024;
/// Characters of the sentences that become one job, if a piece has several: less than half of what
/// live delivery allows, and enough for a steady tone.
const JOB_CHARS: usize = 500;
/// Characters of the waiting texts together.
const WAITING_CHARS: Limit = Limit { min: 0, max: 100_000, unit: "characters that wait", status: TEXT_CHARS.status };

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

    /// Returns true if nothing is spoken and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.speaking.is_none() && self.waiting.is_empty()
    }

    /// Sets the voice of the texts to come; `None` is the default one.
    pub(crate) fn set_voice(&mut self, voice: Option<String>) {
        self.voice = voice;
    }

    /// Takes a piece of text; whole sentences wait to be spoken. Refused text is dropped.
    pub(crate) fn push(&mut self, piece: &str) -> Result<(), Invalid> {
        self.rest.push_str(piece);
        let whole = whole_sentences(&self.rest);
        if whole > 0 {
            let rest = self.rest.split_off(whole);
            let text = std::mem::replace(&mut self.rest, rest);
            self.push_sentences(&text)?;
        }
        let chars = self.rest.chars().count();
        if chars as u64 <= TEXT_CHARS.max {
            return Ok(());
        }
        self.rest.clear();
        Err(Invalid::outside("text", format!("a sentence of {chars} characters"), &TEXT_CHARS))
    }

    /// Takes sentences, as many jobs as their length asks for: all of them, or none.
    fn push_sentences(&mut self, text: &str) -> Result<(), Invalid> {
        self.check_room(text)?;
        let mut job = String::new();
        for sentence in split_sentences(text) {
            if !job.trim().is_empty() && job.chars().count() + sentence.chars().count() > JOB_CHARS {
                self.push_whole(std::mem::take(&mut job))?;
            }
            job.push_str(sentence);
        }
        self.push_whole(job)
    }

    /// Takes a whole text as one job. Refused text is dropped.
    pub(crate) fn push_whole(&mut self, text: String) -> Result<(), Invalid> {
        self.check_room(&text)?;
        self.push_entry(Waiting::Text(text, self.voice.clone()))
    }

    /// Refuses a text with which too many characters would wait.
    fn check_room(&self, text: &str) -> Result<(), Invalid> {
        let waiting = self.waiting.iter().map(|entry| match entry {
            Waiting::Text(text, _) => text.chars().count(),
            Waiting::Flush => 0,
        });
        let chars = waiting.sum::<usize>() + text.chars().count();
        if WAITING_CHARS.allows(chars as u64) { Ok(()) } else { Err(Invalid::outside("text", chars, &WAITING_CHARS)) }
    }

    /// Lets the rest be spoken, although its sentence is not whole.
    pub(crate) fn push_rest(&mut self) -> Result<(), Invalid> {
        let text = std::mem::take(&mut self.rest);
        if text.trim().is_empty() { Ok(()) } else { self.push_whole(text) }
    }

    /// Lets the rest be spoken, and asks for [`SpokenPart::Flushed`] behind it.
    pub(crate) fn flush(&mut self) -> Result<(), Invalid> {
        self.push_rest()?;
        self.push_entry(Waiting::Flush)
    }

    fn push_entry(&mut self, entry: Waiting) -> Result<(), Invalid> {
        if self.waiting.len() >= WAITING_MAX {
            let limit = format!("at most {WAITING_MAX} that wait");
            return Err(Invalid::malformed("messages", self.waiting.len() + 1, limit));
        }
        self.waiting.push_back(entry);
        Ok(())
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
