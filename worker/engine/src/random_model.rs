//! Models with random weights, written as ordinary Hugging Face folders, so that the whole fleet
//! runs without a download.
//!
//! The weights are seeded noise: such a model hisses, it does not speak. [`make_noise`] is small
//! enough for any CPU; [`make_random`] has the full dimensions, for load and speed tests. The files
//! are those of the published models (`config.json`, `tokenizer.json`, `*.safetensors`), so the
//! loader under test is the real loader.

mod config_json;
mod dims;
mod noise;
mod tensors;
mod tokenizer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use csm_shared::models::ModelKind;
use dims::Dims;
use tensors::Tensor;

/// Layouts in which CSM weights are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderLayout {
    /// `transformers` names, q/k rows in halves for rotate-half RoPE, the codec in the same file as
    /// `codec_model.*`.
    Transformers,
    /// torchtune names, q/k rows for interleaved RoPE, the codec in a folder `mimi/`.
    Original,
}

/// Full-size dimensions that [`make_random`] can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// `sesame/csm-1b`: 1.55 G CSM weights in bf16, and the Mimi codec in f32; about 3.5 GB.
    OneB,
}

/// Error of writing a random model.
#[derive(Debug, thiserror::Error)]
pub enum RandomModelError {
    /// The folder already holds a model, which is never overwritten.
    #[error("{} holds a model already (config.json): choose an empty folder", .0.display())]
    AlreadyThere(PathBuf),
    /// A file system operation failed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The weights file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Weights {
        /// Path of the file.
        path: PathBuf,
        /// Error of the safetensors writer.
        source: safetensors::SafeTensorError,
    },
}

/// Writes the noise model into `dir` in one layout. The weights and thus the logits are the same in
/// both layouts.
///
/// The audio vocabulary (32 codebooks of 2048 codes and 3 specials), the window of 2048 and Mimi's
/// strides are real; all else is shrunk. The text vocabulary is one id per byte and four specials.
/// Every call writes the same bytes.
///
/// # Errors
/// [`RandomModelError`] if the folder already holds a model or cannot be written.
pub fn make_noise(dir: &Path, layout: FolderLayout) -> Result<(), RandomModelError> {
    write(dir, &dims::NOISE, layout)
}

/// Writes a full-size random model into `dir`, in the transformers layout. Memory holds one tensor
/// at a time.
///
/// # Errors
/// [`RandomModelError`] if the folder already holds a model or cannot be written.
pub fn make_random(dir: &Path, size: Size) -> Result<(), RandomModelError> {
    match size {
        Size::OneB => write(dir, &dims::ONE_B, FolderLayout::Transformers),
    }
}

/// Returns whether the `config.json` of `folder` says that the model is random: noise, not speech.
#[must_use]
pub fn is_noise(folder: &Path) -> bool {
    ModelKind::of(folder) == ModelKind::Noise
}

/// Writes one folder. `config.json` is written last: a folder that has one is complete.
fn write(dir: &Path, dims: &Dims, layout: FolderLayout) -> Result<(), RandomModelError> {
    if dir.join("config.json").exists() {
        return Err(RandomModelError::AlreadyThere(dir.to_owned()));
    }
    create_folder(dir)?;
    let csm = tensors::csm(dims);
    let codec = tensors::codec(&dims.mimi);
    match layout {
        FolderLayout::Transformers => {
            let inside = codec.into_iter().map(|tensor| tensor.under("codec_model."));
            write_weights(&dir.join("model.safetensors"), csm.into_iter().chain(inside))?;
        }
        FolderLayout::Original => {
            let apart = dir.join("mimi");
            create_folder(&apart)?;
            let csm = csm.into_iter().map(|tensor| tensor.into_original(dims));
            write_weights(&dir.join("model.safetensors"), csm)?;
            write_weights(&apart.join("model.safetensors"), codec)?;
            write_file(&apart.join("config.json"), pretty(&config_json::mimi_original(&dims.mimi)))?;
        }
    }
    write_file(&dir.join("tokenizer.json"), pretty(&tokenizer::json(dims.first_special)))?;
    write_file(&dir.join("README.md"), config_json::card(dims))?;
    let config = match layout {
        FolderLayout::Transformers => config_json::transformers(dims),
        FolderLayout::Original => config_json::original(dims),
    };
    write_file(&dir.join("config.json"), pretty(&config))
}

/// Writes a weights file. The safetensors writer fills a temporary file that only its owner can
/// read, and renames it. The result then gets the permissions of an ordinary file in this folder.
fn write_weights(path: &Path, tensors: impl IntoIterator<Item = Tensor>) -> Result<(), RandomModelError> {
    let io = |source| RandomModelError::Io { path: path.to_owned(), source };
    let rights = fs::File::create(path).and_then(|file| file.metadata()).map_err(io)?.permissions();
    let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor));
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path)
        .map_err(|source| RandomModelError::Weights { path: path.to_owned(), source })?;
    fs::set_permissions(path, rights).map_err(io)
}

fn create_folder(path: &Path) -> Result<(), RandomModelError> {
    fs::create_dir_all(path).map_err(|source| RandomModelError::Io { path: path.to_owned(), source })
}

fn write_file(path: &Path, text: String) -> Result<(), RandomModelError> {
    fs::write(path, text).map_err(|source| RandomModelError::Io { path: path.to_owned(), source })
}

/// Returns JSON with an indent of two spaces and a final newline, as in the published folders.
fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
