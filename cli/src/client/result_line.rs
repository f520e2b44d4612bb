//! Results of a batch, line by line.

use csm_shared::job::AudioFormat;
use serde::Deserialize;
use serde_json::Value;

/// Status of a line that was spoken.
const STATUS_OK: u16 = 200;

/// Result of one line of a batch's input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResultLine {
    /// Name that the input gives the line.
    pub(crate) custom_id: String,
    /// Number of the line, counted from 1.
    pub(crate) line: u64,
    /// Audio or failure.
    pub(crate) outcome: LineOutcome,
}

/// End of a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LineOutcome {
    /// The line was spoken.
    Spoken {
        /// Facts about the audio file.
        audio: LineAudio,
        /// Whole description of the result, as the gateway gives it.
        body: Value,
    },
    /// The line failed.
    Failed {
        /// Short name of the failure.
        code: String,
        /// Explanation of the failure.
        message: String,
        /// Whole line, as the gateway gives it.
        line: Value,
    },
}

/// Facts about the audio file of a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct LineAudio {
    /// SHA-256 in lower-case hexadecimal digits.
    pub(crate) sha256: String,
    /// Size of the file.
    pub(crate) bytes: u64,
    /// Format of the file.
    pub(crate) format: AudioFormat,
    /// Length of the audio.
    pub(crate) duration_ms: u64,
}

/// Line as the gateway writes it.
#[derive(Deserialize)]
struct WireLine {
    custom_id: String,
    line: u64,
    #[serde(default)]
    response: Option<WireResponse>,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireResponse {
    status_code: u16,
    #[serde(default)]
    body: Value,
}

#[derive(Default, Deserialize)]
struct WireError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// Description of a spoken line, as manifests hold it.
#[derive(Deserialize)]
struct WireBody {
    custom_id: String,
    line: u64,
}

impl ResultLine {
    /// Reads all lines of a shard.
    ///
    /// # Errors
    /// If a line is not what the API promises.
    pub(super) fn read_all(jsonl: &[u8]) -> Result<Vec<Self>, serde_json::Error> {
        serde_json::Deserializer::from_slice(jsonl).into_iter().map(|json| Self::read(json?)).collect()
    }

    /// Reads a line of a shard.
    ///
    /// # Errors
    /// If it is not what the API promises.
    pub(crate) fn read(json: Value) -> Result<Self, serde_json::Error> {
        let WireLine { custom_id, line, response, error } = WireLine::deserialize(&json)?;
        let outcome = match (response, error) {
            (Some(WireResponse { status_code: STATUS_OK, body }), None) => {
                LineOutcome::Spoken { audio: LineAudio::deserialize(&body)?, body }
            }
            (response, error) => {
                let WireError { code, message } = error.unwrap_or_default();
                let status = response.map(|response| format!("status {}", response.status_code));
                LineOutcome::Failed {
                    code: code.or(status).unwrap_or_else(|| "unknown".to_owned()),
                    message: message.unwrap_or_default(),
                    line: json,
                }
            }
        };
        Ok(Self { custom_id, line, outcome })
    }

    /// Reads a line of a manifest, which is the description of a spoken line.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn of_body(body: Value) -> Result<Self, serde_json::Error> {
        let WireBody { custom_id, line } = WireBody::deserialize(&body)?;
        Ok(Self { custom_id, line, outcome: LineOutcome::Spoken { audio: LineAudio::deserialize(&body)?, body } })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn lines_are_spoken_or_failed() {
        let shard = br#"{"id":"r1","custom_id":"a","line":1,"response":{"status_code":200,"request_id":"j","body":{"custom_id":"a","line":1,"key":"k","sha256":"ab","bytes":7,"samples":3,"duration_ms":80,"format":"wav"}},"error":null}
{"id":"r2","custom_id":"b","line":2,"response":null,"error":{"code":"job_failed","message":"no worker"}}
{"id":"r3","custom_id":"c","line":3,"response":{"status_code":422,"request_id":"","body":{}},"error":null}
"#;
        let lines = ResultLine::read_all(shard).unwrap();
        let LineOutcome::Spoken { audio, body } = &lines[0].outcome else { panic!("{lines:?}") };
        assert_eq!((audio.bytes, audio.format, audio.duration_ms), (7, AudioFormat::Wav, 80));
        assert_eq!(ResultLine::of_body(body.clone()).unwrap(), lines[0]);
        let LineOutcome::Failed { code, message, line } = &lines[1].outcome else { panic!("{lines:?}") };
        assert_eq!((code.as_str(), message.as_str(), line["id"].as_str()), ("job_failed", "no worker", Some("r2")));
        assert!(matches!(&lines[2].outcome, LineOutcome::Failed { code, .. } if code == "status 422"));
    }

    #[test]
    fn a_line_that_breaks_the_promise_is_an_error() {
        for wrong in ["{", r#"{"custom_id":"a"}"#, r#"{"custom_id":"a","line":1,"response":{"status_code":200}}"#] {
            assert!(ResultLine::read_all(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
