//! Context of a socket: one speech whose text comes in pieces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_formats::Resampler;
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::Invalid;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::generation::{OutputFormat, SpeechSettings, Transcript};
use crate::http::Problem;
use crate::message_fields::MessageFields;
use crate::sentence_queue::{SentenceQueue, SpokenEnd, SpokenPart};

/// Status of the messages of a speech, as Cartesia sends it.
const PARTIAL_CONTENT: u16 = 206;

/// Speech of a context.
pub(super) struct SpeechContext {
    id: String,
    settings: SpeechSettings,
    pub(super) sentences: SentenceQueue,
    /// True if times of the words are sent.
    timestamps: bool,
    /// Resampler of the text that is spoken.
    resampler: Option<Resampler>,
    /// Samples of the context so far, at 24 kHz.
    samples: u64,
    /// Of them, those before the text that is spoken.
    samples_before: u64,
    /// Flushes that were answered.
    flushes: u64,
    /// True once the caller has sent the last text.
    ending: bool,
    over: bool,
    /// Time of the last message to the caller.
    told: Instant,
}

impl SpeechContext {
    /// Creates a context without text.
    pub(super) fn new(id: String, settings: SpeechSettings, timestamps: bool, sentences: SentenceQueue) -> Self {
        let (resampler, told) = (None, Instant::now());
        let (samples, samples_before, flushes, ending, over) = (0, 0, 0, false, false);
        Self { id, settings, sentences, timestamps, resampler, samples, samples_before, flushes, ending, over, told }
    }

    /// Returns the name that the caller gave to the context.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns true if all was spoken and nothing follows.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Takes text. After a refusal the context cannot go on, because a part of its text is missing.
    pub(super) fn take(&mut self, transcript: Transcript<'_>, request: &MessageFields<'_>) -> Result<(), Invalid> {
        self.settings.check_same(request)?;
        if self.ending {
            return Err(request.refuse("context_id", "a context that takes more text: its last text has come"));
        }
        self.sentences.push(transcript.text)?;
        if transcript.unbuffered {
            self.sentences.push_rest()?;
        }
        self.ending = !transcript.continues;
        if self.ending || transcript.flush { self.sentences.flush() } else { Ok(()) }
    }

    /// Returns the messages for a part of the speech.
    pub(super) fn messages(&mut self, part: SpokenPart) -> Result<Vec<Value>, Problem> {
        match part {
            SpokenPart::Begin(_) => {
                self.samples_before = self.samples;
                let resampler = Resampler::new(self.settings.output.rate).map_err(Problem::internal)?;
                self.resampler = Some(resampler);
                Ok(Vec::new())
            }
            SpokenPart::Samples(samples) => {
                self.samples += samples.len() as u64;
                let Some(resampler) = &mut self.resampler else { return Ok(Vec::new()) };
                let samples = resampler.push(&samples).map_err(Problem::internal)?;
                Ok(self.chunk(&samples).into_iter().collect())
            }
            SpokenPart::End(end) => {
                let Some(resampler) = self.resampler.take() else { return Ok(Vec::new()) };
                let samples = resampler.finish().map_err(Problem::internal)?;
                let chunk = self.chunk(&samples);
                Ok(chunk.into_iter().chain(self.word_timestamps(&end)).collect())
            }
            SpokenPart::Flushed if self.ending && self.sentences.is_idle() => {
                self.over = true;
                Ok(vec![self.message("done", json!({"done": true}))])
            }
            SpokenPart::Flushed => {
                self.flushes += 1;
                Ok(vec![self.message("flush_done", json!({"flush_done": true, "flush_id": self.flushes}))])
            }
        }
    }

    /// Returns the message with samples; none if there are no samples.
    fn chunk(&mut self, samples: &[i16]) -> Option<Value> {
        if samples.is_empty() {
            return None;
        }
        let output: OutputFormat = self.settings.output;
        let step_time = self.told.elapsed().as_secs_f64() * 1_000.0;
        self.told = Instant::now();
        let data = BASE64.encode(output.encode(samples));
        Some(self.message("chunk", json!({"data": data, "step_time": step_time, "flush_id": self.flushes + 1})))
    }

    /// Returns the message with the times of a text's words, in seconds of the context; none if the
    /// caller wants no times.
    fn word_timestamps(&self, end: &SpokenEnd) -> Option<Value> {
        if !self.timestamps || end.words.is_empty() {
            return None;
        }
        let before_ms = self.samples_before * 1_000 / u64::from(SAMPLE_RATE);
        let seconds = |ms: u64| (before_ms + ms) as f64 / 1_000.0;
        let words: Vec<_> = end.words.iter().map(|word| word.word.as_str()).collect();
        let start: Vec<_> = end.words.iter().map(|word| seconds(word.start_ms)).collect();
        let ends: Vec<_> = end.words.iter().map(|word| seconds(word.end_ms)).collect();
        let times = json!({"words": words, "start": start, "end": ends});
        Some(self.message("timestamps", json!({"word_timestamps": times, "flush_id": self.flushes + 1})))
    }

    /// Returns a message of the context with the given members.
    fn message(&self, kind: &str, members: Value) -> Value {
        let mut message = json!({"type": kind, "context_id": self.id, "done": false, "status_code": PARTIAL_CONTENT});
        if let (Some(all), Value::Object(members)) = (message.as_object_mut(), members) {
            all.extend(members);
        }
        message
    }
}
