//! Context of a socket: its sentences, the coding of their audio, and the times of their characters.

use axum::body::Bytes;
use csm_formats::StreamEncoder;
use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::{AudioFormat, Invalid};
use serde_json::Value;

use super::alignment::Alignment;
use super::message::{self, ContextId};
use super::options::{OutputFormat, SpeechOptions};
use crate::http::Problem;
use crate::sentence_queue::{SentenceQueue, SpokenEnd, SpokenPart};

/// Part of the text that the caller has flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    /// Not the last piece.
    No,
    /// The last piece, which was flushed as a sentence. In `auto_mode` clients flush each sentence,
    /// so more was to come.
    Sentence,
    /// Everything: there was no text in the last flush, or it was no sentence among others.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContextState {
    Open,
    /// State in which flushed text is still spoken.
    Closing,
    /// Its speech has failed; nothing follows, and nothing looks like its end.
    Failed,
}

/// Context of a socket.
pub(super) struct SpeechContext {
    /// Id, as the caller named it.
    pub(super) id: ContextId,
    /// Sentences of the context.
    pub(super) sentences: SentenceQueue,
    output: OutputFormat,
    sync_alignment: bool,
    auto_mode: bool,
    /// Encoder of the audio that has begun: of a sentence for bare samples, else up to a flush.
    encoder: Option<StreamEncoder>,
    /// Encoders so far.
    encoders: u32,
    /// Text that is spoken.
    text: String,
    /// Samples so far, at 24 kHz.
    samples: u64,
    /// Samples before the text that is spoken.
    text_start: u64,
    flushed: Flushed,
    state: ContextState,
    /// Number of the last message about the context.
    used: u64,
}

impl SpeechContext {
    /// Makes an open context without text.
    pub(super) const fn new(id: ContextId, sentences: SentenceQueue, options: &SpeechOptions) -> Self {
        Self {
            id,
            sentences,
            output: options.output,
            sync_alignment: options.sync_alignment,
            auto_mode: options.auto_mode,
            encoder: None,
            encoders: 0,
            text: String::new(),
            samples: 0,
            text_start: 0,
            flushed: Flushed::All,
            state: ContextState::Open,
            used: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == ContextState::Open
    }

    pub(super) fn is_failed(&self) -> bool {
        self.state == ContextState::Failed
    }

    /// Returns true if the caller has closed the context, and all of it was spoken.
    pub(super) fn is_over(&self) -> bool {
        self.state == ContextState::Closing && self.sentences.is_idle()
    }

    /// Returns true if the context is open, and nothing of it is to be spoken.
    pub(super) fn is_resting(&self) -> bool {
        self.is_open() && self.sentences.is_idle() && self.flushed != Flushed::No
    }

    /// Notes the number of a message about the context.
    pub(super) const fn touch(&mut self, number: u64) {
        self.used = number;
    }

    /// Returns the number of the last message about the context.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// Takes a piece of text, which may be empty. With `flush` all of the text is spoken.
    pub(super) fn take(&mut self, text: &str, flush: bool) -> Result<(), Invalid> {
        let blank = text.trim().is_empty();
        // A blank behind a flush separates nothing.
        if !blank || self.flushed == Flushed::No {
            self.sentences.push(text)?;
        }
        if !blank {
            self.flushed = Flushed::No;
        }
        if !flush {
            return if self.auto_mode && ends_sentence(text) { self.sentences.push_rest() } else { Ok(()) };
        }
        if self.auto_mode && !blank {
            self.flushed = Flushed::Sentence;
            return self.sentences.push_rest();
        }
        self.flush()
    }

    /// Lets all of the text be spoken.
    pub(super) fn flush(&mut self) -> Result<(), Invalid> {
        if self.flushed == Flushed::All {
            return Ok(());
        }
        self.flushed = Flushed::All;
        self.sentences.flush()
    }

    /// Closes the context behind what was flushed. Returns false if the close is an interruption: all
    /// of the context ends at once.
    ///
    /// A client closes a context in the same way at its end and in mid-speech. At the end it has
    /// flushed everything. In mid-speech more was to come, or it has closed the context already.
    pub(super) fn close(&mut self) -> Result<bool, Invalid> {
        let unheard = self.samples == 0 || self.sentences.is_idle();
        let whole = match self.flushed {
            Flushed::All => true,
            Flushed::Sentence => unheard,
            Flushed::No => false,
        };
        if !self.is_open() || !whole {
            return Ok(false);
        }
        self.flush()?;
        self.state = ContextState::Closing;
        Ok(true)
    }

    /// Closes the context behind all of its text.
    pub(super) fn close_behind_all(&mut self) -> Result<(), Invalid> {
        if self.is_open() {
            self.flush()?;
            self.state = ContextState::Closing;
        }
        Ok(())
    }

    /// Drops everything that is not delivered yet. The context stays, so that its id means no other.
    pub(super) fn fail(&mut self) {
        self.sentences.clear();
        self.encoder = None;
        self.state = ContextState::Failed;
    }

    /// Returns the message that a part becomes, if any.
    pub(super) fn message(&mut self, part: SpokenPart) -> Result<Option<Value>, Problem> {
        match part {
            SpokenPart::Begin(spoken) => {
                (self.text, self.text_start) = (spoken.text, self.samples);
                Ok(None)
            }
            SpokenPart::Samples(samples) => {
                self.samples += samples.len() as u64;
                let audio = self.encode(&samples)?;
                Ok(self.audio_message(audio))
            }
            SpokenPart::End(end) => {
                let audio = if self.output.format == AudioFormat::Pcm { self.finish()? } else { Vec::new() };
                let alignment = self.alignment(&end);
                Ok(Some(message::audio(&self.id, &audio.into(), Some(&alignment))))
            }
            SpokenPart::Flushed => {
                let audio = self.finish()?;
                Ok(self.audio_message(audio))
            }
        }
    }

    fn audio_message(&self, audio: Vec<u8>) -> Option<Value> {
        (!audio.is_empty()).then(|| message::audio(&self.id, &Bytes::from(audio), None))
    }

    fn encode(&mut self, samples: &[i16]) -> Result<Vec<u8>, Problem> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                self.encoders = self.encoders.wrapping_add(1);
                none.insert(self.output.encoder(self.encoders).map_err(Problem::internal)?)
            }
        };
        encoder.push(samples).map_err(Problem::internal)
    }

    /// Ends the audio that has begun; returns its rest.
    fn finish(&mut self) -> Result<Vec<u8>, Problem> {
        self.encoder.take().map_or_else(|| Ok(Vec::new()), |encoder| encoder.finish().map_err(Problem::internal))
    }

    /// Returns the times of the text that has ended. Without `sync_alignment` they are relative to
    /// its beginning, and the length of all texts adds up to the length of the context.
    fn alignment(&self, end: &SpokenEnd) -> Alignment {
        let ms = |samples: u64| samples * 1_000 / u64::from(SAMPLE_RATE);
        let (from, to) = (ms(self.text_start), ms(self.samples));
        let alignment = Alignment::of(&self.text, &end.words, to - from);
        if self.sync_alignment { alignment.later(from) } else { alignment }
    }
}

/// Returns true if a piece of text ends a sentence.
fn ends_sentence(text: &str) -> bool {
    let end = text.trim_end().trim_end_matches(['"', '\'', ')', ']', '”', '’']);
    end.ends_with(['.', '!', '?', '…', '。', '！', '？'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_a_sentence_by_its_last_sign() {
        for (text, ends) in
            [("Yes.", true), ("Really?\" ", true), ("(No!)", true), ("Well,", false), ("3.5 and", false), ("", false)]
        {
            assert_eq!(ends_sentence(text), ends, "{text}");
        }
    }
}
