//! Tests of fetching a model from a server that answers like the hub, and from the cache without a
//! server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use csm_shared::models::{HubError, HubOptions, ModelFiles, ModelSource, resolve, weight_files};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::Instant;

mod digests;
mod silentcipher_weights;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

type Files = BTreeMap<&'static str, Vec<u8>>;

/// Answer to a GET of a file, in place of the file.
#[derive(Clone, Copy)]
enum Fault {
    ErrorPage,
    Silent,
    /// The file with one bit changed, under the digest of the right one.
    FlippedBit,
}

/// Content and behaviour of the server.
#[derive(Default)]
struct Repositories {
    files: BTreeMap<&'static str, Files>,
    gated: bool,
    spoiled: Mutex<Option<(&'static str, Fault)>>,
    requests: Mutex<Vec<String>>,
}

struct FakeHub {
    address: SocketAddr,
    repositories: Arc<Repositories>,
    serving: tokio::task::JoinHandle<()>,
}

impl FakeHub {
    async fn start(repositories: Repositories) -> Self {
        let repositories = Arc::new(repositories);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&repositories));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, repositories, serving }
    }

    fn spoil(&self, file: &'static str, fault: Fault) {
        *self.repositories.spoiled.lock().unwrap() = Some((file, fault));
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.repositories.requests.lock().unwrap())
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers `/OWNER/NAME/resolve/REVISION/FILE` and `/api/models/OWNER/NAME/tree/REVISION`.
async fn answer(State(hub): State<Arc<Repositories>>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    hub.requests.lock().unwrap().push(format!("{method} {path}"));
    if hub.gated {
        return (StatusCode::UNAUTHORIZED, [("x-error-code", "GatedRepo")]).into_response();
    }
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match parts[..] {
        ["api", "models", owner, name, "tree", _, ref folder @ ..] => {
            match hub.files.get(&*format!("{owner}/{name}")) {
                Some(files) => tree(files, &folder.join("/")),
                None => StatusCode::NOT_FOUND.into_response(),
            }
        }
        [owner, name, "resolve", _, ref file @ ..] => {
            let file = file.join("/");
            let content = hub.files.get(&*format!("{owner}/{name}")).and_then(|files| files.get(&*file));
            let spoiled = *hub.spoiled.lock().unwrap();
            let fault = spoiled.filter(|(name, _)| *name == file && method == Method::GET).map(|(_, fault)| fault);
            match content {
                Some(_) if matches!(fault, Some(Fault::Silent)) => std::future::pending().await,
                Some(content) if matches!(fault, Some(Fault::FlippedBit)) => {
                    let mut damaged = content.clone();
                    damaged[0] ^= 1;
                    damaged_answer(content, damaged)
                }
                Some(_) if fault.is_some() => (StatusCode::FORBIDDEN, "try later").into_response(),
                Some(content) => file_answer(&method, content),
                None => (StatusCode::NOT_FOUND, [("x-repo-commit", COMMIT)]).into_response(),
            }
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Lists the files of a folder; the empty name is the top.
fn tree(files: &Files, folder: &str) -> Response {
    let entry =
        |(path, content): (&&str, &Vec<u8>)| json!({"type": "file", "oid": "0", "size": content.len(), "path": path});
    let here = files.iter().filter(|(path, _)| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder);
    axum::Json(here.map(entry).collect::<Vec<_>>()).into_response()
}

fn file_answer(method: &Method, content: &[u8]) -> Response {
    let etag: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let body = if *method == Method::HEAD { Body::empty() } else { Body::from(content.to_vec()) };
    Response::builder()
        .header("etag", format!("\"{etag}\""))
        .header("x-repo-commit", COMMIT)
        .header("content-length", content.len())
        .body(body)
        .unwrap()
}

/// Answers with other bytes than those that the digest promises.
fn damaged_answer(content: &[u8], damaged: Vec<u8>) -> Response {
    let mut answer = file_answer(&Method::GET, content);
    *answer.body_mut() = Body::from(damaged);
    answer
}

fn safetensors(tensor: &str) -> Vec<u8> {
    let header = json!({ tensor: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} }).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

/// Returns a repository with both layouts, like `sesame/csm-1b`.
fn both_layouts() -> Files {
    let index = json!({"weight_map": {"a": "t-1.safetensors", "codec_model.b": "t-2.safetensors"}});
    Files::from([
        ("config.json", b"{\"model_type\":\"csm\"}".to_vec()),
        ("tokenizer.json", b"{}".to_vec()),
        ("ckpt.pt", vec![0; 100]),
        ("model.safetensors", safetensors("backbone.norm.scale")),
        ("transformers.safetensors.index.json", index.to_string().into_bytes()),
        ("t-1.safetensors", safetensors("lm_head.weight")),
        ("t-2.safetensors", safetensors("codec_model.encoder.weight")),
    ])
}

fn original_layout() -> Files {
    let wanted = ["config.json", "tokenizer.json", "model.safetensors"];
    both_layouts().into_iter().filter(|(name, _)| wanted.contains(name)).collect()
}

fn mimi() -> Files {
    Files::from([
        ("config.json", b"{\"model_type\":\"mimi\"}".to_vec()),
        ("model.safetensors", safetensors("encoder.weight")),
    ])
}

fn hub_of(repositories: impl IntoIterator<Item = (&'static str, Files)>) -> Repositories {
    Repositories { files: repositories.into_iter().collect(), ..Repositories::default() }
}

fn options(address: SocketAddr, cache: &TempDir) -> HubOptions {
    HubOptions {
        cache_dir: Some(cache.path().to_owned()),
        endpoint: Some(format!("http://{address}")),
        contact_timeout: Duration::from_secs(3),
        // The content of these repositories is that of the tests.
        pins: &[],
        ..HubOptions::default()
    }
}

fn source(text: &str) -> ModelSource {
    text.parse().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_shards_are_fetched_where_both_layouts_are() {
    let hub = FakeHub::start(hub_of([("sesame/csm-1b", both_layouts())])).await;
    let cache = tempfile::tempdir().unwrap();
    let options = options(hub.address, &cache);
    let model = resolve(&source("sesame/csm-1b"), ModelFiles::Everything, &options).await.unwrap();
    assert_eq!((model.id.as_str(), model.revision.as_deref()), ("sesame/csm-1b", Some(COMMIT)));
    let fetched =
        ["config.json", "t-1.safetensors", "t-2.safetensors", "tokenizer.json", "transformers.safetensors.index.json"];
    assert_eq!(names(&model.path), fetched);
    let weights = weight_files(&model.path).unwrap();
    assert_eq!(fs::read(&weights[1]).unwrap(), both_layouts()["t-2.safetensors"]);

    hub.requests();
    let again = resolve(&source("sesame/csm-1b"), ModelFiles::Everything, &options).await.unwrap();
    assert_eq!(again, model);
    assert_eq!(hub.requests(), ["HEAD /sesame/csm-1b/resolve/main/config.json"], "nothing is loaded twice");
}

#[tokio::test]
async fn the_gateway_fetches_no_weights() {
    let hub = FakeHub::start(hub_of([("sesame/csm-1b", both_layouts())])).await;
    let cache = tempfile::tempdir().unwrap();
    let model = resolve(&source("sesame/csm-1b"), ModelFiles::Tokenizer, &options(hub.address, &cache)).await.unwrap();
    assert_eq!(names(&model.path), ["config.json", "tokenizer.json"]);
}

#[tokio::test]
async fn original_weights_are_joined_with_mimi_and_found_again_offline() {
    let hub = FakeHub::start(hub_of([("a/original", original_layout()), ("kyutai/mimi", mimi())])).await;
    let cache = tempfile::tempdir().unwrap();
    let mut options = options(hub.address, &cache);
    let model = resolve(&source("a/original"), ModelFiles::Everything, &options).await.unwrap();
    assert_eq!(names(&model.path), ["config.json", "mimi", "model.safetensors", "tokenizer.json"]);
    let codec = fs::read(model.path.join("mimi/model.safetensors")).unwrap();
    assert_eq!(codec, safetensors("encoder.weight"));

    drop(hub);
    options.offline = true;
    assert_eq!(resolve(&source("a/original"), ModelFiles::Everything, &options).await.unwrap(), model);
}

#[tokio::test]
async fn a_closed_network_falls_back_to_the_cache_in_time() {
    let hub = FakeHub::start(hub_of([("sesame/csm-1b", both_layouts())])).await;
    let cache = tempfile::tempdir().unwrap();
    let mut options = options(hub.address, &cache);
    let model = resolve(&source("sesame/csm-1b"), ModelFiles::Everything, &options).await.unwrap();
    drop(hub);
    // The first endpoint refuses the connection; the second accepts it and stays silent.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    options.contact_timeout = Duration::from_secs(1);
    for endpoint in ["http://127.0.0.1:9".to_owned(), format!("http://{}", silent.local_addr().unwrap())] {
        options.endpoint = Some(endpoint);
        let begun = Instant::now();
        assert_eq!(resolve(&source("sesame/csm-1b"), ModelFiles::Everything, &options).await.unwrap(), model);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_closed_network_without_a_cache_fails_in_time_and_says_so() {
    let cache = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options(silent.local_addr().unwrap(), &cache);
    options.contact_timeout = Duration::from_millis(500);
    let begun = Instant::now();
    let error = resolve(&source("a/b"), ModelFiles::Everything, &options).await.unwrap_err();
    assert!(matches!(error, HubError::Timeout { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    options.endpoint = Some("http://127.0.0.1:9".to_owned());
    options.contact_timeout = Duration::from_secs(10);
    let error = resolve(&source("a/b"), ModelFiles::Everything, &options).await.unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    options.offline = true;
    let error = resolve(&source("a/b"), ModelFiles::Everything, &options).await.unwrap_err();
    assert!(matches!(error, HubError::NotCached { .. }) && error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
}

#[tokio::test]
async fn a_download_that_stands_still_is_given_up() {
    let hub = FakeHub::start(hub_of([("a/b", both_layouts())])).await;
    let cache = tempfile::tempdir().unwrap();
    let mut options = options(hub.address, &cache);
    options.stall_timeout = Duration::from_millis(300);
    hub.spoil("t-2.safetensors", Fault::Silent);
    let error = resolve(&source("a/b"), ModelFiles::Everything, &options).await.unwrap_err();
    assert!(matches!(error, HubError::Timeout { waited, .. } if waited == options.stall_timeout), "{error}");
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let gated = FakeHub::start(Repositories { gated: true, ..Repositories::default() }).await;
    let error =
        resolve(&source("sesame/csm-1b"), ModelFiles::Tokenizer, &options(gated.address, &cache)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("HF_TOKEN") && text.contains("https://huggingface.co/sesame/csm-1b"), "{text}");

    let mut incomplete = both_layouts();
    incomplete.remove("t-2.safetensors");
    let hub = FakeHub::start(hub_of([("a/incomplete", incomplete)])).await;
    let options = options(hub.address, &cache);
    let error = resolve(&source("a/incomplete"), ModelFiles::Everything, &options).await.unwrap_err();
    assert!(error.to_string().contains("t-2.safetensors"), "{error}");
    let error = resolve(&source("a/nothing"), ModelFiles::Everything, &options).await.unwrap_err();
    assert!(matches!(error, HubError::NotFound { .. }) && error.to_string().contains("a/nothing"), "{error}");
    for (name, command) in [("tiny", "`csm model write-tiny DIR`"), ("noise", "`csm model make-noise DIR`")] {
        let error = resolve(&source(name), ModelFiles::Tokenizer, &options).await.unwrap_err();
        assert!(matches!(error, HubError::Tiny | HubError::Noise), "{error}");
        assert!(error.to_string().contains(command), "{error}");
    }
}

#[tokio::test]
async fn an_error_page_is_not_kept_as_a_weight_file() {
    let hub = FakeHub::start(hub_of([("a/b", both_layouts())])).await;
    let cache = tempfile::tempdir().unwrap();
    let options = options(hub.address, &cache);
    hub.spoil("t-1.safetensors", Fault::ErrorPage);
    let error = resolve(&source("a/b"), ModelFiles::Everything, &options).await.unwrap_err();
    assert!(matches!(error, HubError::Incomplete { .. }), "{error}");
    *hub.repositories.spoiled.lock().unwrap() = None;
    let model = resolve(&source("a/b"), ModelFiles::Everything, &options).await.unwrap();
    assert_eq!(fs::read(model.path.join("t-1.safetensors")).unwrap(), both_layouts()["t-1.safetensors"]);
}

#[tokio::test]
async fn a_folder_is_used_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = ModelSource::Folder(folder.path().to_owned());
    let error = resolve(&path, ModelFiles::Everything, &HubOptions::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(["config.json", "tokenizer.json", "model.safetensors"].iter().all(|name| text.contains(name)), "{text}");
    for (name, content) in both_layouts() {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let model = resolve(&path, ModelFiles::Everything, &HubOptions::default()).await.unwrap();
    assert_eq!((model.path.as_path(), model.revision), (folder.path(), None));
    let lost = ModelSource::Folder(folder.path().join("nowhere"));
    assert!(matches!(resolve(&lost, ModelFiles::Tokenizer, &HubOptions::default()).await, Err(HubError::NoFolder(_))));
}
