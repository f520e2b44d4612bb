//! Download of a model's files from the hub into the cache, and lookup in the cache.
//!
//! The first file fixes the commit, and all others are taken from that commit. So a push in between
//! cannot mix two versions. A revision that is a commit, or a pin, fixes it before.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt;
use hf_hub::repository::RepoTreeEntry;
use hf_hub::{HFClient, HFResult};
use secrecy::ExposeSecret;

use super::download_progress::DownloadProgress;
use super::layout::{self, CODEC_FOLDER, CONFIG, FolderFiles, Index, SINGLE, TOKENIZER, bad_file};
use super::source::DEFAULT_REVISION;
use super::source::HubId;
use super::{HubError, HubOptions, ModelFiles, ModelFolder, Pin, checksum, codec_id};

/// Retries of one request; the client waits up to 0.2 s, then 0.4 s.
const RETRIES: usize = 2;

/// Most files of a repository that are listed.
const LISTED_MAX: usize = 1_000;

/// Folder in the cache that joins weights and codec of different repositories.
const JOINED_FOLDER: &str = "csm-fleet";

/// The hub and its local cache.
pub(super) struct Hub {
    client: HFClient,
    contact_timeout: Duration,
    stall_timeout: Duration,
    pins: &'static [Pin],
}

/// A file of a repository.
struct RepoFile {
    name: String,
    bytes: u64,
}

impl Hub {
    pub(super) fn new(options: &HubOptions) -> Result<Self, HubError> {
        let mut builder = HFClient::builder().retry_max_attempts(RETRIES);
        if let Some(folder) = options.cache_dir.as_ref().filter(|folder| !folder.as_os_str().is_empty()) {
            builder = builder.cache_dir(folder);
        }
        if let Some(endpoint) = options.endpoint.as_ref().filter(|endpoint| !endpoint.is_empty()) {
            builder = builder.endpoint(endpoint);
        }
        if let Some(token) = options.token.as_ref().filter(|token| !token.expose_secret().is_empty()) {
            builder = builder.token(token.expose_secret());
        }
        let client = builder.build()?;
        let HubOptions { contact_timeout, stall_timeout, pins, .. } = *options;
        Ok(Self { client, contact_timeout, stall_timeout, pins })
    }

    /// Returns the id with the commit of its pin, unless the caller named a revision.
    fn pinned(&self, id: &HubId) -> HubId {
        let pin = self.pins.iter().find(|pin| pin.repo == id.repo() && id.revision == DEFAULT_REVISION);
        pin.map_or_else(|| id.clone(), |pin| HubId { revision: pin.commit.to_owned(), ..id.clone() })
    }

    /// Returns the SHA-256 of a file by its pin.
    fn pinned_digest(&self, id: &HubId, name: &str) -> Option<&'static str> {
        let pin = self.pins.iter().find(|pin| pin.repo == id.repo() && pin.commit == id.revision)?;
        pin.files.iter().find(|(path, _)| *path == name).map(|(_, digest)| *digest)
    }

    /// Fetches the model from the hub. Cached files of the same commit are not downloaded again.
    pub(super) async fn fetch(&self, id: &HubId, needed: ModelFiles) -> Result<ModelFolder, HubError> {
        let snapshot = self.fetch_snapshot(id, needed).await?;
        let codec = match needed {
            ModelFiles::Everything if !layout::includes_codec(&snapshot)? => Some(self.fetch_codec().await?),
            _ => None,
        };
        self.present(id, &snapshot, codec.as_deref(), needed)
    }

    /// Finds the model in the cache alone.
    pub(super) async fn cached(&self, id: &HubId, needed: ModelFiles) -> Result<ModelFolder, HubError> {
        self.find_cached(id, needed).await.map_err(|missing| self.not_cached(id, missing))
    }

    fn not_cached(&self, id: &HubId, missing: HubError) -> HubError {
        HubError::NotCached { id: id.to_string(), cache: self.client.cache_dir().to_owned(), source: Box::new(missing) }
    }

    /// Fetches files of one folder of a repository and returns that folder in the cache. Cached
    /// files of the same commit are not downloaded again.
    pub(super) async fn fetch_folder(&self, id: &HubId, files: &FolderFiles) -> Result<PathBuf, HubError> {
        let (folder, id) = (files.folder, &self.pinned(id));
        let first = self.contact(id, self.file(id, &format!("{folder}/{}", files.first), false)).await?;
        let local = parent(&first);
        if files.lacking(&local).is_empty() {
            return Ok(local);
        }
        let snapshot = local.ancestors().nth(folder.split('/').count()).unwrap_or(&local);
        let pinned = at_commit_of(id, snapshot)?;
        let listed = self.list(&pinned, Some(folder)).await?;
        for name in [files.first].iter().chain(files.others) {
            self.download(&pinned, &format!("{folder}/{name}"), &listed).await?;
        }
        Ok(local)
    }

    /// Finds the files of one folder of a repository in the cache alone.
    pub(super) async fn cached_folder(&self, id: &HubId, files: &FolderFiles) -> Result<PathBuf, HubError> {
        let id = &self.pinned(id);
        let found = async {
            let first = self.file(id, &format!("{}/{}", files.folder, files.first), true).await?;
            let local = parent(&first);
            files.require(&local).map(|()| local)
        };
        found.await.map_err(|missing| self.not_cached(id, missing))
    }

    async fn find_cached(&self, id: &HubId, needed: ModelFiles) -> Result<ModelFolder, HubError> {
        let snapshot = self.config_file(&self.pinned(id), true).await.map(|config| parent(&config))?;
        layout::require(&snapshot, ModelFiles::Tokenizer)?;
        let codec = match needed {
            ModelFiles::Everything if !layout::includes_codec(&snapshot)? => {
                Some(self.config_file(&self.pinned(&codec_id()), true).await.map(|config| parent(&config))?)
            }
            _ => None,
        };
        self.present(id, &snapshot, codec.as_deref(), needed)
    }

    async fn fetch_snapshot(&self, id: &HubId, needed: ModelFiles) -> Result<PathBuf, HubError> {
        let (snapshot, pinned) = self.first_contact(id).await?;
        if layout::require(&snapshot, ModelFiles::Tokenizer).is_ok()
            && (needed == ModelFiles::Tokenizer || layout::weight_files(&snapshot).is_ok())
        {
            return Ok(snapshot);
        }
        let listed = self.list(&pinned, None).await?;
        self.download(&pinned, CONFIG, &listed).await?;
        self.download(&pinned, TOKENIZER, &listed).await?;
        if needed == ModelFiles::Everything {
            let entry = layout::weights_entry(listed.iter().map(|file| file.name.as_str())).unwrap_or(SINGLE);
            let entry_path = self.download(&pinned, entry, &listed).await?;
            if layout::is_index(entry) {
                for shard in Index::read(&entry_path)?.shards()? {
                    self.download(&pinned, &shard, &listed).await?;
                }
            }
        }
        Ok(snapshot)
    }

    async fn fetch_codec(&self) -> Result<PathBuf, HubError> {
        let (snapshot, pinned) = self.first_contact(&codec_id()).await?;
        if !snapshot.join(SINGLE).is_file() {
            let listed = self.list(&pinned, None).await?;
            self.download(&pinned, CONFIG, &listed).await?;
            self.download(&pinned, SINGLE, &listed).await?;
        }
        Ok(snapshot)
    }

    /// Fetches `config.json`, which fixes the commit. Returns the snapshot's folder and the id
    /// pinned to that commit.
    async fn first_contact(&self, id: &HubId) -> Result<(PathBuf, HubId), HubError> {
        let id = &self.pinned(id);
        let config = self.contact(id, self.config_file(id, false)).await?;
        let snapshot = parent(&config);
        let pinned = at_commit_of(id, &snapshot)?;
        Ok((snapshot, pinned))
    }

    async fn config_file(&self, id: &HubId, cache_only: bool) -> Result<PathBuf, HubError> {
        self.file(id, CONFIG, cache_only).await
    }

    async fn file(&self, id: &HubId, name: &str, cache_only: bool) -> Result<PathBuf, HubError> {
        let repo = self.client.model(&id.owner, &id.name);
        let file = repo.download_file().filename(name).revision(&id.revision).local_files_only(cache_only);
        Box::pin(file.send()).await.map_err(|error| self.in_words(id, error))
    }

    /// Lists the files of a folder, or of the top of the repository, with their paths.
    async fn list(&self, id: &HubId, folder: Option<&str>) -> Result<Vec<RepoFile>, HubError> {
        let listing = async { files_of(&self.client, id, folder).await.map_err(|error| self.in_words(id, error)) };
        Box::pin(self.contact(id, listing)).await
    }

    /// Downloads one file of a pinned revision, unless it is cached, and checks its listed length and
    /// its digest. The length matters because the client takes an error page for the file if the
    /// second of its two requests fails.
    async fn download(&self, id: &HubId, name: &str, listed: &[RepoFile]) -> Result<PathBuf, HubError> {
        let Some(expected) = listed.iter().find(|file| file.name == name) else {
            return Err(HubError::NotFound { id: id.to_string(), what: name.to_owned() });
        };
        let watch = DownloadProgress::new(name);
        let repo = self.client.model(&id.owner, &id.name);
        let file = repo.download_file().filename(name).revision(&id.revision).progress(watch.clone());
        let path = tokio::select! {
            done = Box::pin(file.send()) => done.map_err(|error| self.in_words(id, error))?,
            () = watch.stalled(self.stall_timeout) => return Err(self.silent(self.stall_timeout)),
        };
        let (bytes, digest) = (expected.bytes, self.pinned_digest(id, name));
        let check = move || check_length(&path, bytes).and_then(|()| checksum::check(&path, digest)).map(|()| path);
        // The digest of a large file takes a core for seconds.
        let checked = tokio::task::spawn_blocking(check).await;
        checked.map_err(|stopped| bad_file(Path::new(name))(std::io::Error::other(stopped)))?
    }

    /// Limits a request to the hub to `contact_timeout`.
    async fn contact<T>(&self, id: &HubId, question: impl Future<Output = Result<T, HubError>>) -> Result<T, HubError> {
        tracing::debug!(model = %id, endpoint = self.client.endpoint(), "contacting hub");
        let answer = tokio::time::timeout(self.contact_timeout, question).await;
        answer.unwrap_or_else(|_| Err(self.silent(self.contact_timeout)))
    }

    fn silent(&self, waited: Duration) -> HubError {
        HubError::Timeout { endpoint: self.client.endpoint().to_owned(), waited }
    }

    fn in_words(&self, id: &HubId, error: hf_hub::HFError) -> HubError {
        HubError::from_client(error, id, self.client.endpoint())
    }

    fn present(
        &self,
        id: &HubId,
        snapshot: &Path,
        codec: Option<&Path>,
        needed: ModelFiles,
    ) -> Result<ModelFolder, HubError> {
        let revision = commit_of(snapshot);
        let path = match codec {
            None => snapshot.to_owned(),
            Some(codec) => {
                let name = format!("{}--{}--{revision}", id.owner, id.name);
                let joined = self.client.cache_dir().join(JOINED_FOLDER).join(name);
                join(snapshot, codec, &joined)?;
                joined
            }
        };
        layout::require(&path, needed)?;
        Ok(ModelFolder { path, id: id.repo(), revision: Some(revision) })
    }
}

/// Lists the files of one folder of a repository, or of its top; deeper folders are ignored.
async fn files_of(client: &HFClient, id: &HubId, folder: Option<&str>) -> HFResult<Vec<RepoFile>> {
    let repo = client.model(&id.owner, &id.name);
    let tree = repo.list_tree().revision(&id.revision).limit(LISTED_MAX);
    let entries = tree.maybe_path_in_repo(folder).send()?;
    let files = entries.try_filter_map(|entry| async move {
        match entry {
            RepoTreeEntry::File { path, size, .. } => Ok(Some(RepoFile { name: path, bytes: size })),
            RepoTreeEntry::Directory { .. } => Ok(None),
        }
    });
    files.try_collect().await
}

/// Makes `joined` a folder of links: all files of the model, and the codec in a folder below.
fn join(snapshot: &Path, codec: &Path, joined: &Path) -> Result<(), HubError> {
    fs::create_dir_all(joined).map_err(bad_file(joined))?;
    for file in fs::read_dir(snapshot).map_err(bad_file(snapshot))? {
        let file = file.map_err(bad_file(snapshot))?;
        link(&file.path(), &joined.join(file.file_name()))?;
    }
    link(codec, &joined.join(CODEC_FOLDER))
}

/// Replaces `at` by a link in one step, because several processes may start at once.
fn link(target: &Path, at: &Path) -> Result<(), HubError> {
    let target = target.canonicalize().map_err(bad_file(target))?;
    let aside = at.with_file_name(format!(".{}", uuid::Uuid::new_v4()));
    std::os::unix::fs::symlink(target, &aside).and_then(|()| fs::rename(&aside, at)).map_err(bad_file(at))
}

fn check_length(path: &Path, expected: u64) -> Result<(), HubError> {
    let actual = fs::metadata(path).map_err(bad_file(path))?.len();
    if actual == expected {
        return Ok(());
    }
    checksum::remove(path)?;
    Err(HubError::Incomplete { path: path.to_owned(), expected, actual })
}

/// Returns the id at the commit of a snapshot. Refuses another commit than the one asked for.
fn at_commit_of(id: &HubId, snapshot: &Path) -> Result<HubId, HubError> {
    let revision = commit_of(snapshot);
    if id.is_commit() && id.revision != revision {
        return Err(HubError::WrongCommit { id: id.to_string(), actual: revision });
    }
    Ok(HubId { revision, ..id.clone() })
}

/// Returns the commit of a snapshot, which is the name of its folder.
fn commit_of(snapshot: &Path) -> String {
    snapshot.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn parent(file: &Path) -> PathBuf {
    file.parent().unwrap_or(file).to_owned()
}
