//! Frames of WebSockets, sent to a real gateway.

use std::time::Duration;

use csm_testing::mutator::read_corpus;
use csm_testing::raw_http::RawConnection;
use tokio::time::timeout;

use super::fuzz_gateway::FuzzGateway;
use super::fuzz_run::FuzzTarget;
use super::{corpus_folder, json_bodies, without_digits};

/// Longest time until the gateway closes a connection that the caller has closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(4);
/// Beginning of a frame that is a whole text.
const TEXT: u8 = 0x81;
/// Beginning of a frame that begins a text.
const TEXT_BEGIN: u8 = 0x01;
/// Beginning of a frame that ends a message.
const END: u8 = 0x80;
/// Beginning of a frame that is whole bytes.
const BINARY: u8 = 0x82;
/// Beginning of a ping.
const PING: u8 = 0x89;
/// Beginning of a close.
const CLOSE: u8 = 0x88;

/// Gateway whose sockets are opened.
pub(super) struct SocketMessages {
    gateway: FuzzGateway,
}

impl SocketMessages {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let gateway = FuzzGateway::start().await?;
        // No worker runs, and a job that waits would keep its socket open for the next message.
        gateway.close_intake().await?;
        Ok(Self { gateway })
    }

    /// Opens a socket, sends the frames, and returns what the gateway sends until it closes.
    async fn converse(&self, frames: &[u8]) -> std::io::Result<Vec<u8>> {
        let address = self.gateway.address;
        let mut connection = RawConnection::open(address).await?;
        let head = format!(
            "GET /ws HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        connection.send(head.as_bytes()).await?;
        let answer = connection.answer().await?;
        if answer.status != 101 {
            return Err(std::io::Error::other(format!("status {}", answer.status)));
        }
        // The gateway may close before it has read everything.
        let _ = connection.send(frames).await;
        let _ = connection.finish().await;
        match connection.drain().await {
            // A reset is as good as a close.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(Vec::new()),
            drained => drained,
        }
    }
}

impl FuzzTarget for SocketMessages {
    const NAME: &'static str = "socket-messages";
    const INPUT_BYTES_MAX: usize = 64 * 1024;
    const PEAK_BYTES_MAX: usize = 64 * 1024 * 1024;
    const WORDS: &'static [&'static str] = &["\u{1}", "\0", "\u{7f}", "\"text\": \"a\"", "{}", "[", "null"];

    fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut corpus = Vec::new();
        for body in read_corpus(&corpus_folder(json_bodies::CORPUS))? {
            let (first, rest) = body.split_at(body.len() / 2);
            corpus.push(frame(TEXT, &body));
            corpus.push([frame(TEXT_BEGIN, first), frame(PING, b"ping"), frame(END, rest)].concat());
            corpus.push([frame(BINARY, &body), frame(TEXT, &body), frame(CLOSE, b"\x03\xe8over")].concat());
        }
        Ok(corpus)
    }

    async fn read(&self, input: Vec<u8>) -> Result<String, String> {
        let heard = timeout(CLOSE_LIMIT, self.converse(&input)).await;
        let heard = heard.map_err(|_| format!("open {} s after the caller left", CLOSE_LIMIT.as_secs()))?;
        let heard = heard.map_err(|error| format!("no conversation: {error}"))?;
        let text = String::from_utf8_lossy(&heard);
        let problem = text.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        if text.contains("\"status\":500") {
            return Err(text.into_owned());
        }
        let field = text.split("\"field\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        Ok(without_digits(&format!("{:02x?} {problem} {field}", heard.first())))
    }
}

/// Makes a frame, masked by zeros.
fn frame(begin: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![begin];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
