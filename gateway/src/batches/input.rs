//! Lines of an input file: JSON lines, tables, texts and subtitles become the same request lines.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use csm_queue::batches::{BatchEndpoint, InputKind, LineError};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::raw_lines::{LINE_BYTES_MAX, RawLine, RawLines};
use super::request_line::{CUSTOM_ID_CHARS_MAX, Cue, RequestLine};
use super::subtitles::Cues;
use super::table::Rows;

/// Bytes that are read from the store at a time.
const READ_BYTES: usize = 1024 * 1024;

/// Fault of an input file.
#[derive(Debug)]
pub(super) enum InputFault {
    /// Fault of one line; the next one can be read.
    Line(LineError),
    /// Fault behind which nothing can be read.
    File(LineError),
    /// Failure of the store, or an interruption.
    Read(io::Error),
}

/// Request lines of a file, in its order.
pub(super) type RequestLines<'a> = Box<dyn Iterator<Item = Result<RequestLine, InputFault>> + 'a>;

/// Reads the lines of a file in one of the formats.
pub(super) fn request_lines<'a>(
    kind: InputKind,
    endpoint: BatchEndpoint,
    file: impl Read + 'a,
) -> Result<RequestLines<'a>, InputFault> {
    let mut file = BufReader::with_capacity(READ_BYTES, file);
    refuse_utf_16(&mut file)?;
    Ok(match kind {
        InputKind::Jsonl => Box::new(RawLines::new(file).filter_map(move |line| json_line(endpoint, line).transpose())),
        InputKind::Txt => Box::new(RawLines::new(file).filter_map(move |line| text_line(endpoint, line).transpose())),
        InputKind::Csv => Box::new(Rows::open(endpoint, b',', file)?),
        InputKind::Tsv => Box::new(Rows::open(endpoint, b'\t', file)?),
        InputKind::Srt | InputKind::Vtt => Box::new(Cues::new(RawLines::new(file)).map(move |cue| {
            let (line, number, text, cue) = cue?;
            let body = body_of(endpoint, &text);
            Ok(RequestLine { line, custom_id: format!("cue-{number:06}"), body, cue: Some(cue) })
        })),
    })
}

/// Refuses a file in UTF-16, by the mark at its beginning.
fn refuse_utf_16(file: &mut impl BufRead) -> Result<(), InputFault> {
    let start = file.fill_buf().map_err(InputFault::Read)?;
    match start {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Err(InputFault::File(fault(1, "encoding", None, "The file is UTF-16; UTF-8 is needed.")))
        }
        _ => Ok(()),
    }
}

/// Makes the fault of a line.
pub(super) fn fault(line: u64, code: &str, param: Option<&str>, message: impl Into<String>) -> LineError {
    LineError { code: code.to_owned(), message: message.into(), param: param.map(str::to_owned), line: Some(line) }
}

/// Makes the body of a bare text.
fn body_of(endpoint: BatchEndpoint, text: &str) -> String {
    json!({text_field(endpoint): text}).to_string()
}

/// Returns the field of a body that holds the text.
pub(super) const fn text_field(endpoint: BatchEndpoint) -> &'static str {
    match endpoint {
        BatchEndpoint::Speech => "input",
        BatchEndpoint::Jobs => "text",
    }
}

/// Makes the body of named values.
pub(super) fn body_of_fields(fields: Map<String, Value>) -> String {
    Value::Object(fields).to_string()
}

/// A line in the shape of OpenAI's batches.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonLine<'a> {
    #[serde(borrow)]
    custom_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// Reads a JSON line; `None` for a blank one.
fn json_line(endpoint: BatchEndpoint, line: Result<RawLine, InputFault>) -> Result<Option<RequestLine>, InputFault> {
    let RawLine { number, bytes } = line?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let refused = |code: &str, param, message: String| InputFault::Line(fault(number, code, param, message));
    let text = utf8(number, &bytes)?;
    let parsed: JsonLine<'_> = serde_json::from_str(text).map_err(|error| {
        refused("invalid_json_line", None, format!("The line is not a JSON request line: {error}."))
    })?;
    let JsonLine { custom_id, method, url, body } = parsed;
    let custom_id = custom_id.ok_or_else(|| missing(number, "custom_id", "a string of its own"))?;
    check_custom_id(number, &custom_id)?;
    let method = method.ok_or_else(|| missing(number, "method", "POST"))?;
    if method != "POST" {
        return Err(refused("invalid_method", Some("method"), format!("method: {method:?} is not POST.")));
    }
    let url = url.ok_or_else(|| missing(number, "url", &endpoint.to_string()))?;
    if url != endpoint.to_string() {
        let message = format!("url: {} is not the batch's endpoint, {endpoint}.", cut(&url));
        return Err(refused("invalid_url", Some("url"), message));
    }
    let body = body.ok_or_else(|| missing(number, "body", "a request body"))?;
    Ok(Some(RequestLine { line: number, custom_id: custom_id.into_owned(), body: body.get().to_owned(), cue: None }))
}

/// Reads a bare text; `None` for a blank line.
fn text_line(endpoint: BatchEndpoint, line: Result<RawLine, InputFault>) -> Result<Option<RequestLine>, InputFault> {
    let RawLine { number, bytes } = line?;
    let text = utf8(number, &bytes)?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    refuse_nul(number, text)?;
    let (custom_id, body) = (format!("line-{number:07}"), body_of(endpoint, text));
    Ok(Some(RequestLine { line: number, custom_id, body, cue: None }))
}

fn missing(line: u64, field: &str, expected: &str) -> InputFault {
    InputFault::Line(fault(line, "missing_field", Some(field), format!("{field}: (missing) is not {expected}.")))
}

/// Reads the bytes of a line as text.
pub(super) fn utf8(line: u64, bytes: &[u8]) -> Result<&str, InputFault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("The line is not UTF-8: byte {} of the line.", error.valid_up_to() + 1);
        InputFault::Line(fault(line, "encoding", None, message))
    })
}

/// Refuses a text with a NUL, which no editor shows.
pub(super) fn refuse_nul(line: u64, text: &str) -> Result<(), InputFault> {
    match text.find('\0') {
        None => Ok(()),
        Some(place) => {
            let message = format!("The line has a NUL at byte {}.", place + 1);
            Err(InputFault::Line(fault(line, "control_character", None, message)))
        }
    }
}

/// Refuses an id that is no safe name of a file.
pub(super) fn check_custom_id(line: u64, id: &str) -> Result<(), InputFault> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let chars = id.chars().count();
    let expected = if !(1..=CUSTOM_ID_CHARS_MAX).contains(&chars) {
        format!("1 to {CUSTOM_ID_CHARS_MAX} characters")
    } else if !id.bytes().all(is_safe) || id.starts_with('.') {
        "letters, digits, '.', '_' and '-', the first no '.'".to_owned()
    } else {
        return Ok(());
    };
    let message = format!("custom_id: {} is not {expected}.", cut(id));
    Err(InputFault::Line(fault(line, "invalid_custom_id", Some("custom_id"), message)))
}

/// Returns a value for a message, quoted and cut.
pub(super) fn cut(value: &str) -> String {
    const SHOWN_CHARS: usize = 64;
    match value.char_indices().nth(SHOWN_CHARS) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}… ({} characters)", &value[..end], value.chars().count()),
    }
}

/// Makes the fault of a line that is too long.
pub(super) fn too_long(line: u64, bytes: u64) -> InputFault {
    let message = format!("The line has {bytes} bytes; the limit is {LINE_BYTES_MAX}.");
    InputFault::Line(fault(line, "line_too_long", None, message))
}

/// Cue of a subtitle file: line of its time, number, text and time.
pub(super) type NumberedCue = (u64, u64, String, Cue);
