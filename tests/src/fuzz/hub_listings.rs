//! A model hub whose listings, files and headers are damaged, asked by the real client.
//!
//! An input holds five parts with a line `---` between them: the listing, `config.json`, the index,
//! a safetensors header, and the commit.
//!
//! The client (`hf-hub` 1.0) names files of its cache by the commit and the ETag, and checks
//! neither. A hub is trusted for these two headers, so they are plain names here.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use csm_shared::models::{HubError, HubOptions, ModelFiles, ModelSource, resolve};
use csm_shared::process::digest::sha256_hex;
use csm_testing::mutator::read_corpus;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::fuzz_run::FuzzTarget;
use super::{corpus_folder, without_digits};

/// Line between two parts of an input.
const BETWEEN: &[u8] = b"\n---\n";
/// Longest wait for the hub, which is on this machine.
const HUB_LIMIT: Duration = Duration::from_secs(4);
/// Model that is asked for.
const MODEL: &str = "owner/name";

/// Parts of an input.
#[derive(Clone, Default)]
struct Parts {
    listing: Vec<u8>,
    config: Vec<u8>,
    index: Vec<u8>,
    header: Vec<u8>,
    commit: Vec<u8>,
}

impl Parts {
    fn of(input: &[u8]) -> Self {
        let mut parts = Vec::new();
        let mut rest = input;
        while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
            parts.push(rest[..at].to_vec());
            rest = &rest[at + BETWEEN.len()..];
        }
        parts.push(rest.to_vec());
        let mut parts = parts.into_iter();
        let mut next = || parts.next().unwrap_or_default();
        Self { listing: next(), config: next(), index: next(), header: next(), commit: next() }
    }
}

/// Hub of this process.
pub(super) struct HubListings {
    address: SocketAddr,
    parts: Arc<Mutex<Parts>>,
    serving: JoinHandle<()>,
}

impl HubListings {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let parts = Arc::new(Mutex::new(Parts::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&parts));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            // The server ends with the target.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, parts, serving })
    }
}

impl Drop for HubListings {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers `/api/models/OWNER/NAME/tree/REVISION` and `/OWNER/NAME/resolve/REVISION/FILE`.
async fn answer(State(parts): State<Arc<Mutex<Parts>>>, request: Request) -> Response {
    let parts = parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let path = request.uri().path();
    if path.contains("/tree/") {
        return ([(CONTENT_TYPE, "application/json")], parts.listing).into_response();
    }
    let content = match path {
        path if path.ends_with("config.json") => parts.config,
        path if path.ends_with("index.json") => parts.index,
        path if path.ends_with("tokenizer.json") => b"{}".to_vec(),
        _ => [&(parts.header.len() as u64).to_le_bytes()[..], &parts.header].concat(),
    };
    let commit: Vec<u8> = parts.commit.into_iter().filter(u8::is_ascii_alphanumeric).collect();
    let Ok(commit) = HeaderValue::from_bytes(&commit) else { return StatusCode::NOT_FOUND.into_response() };
    let etag = format!("\"{}\"", sha256_hex(&content));
    let length = content.len().to_string();
    let body = if request.method() == Method::HEAD { Body::empty() } else { Body::from(content) };
    let mut response = ([(ETAG, etag), (CONTENT_LENGTH, length)], body).into_response();
    response.headers_mut().insert("x-repo-commit", commit);
    response
}

impl FuzzTarget for HubListings {
    const NAME: &'static str = "hub-listings";
    const INPUT_BYTES_MAX: usize = 16 * 1024;
    const PEAK_BYTES_MAX: usize = 64 * 1024 * 1024;
    const WORDS: &'static [&'static str] = &[
        "\n---\n",
        "../",
        "..",
        "/",
        "\\",
        "\"type\":\"directory\"",
        "\"size\":",
        "\"path\":\"",
        "\"weight_map\":{",
        "model.safetensors",
        ".index.json",
        "codec_model.",
        "null",
        "[",
        "{",
    ];

    fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        Ok(read_corpus(&corpus_folder(Self::NAME))?)
    }

    async fn read(&self, input: Vec<u8>) -> Result<String, String> {
        *self.parts.lock().unwrap_or_else(PoisonError::into_inner) = Parts::of(&input);
        let folder = tempfile::Builder::new().prefix("csm-fuzz-hub-").tempdir().map_err(|error| error.to_string())?;
        // Deep below the folder, so that names with `..` end within it.
        let cache = folder.path().join("a/b/c/d/cache");
        let options = HubOptions {
            cache_dir: Some(cache.clone()),
            endpoint: Some(format!("http://{}", self.address)),
            contact_timeout: HUB_LIMIT,
            stall_timeout: HUB_LIMIT,
            ..HubOptions::default()
        };
        let source: ModelSource = MODEL.parse().map_err(|_| "a name that is none".to_owned())?;
        let resolved = Box::pin(resolve(&source, ModelFiles::Everything, &options)).await;
        if let Some(stray) = stray_file(folder.path(), &cache) {
            return Err(format!("a file outside of the cache: {stray}"));
        }
        match resolved {
            Ok(model) if !model.path.starts_with(&cache) => Err(format!("a model in {}", model.path.display())),
            Ok(_) => Ok("found".to_owned()),
            Err(HubError::Timeout { .. }) => Err("the hub was asked without end".to_owned()),
            Err(error) => Ok(without_digits(&format!("{error:?}").replace(&folder.path().display().to_string(), ""))),
        }
    }
}

/// Returns a file below `folder` that is not below `cache`.
fn stray_file(folder: &Path, cache: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?;
    entries.flatten().map(|entry| entry.path()).filter(|path| path != cache).find_map(|path| {
        let is_folder = path.is_dir() && !path.is_symlink();
        if is_folder { stray_file(&path, cache) } else { Some(path.display().to_string()) }
    })
}
