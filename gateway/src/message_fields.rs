//! Fields of a JSON message of a socket. `null` counts as absent, as in the requests over HTTP.
//!
//! Every refusal is an [`Invalid`] with the field's path, the value and the limit.

use csm_shared::job::Invalid;
use serde_json::Value;

/// Object of a message: the message itself, or an object within it.
#[derive(Clone)]
pub(crate) struct MessageFields<'a> {
    object: &'a Value,
    /// Path of the object in the message; empty for the message itself.
    path: String,
}

impl<'a> MessageFields<'a> {
    /// Opens a message.
    pub(crate) const fn of(message: &'a Value) -> Self {
        Self { object: message, path: String::new() }
    }

    /// Opens an object of a message at `path`.
    pub(crate) fn within(object: &'a Value, path: &str) -> Self {
        Self { object, path: path.to_owned() }
    }

    /// Returns the object as JSON.
    pub(crate) const fn value(&self) -> &'a Value {
        self.object
    }

    /// Reads a string.
    pub(crate) fn string(&self, name: &str) -> Result<Option<&'a str>, Invalid> {
        self.read(name, Value::as_str, "a string")
    }

    /// Reads a boolean.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, Invalid> {
        self.read(name, Value::as_bool, "true or false")
    }

    /// Reads a number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>, Invalid> {
        self.read(name, Value::as_f64, "a number")
    }

    /// Reads an object.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, Invalid> {
        let object = self.read(name, |value| value.is_object().then_some(value), "an object")?;
        Ok(object.map(|object| Self { object, path: self.path_of(name) }))
    }

    /// Reads a list of objects; an absent list is empty.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Self>, Invalid> {
        let list = self.read(name, Value::as_array, "a list")?.map_or(&[][..], Vec::as_slice);
        let entries = list.iter().enumerate().map(|(number, object)| {
            let path = format!("{}[{number}]", self.path_of(name));
            match object.is_object() {
                true => Ok(Self { object, path }),
                false => Err(Invalid::malformed(&path, object, "an object")),
            }
        });
        entries.collect()
    }

    /// Reads a list of strings.
    pub(crate) fn strings(&self, name: &str) -> Result<Option<Vec<&'a str>>, Invalid> {
        let strings = |value: &'a Value| value.as_array()?.iter().map(Value::as_str).collect();
        self.read(name, strings, "a list of strings")
    }

    /// Reads a string, or the string `id` of an object.
    pub(crate) fn string_or_id(&self, name: &str) -> Result<Option<&'a str>, Invalid> {
        match self.get(name) {
            Some(value) if value.is_object() => {
                let object = Self { object: value, path: self.path_of(name) };
                object.string("id")?.map(Some).ok_or_else(|| object.missing("id", "a string"))
            }
            _ => self.read(name, Value::as_str, "a string, or an object with an id"),
        }
    }

    /// Refuses the object for a field that is absent.
    pub(crate) fn missing(&self, name: &str, expected: impl Into<String>) -> Invalid {
        Invalid::malformed(&self.path_of(name), "(missing)", expected)
    }

    /// Refuses the value of a field.
    pub(crate) fn refuse(&self, name: &str, expected: impl Into<String>) -> Invalid {
        let path = self.path_of(name);
        match self.get(name) {
            Some(Value::String(text)) => Invalid::malformed(&path, text, expected),
            Some(value) => Invalid::malformed(&path, value, expected),
            None => self.missing(name, expected),
        }
    }

    /// Puts the path of a field into the refusal of its value.
    pub(crate) fn name(&self, name: &str) -> impl FnOnce(Invalid) -> Invalid {
        let field = self.path_of(name);
        |invalid| Invalid { field, ..invalid }
    }

    fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, Invalid> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| Invalid::malformed(&self.path_of(name), value, expected))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_name_the_path_of_the_field() {
        let message = json!({"voice": {"id": 7, "mode": null}, "input": [{}, {"parts": [3]}], "text": "a"});
        let fields = MessageFields::of(&message);
        let voice = fields.object("voice").unwrap().unwrap();
        assert_eq!(voice.string("mode"), Ok(None));
        assert_eq!(voice.string("id").unwrap_err().field, "voice.id");
        assert_eq!(fields.string_or_id("voice").unwrap_err().field, "voice.id");
        assert_eq!(fields.object("text").err().unwrap().limit, "an object");
        assert_eq!(fields.objects("input").unwrap()[1].objects("parts").err().unwrap().field, "input[1].parts[0]");
        let missing = fields.missing("context_id", "a string");
        assert_eq!((missing.field.as_str(), missing.value.as_str()), ("context_id", "(missing)"));
        assert_eq!(fields.refuse("text", "b").value, "a");
    }
}
