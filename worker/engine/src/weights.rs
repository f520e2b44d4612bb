//! Files of a checkpoint: reading and mapping tensors, their SHA-256, and the numbers of a `config.json`.
//!
//! Both the model and the codec stand on this module. It knows neither of them.

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
