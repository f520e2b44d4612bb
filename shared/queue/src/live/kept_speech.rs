//! Text and codes of an ended job whose sentences may be spoken again.
//!
//! The payload of a job is gone when the job has ended, and so are its codes. If the caller asks for
//! it, both are kept in an object of the store for as long as the job's record. An edit takes the
//! codes of all sentences but one from there, so that nothing else changes.
//!
//! The object is JSON: the payload in its wire form, the receipts of the sentences, and the codes as
//! one [`CodesChunk`] in base64, a run for each sentence.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use csm_shared::audio::Frame;
use csm_shared::job::{Editing, JobId, JobSpec, SentenceReceipt, wire};
use csm_shared::store::{InvalidObjectKey, ObjectKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CodesChunk, Live, Origin, SentenceFrame};
use crate::queue::RECORD_TTL;
use crate::temporary_objects::TemporaryObjectError;

/// Media type of the object.
const MEDIA_TYPE: &str = "application/json";

/// Payload, receipts and codes of an ended job.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptSpeech {
    /// Payload of the job, open to edits.
    pub spec: JobSpec,
    /// SHA-256 over the weight files of the model that spoke, in hex.
    pub weights_sha256: String,
    /// The sentences, in the order of speech.
    pub sentences: Vec<KeptSentence>,
}

/// A sentence as it was spoken.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptSentence {
    /// Account of the sentence.
    pub receipt: SentenceReceipt,
    /// Codes of its frames; none if it was not spoken.
    pub frames: Vec<Frame>,
}

/// Failure to keep what a job has spoken, or to read it.
#[derive(Debug, thiserror::Error)]
pub enum KeptSpeechError {
    /// This process has no store.
    #[error("this process has no store")]
    NoStore,
    /// The codes cannot be written as eleven bits each.
    #[error("codes outside their range")]
    Codes,
    /// The object is damaged.
    #[error("kept speech: {0}")]
    Damaged(String),
    /// The key is not legal.
    #[error(transparent)]
    Key(#[from] InvalidObjectKey),
    /// The object could not be written.
    #[error(transparent)]
    Object(#[from] TemporaryObjectError),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "v")]
enum KeptSpeechWire {
    #[serde(rename = "1")]
    V1(KeptSpeechV1),
}

#[derive(Serialize, Deserialize)]
struct KeptSpeechV1 {
    spec: String,
    weights_sha256: String,
    sentences: Vec<SentenceReceipt>,
    codes: String,
}

/// Payload of the object, without the rest.
#[derive(Deserialize)]
#[serde(tag = "v")]
enum KeptSpecWire {
    #[serde(rename = "1")]
    V1 { spec: String },
}

impl KeptSpeech {
    /// Returns the key of what a job has spoken in an attempt: `speech/<job>/a<attempt>.json`.
    ///
    /// # Errors
    /// [`InvalidObjectKey`] cannot occur for a job's id.
    pub fn key(job: &JobId, attempt: u64) -> Result<ObjectKey, InvalidObjectKey> {
        ObjectKey::new(format!("speech/{job}/a{attempt}.json"))
    }

    /// Writes the object.
    ///
    /// # Errors
    /// [`KeptSpeechError::Codes`] for codes that no codec has.
    pub fn encode(&self) -> Result<Bytes, KeptSpeechError> {
        let frames = (0_u16..).zip(&self.sentences).flat_map(|(sentence, kept)| {
            kept.frames.iter().map(move |&codes| SentenceFrame { sentence, take: 0, codes })
        });
        // The object has a digest of its own; the origin, by which running jobs are resumed, is not
        // needed.
        let chunk = CodesChunk { origin: Origin::of(&[]), from: 0, frames: frames.collect() };
        let codes = BASE64.encode(chunk.encode().ok_or(KeptSpeechError::Codes)?);
        let spec = wire::encode(&JobSpec { editing: Editing::On, ..self.spec.clone() }).map_err(damaged)?;
        let sentences = self.sentences.iter().map(|sentence| sentence.receipt.clone()).collect();
        let weights_sha256 = self.weights_sha256.clone();
        let object = KeptSpeechWire::V1(KeptSpeechV1 { spec, weights_sha256, sentences, codes });
        Ok(serde_json::to_vec(&object).map_err(damaged)?.into())
    }

    /// Reads the payload alone.
    ///
    /// # Errors
    /// [`KeptSpeechError::Damaged`] for anything but what [`Self::encode`] wrote.
    pub fn decode_spec(object: &[u8]) -> Result<JobSpec, KeptSpeechError> {
        let KeptSpecWire::V1 { spec } = serde_json::from_slice(object).map_err(damaged)?;
        wire::decode(&spec).map_err(damaged)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`KeptSpeechError::Damaged`] for anything else.
    pub fn decode(object: &[u8]) -> Result<Self, KeptSpeechError> {
        let KeptSpeechWire::V1(object) = serde_json::from_slice(object).map_err(damaged)?;
        let KeptSpeechV1 { spec, weights_sha256, sentences: receipts, codes } = object;
        let spec = wire::decode(&spec).map_err(damaged)?;
        let chunk = CodesChunk::decode(&BASE64.decode(codes).map_err(damaged)?).ok_or_else(|| damaged("codes"))?;
        let mut sentences: Vec<_> =
            receipts.into_iter().map(|receipt| KeptSentence { receipt, frames: Vec::new() }).collect();
        for SentenceFrame { sentence, codes, .. } in chunk.frames {
            let kept = sentences.get_mut(usize::from(sentence)).ok_or_else(|| damaged("more codes than sentences"))?;
            kept.frames.push(codes);
        }
        let whole = sentences.iter().all(|kept| kept.receipt.frames as usize == kept.frames.len());
        if whole { Ok(Self { spec, weights_sha256, sentences }) } else { Err(damaged("codes are missing")) }
    }
}

impl Live {
    /// Keeps what a job has spoken for as long as its record. Returns the time up to which.
    ///
    /// # Errors
    /// [`KeptSpeechError`]: nothing is kept. Keeping it again is harmless.
    pub async fn keep_speech(
        &self,
        job: &JobId,
        attempt: u64,
        speech: &KeptSpeech,
    ) -> Result<Timestamp, KeptSpeechError> {
        let objects = self.archives.as_ref().ok_or(KeptSpeechError::NoStore)?;
        let (key, until) = (KeptSpeech::key(job, attempt)?, Timestamp::now() + RECORD_TTL);
        objects.put(&key, speech.encode()?, MEDIA_TYPE, until).await?;
        Ok(until)
    }
}

fn damaged(why: impl std::fmt::Display) -> KeptSpeechError {
    KeptSpeechError::Damaged(why.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_shared::job::{FinishReason, Seed, Text};

    use super::*;

    fn sentence(frames: Vec<Frame>) -> KeptSentence {
        let receipt = SentenceReceipt {
            text: "Hello.".into(),
            written: "Hello.".into(),
            start_char: 0,
            end_char: 0,
            frames: frames.len() as u32,
            start_ms: 0,
            duration_ms: 80 * frames.len() as u64,
            prompt_positions: 9,
            context_positions: 0,
            max_frames: 40,
            finish_reason: FinishReason::Eos,
            retakes: Vec::new(),
            fault: None,
            seed: Some(5),
        };
        KeptSentence { receipt, frames }
    }

    #[test]
    fn speech_is_read_as_it_was_kept_and_no_other() {
        let spec =
            JobSpec { editing: Editing::On, ..JobSpec::new(Text::new("Hello. Hello. Hello.").unwrap(), Seed::new(3)) };
        let sentences = vec![sentence(vec![[7; 32], [2_047; 32]]), sentence(Vec::new()), sentence(vec![[0; 32]])];
        let speech = KeptSpeech { spec, weights_sha256: "ab".into(), sentences };
        let object = speech.encode().unwrap();
        assert_eq!(KeptSpeech::decode(&object).unwrap(), speech);
        assert_eq!(KeptSpeech::decode_spec(&object).unwrap(), speech.spec);

        for wrong in [object[..object.len() - 1].to_vec(), b"{}".to_vec(), Vec::new()] {
            assert!(matches!(KeptSpeech::decode(&wrong), Err(KeptSpeechError::Damaged(_))));
        }
        let mut short = speech.clone();
        short.sentences[2].frames.clear();
        assert!(KeptSpeech::decode(&short.encode().unwrap()).is_err(), "a sentence without its codes");
        short.sentences[2].frames = vec![[2_048; 32]];
        assert!(matches!(short.encode(), Err(KeptSpeechError::Codes)));
    }
}
