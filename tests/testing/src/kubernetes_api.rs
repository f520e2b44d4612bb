//! HTTPS server that answers as Kubernetes' API does to a patch of a pod, and records the calls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::Authority;

/// Token of the service account at the start.
pub const FIRST_TOKEN: &str = "token-of-the-start";
/// Longest wait for a call.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at the calls.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Longest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Call that the server got, and its answer.
#[derive(Clone, Debug)]
pub struct ApiCall {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Header `Authorization`.
    pub authorization: String,
    /// Header `Content-Type`.
    pub content_type: String,
    /// Body; null if it is no JSON.
    pub body: Value,
    /// Status of the answer; 0 for none.
    pub answered: u16,
}

/// Running server. Dropping it ends it.
pub struct KubernetesApi {
    /// Address of the server.
    pub address: SocketAddr,
    /// Folder with `token` and `ca.crt`, as a pod finds them.
    pub service_account: PathBuf,
    state: Arc<ApiState>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct ApiState {
    calls: Mutex<Vec<ApiCall>>,
    answer: Mutex<Answer>,
}

struct Answer {
    token: String,
    /// Status for a good call; 0 for no answer at all.
    status: u16,
}

impl Default for Answer {
    fn default() -> Self {
        Self { token: FIRST_TOKEN.to_owned(), status: 200 }
    }
}

impl KubernetesApi {
    /// Starts a server on this machine. The files of the service account go into `folder`, which exists.
    ///
    /// # Errors
    /// If a file cannot be written or no port be bound.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let authority = Authority::new(folder, "cluster")?;
        let server = authority.sign("apiserver")?;
        std::fs::rename(&authority.certificate, folder.join("ca.crt"))?;
        let certificate = CertificateDer::from_pem_file(&server.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&server.key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let address = tcp.local_addr()?;
        let state = Arc::new(ApiState::default());
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let api = Self { address, service_account: folder.to_owned(), state, task };
        api.rotate_token(FIRST_TOKEN)?;
        Ok(api)
    }

    /// Replaces the token, at once and whole as the kubelet does. The server refuses the former one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn rotate_token(&self, token: &str) -> anyhow::Result<()> {
        let mut answer = lock(&self.state.answer);
        let (new, file) = (self.service_account.join("token.new"), self.service_account.join("token"));
        std::fs::write(&new, format!("{token}\n"))?;
        std::fs::rename(&new, &file).context("token")?;
        answer.token = token.to_owned();
        Ok(())
    }

    /// Sets the status of the answers to good calls.
    pub fn answer(&self, status: u16) {
        lock(&self.state.answer).status = status;
    }

    /// Makes the server take calls and answer none.
    pub fn silence(&self) {
        self.answer(0);
    }

    /// Returns all calls up to now.
    #[must_use]
    pub fn calls(&self) -> Vec<ApiCall> {
        lock(&self.state.calls).clone()
    }

    /// Waits for the call of this number, from 1, and returns all calls.
    pub async fn called(&self, number: usize) -> Vec<ApiCall> {
        let look = async {
            while self.calls().len() < number {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            self.calls()
        };
        let called = tokio::time::timeout(CALL_LIMIT, look).await;
        called.unwrap_or_else(|_| panic!("no call {number}: {:?}", self.calls()))
    }
}

impl Drop for KubernetesApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records a call and answers it.
async fn answer(State(state): State<Arc<ApiState>>, request: Request) -> StatusCode {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let mut call = ApiCall {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        authorization: header(&head.headers, "authorization"),
        content_type: header(&head.headers, "content-type"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        answered: 0,
    };
    call.answered = {
        let answer = lock(&state.answer);
        match answer.status {
            0 => 0,
            _ if call.authorization != format!("Bearer {}", answer.token) => 401,
            _ if call.method == "PATCH" && !call.content_type.ends_with("-patch+json") => 415,
            status => status,
        }
    };
    let status = call.answered;
    lock(&state.calls).push(call);
    match StatusCode::from_u16(status) {
        Ok(status) => status,
        Err(_) => std::future::pending().await,
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Listener that speaks TLS. A caller that refuses the certificate is dropped.
struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, peer)) = self.tcp.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
