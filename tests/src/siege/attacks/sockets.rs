//! WebSockets whose message never ends.

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
