//! Deletion cost of this worker's pod, so that Kubernetes scales idle workers down first.
//!
//! A ReplicaSet that shrinks deletes the pods of the least cost first, of those that are ready. The
//! cost is an annotation, so a worker patches its own pod. The call is one HTTP request: a client
//! library of Kubernetes would bring a model of its whole API. A call that fails touches no job.

use std::convert::Infallible;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use csm_shared::audio::FRAME_MS;
use csm_shared::process::error_chain::in_one_line;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};
use serde_json::json;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// Annotation that a ReplicaSet reads, an integer as text. A pod without it costs 0.
const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Media type of a patch that leaves all other fields as they are, RFC 7386.
const MERGE_PATCH: &str = "application/merge-patch+json";
/// Pause between two looks at the cost, and so between two calls. Kubernetes asks for few updates,
/// and its API has one such call of each worker to bear.
const UPDATE_PAUSE: Duration = Duration::from_secs(30);
/// Longest time that a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest cost: 2^20 s, or 12 days of audio.
const COST_MAX: u32 = 1 << 20;
/// Longest token or bundle of certificates that is read, in bytes.
const CREDENTIAL_BYTES_MAX: u64 = 256 * 1024;

/// Settings of the deletion cost, which is off without a pod's name, and so by default.
#[derive(Args, Clone, Debug, Default)]
pub struct DeletionCostArgs {
    /// Pod of this worker. The worker then keeps the pod's deletion cost: an autoscaler removes idle workers first
    #[arg(long, env = "CSM_POD_NAME", value_name = "NAME", requires_all = ["pod_namespace", "kubernetes_host"])]
    pub pod_name: Option<String>,
    /// Namespace of the pod
    #[arg(long, env = "CSM_POD_NAMESPACE", value_name = "NAME")]
    pub pod_namespace: Option<String>,
    /// Folder with `token` and `ca.crt` of the pod's service account
    #[arg(
        long,
        env = "CSM_SERVICE_ACCOUNT",
        value_name = "DIR",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount"
    )]
    pub service_account: PathBuf,
    /// Host of Kubernetes' API; each pod gets the variable
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", value_name = "HOST")]
    pub kubernetes_host: Option<String>,
    /// Port of Kubernetes' API; each pod gets the variable
    #[arg(long, env = "KUBERNETES_SERVICE_PORT", value_name = "PORT", default_value_t = 443)]
    pub kubernetes_port: u16,
}

/// The worker's own pod in Kubernetes' API.
#[derive(Clone, Debug)]
pub struct OwnPod {
    url: String,
    service_account: PathBuf,
    pause: Duration,
    timeout: Duration,
}

/// Failure to set the cost.
#[derive(Debug, thiserror::Error)]
enum PatchError {
    /// Missing or unreadable file of the service account.
    #[error("{}: {source}", path.display())]
    Credential { path: PathBuf, source: std::io::Error },
    /// Unusable certificates or token, or an API that does not answer.
    #[error(transparent)]
    Call(#[from] reqwest::Error),
    /// Refusal, such as 403 for an account without the right to patch pods.
    #[error("Kubernetes' API answered {0}")]
    Refused(StatusCode),
}

impl OwnPod {
    /// Returns the pod that the settings name, or `None` if they name none.
    #[must_use]
    pub fn of(args: &DeletionCostArgs) -> Option<Self> {
        let (name, namespace) = (args.pod_name.as_ref()?, args.pod_namespace.as_ref()?);
        let (host, port) = (args.kubernetes_host.as_ref()?, args.kubernetes_port);
        let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.clone() };
        Some(Self {
            url: format!("https://{host}:{port}/api/v1/namespaces/{namespace}/pods/{name}"),
            service_account: args.service_account.clone(),
            pause: UPDATE_PAUSE,
            timeout: CALL_TIMEOUT,
        })
    }

    /// Sets the pod's cost whenever `cost` returns another one, at most once every [`UPDATE_PAUSE`].
    /// The first call sets it in any case, because an earlier process of the pod may have left one.
    /// A failure is logged once; the next pause ends in another try.
    pub(crate) async fn keep_deletion_cost(&self, cost: impl Fn() -> u32) -> Infallible {
        let (mut known, mut failing) = (None, false);
        loop {
            let cost = cost();
            if known != Some(cost) {
                let set = self.set_deletion_cost(cost).await;
                // The API may have taken a call that it did not answer.
                known = set.is_ok().then_some(cost);
                match set {
                    Ok(()) if failing => tracing::info!(cost, "set deletion cost of pod again"),
                    Ok(()) => tracing::debug!(cost, "set deletion cost of pod"),
                    Err(error) if failing => tracing::debug!(error = in_one_line(&error), "cannot set deletion cost"),
                    Err(error) => {
                        let error = in_one_line(&error);
                        tracing::warn!(error, "cannot set deletion cost of pod, busy workers may be scaled down first");
                    }
                }
                failing = known.is_none();
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Makes one call. The kubelet rotates token and certificates, so both are read for each call.
    async fn set_deletion_cost(&self, cost: u32) -> Result<(), PatchError> {
        let certificates = Certificate::from_pem_bundle(&self.credential("ca.crt").await?)?;
        let token = self.credential("token").await?;
        let client = Client::builder()
            .tls_certs_only(certificates)
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .timeout(self.timeout)
            .build()?;
        let patch = json!({ "metadata": { "annotations": { ANNOTATION: cost.to_string() } } });
        let request = client.patch(&self.url).bearer_auth(String::from_utf8_lossy(&token).trim());
        let answer = request.header(CONTENT_TYPE, MERGE_PATCH).body(patch.to_string()).send().await?;
        if answer.status().is_success() { Ok(()) } else { Err(PatchError::Refused(answer.status())) }
    }

    async fn credential(&self, name: &str) -> Result<Vec<u8>, PatchError> {
        let path = self.service_account.join(name);
        read_bounded(&path).await.map_err(|source| PatchError::Credential { path, source })
    }
}

async fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).await?.take(CREDENTIAL_BYTES_MAX).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Returns the cost of deleting a worker whose running jobs are expected to need `frames` frames: 0
/// if it is idle, else their seconds of audio, rounded up to a power of two so that few jobs change it.
pub(crate) fn deletion_cost(frames: u64) -> u32 {
    let seconds = frames.saturating_mul(u64::from(FRAME_MS)).div_ceil(1_000);
    match u32::try_from(seconds).unwrap_or(COST_MAX).min(COST_MAX) {
        0 => 0,
        seconds => seconds.next_power_of_two(),
    }
}

#[cfg(test)]
mod tests;
