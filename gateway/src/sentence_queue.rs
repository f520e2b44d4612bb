//! Text that comes in pieces, spoken sentence by sentence: a sentence begins as soon as it is whole,
//! or when the caller flushes.
//!
//! All sockets that take text in pieces speak through this queue. Each sentence is a live job of its
//! own, in the voice of the queue, and they run one after another. Each hears the ones before (see
//! [`SpeechTemplate`]). Dropping the queue, or clearing it, cancels what is spoken.

use std::collections::VecDeque;

use csm_queue::live::EventId;
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::limits::{Limit, TEXT_CHARS};
use csm_shared::job::{Invalid, JobId, Receipt, VoiceName};
use csm_shared::process::connections::Peer;
use csm_shared::text::control::pause_alone;
use csm_shared::text::{sentences, split_sentences, whole_sentences};
use futures::FutureExt as _;
use futures::future::{BoxFuture, select_all};

use crate::app::App;
use crate::http::Problem;
use crate::live_audio::{LiveAudio, LivePart};
use crate::speech_template::SpeechTemplate;
use crate::word_times::{Loudness, WordTime};

/// Samples of the answer to a text with nothing to say: 100 ms. Clients take an empty body for a
/// failure and try again.
pub(crate) const SILENCE_SAMPLES: usize = SAMPLE_RATE as usize / 10;
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
    /// A text begins: a sentence, or several short ones.
    Begin(SpokenText),
    /// Samples that follow those before: 24 kHz, mono.
    Samples(Vec<i16>),
    /// The text has ended.
    End(SpokenEnd),
    /// Everything before this flush was spoken.
    Flushed,
}

/// Text that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpokenText {
    /// Job that speaks the text; `None` for a moment of silence, if there is nothing to say.
    pub(crate) job: Option<JobId>,
    /// Text as the caller wrote it.
    pub(crate) text: String,
}

/// End of a text.
pub(crate) struct SpokenEnd {
    /// Receipt of the job; `None` after silence.
    pub(crate) receipt: Option<Box<Receipt>>,
    /// Estimated times of the words, from the beginning of the text.
    pub(crate) words: Vec<WordTime>,
}

/// Place in the speech, behind the last samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpokenPlace {
    /// Job that is speaking.
    pub(crate) job: JobId,
    /// Event of the last samples.
    pub(crate) event: EventId,
    /// Samples of the job up to here, at 24 kHz.
    pub(crate) samples: u64,
}

/// Entry of the queue.
enum Waiting {
    /// Text, and the voice for it; `None` is the template's.
    Text(String, Option<VoiceName>),
    /// Job that speaks already, and the text that it speaks.
    Job(Box<LiveAudio>, String),
    Flush,
}

/// Text in progress.
struct Current {
    text: String,
    loudness: Loudness,
    step: Speaking,
}

/// Step of the text in progress.
enum Speaking {
    Beginning(BoxFuture<'static, Result<Option<LiveAudio>, Problem>>),
    Audio(Box<LiveAudio>),
    /// Rest of a moment of silence.
    Silence(Vec<i16>),
}

/// Returns the next part of any of these queues, and the place of its queue. Of several parts that
/// are there, the one of the first queue comes. Nothing is lost if the call is dropped.
pub(crate) async fn next_of_any<'a>(
    queues: impl IntoIterator<Item = &'a mut SentenceQueue>,
) -> (usize, Result<SpokenPart, Problem>) {
    let parts: Vec<_> = queues.into_iter().map(|queue| queue.next().boxed()).collect();
    if parts.is_empty() {
        return std::future::pending().await;
    }
    let (part, place, _) = select_all(parts).await;
    (place, part)
}

/// Returns the samples of the silence in place of a text with nothing to say.
fn silence_samples(text: &str) -> usize {
    pause_alone(text).map_or(SILENCE_SAMPLES, |ms| ms as usize * (SAMPLE_RATE as usize / 1_000))
}

fn chars(text: &str) -> u64 {
    text.chars().count() as u64
}

/// Divides a text into the texts of its jobs. Their words are those of the text, in order.
pub(crate) fn job_texts(text: &str) -> Vec<String> {
    let mut jobs = vec![String::new()];
    let mut push = |part: &str| match jobs.last_mut() {
        Some(job) if job.trim().is_empty() || job.chars().count() + part.chars().count() <= JOB_CHARS => {
            job.push_str(part);
        }
        _ => jobs.push(part.to_owned()),
    };
    for sentence in split_sentences(text) {
        if sentence.chars().count() <= TEXT_CHARS.max as usize {
            push(sentence);
        } else {
            // A text without the end of a sentence.
            sentences(sentence, false, &[]).iter().for_each(|part| push(&format!("{} ", part.text)));
        }
    }
    jobs.retain(|job| !job.trim().is_empty());
    jobs
}

/// Queue of one caller's sentences.
pub(crate) struct SentenceQueue {
    app: App,
    peer: Peer,
    template: SpeechTemplate,
    voice: Option<VoiceName>,
    /// Pieces of the sentence that is not whole yet.
    rest: String,
    waiting: VecDeque<Waiting>,
    /// Characters of the texts that wait.
    waiting_chars: u64,
    current: Option<Current>,
    /// True if jobs go on when the queue is dropped.
    detached: bool,
}

impl SentenceQueue {
    /// Creates an empty queue.
    pub(crate) fn new(app: App, peer: Peer, template: SpeechTemplate) -> Self {
        let waiting = VecDeque::new();
        let (rest, waiting_chars) = (String::new(), 0);
        Self { app, peer, template, voice: None, rest, waiting, waiting_chars, current: None, detached: false }
    }

    /// Creates a queue in which these texts wait, each as one job.
    pub(crate) fn of_texts(app: App, peer: Peer, template: SpeechTemplate, texts: Vec<String>) -> Self {
        let mut queue = Self::new(app, peer, template);
        queue.waiting_chars = texts.iter().map(|text| chars(text)).sum();
        queue.waiting.extend(texts.into_iter().map(|text| Waiting::Text(text, None)));
        queue
    }

    /// Returns true if nothing is spoken and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// Returns the number of characters that wait, whole sentences or not.
    pub(crate) fn waiting_chars(&self) -> u64 {
        self.waiting_chars + chars(&self.rest)
    }

    /// Sets the voice of the texts to come; `None` is the one of the template.
    pub(crate) const fn set_voice(&mut self, voice: Option<VoiceName>) {
        self.voice = voice;
    }

    /// Lets the job in progress go on when the queue is dropped, so that the caller can come back.
    pub(crate) const fn detach_on_drop(&mut self) {
        self.detached = true;
    }

    /// Returns the place of the last samples; `None` unless a job is speaking.
    pub(crate) fn place(&self) -> Option<SpokenPlace> {
        match &self.current.as_ref()?.step {
            Speaking::Audio(audio) => {
                Some(SpokenPlace { job: audio.job(), event: audio.last_event(), samples: audio.heard() })
            }
            Speaking::Beginning(_) | Speaking::Silence(_) => None,
        }
    }

    /// Goes on with a job that speaks `text` already, in front of everything to come.
    pub(crate) fn push_job(&mut self, audio: LiveAudio, text: String) -> Result<(), Invalid> {
        self.push_entry(Waiting::Job(Box::new(audio), text))
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
        job_texts(text).into_iter().try_for_each(|text| self.push_whole(text))
    }

    /// Takes a whole text as one job. Refused text is dropped.
    pub(crate) fn push_whole(&mut self, text: String) -> Result<(), Invalid> {
        self.check_room(&text)?;
        self.push_entry(Waiting::Text(text, self.voice))
    }

    /// Refuses a text with which too many characters would wait.
    fn check_room(&self, text: &str) -> Result<(), Invalid> {
        let chars = self.waiting_chars + chars(text);
        if WAITING_CHARS.allows(chars) { Ok(()) } else { Err(Invalid::outside("text", chars, &WAITING_CHARS)) }
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
        if let Waiting::Text(text, _) = &entry {
            self.waiting_chars += chars(text);
        }
        self.waiting.push_back(entry);
        Ok(())
    }

    /// Drops everything that is not delivered yet.
    pub(crate) fn clear(&mut self) {
        self.rest.clear();
        self.waiting.clear();
        self.waiting_chars = 0;
        self.current = None;
    }

    /// Returns the next part; waits while there is none. Nothing is lost if the call is dropped.
    pub(crate) async fn next(&mut self) -> Result<SpokenPart, Problem> {
        loop {
            let Some(current) = &mut self.current else {
                match self.waiting.pop_front() {
                    None => return std::future::pending().await,
                    Some(Waiting::Flush) => return Ok(SpokenPart::Flushed),
                    Some(Waiting::Text(text, voice)) => self.begin(text, voice),
                    Some(Waiting::Job(audio, text)) => {
                        let begun = std::future::ready(Ok(Some(*audio))).boxed();
                        self.current =
                            Some(Current { text, loudness: Loudness::default(), step: Speaking::Beginning(begun) });
                    }
                }
                continue;
            };
            let part = current.next().await;
            if let Ok(SpokenPart::Begin(_)) = &part {
                self.template.count_job();
            }
            if let Ok(SpokenPart::End(SpokenEnd { receipt: Some(receipt), .. })) = &part {
                self.template.hear(receipt);
            }
            if matches!(part, Err(_) | Ok(SpokenPart::End(_))) {
                self.current = None;
            }
            return part;
        }
    }

    fn begin(&mut self, text: String, voice: Option<VoiceName>) {
        self.waiting_chars = self.waiting_chars.saturating_sub(chars(&text));
        let mut template = self.template.clone();
        if let Some(voice) = voice {
            template.set_voice(voice);
        }
        let begun = template.begin(self.app.clone(), self.peer, text.clone()).boxed();
        self.current = Some(Current { text, loudness: Loudness::default(), step: Speaking::Beginning(begun) });
    }
}

impl Drop for SentenceQueue {
    fn drop(&mut self) {
        if self.detached
            && let Some(Current { step: Speaking::Audio(audio), .. }) = &mut self.current
        {
            audio.detach();
        }
    }
}

impl Current {
    /// Returns the next part of the text.
    async fn next(&mut self) -> Result<SpokenPart, Problem> {
        match &mut self.step {
            Speaking::Beginning(begun) => {
                let begun = begun.await?;
                let job = begun.as_ref().map(LiveAudio::job);
                self.step = match begun {
                    Some(audio) => Speaking::Audio(Box::new(audio)),
                    None => Speaking::Silence(vec![0; silence_samples(&self.text)]),
                };
                Ok(SpokenPart::Begin(SpokenText { job, text: self.text.clone() }))
            }
            Speaking::Silence(samples) if samples.is_empty() => {
                Ok(SpokenPart::End(SpokenEnd { receipt: None, words: self.loudness.word_times(&self.text, &[]) }))
            }
            Speaking::Silence(samples) => {
                let samples = std::mem::take(samples);
                self.loudness.push(&samples);
                Ok(SpokenPart::Samples(samples))
            }
            Speaking::Audio(audio) => match audio.next().await? {
                LivePart::Samples(samples) => {
                    self.loudness.push(&samples);
                    Ok(SpokenPart::Samples(samples))
                }
                LivePart::End(receipt) => {
                    let words = self.loudness.word_times(&self.text, &receipt.sentences);
                    Ok(SpokenPart::End(SpokenEnd { receipt: Some(receipt), words }))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_divided_at_its_sentences_and_loses_no_word() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (text, most) in [
            ("This sentence is one of many. ".repeat(100), JOB_CHARS),
            ("No end of a sentence in sight ".repeat(300), JOB_CHARS),
            (format!("{} {}", "a".repeat(9_000), "b".repeat(30)), JOB_CHARS),
            (format!("Short. {}. Short.", "long ".repeat(500)), 2_600),
        ] {
            let jobs = job_texts(&text);
            assert!(jobs.len() > 1 && jobs.iter().all(|job| job.chars().count() <= most), "{jobs:?}");
            let joined: String = jobs.concat().split_whitespace().collect();
            assert_eq!(joined, text.split_whitespace().collect::<String>());
            if !text.starts_with("aaa") {
                assert_eq!(words(&jobs.concat()), words(&text));
            }
        }
        assert_eq!(job_texts(" One. Two. "), [" One. Two. "]);
        assert_eq!(job_texts(" \n "), Vec::<String>::new());
        assert_eq!((silence_samples(" [pause:1.5s]\n"), silence_samples("...")), (36_000, SILENCE_SAMPLES));
    }
}
