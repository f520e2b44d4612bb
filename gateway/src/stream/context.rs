//! Context of a socket: its queue of sentences, and what of them was sent.

use axum::extract::ws::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_formats::{Resampler, pcm};
use csm_queue::live::EventId;
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::limits::{CHARS_PER_SECOND, Limit, TEXT_CHARS};
use csm_shared::job::{InputWarnings, Invalid, JobId};
use serde_json::{Value, json};

use super::messages::{AudioMessages, ContextMessage, Start};
use crate::http::Problem;
use crate::sentence_queue::{SentenceQueue, SpokenEnd, SpokenPart, SpokenText};

/// Characters of all texts of one context together. A longer conversation takes another context.
const CONTEXT_CHARS: Limit =
    Limit { min: 0, max: 100_000, unit: "characters in one context", status: TEXT_CHARS.status };
/// Version of the head of a binary message.
const HEAD_VERSION: u8 = 1;
/// Kind of a binary message: samples.
const HEAD_SAMPLES: u8 = 1;

/// Context of a socket.
pub(super) struct StreamContext {
    /// Id, as the caller named it.
    pub(super) id: String,
    /// Number in the heads of binary messages.
    number: u32,
    /// Sentences of the context.
    pub(super) queue: SentenceQueue,
    audio: AudioMessages,
    /// Samples a second.
    rate: u32,
    resampler: Option<Resampler>,
    /// Sentence that is spoken.
    current: Option<Current>,
    /// Characters that came so far.
    chars: u64,
    /// Sentences that were sent whole.
    sentences: u64,
    /// Their text.
    text_sent: String,
    /// Samples that were sent.
    samples_sent: u64,
    /// True once the caller has asked for the end.
    ended: bool,
    /// Warnings about the start.
    warnings: InputWarnings,
}

/// Sentence that is spoken.
struct Current {
    spoken: SpokenText,
    /// Samples of its job that were sent, at the rate of the context.
    offset: u64,
    /// Event of the last samples.
    event: EventId,
    /// Whether the caller comes back to a job that it heard the beginning of.
    resumed: bool,
}

impl StreamContext {
    pub(super) fn new(start: Start, number: u32, mut queue: SentenceQueue) -> Self {
        if start.detach {
            queue.detach_on_drop();
        }
        Self {
            id: start.context_id,
            number,
            queue,
            audio: start.audio,
            rate: start.rate,
            resampler: None,
            current: None,
            chars: 0,
            sentences: 0,
            text_sent: String::new(),
            samples_sent: 0,
            ended: false,
            warnings: start.template.warnings,
        }
    }

    /// Returns true if the context is over: the caller has asked for the end, and all was sent.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.queue.is_idle()
    }

    /// Returns the answer to the start.
    pub(super) fn started(&self) -> Value {
        let mut started =
            json!({"type": "started", "context_id": self.id, "context": self.number, "sample_rate": self.rate});
        if !self.warnings.is_empty() {
            started["warnings"] = json!(self.warnings);
        }
        started
    }

    /// Takes a message other than a cancellation.
    pub(super) fn take(&mut self, message: ContextMessage) -> Result<(), Invalid> {
        if self.ended {
            return Err(Invalid::malformed("context_id", &self.id, "a context whose end was not asked for"));
        }
        match message {
            ContextMessage::Text { text, flush } => {
                let chars = self.chars + text.chars().count() as u64;
                if !CONTEXT_CHARS.allows(chars) {
                    return Err(Invalid::outside("text", chars, &CONTEXT_CHARS));
                }
                self.chars = chars;
                self.queue.push(&text)?;
                if flush { self.queue.push_rest() } else { Ok(()) }
            }
            ContextMessage::Flush => self.queue.flush(),
            ContextMessage::End | ContextMessage::Cancel => {
                self.ended = true;
                self.queue.push_rest()
            }
        }
    }

    /// Returns the messages that a part becomes.
    pub(super) fn messages(&mut self, part: SpokenPart) -> Result<Vec<Message>, Problem> {
        match part {
            SpokenPart::Begin(spoken) => {
                self.resampler = Some(Resampler::new(self.rate).map_err(Problem::internal)?);
                let mut begun = json!({
                    "type": "sentence", "context_id": self.id, "index": self.sentences, "job": job_id(spoken.job),
                    "text": spoken.text,
                });
                let resumed = spoken.text.is_empty();
                if resumed {
                    begun["resumed"] = true.into();
                }
                self.current = Some(Current { spoken, offset: 0, event: EventId::START, resumed });
                Ok(vec![text(&begun)])
            }
            SpokenPart::Samples(samples) => {
                if let (Some(current), Some(place)) = (&mut self.current, self.queue.place()) {
                    current.event = place.event;
                    if self.rate == SAMPLE_RATE {
                        current.offset = place.samples.saturating_sub(samples.len() as u64);
                    }
                }
                let resampled = match &mut self.resampler {
                    Some(resampler) => resampler.push(&samples).map_err(Problem::internal)?,
                    None => Vec::new(),
                };
                Ok(self.audio_message(&resampled).into_iter().collect())
            }
            SpokenPart::End(end) => {
                let rest = match self.resampler.take() {
                    Some(resampler) => resampler.finish().map_err(Problem::internal)?,
                    None => Vec::new(),
                };
                let mut messages: Vec<_> = self.audio_message(&rest).into_iter().collect();
                messages.push(text(&self.sentence_end(&end)));
                Ok(messages)
            }
            SpokenPart::Flushed => Ok(vec![text(&json!({"type": "flushed", "context_id": self.id}))]),
        }
    }

    /// Returns the message of some samples; none for no samples.
    fn audio_message(&mut self, samples: &[i16]) -> Option<Message> {
        let current = self.current.as_mut().filter(|_| !samples.is_empty())?;
        let (offset, event) = (current.offset, current.event);
        current.offset += samples.len() as u64;
        self.samples_sent += samples.len() as u64;
        let samples = pcm(samples);
        Some(match self.audio {
            AudioMessages::Binary => {
                let mut message = head(self.number, offset, event).to_vec();
                message.extend_from_slice(&samples);
                Message::Binary(message.into())
            }
            AudioMessages::Base64 => text(&json!({
                "type": "audio", "context_id": self.id, "job": job_id(current.spoken.job), "event": event.to_string(),
                "offset": offset, "audio": BASE64.encode(samples),
            })),
        })
    }

    fn sentence_end(&mut self, end: &SpokenEnd) -> Value {
        let Some(Current { spoken, offset, .. }) = self.current.take() else { return Value::Null };
        let index = self.sentences;
        self.sentences += 1;
        if !self.text_sent.is_empty() && !spoken.text.is_empty() {
            self.text_sent.push(' ');
        }
        self.text_sent.push_str(spoken.text.trim());
        let word = |word: &crate::word_times::WordTime| json!({"word": word.word, "start_ms": word.start_ms, "end_ms": word.end_ms});
        json!({
            "type": "sentence_end", "context_id": self.id, "index": index, "job": job_id(spoken.job), "samples": offset,
            "words": end.words.iter().map(word).collect::<Vec<_>>(), "words_estimated": true,
            "receipt": end.receipt,
        })
    }

    /// Returns what was sent, as members of a message of this type.
    pub(super) fn sent(&self, kind: &str) -> Value {
        let mut text_sent = self.text_sent.clone();
        if let Some(Current { spoken, offset, resumed: false, .. }) = &self.current {
            let part = spoken_part(&spoken.text, *offset, self.rate);
            if !text_sent.is_empty() && !part.is_empty() {
                text_sent.push(' ');
            }
            text_sent.push_str(part);
        }
        json!({
            "type": kind, "context_id": self.id, "sentences": self.sentences, "samples_sent": self.samples_sent,
            "text_sent": text_sent,
        })
    }

    /// Returns where the caller can go on; `None` if no job is speaking.
    pub(super) fn resume_hint(&self) -> Option<Value> {
        let place = self.queue.place()?;
        let mut hint = self.sent("resume");
        (hint["job"], hint["after"]) = (place.job.to_string().into(), place.event.to_string().into());
        Some(hint)
    }
}

/// Returns the words of a text that the samples sent so far hold, at an ordinary pace.
fn spoken_part(text: &str, samples: u64, rate: u32) -> &str {
    let chars = (samples * CHARS_PER_SECOND / u64::from(rate)) as usize;
    let Some((end, _)) = text.char_indices().nth(chars) else { return text.trim() };
    match text[..end].rfind(char::is_whitespace) {
        Some(word_end) => text[..word_end].trim(),
        None => "",
    }
}

/// Returns the head of a binary message: 24 bytes, numbers with the lowest byte first.
fn head(context: u32, offset: u64, event: EventId) -> [u8; 24] {
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut head = [0; 24];
    (head[0], head[1]) = (HEAD_VERSION, HEAD_SAMPLES);
    head[4..8].copy_from_slice(&context.to_le_bytes());
    head[8..16].copy_from_slice(&offset.to_le_bytes());
    head[16..20].copy_from_slice(&narrow(event.attempt));
    head[20..24].copy_from_slice(&narrow(event.sequence));
    head
}

fn text(message: &Value) -> Message {
    Message::Text(message.to_string().into())
}

fn job_id(job: Option<JobId>) -> Option<String> {
    job.map(|job| job.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_a_text_that_was_heard_ends_with_a_word() {
        let text = "Fifteen characters a second are usual.";
        assert_eq!(spoken_part(text, 0, 24_000), "");
        assert_eq!(spoken_part(text, 24_000, 24_000), "Fifteen");
        assert_eq!(spoken_part(text, 8_000 * 2, 8_000), "Fifteen characters a second");
        assert_eq!(spoken_part(text, u64::from(u32::MAX), 8_000), text);
    }

    #[test]
    fn the_head_of_a_binary_message_has_its_documented_places() {
        let head = head(7, 0x0102_0304, EventId { attempt: 2, sequence: 300 });
        assert_eq!(head[..8], [1, 1, 0, 0, 7, 0, 0, 0]);
        assert_eq!(head[8..16], [4, 3, 2, 1, 0, 0, 0, 0]);
        assert_eq!(head[16..], [2, 0, 0, 0, 44, 1, 0, 0]);
    }
}
