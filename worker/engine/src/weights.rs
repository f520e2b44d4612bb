//! Weight files: reading and mapping of tensors, their SHA-256, and the numbers of a `config.json`.
//!
//! Model and codec both use this module, which depends on neither.

mod config_object;
mod error;
mod files;
mod hash;

pub use config_object::ConfigError;
pub(crate) use config_object::{ConfigObject, read_json};
pub use error::{LoadProgress, WeightsError};
pub(crate) use files::TensorFiles;
pub use files::map;
pub use hash::weights_sha256;

/// Folder of the codec inside a model folder whose weights do not include the codec.
pub const CODEC_FOLDER: &str = "mimi";
