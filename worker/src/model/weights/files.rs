//! Which files of a folder are the weights, and mapping them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use serde::Deserialize;

use super::WeightsError;

/// Indexes of a checkpoint in several files, in the order they are looked for. The original release keeps its own
/// weights in `model.safetensors` and transformers' beside them under the second name.
const INDEXES: [&str; 2] = ["model.safetensors.index.json", "transformers.safetensors.index.json"];
/// A checkpoint in one file.
const SINGLE: &str = "model.safetensors";

/// The files that hold the model's tensors: the parts that an index names, or `model.safetensors`. Sorted.
///
/// # Errors
/// There are none, or the index is broken.
pub fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    for index in INDEXES.map(|name| folder.join(name)) {
        if !index.is_file() {
            continue;
        }
        let file_error = |reason: String| WeightsError::File { path: index.clone(), reason };
        let text = std::fs::read(&index).map_err(|error| file_error(error.to_string()))?;
        let parsed: Index = serde_json::from_slice(&text).map_err(|error| file_error(error.to_string()))?;
        let names: BTreeSet<_> = parsed.weight_map.into_values().collect();
        if let Some(name) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
            return Err(file_error(format!("{name:?} is no plain file name")));
        }
        return Ok(names.into_iter().map(|name| folder.join(name)).collect());
    }
    let single = folder.join(SINGLE);
    if single.is_file() { Ok(vec![single]) } else { Err(WeightsError::NoWeights { folder: folder.into() }) }
}

/// Maps safetensors files read-only.
pub(crate) fn map(files: &[PathBuf]) -> Result<MmapedSafetensors, WeightsError> {
    for path in files {
        std::fs::File::open(path)
            .map_err(|error| WeightsError::File { path: path.clone(), reason: error.to_string() })?;
    }
    #[expect(unsafe_code, reason = "mapping 6 GB beats reading it twice; model files are never written in place")]
    // SAFETY: the mapping is undefined behaviour only if another process changes the file under it. Model folders are
    // written once, to a temporary name, and renamed.
    let mapped = unsafe { MmapedSafetensors::multi(files) };
    mapped.map_err(|error| {
        let path = files.first().cloned().unwrap_or_default();
        WeightsError::File { path, reason: error.to_string() }
    })
}
