//! Reading of numbers from a `config.json`, with errors that name the key.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Error of a config that describes no usable model.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or is not a JSON object.
    #[error("{path}: {reason}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Message of the reader.
        reason: String,
    },
    /// A key is missing, or its value is not what it must be.
    #[error("config key {key}: {problem}")]
    Key {
        /// Key, with the keys that lead to it.
        key: String,
        /// Problem, with the expected value.
        problem: String,
    },
}

/// JSON object of a config, with the keys that lead to it.
pub(crate) struct ConfigObject<'a> {
    object: &'a Map<String, Value>,
    path: String,
}

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Value, ConfigError> {
    let file_error = |reason: String| ConfigError::File { path: path.into(), reason };
    let text = std::fs::read(path).map_err(|error| file_error(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| file_error(error.to_string()))
}

impl<'a> ConfigObject<'a> {
    /// Returns the outermost object.
    pub(crate) fn root(value: &'a Value) -> Result<Self, ConfigError> {
        let Value::Object(object) = value else {
            return Err(ConfigError::Key { key: "(root)".into(), problem: "is not a JSON object".into() });
        };
        Ok(Self { object, path: String::new() })
    }

    /// Returns whether the key is present and not null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Returns an inner object; `None` if the key is missing or null.
    pub(crate) fn inner(&self, key: &str) -> Result<Option<ConfigObject<'a>>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(ConfigObject { object, path: format!("{}{key}.", self.path) })),
            Some(_) => Err(self.error(key, "is not an object")),
        }
    }

    /// Returns a whole number of at least 1.
    pub(crate) fn size(&self, key: &str) -> Result<usize, ConfigError> {
        self.required(key, |value| value.as_u64().filter(|&size| size > 0 && u32::try_from(size).is_ok()))
            .map(|size| usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// Returns a finite number above 0.
    pub(crate) fn positive(&self, key: &str) -> Result<f64, ConfigError> {
        self.required(key, |value| value.as_f64().filter(|number| number.is_finite() && *number > 0.0))
    }

    /// Returns a string.
    pub(crate) fn text(&self, key: &str) -> Result<&'a str, ConfigError> {
        self.required(key, Value::as_str)
    }

    /// Returns a list of whole numbers of at least 1.
    pub(crate) fn sizes(&self, key: &str) -> Result<Vec<usize>, ConfigError> {
        self.required(key, |value| {
            let sizes = value.as_array()?.iter().map(|size| usize::try_from(size.as_u64()?).ok().filter(|&n| n > 0));
            sizes.collect()
        })
    }

    /// Refuses every value except `expected`; a missing key counts as `expected`.
    pub(crate) fn only(&self, key: &str, expected: &Value) -> Result<(), ConfigError> {
        match self.value(key) {
            Some(value) if value != expected => {
                Err(self.error(key, &format!("is {value}, only {expected} is supported")))
            }
            _ => Ok(()),
        }
    }

    /// Returns an error about `key`.
    pub(crate) fn error(&self, key: &str, problem: &str) -> ConfigError {
        ConfigError::Key { key: format!("{}{key}", self.path), problem: problem.into() }
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn required<T>(&self, key: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<T, ConfigError> {
        let value = self.value(key).ok_or_else(|| self.error(key, "is missing"))?;
        read(value).ok_or_else(|| self.error(key, &format!("has an unusable value: {value}")))
    }
}
