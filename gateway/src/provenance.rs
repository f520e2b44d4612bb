//! What is said beside audio wherever it leaves: that it was generated, and which marks it carries.
//!
//! | header | value |
//! |---|---|
//! | `x-ai-generated` | IPTC's term for the digital source of what a trained model made: `trainedAlgorithmicMedia` |
//! | `x-watermark` | the marks in this very file by its receipt, `<scheme>:<key id>`, separated by `, ` |
//!
//! The first is on every answer that holds audio, may come to hold it (events, WebSocket), or stands for it (a redirect to
//! the store, "not modified"). The second is where a receipt is at hand and names a mark; live audio carries the builtin
//! mark without it. A caller who keeps only the bytes loses both: the words and the marks in the file stay.

use std::convert::Infallible;

use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponseParts, ResponseParts};
use csm_shared::job::Receipt;
use csm_shared::watermark::{Finding, Verdict};

/// Says that the audio was generated, in a term of <http://cv.iptc.org/newscodes/digitalsourcetype/>.
const AI_GENERATED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-ai-generated"), HeaderValue::from_static("trainedAlgorithmicMedia"));
/// Names the marks.
const WATERMARK: HeaderName = HeaderName::from_static("x-watermark");

/// The headers of an answer with audio.
#[derive(Clone, Debug)]
pub(crate) struct Provenance {
    watermark: Option<HeaderValue>,
}

impl Provenance {
    /// Of audio that is not finished, or not yet known.
    pub(crate) const LIVE: Self = Self { watermark: None };

    /// Of a finished file.
    pub(crate) fn of(receipt: &Receipt) -> Self {
        let there = receipt.watermarks.iter().filter(|finding| finding.verdict != Verdict::NotDetected);
        let named = |finding: &Finding| format!("{}:{}", finding.scheme.name(), finding.key_id);
        let named = there.map(named).collect::<Vec<_>>().join(", ");
        // A key id that no header can hold did not come from a worker of this project.
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
