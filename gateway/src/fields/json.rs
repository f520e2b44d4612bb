//! JSON text of a body, or a refusal that names the place and the field of the error.

use csm_shared::job::{Invalid, Reason};
use serde_json::Value;

/// Bytes of the broken text that a refusal shows.
const SHOWN_BYTES: usize = 24;
/// HTTP status of text that is not JSON.
const STATUS: u16 = 400;

/// Parses a whole body. Refuses numbers that no double can hold, too.
pub(crate) fn parse_json(body: &[u8]) -> Result<Value, Invalid> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value: Value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "(body)" } else { &path };
        refusal(body, field, error.inner())
    })?;
    reader.end().map_err(|error| refusal(body, "(body)", &error))?;
    Ok(value)
}

fn refusal(body: &[u8], field: &str, error: &serde_json::Error) -> Invalid {
    let malformed = Invalid::malformed(field, shown(body, error), format!("JSON ({error})"));
    Invalid { status: STATUS, reason: Reason::Malformed, ..malformed }
}

/// Returns the text from the place of the error on; a number is shown from its beginning.
fn shown(body: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "(end of the text)".to_owned();
    }
    let before = body.split_inclusive(|&byte| byte == b'\n').take(error.line().saturating_sub(1));
    let mut start = before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
    let numeric = |index: usize| {
        body.get(index).is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    };
    while start > 0 && numeric(start) && numeric(start - 1) {
        start -= 1;
    }
    let rest = body.get(start..).unwrap_or_default();
    String::from_utf8_lossy(&rest[..rest.len().min(SHOWN_BYTES)]).into_owned()
}
