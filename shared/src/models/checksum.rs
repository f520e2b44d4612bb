//! Comparison of a downloaded file with the digests that the hub and the pins state.
//!
//! The cache names the content of a file by the hub's `X-Linked-Etag`: the SHA-256 of a large file
//! (Git LFS), or the Git object id of a small one.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::HubError;
use super::layout::bad_file;
use crate::process::digest::hex;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Hexadecimal digits of a SHA-1.
const SHA1_DIGITS: usize = 40;
/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;

/// Checks a file of the cache, and removes it if it is not what was promised.
///
/// `pinned` is the SHA-256 of a pin. Without one the name of the content decides; a name that is no
/// digest, as on mirrors with entity tags of their own, promises nothing.
pub(super) fn check(path: &Path, pinned: Option<&str>) -> Result<(), HubError> {
    let content = path.canonicalize().map_err(bad_file(path))?;
    let name = content.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let expected = pinned.map_or(name, str::to_owned);
    let is_hex = expected.bytes().all(|byte| byte.is_ascii_hexdigit());
    let actual = match expected.len() {
        SHA256_DIGITS if is_hex => digest_of(&content, Sha256::new()).map_err(bad_file(path))?,
        SHA1_DIGITS if is_hex => {
            let bytes = fs::metadata(&content).map_err(bad_file(path))?.len();
            let object =
                digest_of(&content, Sha1::new_with_prefix(format!("blob {bytes}\0"))).map_err(bad_file(path))?;
            // Some mirrors name a file by the SHA-1 of its content alone.
            if object == expected { object } else { digest_of(&content, Sha1::new()).map_err(bad_file(path))? }
        }
        _ => return Ok(()),
    };
    if actual == expected {
        return Ok(());
    }
    remove(path)?;
    Err(HubError::WrongDigest { path: path.to_owned(), expected, actual })
}

/// Removes a link of the cache and its content; otherwise the next try would take the content for
/// the file.
pub(super) fn remove(path: &Path) -> Result<(), HubError> {
    let content = path.canonicalize().map_err(bad_file(path))?;
    fs::remove_file(path).map_err(bad_file(path))?;
    if content == path { Ok(()) } else { fs::remove_file(&content).map_err(bad_file(path)) }
}

fn digest_of<D: Digest>(path: &Path, mut digest: D) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hex(&digest.finalize())),
            Ok(read) => digest.update(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Writes `content` under `name` in a folder, with a link to it; returns the folder and the link.
    fn cached(name: &str, content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        let link = folder.path().join("config.json");
        std::os::unix::fs::symlink(name, &link).unwrap();
        (folder, link)
    }

    // Published values: `git hash-object`, `sha1sum` and `sha256sum` of "hello\n".
    const GIT: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
    const SHA1: &str = "f572d396fae9206628714fb2ce00f72e94f2258f";
    const SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    #[test]
    fn a_file_is_compared_with_the_digest_that_names_it() {
        for name in [GIT, SHA1, SHA256, "etag-of-a-mirror"] {
            let (_folder, link) = cached(name, "hello\n");
            check(&link, None).unwrap();
            assert!(link.exists(), "{name}");
        }
        for name in [GIT, SHA1, SHA256] {
            let (folder, link) = cached(name, "hellO\n");
            let error = check(&link, None).unwrap_err();
            assert!(matches!(&error, HubError::WrongDigest { expected, .. } if expected == name), "{error}");
            assert!(!link.exists() && !folder.path().join(name).exists(), "{name} is not taken for the file again");
        }
    }

    #[test]
    fn a_pin_counts_more_than_the_hub() {
        let (_folder, link) = cached("etag-of-a-mirror", "hello\n");
        check(&link, Some(SHA256)).unwrap();
        let (_folder, link) = cached(SHA256, "hello\n");
        assert!(matches!(check(&link, Some(&"0".repeat(64))), Err(HubError::WrongDigest { .. })));
    }
}
