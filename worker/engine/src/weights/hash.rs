//! The weights' identity in a receipt: a SHA-256 of the weight files.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use csm_shared::models::weight_files;
use csm_shared::process::digest::{hex, sha256_hex};
use sha2::{Digest, Sha256};

use super::WeightsError;

/// Number of bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;
/// Codec file of a model folder whose weights do not include the codec.
const CODEC_FILE: &str = "mimi/model.safetensors";

/// Returns the SHA-256 of the weight files, in lower-case hex. The codec's file in `mimi/` is
/// included if there is one.
///
/// For one file the result is the hash that `sha256sum model.safetensors` prints. For several files
/// it is the SHA-256 of the lines that `sha256sum` prints for all of them, `<hash>  <name>\n` each,
/// the codec last.
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
