//! A JSON object that is read field by field. `null` counts as absent.
//!
//! The object collects the names that its readers ask for. The refusal of an unknown field lists
//! these names, in the order in which they were asked for.

use std::borrow::Cow;

use csm_shared::job::Invalid;

use super::json::{FIELDS_MAX, Fields, List, RequestJson};

/// Largest magnitude of a double that is read as a whole number.
const WHOLE_FLOAT_MAX: f64 = 1e30;

/// Treatment of the fields that no reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnknownFields {
    /// The request is refused.
    Refuse,
    /// The fields are ignored.
    Ignore,
}

/// JSON object of a request, or within a request.
pub(crate) struct JsonObject<'a> {
    /// Place of the object in the request; empty for the request itself.
    path: String,
    /// Fields that were not read yet.
    fields: Fields<'a>,
    /// Names that were asked for, as a refusal lists them: `text, topk (top_k)`.
    known: String,
    unknown: UnknownFields,
}

impl<'a> JsonObject<'a> {
    /// Opens the object that is the whole request.
    pub(crate) fn of_request(body: RequestJson<'a>, unknown: UnknownFields) -> Result<Self, Invalid> {
        Self::at(String::new(), body, unknown)
    }

    /// Opens an object within this one, at `path`; unknown fields are treated as in this one.
    pub(super) fn inner(&self, path: &str, value: RequestJson<'a>) -> Result<Self, Invalid> {
        Self::at(path.to_owned(), value, self.unknown)
    }

    fn at(path: String, value: RequestJson<'a>, unknown: UnknownFields) -> Result<Self, Invalid> {
        let field = if path.is_empty() { "(body)" } else { &path };
        match value.object() {
            Some(Ok(fields)) => Ok(Self { path, fields, known: String::new(), unknown }),
            Some(Err(count)) => {
                let expected = format!("a JSON object of at most {FIELDS_MAX} fields");
                Err(Invalid::malformed(field, format!("{count} fields"), expected))
            }
            None => Err(Invalid::malformed(field, value, "a JSON object")),
        }
    }

    /// Reads a string.
    pub(crate) fn string(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Invalid> {
        let Some((path, value)) = self.take(&[name]) else { return Ok(None) };
        value.string().map(Some).ok_or_else(|| Invalid::malformed(&path, value, "a string"))
    }

    /// Reads a string, or the string `id` of an object.
    pub(super) fn string_or_id(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Invalid> {
        let Some((path, value)) = self.take(&[name]) else { return Ok(None) };
        if let Some(text) = value.string() {
            return Ok(Some(text));
        }
        let mut object = self.inner(&path, value)?;
        let id = object.string("id")?;
        id.map(Some).ok_or_else(|| Invalid::malformed(&format!("{path}.id"), "(missing)", "a string"))
    }

    /// Reads a boolean.
    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, Invalid> {
        let Some((path, value)) = self.take(&[name]) else { return Ok(None) };
        value.scalar().as_bool().map(Some).ok_or_else(|| Invalid::malformed(&path, value, "true or false"))
    }

    /// Reads a whole number under the first of its names that is present; `50.0` is whole.
    pub(crate) fn integer(&mut self, names: &[&str]) -> Result<Option<i128>, Invalid> {
        let Some((path, value)) = self.take(names) else { return Ok(None) };
        let scalar = value.scalar();
        let whole = scalar.as_number().and_then(|number| {
            let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= WHOLE_FLOAT_MAX);
            number.as_i128().or_else(|| float().map(|float| float as i128))
        });
        whole.map(Some).ok_or_else(|| Invalid::malformed(&path, value, "a whole number"))
    }

    /// Reads a number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<f64>, Invalid> {
        let Some((path, value)) = self.take(&[name]) else { return Ok(None) };
        value.scalar().as_f64().map(Some).ok_or_else(|| Invalid::malformed(&path, value, "a number"))
    }

    /// Reads a list under the first of its names that is present.
    pub(super) fn list(&mut self, names: &[&str]) -> Result<Option<List<'a>>, Invalid> {
        let Some((path, value)) = self.take(names) else { return Ok(None) };
        value.list().map(Some).ok_or_else(|| Invalid::malformed(&path, value, "a list"))
    }

    /// Ends the reading. Refuses the first field that no reader asked for, unless such fields are
    /// ignored.
    pub(crate) fn finish(self) -> Result<(), Invalid> {
        match self.fields.iter().next() {
            Some((name, value)) if self.unknown == UnknownFields::Refuse => {
                let expected = format!("a known field; there are {}", self.known);
                Err(Invalid::malformed(&self.path_of(name), value, expected))
            }
            _ => Ok(()),
        }
    }

    /// Returns true if the field is present and was not read yet.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    /// Removes the value under the first of `names` that is present, with the path of that name.
    fn take(&mut self, names: &[&str]) -> Option<(String, RequestJson<'a>)> {
        self.add_known(names);
        let (name, value) = names.iter().find_map(|name| Some((name, self.fields.remove(*name)?)))?;
        (!value.is_null()).then(|| (self.path_of(name), value))
    }

    fn add_known(&mut self, names: &[&str]) {
        let [name, aliases @ ..] = names else { return };
        if !self.known.is_empty() {
            self.known.push_str(", ");
        }
        self.known.push_str(name);
        if !aliases.is_empty() {
            self.known.push_str(&format!(" ({})", aliases.join(", ")));
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::parse_json;
    use super::*;

    /// Reads `topk` and `text` and ends the reading.
    fn read(body: &str, unknown: UnknownFields) -> Result<(), Invalid> {
        let mut object = JsonObject::of_request(parse_json(body.as_bytes())?, unknown)?;
        object.integer(&["topk", "top_k", "k"])?;
        object.string("text")?;
        object.finish()
    }

    #[test]
    fn a_refused_field_is_told_the_names_that_were_asked_for() {
        let refused = read(r#"{"text": "a", "tempo": 1}"#, UnknownFields::Refuse).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.value.as_str()), ("tempo", "1"));
        assert_eq!(refused.limit, "a known field; there are topk (top_k, k), text");
        assert_eq!(read(r#"{"text": "a", "tempo": 1}"#, UnknownFields::Ignore), Ok(()));
    }

    #[test]
    fn an_inner_object_lists_its_own_fields_and_treats_unknown_ones_alike() {
        for (unknown, refused) in [(UnknownFields::Refuse, true), (UnknownFields::Ignore, false)] {
            let body = parse_json(br#"{"text": "a", "part": {"audio": "b", "tempo": 1}}"#).unwrap();
            let mut object = JsonObject::of_request(body, unknown).unwrap();
            object.string("text").unwrap();
            let part = object.take(&["part"]).unwrap().1;
            let mut inner = object.inner("parts[0]", part).unwrap();
            inner.string("audio").unwrap();
            let end = inner.finish().map_err(|invalid| (invalid.field, invalid.limit));
            let expected = ("parts[0].tempo".to_owned(), "a known field; there are audio".to_owned());
            assert_eq!(end, if refused { Err(expected) } else { Ok(()) });
        }
    }
}
