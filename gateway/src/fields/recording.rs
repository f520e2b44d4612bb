//! A recording within a request: base64 of an audio file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::{self, Clip, FORMATS};
use csm_shared::job::{Invalid, Reason};

/// HTTP status of a recording that is larger or longer than the decoder takes.
const TOO_LARGE_STATUS: u16 = 413;

/// Decodes the recording at `path`.
pub(super) fn clip(path: &str, base64: Option<String>) -> Result<Clip, Invalid> {
    let expected = |why: String| format!("base64 of {FORMATS} ({why})");
    let Some(base64) = base64 else {
        return Err(Invalid::malformed(path, "(missing)", format!("base64 of {FORMATS}")));
    };
    let file = BASE64.decode(&base64).map_err(|error| {
        Invalid::malformed(path, &base64, expected(error.to_string().trim_end_matches('.').to_owned()))
    })?;
    audio::read(&file).map_err(|error| {
        let invalid = Invalid::malformed(path, &base64, expected(error.to_string()));
        if error.is_too_large() {
            Invalid { status: TOO_LARGE_STATUS, reason: Reason::TooLarge, ..invalid }
        } else {
            invalid
        }
    })
}
