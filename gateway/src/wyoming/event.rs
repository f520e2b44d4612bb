//! Events of the Wyoming protocol: one line of JSON, then data and payload of the lengths that the
//! line tells.

use std::io;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

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
    pub(super) data: Map<String, Value>,
}

impl WyomingEvent {
    /// Returns a string of the data.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name)?.as_str()
    }
}

/// Reads the next event; `None` at the end of the connection.
///
/// # Errors
/// Of the kind `InvalidData`, with a text for the caller, if the bytes are no event.
pub(super) async fn read(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<WyomingEvent>> {
    let mut line = Vec::new();
    if (&mut *reader).take(LINE_MAX).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(invalid(format!("an event's line must end within {LINE_MAX} bytes")));
    }
    let head = object(&line, "the line")?;
    let Some(kind) = head.get("type").and_then(Value::as_str) else {
        return Err(invalid("an event's line must have a \"type\"".to_owned()));
    };
    let mut data = match head.get("data") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(data)) => data.clone(),
        Some(_) => return Err(invalid("\"data\" must be an object".to_owned())),
    };
    let more = part(reader, &head, "data_length", DATA_MAX).await?;
    if !more.is_empty() {
        data.extend(object(&more, "the data")?);
    }
    part(reader, &head, "payload_length", PAYLOAD_MAX).await?;
    Ok(Some(WyomingEvent { kind: kind.to_owned(), data }))
}

/// Reads the part whose length the head tells.
async fn part(
    reader: &mut (impl AsyncBufRead + Unpin),
    head: &Map<String, Value>,
    name: &str,
    most: u64,
) -> io::Result<Vec<u8>> {
    let length = match head.get(name) {
        None | Some(Value::Null) => 0,
        Some(length) => length.as_u64().filter(|length| *length <= most).ok_or_else(|| {
            invalid(format!("\"{name}\" is {length}; it must be a whole number of at most {most} bytes"))
        })?,
    };
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    reader.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn object(bytes: &[u8], what: &str) -> io::Result<Map<String, Value>> {
    serde_json::from_slice(bytes).map_err(|error| invalid(format!("{what} must be a JSON object: {error}")))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
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

    async fn read_all(bytes: &[u8]) -> io::Result<Vec<WyomingEvent>> {
        let mut reader = bytes;
        let mut events = Vec::new();
        while let Some(event) = read(&mut reader).await? {
            events.push(event);
        }
        Ok(events)
    }

    #[tokio::test]
    async fn data_in_the_line_and_behind_it_are_one() {
        let bytes = b"{\"type\":\"a\",\"data\":{\"x\":1},\"data_length\":7,\"payload_length\":2}\n{\"y\":2}zz{\"type\":\"b\"}\n";
        let events = read_all(bytes).await.unwrap();
        assert_eq!((events[0].kind.as_str(), &events[0].data["x"], &events[0].data["y"]), ("a", &json!(1), &json!(2)));
        assert_eq!((events[1].kind.as_str(), events[1].data.len()), ("b", 0));
        let written = write("audio-chunk", &json!({"rate": 24_000}), b"pcm\n");
        assert_eq!(read_all(&written).await.unwrap()[0].kind, "audio-chunk");
    }

    #[tokio::test]
    async fn what_is_no_event_is_refused_with_a_reason() {
        for (bytes, reason) in [
            (&b"hello\n"[..], "JSON object"),
            (b"{\"data\":{}}\n", "\"type\""),
            (b"{\"type\":\"a\",\"data\":[]}\n", "\"data\" must be an object"),
            (b"{\"type\":\"a\",\"data_length\":99999999999}\n", "\"data_length\" is 99999999999"),
            (b"{\"type\":\"a\",\"payload_length\":-1}\n", "\"payload_length\" is -1"),
            (b"{\"type\":\"a\"}", "must end within"),
            (b"{\"type\":\"a\",\"data_length\":4}\n\xff\xfe\xfd\xfc", "the data must be a JSON object"),
        ] {
            let error = read_all(bytes).await.unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        let long = [&b"{\"type\":\""[..], &vec![b'a'; LINE_MAX as usize]].concat();
        assert!(read_all(&long).await.unwrap_err().to_string().contains("65536 bytes"));
        assert_eq!(
            read_all(b"{\"type\":\"a\",\"payload_length\":4}\nzz").await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
