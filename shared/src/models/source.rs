//! The value of `--model`: a hub id, a folder, `tiny` or `noise`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Revision of an id that names none.
pub(super) const DEFAULT_REVISION: &str = "main";
/// Name of the toy voice.
const TINY: &str = "tiny";
/// Name of the model of random weights.
const NOISE: &str = "noise";
/// Hexadecimal digits of a commit.
const COMMIT_DIGITS: usize = 40;

/// Source of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// The toy voice that is part of `csm`; never on a hub.
    Tiny,
    /// The small model of random weights that this project makes itself; never on a hub.
    Noise,
    /// A repository on the hub.
    Hub(HubId),
    /// A local folder.
    Folder(PathBuf),
}

impl ModelSource {
    /// Returns the name on which the processes of a fleet agree: the id on the hub without revision,
    /// or the last part of a folder's path, because the folders of two machines lie at two paths.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Tiny => TINY.to_owned(),
            Self::Noise => NOISE.to_owned(),
            Self::Hub(id) => id.repo(),
            Self::Folder(path) => {
                let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
                whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
            }
        }
    }
}

/// Id of a model on the hub: `owner/name[@revision]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    /// User or organisation.
    pub owner: String,
    /// Repository.
    pub name: String,
    /// Branch, tag or commit; `main` unless given.
    pub revision: String,
}

impl HubId {
    /// Returns `owner/name`, as on the hub's pages.
    #[must_use]
    pub fn repo(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Returns whether the revision is a commit, which can never mean other files.
    #[must_use]
    pub fn is_commit(&self) -> bool {
        self.revision.len() == COMMIT_DIGITS && self.revision.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// Error for a text that names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no model: give a hub id (owner/name or owner/name@revision), an existing folder, `tiny` or `noise`"
)]
pub struct InvalidSource(String);

impl FromStr for ModelSource {
    type Err = InvalidSource;

    /// Parses a source. An existing folder wins over a hub id of the same spelling, as in the
    /// Hugging Face tools. A text that can only be a path is a folder even if it does not exist
    /// yet.
    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let invalid = || InvalidSource(text.to_owned());
        match text {
            TINY => return Ok(Self::Tiny),
            NOISE => return Ok(Self::Noise),
            _ => {}
        }
        if text.starts_with(['/', '.', '~']) || (!text.is_empty() && Path::new(text).is_dir()) {
            return Ok(Self::Folder(text.into()));
        }
        let (repo, revision) = text.split_once('@').unwrap_or((text, DEFAULT_REVISION));
        let (owner, name) = repo.split_once('/').ok_or_else(invalid)?;
        if !is_name(owner) || !is_name(name) || !is_revision(revision) {
            return Err(invalid());
        }
        Ok(Self::Hub(HubId { owner: owner.to_owned(), name: name.to_owned(), revision: revision.to_owned() }))
    }
}

/// Checks a name against the hub's alphabet; a leading dot would lead out of the cache folder.
fn is_name(text: &str) -> bool {
    const MAX: usize = 96;
    (1..=MAX).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Checks a revision, which becomes a path in the cache; branches may hold slashes (`refs/pr/1`).
fn is_revision(text: &str) -> bool {
    text.split('/').all(is_name)
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        if self.revision == DEFAULT_REVISION { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiny => f.write_str(TINY),
            Self::Noise => f.write_str(NOISE),
            Self::Hub(id) => id.fmt(f),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(owner: &str, name: &str, revision: &str) -> ModelSource {
        ModelSource::Hub(HubId { owner: owner.to_owned(), name: name.to_owned(), revision: revision.to_owned() })
    }

    #[test]
    fn sources_are_told_apart() {
        let folder = |path: &str| ModelSource::Folder(path.into());
        let cases = [
            ("tiny", ModelSource::Tiny),
            ("noise", ModelSource::Noise),
            ("sesame/csm-1b", hub("sesame", "csm-1b", "main")),
            ("sesame/csm-1b@refs/pr/7", hub("sesame", "csm-1b", "refs/pr/7")),
            ("a/b@4e2f", hub("a", "b", "4e2f")),
            ("./tiny", folder("./tiny")),
            ("./noise", folder("./noise")),
            ("/models/csm", folder("/models/csm")),
            ("../x", folder("../x")),
            ("src/models", folder("src/models")),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_model_is_refused() {
        for text in
            ["", "csm-1b", "a/b/c", "a/", "/b@", "a/b@", "a/../b", "a/..", "a/b@../../x", "a b/c", "https://x/y"]
        {
            let parsed = text.parse::<ModelSource>();
            assert!(!matches!(parsed, Ok(ModelSource::Hub(_))), "{text} became {parsed:?}");
        }
        assert!("a/b/c".parse::<ModelSource>().is_err());
    }

    #[test]
    fn display_is_what_was_given() {
        for text in ["tiny", "noise", "sesame/csm-1b", "sesame/csm-1b@v2", "./x"] {
            assert_eq!(text.parse::<ModelSource>().map(|source| source.to_string()).as_deref(), Ok(text));
        }
    }
}
