//! SilentCipher's weights: where its makers publish them, and how they come to this machine.
//!
//! They are three small files in one folder of a repository. Their makers name no licence for them, so nothing of ours holds
//! a copy: they are fetched where somebody asks for them, and kept in the cache as models are.

use std::path::{Path, PathBuf};

use super::fetch::Hub;
use super::{HubError, HubOptions, ModelSource};

/// The repository of SilentCipher's makers.
pub const SILENTCIPHER: &str = "sony/silentcipher";
/// The 44.1 kHz model's folder in it, the one that Sesame uses.
pub const SILENTCIPHER_FOLDER: &str = "44_1_khz/73999_iteration";

const SILENTCIPHER_FILES: FolderFiles = FolderFiles {
    folder: SILENTCIPHER_FOLDER,
    first: "hparams.yaml",
    others: &["enc_c.ckpt", "dec_c.ckpt", "dec_m_0.ckpt"],
};

/// Files that belong together, in one folder of a repository.
pub(super) struct FolderFiles {
    /// The folder.
    pub(super) folder: &'static str,
    /// A small file, asked for first, since it tells the commit. A local folder can do without it.
    pub(super) first: &'static str,
    /// The others.
    pub(super) others: &'static [&'static str],
}

impl FolderFiles {
    /// What a folder lacks of the others.
    pub(super) fn lacking(&self, folder: &Path) -> Vec<String> {
        self.others.iter().filter(|name| !folder.join(name).is_file()).map(|&name| name.to_owned()).collect()
    }

    /// Fails with the names of what a folder lacks.
    pub(super) fn require(&self, folder: &Path) -> Result<(), HubError> {
        match self.lacking(folder) {
            lacking if lacking.is_empty() => Ok(()),
            files => Err(HubError::MissingFiles { folder: folder.to_owned(), files }),
        }
    }
}

/// Finds the folder of SilentCipher's weights, downloading what is missing: from a repository laid out as
/// [`SILENTCIPHER`], or a folder that holds either the files or a copy of the whole repository. With
/// [`HubOptions::offline`] the cache must do; else it does where the hub cannot be reached.
///
/// # Errors
/// [`HubError`], whose text says what to do.
pub async fn silentcipher(source: &ModelSource, options: &HubOptions) -> Result<PathBuf, HubError> {
    let files = &SILENTCIPHER_FILES;
    let id = match source {
        ModelSource::Tiny => return Err(HubError::NoFolder("tiny".into())),
        ModelSource::Folder(path) => return open_folder(path),
        ModelSource::Hub(id) => id,
    };
    let hub = Hub::new(options)?;
    if options.offline {
        return hub.cached_folder(id, files).await;
    }
    match hub.fetch_folder(id, files).await {
        Err(error) if error.is_unreachable() => match hub.cached_folder(id, files).await {
            Ok(found) => {
                tracing::warn!(model = %id, error = %error, "cannot reach hub, using cached weights");
                Ok(found)
            }
            Err(_) => Err(error),
        },
        done => done,
    }
}

fn open_folder(path: &Path) -> Result<PathBuf, HubError> {
    if !path.is_dir() {
        return Err(HubError::NoFolder(path.to_owned()));
    }
    let inner = path.join(SILENTCIPHER_FOLDER);
    let folder = if inner.is_dir() { inner } else { path.to_owned() };
    SILENTCIPHER_FILES.require(&folder).map(|()| folder)
}
