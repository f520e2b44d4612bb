//! An edit of an ended job: one of its sentences is spoken again with another seed, and everything
//! else is decoded from the codes that were kept.
//!
//! The new take hears the sentences before it as they stand now. The sentences behind it heard the take
//! before, and stay as they are.

use std::time::Duration;

use csm_queue::live::{KeptSentence, KeptSpeech, KeptSpeechError};
use csm_queue::queue::LeaseRef;
use csm_shared::audio::Frame;
use csm_shared::job::{Failure, FailureClass, JobSpec, SentenceEdit, SentenceReceipt};
use csm_shared::process::digest::sha256_hex;
use csm_shared::prompt::SpeechPlan;
use csm_shared::store::Store;
use jiff::Timestamp;
use tokio::time::timeout;

use super::join::pause_frames;
use super::stored_object::{self, ObjectError};
use super::{AttemptContext, AttemptError, AttemptProgress, FETCH_LIMIT};
use crate::health::{PartError, SharedFault, SharedPart};

/// Longest time to keep what was spoken, while a slot waits.
const KEEP_LIMIT: Duration = Duration::from_secs(20);

/// An edit with all that was kept of the job before.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    /// Number of the sentence to speak again, from 0.
    pub(super) sentence: usize,
    /// Seed of the new take.
    pub(super) seed: u64,
    /// Sentences as they were spoken.
    kept: Vec<KeptSentence>,
}

/// Reason why a job cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The kept codes cannot be had.
    #[error("kept speech: {0}")]
    Object(#[from] ObjectError),
    /// The object is another one than the gateway read.
    #[error("kept speech: the object has the digest {0}")]
    Digest(String),
    /// The object is damaged.
    #[error(transparent)]
    Damaged(#[from] KeptSpeechError),
    /// Another model spoke.
    #[error("the sentences were spoken by a model with the weights {0}")]
    OtherModel(String),
    /// The text is divided in another way, or its sentences are spoken in other words.
    #[error("the text is not divided into the sentences that were spoken")]
    OtherText,
    /// The codes are none of this model.
    #[error("sentence {0} has codes that this model does not know")]
    OtherCodes(usize),
}

impl EditError {
    /// Returns the failure as the queue records it. Its message is safe to show.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Object(ObjectError::Gone(_) | ObjectError::Key(_)) => {
                Failure::new(FailureClass::Invalid, "the codes of the job before are no longer kept")
            }
            Self::Object(ObjectError::Refused(_)) | Self::Digest(_) | Self::Damaged(_) => {
                Failure::new(FailureClass::Resource, "the codes of the job before could not be read")
            }
            Self::OtherModel(_) | Self::OtherText | Self::OtherCodes(_) => Failure::new(
                FailureClass::Invalid,
                "the job before was spoken by another model or version: speak the whole text again",
            ),
        }
    }
}

impl Edit {
    /// Checks that this worker can put the new take among the kept sentences.
    ///
    /// # Errors
    /// [`EditError::OtherModel`] or [`EditError::OtherText`] if it cannot.
    pub(super) fn new(
        edit: &SentenceEdit,
        speech: KeptSpeech,
        weights_sha256: &str,
        plan: &SpeechPlan,
    ) -> Result<Self, EditError> {
        if speech.weights_sha256 != weights_sha256 {
            return Err(EditError::OtherModel(speech.weights_sha256));
        }
        let (kept, sentence) = (speech.sentences, edit.sentence as usize);
        let spoken = kept.iter().map(|kept| &kept.receipt.text);
        if !spoken.eq(plan.sentences.iter().map(|planned| &planned.sentence.text)) || sentence >= kept.len() {
            return Err(EditError::OtherText);
        }
        Ok(Self { sentence, seed: edit.seed.get(), kept })
    }

    /// Returns a sentence as it was spoken; `None` for the one to speak again.
    pub(super) fn kept(&self, sentence: usize) -> Option<&KeptSentence> {
        self.kept.get(sentence).filter(|_| sentence != self.sentence)
    }

    /// Returns the frames that are left for the new take: the budget without all other sentences and
    /// pauses.
    pub(super) fn left(&self, budget: u32, plan: &SpeechPlan) -> u32 {
        let kept = (0..self.kept.len()).filter_map(|sentence| self.kept(sentence));
        let frames = kept.map(|kept| kept.frames.len() as u32).sum::<u32>();
        // A sentence that was not spoken has no pause behind it.
        let is_heard = |sentence: &usize| self.kept(*sentence).is_none_or(|kept| !kept.frames.is_empty());
        let mut heard: Vec<_> = (0..self.kept.len()).filter(is_heard).collect();
        heard.pop();
        let pauses = heard.into_iter().filter_map(|sentence| plan.sentences.get(sentence));
        let pauses = pauses.map(|planned| pause_frames(planned.sentence.pause)).sum::<u32>();
        budget.saturating_sub(frames + pauses)
    }
}

/// Reads what was kept of the job before. `trial` is the number of times that the store passed its
/// check after it had refused the object.
///
/// # Errors
/// [`PartError::Shared`] if the store is out of order.
async fn fetch_kept_speech(store: &Store, edit: &SentenceEdit, trial: u32) -> Result<KeptSpeech, PartError<EditError>> {
    let object = stored_object::read(store, &edit.location, trial).await.map_err(PartError::own_into)?;
    let expected = edit.sha256.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let found = sha256_hex(&object);
        if found == expected { Ok(KeptSpeech::decode(&object)?) } else { Err(EditError::Digest(found)) }
    });
    let read = reading.await.map_err(|panicked| PartError::Shared(SharedFault::new(SharedPart::Store, &panicked)))?;
    read.map_err(PartError::Own)
}

impl AttemptContext {
    /// Reads and checks the edit that a job is.
    pub(super) async fn edit(
        &self,
        edit: &SentenceEdit,
        plan: &SpeechPlan,
        progress: &AttemptProgress,
    ) -> Result<Edit, AttemptError> {
        let fetch = |trial| {
            progress.note_trial(trial);
            fetch_kept_speech(&self.store, edit, trial)
        };
        let speech = Box::pin(progress.during(FETCH_LIMIT, self.breaker.outlast(fetch))).await?;
        Ok(Edit::new(edit, speech, &self.engine.info().weights_sha256, plan)?)
    }

    /// Keeps text and codes of a job that is open to edits. Returns the time up to which they are kept,
    /// or `None`: the audio is worth more than the chance to edit it.
    pub(super) async fn keep_speech(
        &self,
        at: &LeaseRef,
        spec: &JobSpec,
        sentences: &[SentenceReceipt],
        codes: Vec<Vec<Frame>>,
    ) -> Option<Timestamp> {
        let live = self.live.as_ref().filter(|_| spec.editing.is_on())?;
        let sentences = sentences.iter().zip(codes);
        let speech = KeptSpeech {
            spec: spec.clone(),
            weights_sha256: self.engine.info().weights_sha256.clone(),
            sentences: sentences.map(|(receipt, frames)| KeptSentence { receipt: receipt.clone(), frames }).collect(),
        };
        let why = match timeout(KEEP_LIMIT, live.keep_speech(&at.id, at.attempt, &speech)).await {
            Ok(Ok(until)) => return Some(until),
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        tracing::warn!(job = %at.id, error = why, "cannot keep codes of job that is open to edits");
        None
    }
}
