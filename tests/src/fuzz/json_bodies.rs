//! Bodies of `POST /v1/jobs`, sent to a real gateway.

use csm_testing::mutator::read_corpus;
use csm_testing::raw_http::{RawAnswer, RawConnection};
use serde_json::Value;
use tokio::sync::Mutex;

use super::fuzz_gateway::FuzzGateway;
use super::fuzz_run::FuzzTarget;
use super::{corpus_folder, without_digits};

/// Folder of the corpus.
pub(super) const CORPUS: &str = "json-bodies";

/// Status of a request for a durability that this Redis, which keeps no file, cannot promise.
const DURABILITY_STATUS: u16 = 501;

/// Gateway, and the connection to it.
pub(super) struct JsonBodies {
    gateway: FuzzGateway,
    connection: Mutex<Option<RawConnection>>,
}

impl JsonBodies {
    pub(super) async fn start() -> anyhow::Result<Self> {
        Ok(Self { gateway: FuzzGateway::start().await?, connection: Mutex::new(None) })
    }

    async fn post(&self, body: &[u8]) -> std::io::Result<RawAnswer> {
        let mut open = self.connection.lock().await;
        let mut connection = match open.take() {
            Some(connection) => connection,
            None => RawConnection::open(self.gateway.address).await?,
        };
        let (address, length) = (self.gateway.address, body.len());
        let head = format!("POST /v1/jobs HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n");
        connection.send(format!("{head}content-length: {length}\r\n\r\n").as_bytes()).await?;
        connection.send(body).await?;
        let answer = connection.answer().await?;
        if answer.header("connection") != Some("close") {
            *open = Some(connection);
        }
        Ok(answer)
    }
}

impl FuzzTarget for JsonBodies {
    const NAME: &'static str = "json-bodies";
    const INPUT_BYTES_MAX: usize = 64 * 1024;
    const PEAK_BYTES_MAX: usize = 64 * 1024 * 1024;
    const WORDS: &'static [&'static str] = &[
        "null",
        "true",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"text\":",
        "\"normalize\":",
        "\"speaker\":",
        "\"max_audio_length_ms\":",
        "\"temperature\":",
        "\"topk\":",
        "\"seed\":",
        "\"context_segments\":[",
        "\"audio\":\"",
        "data:audio/wav;base64,",
        "\\r\\n",
        "-_=",
        "\"lane\":\"live\"",
        "\"format\":\"flac\"",
        "\"delivery\":\"both\"",
        "\"expires_in\":",
        "\"deadline\":\"2999-01-31T12:00:00Z\"",
        "\"durability\":\"fsync\"",
        "Dr. ",
        "$1,000.50 ",
        "10:30 am ",
        "...",
        "\u{feff}",
        "\u{200b}",
    ];

    fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(read_corpus(&corpus_folder(CORPUS))?)
    }

    async fn read(&self, input: Vec<u8>) -> Result<String, String> {
        let answer = match self.post(&input).await {
            Ok(answer) => answer,
            // The gateway may close a connection between two requests.
            Err(_) => self.post(&input).await.map_err(|error| format!("no answer: {error}"))?,
        };
        outcome(&answer)
    }
}

/// Checks an answer: a job, or a problem document of the caller's fault that says which.
fn outcome(answer: &RawAnswer) -> Result<String, String> {
    let body: Value = serde_json::from_slice(&answer.body)
        .map_err(|_| format!("{} without JSON: {}", answer.status, String::from_utf8_lossy(&answer.body)))?;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    match answer.status {
        202 => Ok(format!("202 {}", body["status"])),
        400..=499 | DURABILITY_STATUS if !text("code").is_empty() => {
            Ok(without_digits(&format!("{} {} {} {}", answer.status, text("code"), text("field"), text("limit"))))
        }
        status => Err(format!("{status}: {body}")),
    }
}
