//! A recording within a request: base64 of an audio file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::{Clip, FORMATS};
use csm_shared::job::limits::CONTEXT_AUDIO_MS;
use csm_shared::job::{Invalid, Reason};

use super::FieldError;
use crate::resources::{DecodeError, DecodeRecording};

/// HTTP status of a recording that is larger or longer than the decoder takes.
const TOO_LARGE_STATUS: u16 = 413;

/// Decodes the recording at `path`, of which `most_ms` milliseconds may still be used.
pub(super) fn clip(
    path: &str,
    base64: Option<&str>,
    most_ms: u64,
    decode: &mut DecodeRecording<'_>,
) -> Result<Clip, FieldError> {
    let expected = |why: &str| format!("base64 of {FORMATS} ({why})");
    let Some(base64) = base64 else {
        return Err(Invalid::malformed(path, "(missing)", format!("base64 of {FORMATS}")).into());
    };
    let file = BASE64
        .decode(base64)
        .map_err(|error| Invalid::malformed(path, base64, expected(error.to_string().trim_end_matches('.'))))?;
    decode(&file, most_ms).map_err(|error| match error {
        DecodeError::Overloaded => FieldError::Overloaded,
        DecodeError::Clip(error) => {
            let mut invalid = Invalid::malformed(path, base64, expected(&error.to_string()));
            if error.is_too_large() {
                (invalid.status, invalid.reason) = (TOO_LARGE_STATUS, Reason::TooLarge);
                let used_ms = CONTEXT_AUDIO_MS.max - most_ms;
                invalid.limit = format!(
                    "{} of audio in all, of which {used_ms} ms are used ({error})",
                    CONTEXT_AUDIO_MS.describe()
                );
            }
            invalid.into()
        }
    })
}
