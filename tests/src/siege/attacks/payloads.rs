//! Bytes that attackers send, made once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::job::limits::BODY_BYTES;
use csm_testing::constant_flac::constant_flac;
use serde_json::json;

/// Rate of recordings that grow the most: the gateway decodes 28,800,000 samples of 600 s.
const RATE: u32 = 48_000;
/// Length of a constant recording, in seconds: the longest that the gateway decodes.
const CONSTANT_SECONDS: u32 = 600;
/// Bytes of a WAV header.
const WAV_HEAD_BYTES: usize = 44;

/// Bytes that attackers send.
pub(in crate::siege) struct Payloads {
    /// Bodies of 24 MiB with millions of values: the whole body, an unknown field, and the context.
    pub(super) json_trees: [Vec<u8>; 3],
    /// Body with a small FLAC file that lasts 600 s.
    pub(super) flac_constant: Vec<u8>,
    /// That FLAC file itself.
    pub(super) flac_file: Vec<u8>,
    /// Body of 24 MiB with one WAV file of 8 bit.
    pub(super) base64_greatest: Vec<u8>,
}

impl Payloads {
    /// Makes all of them.
    pub(in crate::siege) fn new() -> Self {
        let most = BODY_BYTES.max as usize;
        let tree = |head: &str, tail: &str| {
            let count = (most - head.len() - tail.len() - 3) / 4;
            [head, &"[0],".repeat(count), "[0]", tail].concat().into_bytes()
        };
        let flac_file = constant_flac(RATE, CONSTANT_SECONDS);
        Self {
            json_trees: [
                tree("[", "]"),
                tree(r#"{"text": "a", "unknown": ["#, "]}"),
                tree(r#"{"text": "a", "context_segments": ["#, "]}"),
            ],
            flac_constant: with_recording(&flac_file),
            flac_file,
            base64_greatest: with_recording(&eight_bit_wav((most - 1_024) / 4 * 3)),
        }
    }
}

/// Makes a request whose context is one recording.
fn with_recording(file: &[u8]) -> Vec<u8> {
    let segment = json!({ "text": "b", "speaker": 0, "audio": BASE64.encode(file) });
    json!({ "text": "a", "context_segments": [segment] }).to_string().into_bytes()
}

/// Makes a WAV file of `bytes` bytes: 48 kHz, mono, 8 bit, so that a byte becomes a sample.
fn eight_bit_wav(bytes: usize) -> Vec<u8> {
    let data = (bytes - WAV_HEAD_BYTES) as u32;
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&(data + 36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(b"\x01\0\x08\0data");
    file.extend_from_slice(&data.to_le_bytes());
    file.resize(bytes, 0x80);
    file
}

#[cfg(test)]
mod tests {
    use csm_shared::audio;

    use super::*;

    #[test]
    fn payloads_are_as_large_as_a_body_may_be() {
        let payloads = Payloads::new();
        for body in payloads.json_trees.iter().chain([&payloads.base64_greatest]) {
            assert!(BODY_BYTES.allows(body.len() as u64), "{}", body.len());
            assert!(body.len() as u64 > BODY_BYTES.max - 2_048, "{}", body.len());
        }
        assert!(payloads.flac_constant.len() < 10_000, "{}", payloads.flac_constant.len());
        let clip = audio::read(&eight_bit_wav(RATE as usize + WAV_HEAD_BYTES));
        assert_eq!(clip.map(|read| read.clip.duration_ms()), Ok(1_000));
    }
}
