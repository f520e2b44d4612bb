//! The store in a folder: each object is a file.
//!
//! A file is written under a temporary name, synced and renamed. So a crash leaves either the whole
//! object or none.
//!
//! Unfinished files start with a dot. No [`ObjectKey`] segment may, so an unfinished file is never
//! taken for an object.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{OBJECT_MAX_BYTES, ObjectKey, StoreError};

/// A folder that holds objects.
#[derive(Debug, Clone)]
pub struct FolderStore {
    root: Arc<Path>,
}

impl FolderStore {
    /// Opens the folder and creates it if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Denied`] or [`StoreError::Invalid`] if the folder cannot be created or is no
    /// folder.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root: PathBuf = root.into();
        fs::create_dir_all(&root).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => StoreError::Denied(format!("{}: {error}", root.display())),
            _ => StoreError::Invalid(format!("store folder {} cannot be made: {error}", root.display())),
        })?;
        Ok(Self { root: root.into() })
    }

    pub(super) async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), StoreError> {
        let (root, path) = (Arc::clone(&self.root), self.path(key));
        blocking(key.as_str(), move || {
            require_folder(&root)?;
            write_whole(&path, &bytes).map_err(FileFailure::Io)
        })
        .await
    }

    pub(super) async fn upload(&self, key: &ObjectKey) -> Result<FolderUpload, StoreError> {
        let (root, path, name) = (Arc::clone(&self.root), self.path(key), key.to_string());
        blocking(key.as_str(), move || {
            require_folder(&root)?;
            let folder = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder).map_err(FileFailure::Io)?;
            let aside = unfinished(folder);
            let file = File::create_new(&aside).map_err(FileFailure::Io)?;
            Ok(FolderUpload { name, file: Arc::new(file), aside, path })
        })
        .await
    }

    pub(super) async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let (root, path) = (Arc::clone(&self.root), self.path(key));
        blocking(key.as_str(), move || {
            let mut file = File::open(&path).map_err(|error| missing(&root, error))?;
            let size = file.metadata().map_err(FileFailure::Io)?.len();
            let range = range.unwrap_or(0..size);
            let end = range.end.min(size);
            if range.start >= size && size > 0 {
                return Err(FileFailure::Invalid(format!("range starts at {} of {size} bytes", range.start)));
            }
            let length = end.saturating_sub(range.start);
            if length > OBJECT_MAX_BYTES {
                return Err(FileFailure::Invalid(format!("{length} bytes, the limit is {OBJECT_MAX_BYTES}")));
            }
            read_part(&mut file, range.start, length).map(Bytes::from).map_err(FileFailure::Io)
        })
        .await
    }

    pub(super) async fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        let (root, path) = (Arc::clone(&self.root), self.path(key));
        let size = move || fs::metadata(&path).map(|meta| meta.len()).map_err(|error| missing(&root, error));
        blocking(key.as_str(), size).await
    }

    pub(super) async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let path = self.path(key);
        blocking(key.as_str(), move || match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(FileFailure::Io),
        })
        .await
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let root = Arc::clone(&self.root);
        blocking("(readiness check)", move || {
            require_folder(&root)?;
            let probe = unfinished(&root);
            File::create_new(&probe).and_then(|_| fs::remove_file(&probe)).map_err(FileFailure::Io)
        })
        .await
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }
}

/// File on its way into the folder, under a temporary name until it is whole.
#[derive(Debug)]
pub(super) struct FolderUpload {
    /// Key of the object, for errors.
    name: String,
    file: Arc<File>,
    /// Temporary name of the file.
    aside: PathBuf,
    /// Name of the file once it is whole.
    path: PathBuf,
}

impl FolderUpload {
    pub(super) async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        let file = Arc::clone(&self.file);
        blocking(&self.name, move || (&*file).write_all(&piece).map_err(FileFailure::Io)).await
    }

    pub(super) async fn finish(self) -> Result<(), StoreError> {
        let (file, aside, path) = (Arc::clone(&self.file), self.aside.clone(), self.path.clone());
        let rename = move || {
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        blocking(&self.name, move || rename().map_err(FileFailure::Io)).await
    }
}

impl Drop for FolderUpload {
    fn drop(&mut self) {
        // After the end there is no file of this name.
        let _ = fs::remove_file(&self.aside);
    }
}

enum FileFailure {
    Io(io::Error),
    Invalid(String),
}

/// Runs file work off the async threads and converts its failures to classes of [`StoreError`].
async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, FileFailure> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(FileFailure::Io(error))) => Err(class_of(what, &error)),
        Ok(Err(FileFailure::Invalid(reason))) => Err(StoreError::Invalid(format!("{what}: {reason}"))),
        Err(stopped) => Err(StoreError::Unavailable(format!("{what}: {stopped}"))),
    }
}

fn class_of(what: &str, error: &io::Error) -> StoreError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => StoreError::NotFound(what.to_owned()),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => StoreError::Denied(format!("{what}: {error}")),
        Kind::NotADirectory | Kind::IsADirectory | Kind::InvalidFilename => {
            StoreError::Invalid(format!("{what}: {error}"))
        }
        _ => StoreError::Unavailable(format!("{what}: {error}")),
    }
}

/// Refuses a missing folder (such as a volume that is not mounted). Creating it again would make
/// its objects seem lost.
fn require_folder(root: &Path) -> Result<(), FileFailure> {
    if root.is_dir() { Ok(()) } else { Err(FileFailure::Invalid(format!("no store folder at {}", root.display()))) }
}

/// Returns the failure of a read. A file is missing only if its folder is there.
fn missing(root: &Path, error: io::Error) -> FileFailure {
    require_folder(root).err().unwrap_or(FileFailure::Io(error))
}

fn unfinished(folder: &Path) -> PathBuf {
    folder.join(format!(".{}.unfinished", Uuid::new_v4()))
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let aside = unfinished(folder);
    let written = write_synced(&aside, bytes).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // Best effort: the file is no object, and the first error is the one to report.
        let _ = fs::remove_file(&aside);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read_part(file: &mut File, start: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
