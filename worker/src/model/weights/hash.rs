//! The checkpoint's name in a receipt: a SHA-256 that says which weights spoke.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use csm_shared::digest::{hex, sha256_hex};
use csm_shared::hub::weight_files;
use sha2::{Digest, Sha256};

use super::WeightsError;

/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// How far hashing has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashProgress {
    /// Bytes hashed.
    pub bytes_done: u64,
    /// Bytes to hash.
    pub bytes_total: u64,
}

/// The SHA-256 of the model's weight files, in lower-case hex.
///
/// Of one file it is what `sha256sum model.safetensors` prints; of several it is the SHA-256 of what `sha256sum` prints
/// for all of them in the order of their names (`<hash>  <name>\n` each).
///
/// # Errors
/// A file is missing or cannot be read.
pub fn weights_sha256(folder: &Path, progress: &mut dyn FnMut(HashProgress)) -> Result<String, WeightsError> {
    let files = weight_files(folder)?;
    let mut done = HashProgress::default();
    for path in &files {
        let size = std::fs::metadata(path).map_err(|error| file_error(path, &error))?.len();
        done.bytes_total += size;
    }
    progress(done);
    let mut listing = String::new();
    let mut only = String::new();
    for path in &files {
        only = file_sha256(path, &mut |bytes| {
            done.bytes_done += bytes;
            progress(done);
        })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(listing, "{only}  {name}");
    }
    Ok(if files.len() == 1 { only } else { sha256_hex(listing.as_bytes()) })
}

fn file_sha256(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<String, WeightsError> {
    let mut file = std::fs::File::open(path).map_err(|error| file_error(path, &error))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = file.read(&mut block).map_err(|error| file_error(path, &error))?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&block[..read]);
        progress(read as u64);
    }
}

fn file_error(path: &Path, error: &std::io::Error) -> WeightsError {
    WeightsError::File { path: path.into(), reason: error.to_string() }
}
