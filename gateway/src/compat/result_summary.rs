//! What a caller learns of a result beside its audio: the job, why the speech ended, and what may
//! differ from the request. The old shape of the answers has no place for it, so `/generate` tells
//! it in headers, and `/ws` in a message of its own to callers who asked for it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use csm_shared::job::{FinishReason, InputWarnings, ReceiptWarning};
use serde::Serialize;

use crate::http::append_warnings;
use crate::wait::FinishedJob;

/// Header with the id of the job.
const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
/// Header with the reason why the speech ended: `eos`, `length` or `runaway`.
const FINISH_REASON: HeaderName = HeaderName::from_static("x-finish-reason");
/// Header with the codes of the receipt's warnings, separated by `, `; absent without warnings.
const WARNINGS: HeaderName = HeaderName::from_static("x-warnings");

/// Summary of a result.
#[derive(Debug, Serialize)]
pub(super) struct ResultSummary {
    job: String,
    finish_reason: FinishReason,
    warnings: Vec<ReceiptWarning>,
    #[serde(skip_serializing_if = "InputWarnings::is_empty")]
    input_warnings: InputWarnings,
}

impl ResultSummary {
    /// Makes the summary of a result, with the warnings about its request.
    pub(super) fn of(finished: &FinishedJob, input_warnings: InputWarnings) -> Self {
        let FinishedJob { job, receipt } = finished;
        let (finish_reason, warnings) = (receipt.finish_reason, receipt.warnings.clone());
        Self { job: job.to_string(), finish_reason, warnings, input_warnings }
    }

    /// Returns the message that ends a stream: the summary, with `done` and the number of samples.
    pub(super) fn end_of_stream(&self, samples: u64) -> String {
        let mut end = serde_json::json!(self);
        (end["done"], end["samples"]) = (true.into(), samples.into());
        end.to_string()
    }

    /// Returns the summary as headers.
    pub(super) fn headers(&self) -> HeaderMap {
        let warnings = self.warnings.iter().map(|warning| name(&warning.code)).collect::<Vec<_>>().join(", ");
        let named = [(JOB_ID, self.job.clone()), (FINISH_REASON, name(&self.finish_reason)), (WARNINGS, warnings)];
        let named = named.into_iter().filter(|(_, value)| !value.is_empty());
        let named = named.filter_map(|(header, value)| Some((header, HeaderValue::try_from(value).ok()?)));
        let mut headers: HeaderMap = named.collect();
        append_warnings(&mut headers, &self.input_warnings);
        headers
    }
}

/// Returns the name of a code in JSON.
fn name(code: &impl Serialize) -> String {
    serde_json::to_value(code).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
