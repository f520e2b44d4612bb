//! Bytes to a JSON value, or a refusal that says where the text breaks and in which field that is.

use csm_shared::job::{Invalid, Reason};
use serde_json::Value;

/// Bytes of the broken text that are shown.
const SHOWN_BYTES: usize = 24;
/// Status of text that is no JSON.
const STATUS: u16 = 400;

/// Parses a whole body. Numbers that no double can hold are refused here, too.
pub(super) fn parse(body: &[u8]) -> Result<Value, Invalid> {
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

/// The text from the place where it breaks; a number is shown from its beginning.
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
