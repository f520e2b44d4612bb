//! The weights of SilentCipher and their download.
//!
//! The weights are three small files in one folder of a repository. Their authors state no licence,
//! so this project distributes no copy. The files are downloaded on request and cached like models.

use std::path::{Path, PathBuf};

use super::fetch::Hub;
use super::layout::FolderFiles;
use super::{HubError, HubOptions, ModelSource, fetched_or_cached};

/// Repository of SilentCipher's authors.
pub const SILENTCIPHER: &str = "sony/silentcipher";
/// Folder of the 44.1 kHz model in [`SILENTCIPHER`], the one that Sesame uses.
pub const SILENTCIPHER_FOLDER: &str = "44_1_khz/73999_iteration";

const SILENTCIPHER_FILES: FolderFiles = FolderFiles {
    folder: SILENTCIPHER_FOLDER,
    first: "hparams.yaml",
    others: &["enc_c.ckpt", "dec_c.ckpt", "dec_m_0.ckpt"],
};

/// Finds the folder of SilentCipher's weights and downloads missing files.
///
/// The source is a repository laid out like [`SILENTCIPHER`], or a folder. A folder holds either
/// the files or a copy of the whole repository. The cache alone is used with
/// [`HubOptions::offline`], or if the hub cannot be reached.
///
/// # Errors
/// [`HubError`]; its text says what to do.
pub async fn silentcipher(source: &ModelSource, options: &HubOptions) -> Result<PathBuf, HubError> {
    let files = &SILENTCIPHER_FILES;
    let id = match source {
        ModelSource::Tiny | ModelSource::Noise => return Err(HubError::NoFolder(source.name().into())),
        ModelSource::Folder(path) => return open_folder(path),
        ModelSource::Hub(id) => id,
    };
    let hub = Hub::new(options)?;
    fetched_or_cached(id, options, hub.fetch_folder(id, files), hub.cached_folder(id, files)).await
}

fn open_folder(path: &Path) -> Result<PathBuf, HubError> {
    if !path.is_dir() {
        return Err(HubError::NoFolder(path.to_owned()));
    }
    let inner = path.join(SILENTCIPHER_FOLDER);
    let folder = if inner.is_dir() { inner } else { path.to_owned() };
    SILENTCIPHER_FILES.require(&folder).map(|()| folder)
}
