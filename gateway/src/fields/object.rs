//! A JSON object read field by field: each reader says by path what it found and what it expected, and what nobody took is
//! unknown. `null` counts as absent.

use csm_shared::job::Invalid;
use serde_json::{Map, Value};

/// Whole numbers up to here are exact in a double.
const EXACT_MAX: f64 = 1e30;

/// The fields not yet read, and where the object stands in the request.
pub(super) struct Object {
    path: String,
    fields: Map<String, Value>,
}

impl Object {
    /// The object at `path`, empty for the request itself.
    pub(super) fn new(path: &str, value: Value) -> Result<Self, Invalid> {
        match value {
            Value::Object(fields) => Ok(Self { path: path.to_owned(), fields }),
            other => {
                let field = if path.is_empty() { "(body)" } else { path };
                Err(Invalid::malformed(field, other, "a JSON object"))
            }
        }
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<String>, Invalid> {
        match self.take(&[name]) {
            None => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((path, other)) => Err(Invalid::malformed(&path, other, "a string")),
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, Invalid> {
        match self.take(&[name]) {
            None => Ok(None),
            Some((_, Value::Bool(value))) => Ok(Some(value)),
            Some((path, other)) => Err(Invalid::malformed(&path, other, "true or false")),
        }
    }

    /// A whole number under the first of its names that is there; `50.0` is whole.
    pub(super) fn integer(&mut self, names: &[&str]) -> Result<Option<i128>, Invalid> {
        let Some((path, value)) = self.take(names) else { return Ok(None) };
        let whole = value.as_number().and_then(|number| {
            let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT_MAX);
            number.as_i128().or_else(|| float().map(|float| float as i128))
        });
        whole.map(Some).ok_or_else(|| Invalid::malformed(&path, value, "a whole number"))
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<f64>, Invalid> {
        let Some((path, value)) = self.take(&[name]) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| Invalid::malformed(&path, value, "a number"))
    }

    pub(super) fn list(&mut self, names: &[&str]) -> Result<Option<Vec<Value>>, Invalid> {
        match self.take(names) {
            None => Ok(None),
            Some((_, Value::Array(values))) => Ok(Some(values)),
            Some((path, other)) => Err(Invalid::malformed(&path, other, "a list")),
        }
    }

    /// Refuses the first field that nobody took.
    pub(super) fn refuse_rest(self, known: &str) -> Result<(), Invalid> {
        match self.fields.iter().next() {
            None => Ok(()),
            Some((name, value)) => {
                Err(Invalid::malformed(&self.at(name), value, format!("a known field; there are {known}")))
            }
        }
    }

    fn take(&mut self, names: &[&str]) -> Option<(String, Value)> {
        let name = names.iter().find(|name| self.fields.contains_key(**name))?;
        let value = self.fields.remove(*name)?;
        (!value.is_null()).then(|| (self.at(name), value))
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}
