//! Headers of every answer with audio: the audio was generated, and carries these marks.
//!
//! | header | value |
//! |---|---|
//! | `x-ai-generated` | IPTC's term for the digital source of what a trained model made: `trainedAlgorithmicMedia` |
//! | `x-watermark` | the marks in this very file by its receipt, `<scheme>:<key id>`, separated by `, ` |
//!
//! `x-ai-generated` is on every answer that holds audio, may hold it later (events, WebSocket), or
//! stands for it (a redirect to the store, "not modified"). `x-watermark` is on answers with a
//! receipt that names a mark; live audio carries the builtin mark without the header. A caller that
//! keeps only the bytes loses both headers; the words and the marks in the file stay.

use std::convert::Infallible;

use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponseParts, ResponseParts};
use csm_shared::job::Receipt;
use csm_shared::watermark::{Finding, Verdict};

/// Header of generated audio, with a term of <http://cv.iptc.org/newscodes/digitalsourcetype/>.
const AI_GENERATED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-ai-generated"), HeaderValue::from_static("trainedAlgorithmicMedia"));
/// Header that names the marks.
const WATERMARK: HeaderName = HeaderName::from_static("x-watermark");

/// Headers of an answer with audio.
#[derive(Clone, Debug)]
pub(crate) struct Provenance {
    watermark: Option<HeaderValue>,
}

impl Provenance {
    /// Headers of audio that is not finished, or not yet known.
    pub(crate) const LIVE: Self = Self { watermark: None };

    /// Makes the headers of a finished file.
    pub(crate) fn of(receipt: &Receipt) -> Self {
        let there = receipt.watermarks.iter().filter(|finding| finding.verdict != Verdict::NotDetected);
        let named = |finding: &Finding| format!("{}:{}", finding.scheme.name(), finding.key_id);
        let named = there.map(named).collect::<Vec<_>>().join(", ");
        // Workers write key ids that a header can hold; any other id is left out.
        Self { watermark: HeaderValue::try_from(named).ok().filter(|named| !named.is_empty()) }
    }
}

impl IntoResponseParts for Provenance {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        let (name, value) = AI_GENERATED;
        parts.headers_mut().insert(name, value);
        if let Some(watermark) = self.watermark {
            parts.headers_mut().insert(WATERMARK, watermark);
        }
        Ok(parts)
    }
}
