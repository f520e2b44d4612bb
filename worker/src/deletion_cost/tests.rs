//! Number of the cost, settings, and calls to a stand-in for Kubernetes' API.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser;
use csm_testing::kubernetes_api::{ApiCall, FIRST_TOKEN, KubernetesApi};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

/// Pause between two looks at the cost, short for a test.
const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// Longest time of a call, short for a test.
const SHORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for a call.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct TestCli {
    #[command(flatten)]
    args: DeletionCostArgs,
}

fn parse(flags: &[&str]) -> Result<DeletionCostArgs, clap::Error> {
    let none = ["worker", "--kubernetes-port", "6443"];
    TestCli::try_parse_from(none.iter().chain(flags)).map(|cli| cli.args)
}

/// A worker's task and the API that it calls.
struct Fixture {
    api: KubernetesApi,
    cost: Arc<AtomicU32>,
    task: JoinHandle<Infallible>,
    _folder: TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let api = KubernetesApi::start(folder.path()).await.unwrap();
        let (ip, port) = (api.address.ip().to_string(), api.address.port().to_string());
        let account = folder.path().to_str().unwrap();
        let pod = ["--pod-name", "csm-worker-7", "--pod-namespace", "csm", "--service-account", account];
        let host = ["--kubernetes-host", &ip, "--kubernetes-port", &port];
        let args = TestCli::try_parse_from(["worker"].iter().chain(&pod).chain(&host)).unwrap().args;
        let own = OwnPod { pause: SHORT_PAUSE, timeout: SHORT_TIMEOUT, ..OwnPod::of(&args).unwrap() };
        let cost = Arc::new(AtomicU32::new(0));
        let read = Arc::clone(&cost);
        let task = tokio::spawn(async move { own.keep_deletion_cost(|| read.load(Ordering::SeqCst)).await });
        Self { api, cost, task, _folder: folder }
    }

    fn set(&self, cost: u32) {
        self.cost.store(cost, Ordering::SeqCst);
    }

    /// Waits until the last call has set this cost, and returns the number of calls.
    async fn arrived(&self, cost: &str) -> usize {
        let look = async {
            loop {
                let calls = self.api.calls();
                let last = calls.last().is_some_and(|call| call.answered == 200);
                if last && costs(&calls).last().is_some_and(|last| last == cost) {
                    return calls.len();
                }
                tokio::time::sleep(SHORT_PAUSE / 10).await;
            }
        };
        tokio::time::timeout(ARRIVAL_LIMIT, look).await.unwrap()
    }

    /// Waits for so many pauses that each has had its call.
    async fn pauses(&self, count: u32) {
        tokio::time::sleep(SHORT_PAUSE * count).await;
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn costs(calls: &[ApiCall]) -> Vec<String> {
    let cost = |call: &ApiCall| call.body["metadata"]["annotations"][ANNOTATION].as_str().map(str::to_owned);
    calls.iter().filter_map(cost).collect()
}

#[test]
fn an_idle_worker_costs_nothing_and_others_their_audio_in_powers_of_two() {
    // 12.5 frames are a second.
    let expected = [(0, 0), (1, 1), (12, 1), (13, 2), (50, 4), (51, 8), (12_500, 1_024), (12_801, 2_048)];
    for (frames, cost) in expected {
        assert_eq!(deletion_cost(frames), cost, "{frames} frames");
    }
    for frames in [12_500 << 20, u64::from(u32::MAX) * 32, u64::MAX] {
        assert_eq!(deletion_cost(frames), COST_MAX, "{frames} frames");
    }
    assert!(i32::try_from(COST_MAX).is_ok(), "Kubernetes takes 32 bits with a sign");
}

#[test]
fn no_pod_is_patched_unless_the_settings_name_one() {
    assert!(OwnPod::of(&parse(&[]).unwrap()).is_none());
    assert!(OwnPod::of(&parse(&["--kubernetes-host", "10.0.0.1"]).unwrap()).is_none(), "as every pod has it");
    let pod = ["--pod-name", "w", "--pod-namespace", "csm"];
    assert!(parse(&pod[..2]).is_err(), "the settings name no namespace");
    for (host, shown) in [("10.0.0.1", "10.0.0.1"), ("fd00::1", "[fd00::1]"), ("api.example.com", "api.example.com")] {
        let args = parse(&[&pod[..], &["--kubernetes-host", host]].concat()).unwrap();
        let own = OwnPod::of(&args).unwrap();
        assert_eq!(own.url, format!("https://{shown}:6443/api/v1/namespaces/csm/pods/w"));
        assert_eq!(own.service_account, Path::new("/var/run/secrets/kubernetes.io/serviceaccount"));
    }
}

#[tokio::test]
async fn a_cost_is_sent_once_as_a_merge_patch_with_the_token_of_the_moment() {
    let worker = Fixture::start().await;
    let first = worker.api.called(1).await;
    worker.pauses(5).await;
    assert_eq!(worker.api.calls().len(), 1, "an equal cost is not sent again");
    worker.api.rotate_token("second").unwrap();
    worker.set(64);
    worker.api.called(2).await;
    worker.set(0);
    let calls = worker.api.called(3).await;
    worker.pauses(5).await;
    assert_eq!(worker.api.calls().len(), 3);
    assert_eq!(costs(&calls), ["0", "64", "0"]);
    assert_eq!(first[0].authorization, format!("Bearer {FIRST_TOKEN}"));
    for call in &calls {
        assert_eq!((call.method.as_str(), call.path.as_str()), ("PATCH", "/api/v1/namespaces/csm/pods/csm-worker-7"));
        assert_eq!(call.content_type, "application/merge-patch+json");
        assert_eq!(call.body.as_object().unwrap().len(), 1, "nothing but the annotation: {}", call.body);
        assert_eq!(call.answered, 200);
    }
    assert_eq!(calls[2].authorization, "Bearer second");
}

#[tokio::test]
async fn a_failing_api_is_called_once_a_pause_until_it_works() {
    let worker = Fixture::start().await;
    worker.api.called(1).await;
    worker.api.answer(500);
    worker.set(8);
    let begun = Instant::now();
    let failed = worker.api.called(4).await.len() - 1;
    let pauses = begun.elapsed().as_secs_f64() / SHORT_PAUSE.as_secs_f64();
    assert!(failed as f64 <= pauses + 1.0, "{failed} calls in {pauses} pauses");
    worker.api.answer(200);
    let sent = worker.arrived("8").await;
    worker.pauses(5).await;
    assert_eq!(worker.api.calls().len(), sent, "the cost has arrived");
    // A call without an answer may have arrived, so the same cost as before is sent again.
    worker.api.answer(503);
    worker.set(16);
    worker.api.called(sent + 1).await;
    worker.api.answer(200);
    worker.set(8);
    assert!(worker.arrived("8").await > sent + 1);
}

#[tokio::test]
async fn a_silent_api_holds_a_call_for_a_bounded_time() {
    let worker = Fixture::start().await;
    worker.api.called(1).await;
    worker.api.silence();
    worker.set(8);
    let begun = Instant::now();
    worker.api.called(3).await;
    assert!(begun.elapsed() >= SHORT_TIMEOUT, "the second call waits for the end of the first");
}

#[tokio::test]
async fn a_missing_token_and_a_foreign_authority_send_nothing() {
    let worker = Fixture::start().await;
    worker.api.called(1).await;
    std::fs::remove_file(worker.api.service_account.join("token")).unwrap();
    worker.set(8);
    worker.pauses(5).await;
    assert_eq!(worker.api.calls().len(), 1);
    worker.api.rotate_token("third").unwrap();
    worker.api.called(2).await;
    let other = TempDir::new().unwrap();
    let foreign = KubernetesApi::start(other.path()).await.unwrap();
    std::fs::copy(foreign.service_account.join("ca.crt"), worker.api.service_account.join("ca.crt")).unwrap();
    worker.set(16);
    worker.pauses(5).await;
    assert_eq!(worker.api.calls().len(), 2, "a server that the cluster's authority did not sign gets no token");
}
