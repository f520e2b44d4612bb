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

/// Routes that open sockets. The first byte of an input chooses one.
const ROUTES: [&str; 6] = [
    "/ws",
    "/v1/stream",
    "/v1/speak",
    "/v1/text-to-speech/alloy/multi-stream-input?output_format=pcm_24000",
    "/tts/websocket",
    "/v1/realtime?model=csm-1b",
];
/// Messages of each protocol in pieces, by the places of the routes.
const CONVERSATIONS: [(usize, &[&str]); 5] = [
    (
        1,
        &[
            r#"{"type":"start","context_id":"a","voice":"ash","audio":"base64","sample_rate":8000,"on_disconnect":"detach"}"#,
            r#"{"type":"text","context_id":"a","text":"One. Two","flush":true}"#,
            r#"{"type":"flush","context_id":"a"}"#,
            r#"{"type":"resume","context_id":"b","job":"0190b6c4-0000-7000-8000-000000000000","after":"1-2"}"#,
            r#"{"type":"end","context_id":"a"}"#,
            r#"{"type":"cancel","context_id":"a"}"#,
            r#"{"type":"ping","id":"x"}"#,
        ],
    ),
    (
        2,
        &[
            r#"{"type":"Speak","text":"One. Two"}"#,
            r#"{"type":"Flush"}"#,
            r#"{"type":"Clear"}"#,
            r#"{"type":"KeepAlive"}"#,
            r#"{"type":"Close"}"#,
        ],
    ),
    (
        3,
        &[
            r#"{"text":" ","voice_settings":{"speed":1.1},"context_id":"a"}"#,
            r#"{"text":"One. Two ","context_id":"a","flush":true}"#,
            r#"{"text":""}"#,
            r#"{"context_id":"a","close_context":true}"#,
            r#"{"close_socket":true}"#,
        ],
    ),
    (
        4,
        &[
            r#"{"model_id":"sonic","voice":{"mode":"id","id":"alloy"},"context_id":"a","transcript":"One. ","continue":true,"add_timestamps":true,"output_format":{"container":"raw","encoding":"pcm_s16le","sample_rate":24000}}"#,
            r#"{"voice":{"mode":"id","id":"alloy"},"context_id":"a","transcript":"","continue":false,"output_format":{"container":"raw","encoding":"pcm_s16le","sample_rate":24000}}"#,
            r#"{"context_id":"a","cancel":true}"#,
        ],
    ),
    (
        5,
        &[
            r#"{"type":"session.update","session":{"type":"realtime","output_modalities":["audio"],"audio":{"output":{"format":{"type":"audio/pcm","rate":24000},"voice":"ash"}}}}"#,
            r#"{"type":"response.create","response":{"conversation":"none","output_modalities":["audio"],"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"One."}]}]}}"#,
            r#"{"type":"response.cancel"}"#,
        ],
    ),
];

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
    async fn converse(&self, input: &[u8]) -> std::io::Result<Vec<u8>> {
        let address = self.gateway.address;
        let (route, frames) = input.split_first().unwrap_or((&0, &[]));
        let route = ROUTES[usize::from(*route) % ROUTES.len()];
        let mut connection = RawConnection::open(address).await?;
        let head = format!(
            "GET {route} HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
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
    const WORDS: &'static [&'static str] =
        &["\u{1}", "\0", "\u{7f}", "\"text\": \"a\"", "{}", "[", "null", "\"context_id\":", "\"type\":", "\"text\":"];

    fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut corpus = Vec::new();
        for body in read_corpus(&corpus_folder(json_bodies::CORPUS))? {
            let (first, rest) = body.split_at(body.len() / 2);
            corpus.push([vec![0], frame(TEXT, &body)].concat());
            corpus.push([vec![0], frame(TEXT_BEGIN, first), frame(PING, b"ping"), frame(END, rest)].concat());
            corpus.push([vec![0], frame(BINARY, &body), frame(TEXT, &body), frame(CLOSE, b"\x03\xe8over")].concat());
        }
        for (route, messages) in CONVERSATIONS {
            let frames = messages.iter().map(|message| frame(TEXT, message.as_bytes()));
            corpus.push(std::iter::once(vec![route as u8]).chain(frames).collect::<Vec<_>>().concat());
            let half = [0xe2, 0x82];
            corpus.push([vec![route as u8], frame(TEXT, &half), frame(BINARY, &half), frame(PING, &half)].concat());
        }
        Ok(corpus)
    }

    async fn read(&self, input: Vec<u8>) -> Result<String, String> {
        let heard = timeout(CLOSE_LIMIT, self.converse(&input)).await;
        let heard = heard.map_err(|_| format!("open {} s after the caller left", CLOSE_LIMIT.as_secs()))?;
        let heard = heard.map_err(|error| format!("no conversation: {error}"))?;
        let text = String::from_utf8_lossy(&heard);
        let problem = text.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        if text.contains("\"status\":500") || text.contains("\"internal\"") {
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
