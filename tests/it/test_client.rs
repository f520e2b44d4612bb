//! Caller of the public API.

use std::net::SocketAddr;
use std::time::Duration;

use csm_shared::audio::Clip;
use csm_worker::marks::{Detector, Verdict, WatermarkKey};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

/// Longest wait for one job.
const LIMIT: Duration = Duration::from_secs(180);
/// Pause before a request without an answer is sent again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct TestClient {
    pub(crate) address: SocketAddr,
    http: reqwest::Client,
}

impl TestClient {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { address, http }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.http.post(self.url(path)).json(body).send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.http.delete(self.url(path)).send().await.unwrap()
    }

    /// Submits a job of `frames` frames with a fixed seed and a text long enough to fill them;
    /// returns its id.
    pub(crate) async fn submit(&self, seed: u64, frames: u64) -> String {
        const SENTENCE: &str = "All good things take time. ";
        /// Audio allowed at least for each byte of a text, in milliseconds.
        const BYTE_MS: usize = 100;
        let bytes = frames as usize * 80 / BYTE_MS;
        let text = SENTENCE.repeat(1 + bytes / SENTENCE.len());
        let body = json!({ "text": text.trim_end(), "seed": seed, "max_audio_length_ms": frames * 80 });
        let answer = self.post("/v1/jobs", &body).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let accepted: Value = answer.json().await.unwrap();
        let id = accepted["id"].as_str().unwrap().to_owned();
        assert!(location.ends_with(&format!("/v1/jobs/{id}")), "{location}");
        id
    }

    pub(crate) async fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/jobs/{id}")).await.json().await.unwrap()
    }

    /// Polls a job until `wanted` holds for its record, through refused connections and 5xx
    /// answers.
    pub(crate) async fn job_until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let poll = async {
            loop {
                let answer = self.http.get(self.url(&format!("/v1/jobs/{id}?wait=1"))).send().await;
                if let Ok(answer) = answer
                    && answer.status() == 200
                {
                    let record: Value = answer.json().await.unwrap();
                    if wanted(&record) {
                        return record;
                    }
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(LIMIT, poll).await.unwrap_or_else(|_| panic!("job {id} did not get there"))
    }

    /// Waits for a job's end.
    pub(crate) async fn finished(&self, id: &str) -> Value {
        self.job_until(id, |record| !matches!(record["status"].as_str(), Some("queued" | "running"))).await
    }

    /// Downloads the audio of a finished job and checks it against the receipt.
    pub(crate) async fn audio(&self, record: &Value) -> Vec<u8> {
        assert_eq!(record["status"], "succeeded", "{record}");
        let id = record["id"].as_str().unwrap();
        let answer = self.get(&format!("/v1/jobs/{id}/audio")).await;
        assert_eq!(answer.status(), 200);
        let wav = answer.bytes().await.unwrap().to_vec();
        let receipt = &record["receipt"];
        assert_eq!(receipt["bytes"].as_u64().unwrap(), wav.len() as u64);
        let (samples, _) = read_wav(&wav);
        assert_eq!(receipt["samples"].as_u64().unwrap(), samples.len() as u64);
        wav
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Returns samples and format of a WAV, which must be 24 kHz mono 16 bit.
pub(crate) fn read_wav(wav: &[u8]) -> (Vec<i16>, hound::WavSpec) {
    let mut reader = hound::WavReader::new(wav).unwrap();
    let spec = reader.spec();
    assert_eq!((spec.sample_rate, spec.channels, spec.bits_per_sample), (24_000, 1, 16));
    (reader.samples().map(Result::unwrap).collect(), spec)
}

/// Fails unless the development key's mark is found in the delivered bytes.
pub(crate) fn assert_marked(wav: &[u8]) {
    let clip = Clip::from_wav(wav).unwrap();
    let detection = Detector::new(&WatermarkKey::development()).detect(&clip.to_f32());
    assert_eq!(detection.verdict, Verdict::Detected, "z = {}", detection.z);
}
