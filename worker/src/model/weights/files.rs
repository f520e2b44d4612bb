//! Mapping weight files.

use std::path::PathBuf;

use candle_core::safetensors::MmapedSafetensors;

use super::WeightsError;

/// Maps safetensors files read-only.
pub(crate) fn map(files: &[PathBuf]) -> Result<MmapedSafetensors, WeightsError> {
    for path in files {
        std::fs::File::open(path)
            .map_err(|error| WeightsError::File { path: path.clone(), reason: error.to_string() })?;
    }
    #[expect(unsafe_code, reason = "mapping 6 GB beats reading it twice; model files are never written in place")]
    // SAFETY: the mapping is undefined behaviour only if another process changes the file under it. The folders
    // that this project and the hub's cache write are renamed into place whole; a folder of the user's own is theirs to
    // leave alone while a worker runs.
    let mapped = unsafe { MmapedSafetensors::multi(files) };
    mapped.map_err(|error| {
        let path = files.first().cloned().unwrap_or_default();
        WeightsError::File { path, reason: error.to_string() }
    })
}
