//! A line of a batch: its name and its request, and the job that the request becomes.

use csm_queue::batches::{BatchEndpoint, BatchRecord};
use csm_shared::job::{AudioName, Delivery, Invalid, JobId, Lane, Seed, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::caller::Caller;
use crate::fields::FieldError;
use crate::resources::DecodeRecording;
use crate::submit::JobRequest;
use crate::{jobs, openai};

/// Most characters of a line's name.
pub(super) const CUSTOM_ID_CHARS_MAX: usize = 128;

/// Time of a cue in its subtitle file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cue {
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
}

/// Everything of a batch that its lines depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchTerms<'a> {
    /// Id of the batch.
    pub(super) id: &'a str,
    /// Tenant that owns the batch.
    pub(super) tenant: &'a Tenant,
    /// API of the lines.
    pub(super) endpoint: BatchEndpoint,
}

impl<'a> From<&'a BatchRecord> for BatchTerms<'a> {
    fn from(record: &'a BatchRecord) -> Self {
        Self { id: &record.id, tenant: &record.tenant, endpoint: record.endpoint }
    }
}

/// A line of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    /// Line of the input file, from 1.
    pub(super) line: u64,
    /// Name that the caller gave the line.
    pub(super) custom_id: String,
    /// JSON of the request's body.
    pub(super) body: String,
    /// Time of the cue, for subtitles.
    pub(super) cue: Option<Cue>,
}

/// Form of a line in the object of checked lines.
#[derive(Serialize, Deserialize)]
struct StoredLine<'a> {
    line: u64,
    custom_id: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cue: Option<Cue>,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl RequestLine {
    /// Writes the line as one line of JSON.
    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        // A body of a JSON lines file has no line ends.
        let body = serde_json::from_str(&self.body)?;
        let custom_id = self.custom_id.as_str().into();
        serde_json::to_string(&StoredLine { line: self.line, custom_id, cue: self.cue, body })
    }

    /// Reads what [`RequestLine::to_json`] wrote.
    pub(super) fn from_json(text: &[u8]) -> serde_json::Result<Self> {
        let StoredLine { line, custom_id, cue, body } = serde_json::from_slice(text)?;
        Ok(Self { line, custom_id: custom_id.into_owned(), body: body.get().to_owned(), cue })
    }

    /// Returns the id of the line's job.
    pub(super) fn job(&self, batch: &str) -> JobId {
        JobId::of_line(batch, self.line)
    }

    /// Reads the request of the line. Every line runs in the bulk lane and is delivered as a file.
    pub(super) fn request(
        &self,
        batch: BatchTerms<'_>,
        loaded_model: &str,
        decode: &mut DecodeRecording<'_>,
    ) -> Result<JobRequest, FieldError> {
        let caller = Caller { tenant: batch.tenant.clone(), job: self.job(batch.id), repeats: true };
        let body = self.body.as_bytes();
        let mut request = match batch.endpoint {
            BatchEndpoint::Speech => openai::read_line(body, &caller, decode, loaded_model)?,
            BatchEndpoint::Jobs => jobs::read_job(body, &caller, decode)?,
        };
        if request.spec.editing.is_on() {
            let limit = "false in a batch, whose lines can be spoken again as a whole";
            return Err(Invalid::malformed("editable", true, limit).into());
        }
        request.spec.lane = Lane::Bulk;
        request.spec.delivery = Delivery::Store;
        request.spec.audio_name = Some(self.audio_name(batch.id)?);
        Ok(request)
    }

    /// Reads the request of the line for a further job with another seed.
    pub(super) fn request_again(
        &self,
        batch: BatchTerms<'_>,
        job: JobId,
        seed: Seed,
        loaded_model: &str,
        decode: &mut DecodeRecording<'_>,
    ) -> Result<JobRequest, FieldError> {
        let mut request = self.request(batch, loaded_model, decode)?;
        request.ticket.id = job;
        request.spec.sampling.seed = seed;
        let name = format!("{}-seed{}", self.audio_name(batch.id)?, seed.get());
        request.spec.audio_name = Some(name.parse()?);
        Ok(request)
    }

    /// Returns the name of the line's audio: `batches/<batch>/<line>-<custom_id>`, the latter in the
    /// characters of a store key.
    fn audio_name(&self, batch: &str) -> Result<AudioName, Invalid> {
        let safe = |char: char| match char.to_ascii_lowercase() {
            char @ ('a'..='z' | '0'..='9' | '_' | '-') => char,
            _ => '-',
        };
        let name: String = self.custom_id.chars().map(safe).collect();
        format!("batches/{batch}/{:07}-{name}", self.line).parse()
    }
}
