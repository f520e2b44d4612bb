//! Events of the Wyoming protocol: one line of JSON, then data and payload of the lengths that the
//! line tells.

use std::io;

use csm_shared::job::Invalid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use crate::message_fields::MessageFields;

/// Longest line, in bytes.
const LINE_MAX: u64 = 64 * 1024;
/// Most bytes of data behind the line. A text in it is bounded by the limit of texts.
const DATA_MAX: u64 = 256 * 1024;
/// Most bytes of a payload, which no event for speech has.
const PAYLOAD_MAX: u64 = 256 * 1024;
/// Version of the protocol that answers state.
const VERSION: &str = "1.8.0";

/// Event of a caller.
#[derive(Debug, PartialEq)]
pub(super) struct WyomingEvent {
    pub(super) kind: String,
    /// Object with the members of the event.
    pub(super) data: Value,
}

/// Reason why no event was read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The connection failed.
    Connection,
    /// The bytes are no event.
    Invalid(Invalid),
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Connection
    }
}

impl From<Invalid> for ReadError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// Reads the next event; `None` at the end of the connection.
pub(super) async fn read(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<WyomingEvent>, ReadError> {
    let mut line = Vec::new();
    if (&mut *reader).take(LINE_MAX).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        let value = format!("{} bytes without an end", line.len());
        return Err(Invalid::malformed("(line)", value, format!("a line of at most {LINE_MAX} bytes")).into());
    }
    let head = object(&line, "(line)")?;
    let fields = MessageFields::of(&head);
    let kind = fields.string("type")?.ok_or_else(|| fields.missing("type", "a string"))?;
    let mut data = fields.object("data")?.map_or_else(|| json!({}), |data| data.value().clone());
    let more = part(reader, &fields, "data_length", DATA_MAX).await?;
    if !more.is_empty()
        && let (Some(data), Value::Object(more)) = (data.as_object_mut(), object(&more, "(data)")?)
    {
        data.extend(more);
    }
    part(reader, &fields, "payload_length", PAYLOAD_MAX).await?;
    Ok(Some(WyomingEvent { kind: kind.to_owned(), data }))
}

/// Reads the part whose length the head tells.
async fn part(
    reader: &mut (impl AsyncBufRead + Unpin),
    head: &MessageFields<'_>,
    name: &str,
    most: u64,
) -> Result<Vec<u8>, ReadError> {
    let length = match head.value().get(name) {
        None | Some(Value::Null) => 0,
        Some(length) => length
            .as_u64()
            .filter(|length| *length <= most)
            .ok_or_else(|| head.refuse(name, format!("a whole number from 0 to {most}")))?,
    };
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).await?;
    if (bytes.len() as u64) < length {
        return Err(head.refuse(name, format!("the {} bytes that came", bytes.len())).into());
    }
    Ok(bytes)
}

/// Reads an object of JSON.
fn object(bytes: &[u8], field: &str) -> Result<Value, Invalid> {
    let refused = |why: &str| {
        let text = String::from_utf8_lossy(bytes);
        Invalid::malformed(field, text.trim_end(), format!("a JSON object{why}"))
    };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| refused(&format!(" ({error})")))?;
    if value.is_object() { Ok(value) } else { Err(refused("")) }
}

/// Writes an event.
pub(super) fn write(kind: &str, data: &Value, payload: &[u8]) -> Vec<u8> {
    let mut head = json!({"type": kind, "version": VERSION, "data": data});
    if !payload.is_empty() {
        head["payload_length"] = payload.len().into();
    }
    let mut bytes = head.to_string().into_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    async fn read_all(bytes: &[u8]) -> Result<Vec<WyomingEvent>, String> {
        let mut reader = bytes;
        let mut events = Vec::new();
        loop {
            match read(&mut reader).await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return Ok(events),
                Err(ReadError::Invalid(invalid)) => return Err(invalid.to_string()),
                Err(ReadError::Connection) => panic!("bytes in memory can be read"),
            }
        }
    }

    #[tokio::test]
    async fn data_in_the_line_and_behind_it_are_one() {
        let bytes = b"{\"type\":\"a\",\"data\":{\"x\":1},\"data_length\":7,\"payload_length\":2}\n{\"y\":2}zz{\"type\":\"b\"}\n";
        let events = read_all(bytes).await.unwrap();
        assert_eq!((events[0].kind.as_str(), &events[0].data), ("a", &json!({"x": 1, "y": 2})));
        assert_eq!((events[1].kind.as_str(), &events[1].data), ("b", &json!({})));
        let written = write("audio-chunk", &json!({"rate": 24_000}), b"pcm\n");
        assert_eq!(read_all(&written).await.unwrap()[0].kind, "audio-chunk");
    }

    #[tokio::test]
    async fn what_is_no_event_is_refused_with_a_reason() {
        for (bytes, reason) in [
            (&b"hello\n"[..], "(line): hello is not allowed; the limit is a JSON object"),
            (b"{\"data\":{}}\n", "type: (missing)"),
            (b"{\"type\":\"a\",\"data_length\":99999999999}\n", "data_length: 99999999999"),
            (b"{\"type\":\"a\"}", "(line): 12 bytes without an end"),
            (b"{\"type\":\"a\",\"data_length\":4}\n\xff\xfe\xfd\xfc", "(data): "),
            (b"{\"type\":\"a\",\"payload_length\":4}\nzz", "the 2 bytes that came"),
        ] {
            let error = read_all(bytes).await.unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let long = [&b"{\"type\":\""[..], &vec![b'a'; LINE_MAX as usize]].concat();
        assert!(read_all(&long).await.unwrap_err().contains("65536 bytes"));
    }
}
