//! The files of a repository or folder that make up a model.
//!
//! A repository may hold the same weights twice. `sesame/csm-1b` has the original
//! `model.safetensors` without a codec, and transformers' shards with one. Shards are preferred,
//! because they need nothing else.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{HubError, ModelFiles};

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Name of the file if a model's weights are in one file.
pub(super) const SINGLE: &str = "model.safetensors";
/// Suffix of the index file, which maps tensors to shards.
const INDEX_SUFFIX: &str = ".safetensors.index.json";
/// Subfolder with the codec of a model whose weights include none.
pub(super) const CODEC_FOLDER: &str = "mimi";
/// Prefix of the names of a codec's tensors inside a model's weights.
const CODEC_PREFIX: &str = "codec_model.";
/// Longest index or safetensors header that is read, in bytes; CSM-1B's are under 100 kB.
const HEADER_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Returns the file that leads to the weights, out of a list of names. An index wins,
/// `transformers.…` first; otherwise the single file.
pub(super) fn weights_entry<'a>(files: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let rank = |name: &str| match name {
        "transformers.safetensors.index.json" => Some(0),
        "model.safetensors.index.json" => Some(1),
        SINGLE => Some(3),
        _ => (name.ends_with(INDEX_SUFFIX) && !name.contains('/')).then_some(2),
    };
    files.into_iter().filter_map(|name| Some((rank(name)?, name))).min().map(|(_, name)| name)
}

pub(super) fn is_index(entry: &str) -> bool {
    entry.ends_with(INDEX_SUFFIX)
}

/// Returns the weight files of a model folder that its loaders must read. With an index, the files
/// are transformers' shards; otherwise `model.safetensors`.
///
/// # Errors
/// [`HubError::MissingFiles`] names missing files; [`HubError::BadFile`] means that an index cannot
/// be read.
pub fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, HubError> {
    let names = file_names(folder)?;
    let missing = |files| HubError::MissingFiles { folder: folder.to_owned(), files };
    let entry = weights_entry(names.iter().map(String::as_str)).ok_or_else(|| missing(vec![SINGLE.to_owned()]))?;
    if !is_index(entry) {
        return Ok(vec![folder.join(entry)]);
    }
    let shards = Index::read(&folder.join(entry))?.shards()?;
    let lost: Vec<_> = shards.iter().filter(|shard| !folder.join(shard).is_file()).cloned().collect();
    if !lost.is_empty() {
        return Err(missing(lost));
    }
    Ok(shards.iter().map(|shard| folder.join(shard)).collect())
}

/// Returns true if the folder's weights include a codec.
pub(super) fn includes_codec(folder: &Path) -> Result<bool, HubError> {
    for file in weight_files(folder)? {
        if tensor_names(&file)?.iter().any(|name| name.starts_with(CODEC_PREFIX)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks that all needed files exist; the error names those that are missing.
pub(super) fn require(folder: &Path, needed: ModelFiles) -> Result<(), HubError> {
    let mut lost = Vec::new();
    for name in [CONFIG, TOKENIZER] {
        if !folder.join(name).is_file() {
            lost.push(name.to_owned());
        }
    }
    if needed == ModelFiles::Everything {
        match includes_codec(folder) {
            Ok(true) => {}
            Ok(false) if folder.join(CODEC_FOLDER).join(SINGLE).is_file() => {}
            Ok(false) => lost.push(format!("{CODEC_FOLDER}/{SINGLE} (these weights hold no codec)")),
            Err(HubError::MissingFiles { files, .. }) => lost.extend(files),
            Err(other) => return Err(other),
        }
    }
    if lost.is_empty() { Ok(()) } else { Err(HubError::MissingFiles { folder: folder.to_owned(), files: lost }) }
}

/// The index of sharded weights, as transformers writes it.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    /// File name by tensor name.
    weight_map: HashMap<String, String>,
}

impl Index {
    pub(super) fn read(path: &Path) -> Result<Self, HubError> {
        let file = File::open(path).map_err(bad_file(path))?;
        let mut text = Vec::new();
        file.take(HEADER_MAX_BYTES).read_to_end(&mut text).map_err(bad_file(path))?;
        serde_json::from_slice(&text).map_err(io::Error::other).map_err(bad_file(path))
    }

    /// Returns the shards' file names, each once, sorted.
    pub(super) fn shards(&self) -> Result<Vec<String>, HubError> {
        let shards: BTreeSet<&String> = self.weight_map.values().collect();
        // The names become paths below the folder.
        match shards.iter().find(|name| name.contains(['/', '\\']) || name.starts_with('.') || name.is_empty()) {
            Some(name) => Err(bad_file(Path::new(name))(io::Error::other("an index may only name files beside it"))),
            None => Ok(shards.into_iter().cloned().collect()),
        }
    }
}

/// Reads the tensor names in a safetensors file. The file begins with 8 bytes, the little-endian
/// length of its header. The header follows: a JSON object with one key for each tensor
/// (<https://github.com/huggingface/safetensors#format>).
fn tensor_names(path: &Path) -> Result<Vec<String>, HubError> {
    let mut file = File::open(path).map_err(bad_file(path))?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(bad_file(path))?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_MAX_BYTES {
        return Err(bad_file(path)(io::Error::other(format!("header of {length} bytes: not a safetensors file"))));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(bad_file(path))?;
    let header: HashMap<String, IgnoredAny> =
        serde_json::from_slice(&header).map_err(io::Error::other).map_err(bad_file(path))?;
    Ok(header.into_keys().collect())
}

fn file_names(folder: &Path) -> Result<Vec<String>, HubError> {
    let entries = fs::read_dir(folder).map_err(bad_file(folder))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

pub(super) fn bad_file(path: &Path) -> impl FnOnce(io::Error) -> HubError {
    let path = path.to_owned();
    |source| HubError::BadFile { path, source }
}

/// Files that belong together, in one folder of a repository.
pub(super) struct FolderFiles {
    /// Path of the folder in the repository.
    pub(super) folder: &'static str,
    /// Small file that is fetched first, because it fixes the commit. A local folder may lack it.
    pub(super) first: &'static str,
    /// Names of the other files.
    pub(super) others: &'static [&'static str],
}

impl FolderFiles {
    /// Returns the names in `others` that a folder lacks.
    pub(super) fn lacking(&self, folder: &Path) -> Vec<String> {
        self.others.iter().filter(|name| !folder.join(name).is_file()).map(|&name| name.to_owned()).collect()
    }

    /// Checks that a folder has all of `others`; the error names those that it lacks.
    pub(super) fn require(&self, folder: &Path) -> Result<(), HubError> {
        match self.lacking(folder) {
            lacking if lacking.is_empty() => Ok(()),
            files => Err(HubError::MissingFiles { folder: folder.to_owned(), files }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Writes a safetensors file with empty tensors of these names.
    fn write_safetensors(path: &Path, tensors: &[&str]) {
        let entry = |name: &&str| {
            ((*name).to_owned(), serde_json::json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}))
        };
        let header = serde_json::Value::Object(tensors.iter().map(entry).collect()).to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        fs::write(path, bytes).unwrap();
    }

    fn write_index(path: &Path, map: &[(&str, &str)]) {
        let map: HashMap<_, _> = map.iter().copied().collect();
        fs::write(path, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    }

    fn missing(result: Result<(), HubError>) -> Vec<String> {
        match result {
            Err(HubError::MissingFiles { files, .. }) => files,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn shards_win_over_the_original_file() {
        let both = ["ckpt.pt", "model.safetensors", "transformers.safetensors.index.json", "config.json"];
        assert_eq!(weights_entry(both), Some("transformers.safetensors.index.json"));
        assert_eq!(weights_entry(["model.safetensors", "x.safetensors"]), Some("model.safetensors"));
        assert_eq!(weights_entry(["sub/model.safetensors.index.json", "ckpt.pt"]), None);
    }

    #[test]
    fn a_folder_names_everything_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(missing(require(path, ModelFiles::Tokenizer)), ["config.json", "tokenizer.json"]);
        assert_eq!(
            missing(require(path, ModelFiles::Everything)),
            ["config.json", "tokenizer.json", "model.safetensors"]
        );
        fs::write(path.join(CONFIG), "{}").unwrap();
        fs::write(path.join(TOKENIZER), "{}").unwrap();
        require(path, ModelFiles::Tokenizer).unwrap();
        write_index(&path.join("model.safetensors.index.json"), &[("a", "b.safetensors"), ("c", "a.safetensors")]);
        assert_eq!(missing(require(path, ModelFiles::Everything)), ["a.safetensors", "b.safetensors"]);
        write_safetensors(&path.join("a.safetensors"), &["lm_head.weight"]);
        write_safetensors(&path.join("b.safetensors"), &["codec_model.encoder.weight"]);
        require(path, ModelFiles::Everything).unwrap();
        assert_eq!(weight_files(path).unwrap(), [path.join("a.safetensors"), path.join("b.safetensors")]);
    }

    #[test]
    fn original_weights_need_a_codec_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join(CONFIG), "{}").unwrap();
        fs::write(path.join(TOKENIZER), "{}").unwrap();
        write_safetensors(&path.join(SINGLE), &["backbone.norm.scale"]);
        assert!(missing(require(path, ModelFiles::Everything))[0].starts_with("mimi/model.safetensors"));
        fs::create_dir(path.join(CODEC_FOLDER)).unwrap();
        write_safetensors(&path.join(CODEC_FOLDER).join(SINGLE), &["encoder.weight"]);
        require(path, ModelFiles::Everything).unwrap();
    }

    #[test]
    fn broken_files_are_named_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for content in [&b"<html>"[..], &[0xff; 64], b"", &[2, 0, 0, 0, 0, 0, 0, 0, b'[', b']']] {
            fs::write(path.join(SINGLE), content).unwrap();
            let error = includes_codec(path).unwrap_err();
            assert!(matches!(error, HubError::BadFile { .. }), "{error}");
            assert!(error.to_string().contains(SINGLE), "{error}");
        }
        write_index(&path.join("model.safetensors.index.json"), &[("a", "../../etc/passwd")]);
        assert!(matches!(weight_files(path), Err(HubError::BadFile { .. })));
    }
}
