//! A recording within a request: base64 of an audio file.

use csm_shared::audio::{FORMATS, Recording};
use csm_shared::job::limits::CONTEXT_AUDIO_MS;
use csm_shared::job::{Invalid, Reason};

use super::FieldError;
use super::base64_text::decode_base64;
use crate::resources::{DecodeError, DecodeRecording};

/// HTTP status of a recording that is larger or longer than the decoder takes.
const TOO_LARGE_STATUS: u16 = 413;

/// Decodes the base64 of an audio file at `path`.
pub(crate) fn audio_file(path: &str, base64: Option<&str>) -> Result<Vec<u8>, Invalid> {
    let Some(base64) = base64 else {
        return Err(Invalid::malformed(path, "(missing)", format!("base64 of {FORMATS}")));
    };
    decode_base64(base64).map_err(|error| Invalid::malformed(path, base64, expected(&error)))
}

/// Decodes the recording at `path`, of which `most_ms` milliseconds may still be used.
pub(super) fn recording(
    path: &str,
    base64: Option<&str>,
    most_ms: u64,
    decode: &mut DecodeRecording<'_>,
) -> Result<Recording, FieldError> {
    let file = audio_file(path, base64)?;
    decode(&file, most_ms).map_err(|error| match error {
        DecodeError::Overloaded => FieldError::Overloaded,
        DecodeError::Clip(error) => {
            let mut invalid = Invalid::malformed(path, base64.unwrap_or_default(), expected(&error));
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

/// Describes what is expected, with the reason why a value is something else.
fn expected(why: &dyn std::fmt::Display) -> String {
    format!("base64 of {FORMATS} ({why})")
}
