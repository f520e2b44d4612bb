//! Deletion cost of a worker's pod: a real worker calls a stand-in for Kubernetes' API.

use std::fs::File;
use std::time::{Duration, Instant};

use csm_testing::kubernetes_api::{FIRST_TOKEN, KubernetesApi};
use tempfile::TempDir;

use crate::test_system::TestSystem;

/// Least pause between two calls of a worker.
const PAUSE: Duration = Duration::from_secs(30);

/// Pause between two jobs of a busy fleet.
const SUBMIT_PAUSE: Duration = Duration::from_millis(500);

struct Pod {
    system: TestSystem,
    api: KubernetesApi,
    folder: TempDir,
}

impl Pod {
    /// Starts a fleet of one worker, as a pod whose API answers `status`.
    async fn start(status: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let api = KubernetesApi::start(folder.path()).await.unwrap();
        api.answer(status);
        let (ip, port) = (api.address.ip().to_string(), api.address.port().to_string());
        let settings = [
            ("CSM_POD_NAME", "csm-worker-7"),
            ("CSM_POD_NAMESPACE", "csm"),
            ("CSM_SERVICE_ACCOUNT", folder.path().to_str().unwrap()),
            ("KUBERNETES_SERVICE_HOST", ip.as_str()),
            ("KUBERNETES_SERVICE_PORT", port.as_str()),
        ];
        let mut system = TestSystem::start(0, 2).await;
        system.add_worker_with(&settings, File::create(folder.path().join("log")).unwrap());
        system.ready().await;
        Self { system, api, folder }
    }

    /// Returns the costs that the worker has sent, in order.
    fn costs(&self) -> Vec<u32> {
        let annotation = "/metadata/annotations/controller.kubernetes.io~1pod-deletion-cost";
        let cost = |text: &str| text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        self.api.calls().iter().map(|call| cost(call.body.pointer(annotation).unwrap().as_str().unwrap())).collect()
    }
}

#[tokio::test]
async fn a_busy_worker_costs_more_than_an_idle_one() {
    let pod = Pod::start(200).await;
    pod.api.called(1).await;
    assert_eq!(pod.costs(), [0]);
    // The worker has more to do than it can speak, until its next look.
    let work = async {
        for seed in 0.. {
            pod.system.client.submit(seed, 5_000).await;
            tokio::time::sleep(SUBMIT_PAUSE).await;
        }
    };
    tokio::select! {
        calls = pod.api.called(2) => assert_eq!(calls.len(), 2),
        () = work => {}
    }
    let cost = pod.costs()[1];
    assert!(cost.is_power_of_two(), "{cost}");
    assert!(pod.api.calls().iter().all(|call| call.path == "/api/v1/namespaces/csm/pods/csm-worker-7"));
}

#[tokio::test]
async fn a_failing_api_costs_no_job_and_one_line_of_the_log() {
    let begun = Instant::now();
    let mut pod = Pod::start(503).await;
    pod.api.called(1).await;
    for seed in 0..6 {
        let id = pod.system.client.submit(seed, 50).await;
        let record = pod.system.client.finished(&id).await;
        assert_eq!(record["attempt"], 1, "{record}");
    }
    pod.api.called(2).await;
    let (calls, pauses) = (pod.api.calls().len(), begun.elapsed().as_secs() / PAUSE.as_secs());
    assert!(calls as u64 <= pauses + 1, "{calls} calls in {pauses} pauses");
    assert!(pod.system.workers[0].process.terminate().await.unwrap().success());
    let log = std::fs::read_to_string(pod.folder.path().join("log")).unwrap();
    assert_eq!(log.matches("cannot set deletion cost").count(), 1, "{log}");
    assert!(log.contains("503") && !log.contains(FIRST_TOKEN), "{log}");
}
