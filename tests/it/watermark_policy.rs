//! Without the marks of its policy a worker does not become ready, says why, and delivers no audio.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use csm_shared::audio::Clip;
use csm_shared::job::JobId;
use csm_shared::models::{PINS, SILENTCIPHER};
use csm_silentcipher::{BnMode, Bounds, ExpectedPayload, SilentCipher};
use csm_worker::marks::{Verdict, WatermarkKey};
use serde_json::Value;
use tempfile::TempDir;

use crate::test_client::assert_marked;
use crate::test_system::TestSystem;

/// Longest wait for a line of a worker's log.
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two requests to a health port.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Frames of the job: 4.8 s, which hold SilentCipher's message more than twice.
const FRAMES: u64 = 60;

const FILES: [&str; 3] = ["enc_c.ckpt", "dec_c.ckpt", "dec_m_0.ckpt"];

/// Returns small networks with random weights: well formed, but their mark cannot be found.
fn random_weights() -> PathBuf {
    csm_testing::golden("silentcipher/narrow")
}

/// Returns a copy of the random weights in which `file` holds `content`.
fn spoiled(file: &str, content: &[u8]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in FILES {
        fs::copy(random_weights().join(name), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join(file), content).unwrap();
    folder
}

/// Queued job, and the file for a worker's log.
struct PolicyScenario {
    system: TestSystem,
    job: String,
    logs: TempDir,
}

impl PolicyScenario {
    /// Starts a gateway and submits a job; no worker runs.
    async fn start() -> Self {
        let system = TestSystem::start(0, 1).await;
        let job = system.client.submit(1, FRAMES).await;
        Self { system, job, logs: TempDir::new().unwrap() }
    }

    fn add_worker(&mut self, settings: &[(&str, &str)]) {
        let log = File::create(self.log_file()).unwrap();
        self.system.add_worker_with(settings, log);
    }

    fn log_file(&self) -> PathBuf {
        self.logs.path().join("worker.log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    /// Waits until the last worker's health port reports a missing part; returns the reason.
    async fn reason(&self) -> String {
        let url = format!("http://{}/readyz", self.system.workers.last().unwrap().admin);
        let wait = async {
            loop {
                if let Ok(answer) = reqwest::get(&url).await {
                    assert_eq!(answer.status(), 503, "{}", self.log());
                    let state: Value = answer.json().await.unwrap();
                    if state["status"] == "degraded" {
                        return state["reason"].as_str().unwrap().to_owned();
                    }
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("{}", self.log()))
    }

    /// Checks that the job still waits and the store is empty.
    async fn assert_untouched(&self) {
        let record = self.system.client.job(&self.job).await;
        assert_eq!((&record["status"], &record["attempt"]), (&"queued".into(), &0.into()), "{record}");
        assert!(self.system.stored_files().is_empty());
    }
}

#[tokio::test]
async fn a_folder_without_usable_weights_ends_the_worker_and_no_audio_leaves() {
    let mut scenario = PolicyScenario::start().await;
    let good = fs::read(random_weights().join("dec_c.ckpt")).unwrap();
    let other = fs::read(random_weights().join("enc_c.ckpt")).unwrap();
    let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let empty = TempDir::new().unwrap();
    let cases = [
        ("lacks enc_c.ckpt, dec_c.ckpt, dec_m_0.ckpt", empty),
        ("dec_c.ckpt", spoiled("dec_c.ckpt", &noise)),
        ("dec_c.ckpt", spoiled("dec_c.ckpt", &good[..good.len() / 2])),
        ("dec_c.ckpt", spoiled("dec_c.ckpt", b"")),
        ("dec_m_0.ckpt", spoiled("dec_m_0.ckpt", &other)),
        ("did not find the mark", spoiled("hparams.yaml", b"message_sdr: 36\n")),
    ];
    for (policy, (told, folder)) in ["both", "silentcipher"].into_iter().cycle().zip(&cases) {
        let folder = folder.path().to_str().unwrap();
        scenario.add_worker(&[("CSM_WATERMARK", policy), ("CSM_SILENTCIPHER", folder)]);
        let ended = scenario.system.workers.pop().unwrap().process.end().await.unwrap();
        let log = scenario.log();
        assert!(!ended.success(), "{log}");
        let line = log.lines().find(|line| line.contains("SilentCipher's weights")).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains(folder) && line.contains(told), "{line}");
        scenario.assert_untouched().await;
    }

    // The job was valid all along.
    scenario.add_worker(&[("CSM_WATERMARK", "builtin")]);
    let record = scenario.system.client.finished(&scenario.job).await;
    assert_marked(&scenario.system.client.audio(&record).await);
    assert_eq!(record["receipt"]["watermarks"][0]["scheme"], "builtin", "{record}");
}

#[tokio::test]
async fn weights_that_the_hub_does_not_give_keep_a_worker_from_getting_ready() {
    let mut scenario = PolicyScenario::start().await;
    let cache = TempDir::new().unwrap();
    let hub = [
        ("CSM_WATERMARK", "both"),
        ("HF_HUB_CACHE", cache.path().to_str().unwrap()),
        ("HF_ENDPOINT", "http://127.0.0.1:9"),
    ];
    scenario.add_worker(&hub);
    let reason = scenario.reason().await;
    assert!(reason.contains("SilentCipher's weights: http://127.0.0.1:9 cannot be reached"), "{reason}");
    // Invalid weights appear in the cache, and the next try finds them.
    cached(&random_weights(), cache.path());
    let changed = async {
        while scenario.reason().await == reason {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(LIMIT, changed).await.unwrap();
    let unusable = scenario.reason().await;
    assert!(unusable.contains("did not find the mark"), "{unusable}");
    scenario.assert_untouched().await;
    for line in [&reason, &unusable] {
        assert_eq!(scenario.log().matches(line.as_str()).count(), 1, "told once: {}", scenario.log());
    }
    let worker = &mut scenario.system.workers[0].process;
    assert!(worker.ended().unwrap().is_none());
    assert!(worker.terminate().await.unwrap().success());
    scenario.assert_untouched().await;
}

/// Puts weights into a cache as if they had come from the hub.
fn cached(weights: &Path, cache: &Path) {
    let pin = PINS.iter().find(|pin| pin.repo == SILENTCIPHER).unwrap();
    let repository = cache.join("models--sony--silentcipher");
    let folder = repository.join("snapshots").join(pin.commit).join("44_1_khz/73999_iteration");
    fs::create_dir_all(&folder).unwrap();
    for name in FILES.into_iter().chain(["hparams.yaml"]) {
        fs::copy(weights.join(name), folder.join(name)).unwrap();
    }
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), pin.commit).unwrap();
}

#[tokio::test]
async fn weights_in_the_cache_are_used_unasked_and_never_fetched_unasked() {
    let mut scenario = PolicyScenario::start().await;
    let cache = TempDir::new().unwrap();
    let hub = [
        ("CSM_LOG", "info"),
        ("HF_HUB_CACHE", cache.path().to_str().unwrap()),
        // A request to this hub would show in the log.
        ("HF_ENDPOINT", "http://127.0.0.1:9"),
    ];
    cached(&random_weights(), cache.path());
    scenario.add_worker(&hub);
    assert!(scenario.reason().await.contains("did not find the mark"), "{}", scenario.log());
    assert!(
        scenario.log().contains("chose watermark policy") && scenario.log().contains("policy=both"),
        "{}",
        scenario.log()
    );
    scenario.assert_untouched().await;
    scenario.system.workers.pop().unwrap().process.kill9().await.unwrap();

    fs::remove_dir_all(cache.path().join("models--sony--silentcipher")).unwrap();
    scenario.add_worker(&hub);
    let record = scenario.system.client.finished(&scenario.job).await;
    assert_eq!(record["receipt"]["watermarks"].as_array().unwrap().len(), 1, "{record}");
    let log = scenario.log();
    assert!(log.contains("policy=builtin") && log.contains("not in the cache"), "{log}");
    assert!(!log.contains("127.0.0.1:9"), "{log}");
}

/// Returns small trained networks: their mark can be found.
fn trained_weights() -> PathBuf {
    csm_testing::golden("silentcipher/small")
}

#[tokio::test]
async fn with_working_weights_a_file_carries_both_marks() {
    let mut scenario = PolicyScenario::start().await;
    let folder = trained_weights();
    scenario.add_worker(&[("CSM_WATERMARK", "both"), ("CSM_SILENTCIPHER", folder.to_str().unwrap())]);
    let record = scenario.system.client.finished(&scenario.job).await;
    let wav = scenario.system.client.audio(&record).await;
    let findings = record["receipt"]["watermarks"].as_array().unwrap();
    let told: Vec<_> = findings.iter().map(|found| [&found["scheme"], &found["verdict"]]).collect();
    assert_eq!(told, [["builtin", "detected"], ["silentcipher", "detected"]], "{record}");

    assert_marked(&wav);
    let (key, audio) = (WatermarkKey::development(), Clip::from_wav(&wav).unwrap().to_f32());
    let cipher = SilentCipher::load(&folder, BnMode::Running).unwrap();
    let keys = [key];
    let of =
        |job: &JobId| cipher.find(&audio, &ExpectedPayload::all(&keys, Some(job)), &Bounds::default()).unwrap().verdict;
    assert_eq!(of(&scenario.job.parse().unwrap()), Verdict::Detected);
    assert_ne!(of(&JobId::generate()), Verdict::Detected);
}

/// Sends the file through the API and the detection queue in Redis to a worker.
#[tokio::test]
async fn silentcipher_s_mark_is_found_by_who_sends_the_file_to_the_gateway() {
    let mut scenario = PolicyScenario::start().await;
    let detect = async |scenario: &PolicyScenario, wav: &[u8], query: &str| {
        let url = format!("http://{}/v1/watermark/detect{query}", scenario.system.client.address);
        let answer = reqwest::Client::new().post(url).body(wav.to_vec()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()
    };
    let folder = trained_weights();
    scenario.add_worker(&[("CSM_WATERMARK", "both"), ("CSM_SILENTCIPHER", folder.to_str().unwrap())]);
    let record = scenario.system.client.finished(&scenario.job).await;
    let wav = scenario.system.client.audio(&record).await;

    let report = detect(&scenario, &wav, &format!("?job={}", scenario.job)).await;
    let [builtin, silentcipher] = [&report["findings"][0], &report["findings"][1]];
    assert_eq!((&builtin["scheme"], &builtin["verdict"]), (&"builtin".into(), &"detected".into()), "{report}");
    assert_eq!((&silentcipher["scheme"], &silentcipher["verdict"]), (&"silentcipher".into(), &"detected".into()));
    assert_eq!(silentcipher["key_id"], WatermarkKey::development().id().to_string()[..4], "{report}");
    assert_eq!(report["not_looked_for"], Value::Null, "{report}");
    let report = detect(&scenario, &wav, &format!("?job={}", JobId::generate())).await;
    assert_ne!(report["findings"][1]["verdict"], "detected", "{report}");

    // An unmarked recording, with and without a worker that detects.
    let mut noise = 1_u32;
    let hiss = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 20) as i16
    });
    let unmarked = Clip::from_samples(hiss.take(72_000).collect()).to_wav();
    let report = detect(&scenario, &unmarked, "").await;
    assert_eq!((&report["findings"][0]["verdict"], &report["not_looked_for"]), (&"not_detected".into(), &Value::Null));
    // On a busy machine the time may be over before every place was searched.
    assert_ne!(report["findings"][1]["verdict"], "detected", "{report}");
    let mut worker = scenario.system.workers.pop().unwrap().process;
    assert!(worker.terminate().await.unwrap().success());
    let report = detect(&scenario, &unmarked, "").await;
    assert_eq!((&report["verdict"], &report["findings"][1]), (&"inconclusive".into(), &Value::Null), "{report}");
    assert_eq!(report["not_looked_for"], serde_json::json!(["silentcipher"]), "{report}");
}
