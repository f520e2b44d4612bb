//! The checkpoint's name in a receipt: a SHA-256 that says which weights spoke.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use csm_shared::models::weight_files;
use csm_shared::process::digest::{hex, sha256_hex};
use sha2::{Digest, Sha256};

use super::WeightsError;

/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;
/// The codec of a checkpoint that does not include one.
const CODEC_FILE: &str = "mimi/model.safetensors";

/// The SHA-256 of the weight files, in lower-case hex: the checkpoint's, and the codec's where it lies apart in `mimi/`.
///
/// Of one file it is what `sha256sum model.safetensors` prints; of several it is the SHA-256 of what `sha256sum` prints
/// for all of them, the codec last (`<hash>  <name>\n` each).
///
/// # Errors
/// A file is missing or cannot be read.
pub fn weights_sha256(folder: &Path) -> Result<String, WeightsError> {
    let mut files = weight_files(folder)?;
    files.extend(Some(folder.join(CODEC_FILE)).filter(|codec| codec.is_file()));
    let mut listing = String::new();
    let mut only = String::new();
    for path in &files {
        only = file_sha256(path)?;
        let name = path.strip_prefix(folder).unwrap_or(path).display();
        let _ = writeln!(listing, "{only}  {name}");
    }
    Ok(if files.len() == 1 { only } else { sha256_hex(listing.as_bytes()) })
}

fn file_sha256(path: &Path) -> Result<String, WeightsError> {
    let mut file = std::fs::File::open(path).map_err(|error| file_error(path, &error))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = file.read(&mut block).map_err(|error| file_error(path, &error))?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&block[..read]);
    }
}

fn file_error(path: &Path, error: &std::io::Error) -> WeightsError {
    WeightsError::File { path: path.into(), reason: error.to_string() }
}
