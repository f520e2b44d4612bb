//! The toy voice: a CSM of a few million weights with its own codec, which says English sentences
//! in two voices.
//!
//! `model/` is an ordinary Hugging Face folder, and its files are embedded. [`write`] writes them
//! into a folder of the caller's; [`ensure`] keeps a folder equal to them. The key `toy_voice` of
//! `config.json` marks the model, so that no program takes the voice for CSM-1B.

#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Weights of the model and its codec.
const WEIGHTS: &[u8] = include_bytes!("../model/model.safetensors");
/// Most bytes of the weights; each program that speaks with the toy voice holds them.
const WEIGHTS_BYTES_MAX: usize = 20_000_000;
const _: () = assert!(WEIGHTS.len() <= WEIGHTS_BYTES_MAX);

/// Name of the file that is written last: a folder that has one is complete.
const CONFIG: &str = "config.json";

/// Names and contents of the model's files, in the order in which they are written.
pub static FILES: [(&str, &[u8]); 4] = [
    ("model.safetensors", WEIGHTS),
    ("tokenizer.json", include_bytes!("../model/tokenizer.json")),
    ("README.md", include_bytes!("../model/README.md")),
    (CONFIG, include_bytes!("../model/config.json")),
];

/// Error of writing the toy voice.
#[derive(Debug, thiserror::Error)]
pub enum TinyModelError {
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
}

impl TinyModelError {
    fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Writes the model into `dir`, which is made if it is missing.
///
/// # Errors
/// [`TinyModelError`] if the folder already holds a model or cannot be written.
pub fn write(dir: &Path) -> Result<(), TinyModelError> {
    if dir.join(CONFIG).exists() {
        return Err(TinyModelError::AlreadyThere(dir.to_owned()));
    }
    fs::create_dir_all(dir).map_err(TinyModelError::at(dir))?;
    for (name, content) in FILES {
        let path = dir.join(name);
        fs::write(&path, content).map_err(TinyModelError::at(&path))?;
    }
    Ok(())
}

/// Makes `dir` a folder with this very model. A folder with other files, such as the model of
/// another build, is replaced.
///
/// The files are written beside `dir` and take its name at once: a reader of `dir` finds a whole
/// model or none.
///
/// # Errors
/// [`TinyModelError`] if the folder cannot be written.
pub fn ensure(dir: &Path) -> Result<(), TinyModelError> {
    if holds_this_model(dir) {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(TinyModelError::at(parent))?;
    let writers = fs::File::open(parent).map_err(TinyModelError::at(parent))?;
    // Keeps other writers out until the end. Without locks in the file system a second one may fail.
    let _ = writers.lock();
    if holds_this_model(dir) {
        return Ok(());
    }
    let scratch = tempfile::Builder::new().prefix(".tiny-").tempdir_in(parent).map_err(TinyModelError::at(parent))?;
    let written = scratch.path().join("written");
    write(&written)?;
    match fs::rename(dir, scratch.path().join("replaced")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(TinyModelError::at(dir)(error)),
        _ => fs::rename(&written, dir).map_err(TinyModelError::at(dir)),
    }
}

/// Compares the files of a folder with the embedded ones. Only files of the right length are read.
fn holds_this_model(dir: &Path) -> bool {
    FILES.iter().all(|(name, content)| {
        let path = dir.join(name);
        let same_length = fs::metadata(&path).is_ok_and(|file| file.len() == content.len() as u64);
        same_length && fs::read(&path).is_ok_and(|found| found == *content)
    })
}
