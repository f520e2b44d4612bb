//! JSON text of a body, or a refusal that names the place and the field of the error.
//!
//! No tree of values is built, because a tree takes up to a hundred times the memory of its text.
//! The text is checked once as a whole; after that each reader parses its own field.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use csm_shared::job::{Invalid, Reason};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize as _};
use serde_json::Value;
use serde_json::value::RawValue;

/// Bytes of the broken text that a refusal shows.
const SHOWN_BYTES: usize = 24;
/// HTTP status of text that is not JSON.
const STATUS: u16 = 400;
/// Deepest nesting of objects and lists. No request has more than three levels.
const DEPTH_MAX: usize = 16;
/// Most fields of an object.
pub(super) const FIELDS_MAX: usize = 128;
/// Most elements of a list that are kept; the others are counted.
const ELEMENTS_KEPT_MAX: usize = 64;
/// Longest text of a value, in bytes, that is read as a number or shown as it was parsed.
const SCALAR_BYTES_MAX: usize = 1_024;
/// Mark that some editors put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Checked JSON text of one value.
#[derive(Clone, Copy)]
pub(crate) struct RequestJson<'a>(&'a RawValue);

/// Fields of an object: the last one of each name.
pub(super) type Fields<'a> = BTreeMap<Cow<'a, str>, RequestJson<'a>>;

/// List of values.
pub(super) struct List<'a> {
    /// First elements, [`ELEMENTS_KEPT_MAX`] at most.
    pub(super) first: Vec<RequestJson<'a>>,
    /// Number of all elements.
    pub(super) count: usize,
}

/// Parses a whole body. Refuses numbers that no double can hold, too.
pub(crate) fn parse_json(body: &[u8]) -> Result<RequestJson<'_>, Invalid> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let checked = Check { depth: 0 }.deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    checked.map_err(|error| {
        let path = track.path().to_string();
        refusal(body, if matches!(path.as_str(), "." | "?") { "(body)" } else { &path }, &error)
    })?;
    reader.end().map_err(|error| refusal(body, "(body)", &error))?;
    serde_json::from_slice(body).map(RequestJson).map_err(|error| refusal(body, "(body)", &error))
}

fn refusal(body: &[u8], field: &str, error: &serde_json::Error) -> Invalid {
    let malformed = Invalid::malformed(field, shown(body, error), format!("JSON ({error})"));
    Invalid { status: STATUS, reason: Reason::Malformed, ..malformed }
}

/// Returns the text from the place of the error on; a number is shown from its beginning.
fn shown(body: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "(end of the text)".to_owned();
    }
    let before = body.split_inclusive(|&byte| byte == b'\n').take(error.line().saturating_sub(1));
    let mut start = before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
    let numeric = |index: usize| {
        body.get(index).is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    };
    while start > 0 && numeric(start) && numeric(start - 1) {
        start -= 1;
    }
    let rest = body.get(start..).unwrap_or_default();
    String::from_utf8_lossy(&rest[..rest.len().min(SHOWN_BYTES)]).into_owned()
}

impl<'a> RequestJson<'a> {
    /// Returns the text of the value.
    fn text(self) -> &'a str {
        self.0.get()
    }

    /// Returns whether the value is `null`.
    pub(super) fn is_null(self) -> bool {
        self.text() == "null"
    }

    /// Reads a string.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        serde_json::from_str(self.text()).ok().map(|Text(text)| text)
    }

    /// Reads a number or a boolean.
    pub(super) fn scalar(self) -> Value {
        let short = Some(self.text()).filter(|text| text.len() <= SCALAR_BYTES_MAX);
        let value = short.and_then(|text| serde_json::from_str(text).ok());
        value.filter(|value: &Value| value.is_number() || value.is_boolean()).unwrap_or_default()
    }

    /// Reads an object of [`FIELDS_MAX`] fields at most. The inner error is the number of fields of
    /// a larger object.
    pub(super) fn object(self) -> Option<Result<Fields<'a>, usize>> {
        let mut reader = serde_json::Deserializer::from_str(self.text());
        reader.deserialize_map(FieldsVisitor).ok()
    }

    /// Reads a list.
    pub(super) fn list(self) -> Option<List<'a>> {
        let mut reader = serde_json::Deserializer::from_str(self.text());
        reader.deserialize_seq(ListVisitor).ok()
    }

    /// Writes the value compactly, with the fields of each object sorted by name.
    pub(crate) fn write_sorted(self, text: &mut impl std::io::Write) -> std::io::Result<()> {
        match self.text().as_bytes().first() {
            Some(b'{') => {
                let Some(Ok(fields)) = self.object() else { return text.write_all(self.text().as_bytes()) };
                text.write_all(b"{")?;
                for (place, (name, value)) in fields.into_iter().enumerate() {
                    text.write_all(if place > 0 { b"," } else { b"" })?;
                    write_string(&name, text)?;
                    text.write_all(b":")?;
                    value.write_sorted(text)?;
                }
                text.write_all(b"}")
            }
            Some(b'[') => {
                let mut reader = serde_json::Deserializer::from_str(self.text());
                let written = SortedList(text).deserialize(&mut reader);
                written.map_err(std::io::Error::other)
            }
            Some(b'"') => match self.string() {
                Some(string) => write_string(&string, text),
                None => text.write_all(self.text().as_bytes()),
            },
            _ => write!(text, "{self}"),
        }
    }
}

/// Shows the value compactly if it is short, and as it was sent otherwise.
impl fmt::Display for RequestJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = Some(self.text()).filter(|text| text.len() <= SCALAR_BYTES_MAX);
        match short.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            Some(value) => value.fmt(f),
            None => f.write_str(self.text()),
        }
    }
}

fn write_string(string: &str, text: &mut impl std::io::Write) -> std::io::Result<()> {
    string.serialize(&mut serde_json::Serializer::new(text)).map_err(std::io::Error::other)
}

/// Check of a value and all values within it; nothing is kept.
#[derive(Clone, Copy)]
struct Check {
    depth: usize,
}

impl Check {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("more than {DEPTH_MAX} levels of objects and lists")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while list.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while object.next_key_seed(Self { depth: 0 })?.is_some() {
            object.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// Reader of an object's fields.
struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Result<Fields<'de>, usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
        let mut fields = Fields::new();
        while fields.len() <= FIELDS_MAX {
            let Some((Name(name), value)) = object.next_entry::<Name<'de>, &'de RawValue>()? else {
                return Ok(Ok(fields));
            };
            fields.insert(name, RequestJson(value));
        }
        let mut count = fields.len();
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Err(count))
    }
}

/// Reader of a list's first elements.
struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = List { first: Vec::new(), count: 0 };
        while let Some(value) = elements.next_element::<&'de RawValue>()? {
            if list.count < ELEMENTS_KEPT_MAX {
                list.first.push(RequestJson(value));
            }
            list.count += 1;
        }
        Ok(list)
    }
}

/// Writer of a list's elements, one by one.
struct SortedList<'w, W>(&'w mut W);

impl<'de, W: std::io::Write> DeserializeSeed<'de> for SortedList<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de, W: std::io::Write> Visitor<'de> for SortedList<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut before: &[u8] = b"[";
        while let Some(value) = elements.next_element::<&'de RawValue>()? {
            let written = self.0.write_all(before).and_then(|()| RequestJson(value).write_sorted(self.0));
            written.map_err(A::Error::custom)?;
            before = b",";
        }
        let end: &[u8] = if before == b"[" { b"[]" } else { b"]" };
        self.0.write_all(end).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn sorted(text: &str) -> String {
        let mut written = Vec::new();
        parse_json(text.as_bytes()).unwrap().write_sorted(&mut written).unwrap();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn the_sorted_text_is_compact_with_the_fields_in_order() {
        let one = r#"{"text": "a \"b\"\n", "list": [{"z": 1.5, "a": null}, []], "empty": {}}"#;
        let other = r#"{"empty":{}, "list":[ {"a":null,"z":15e-1},[ ]], "text":"\u0061 \"b\"\n"}"#;
        let canonical = r#"{"empty":{},"list":[{"a":null,"z":1.5},[]],"text":"a \"b\"\n"}"#;
        assert_eq!((sorted(one).as_str(), sorted(other).as_str()), (canonical, canonical));
        assert_ne!(sorted("[1, 2]"), sorted("[2, 1]"));
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert!(parse_json(b"\xef\xbb\xbf{}").is_ok());
        assert_eq!(parse_json(b"\xef\xbb\xbf").map(|_| ()).unwrap_err().status, STATUS);
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_json(nested(DEPTH_MAX).as_bytes()).is_ok());
        let refused = parse_json(nested(DEPTH_MAX + 1).as_bytes()).map(|_| ()).unwrap_err();
        assert!(refused.limit.contains("more than 16 levels of objects and lists"), "{}", refused.limit);
    }

    #[test]
    fn long_lists_and_large_objects_are_counted_not_kept() {
        let body = format!("[{}]", vec!["[0]"; 1_000].join(","));
        let list = parse_json(body.as_bytes());
        let List { first, count } = list.unwrap().list().unwrap();
        assert_eq!((first.len(), count), (ELEMENTS_KEPT_MAX, 1_000));
        let object = |fields: usize| {
            let fields: Vec<_> = (0..fields).map(|field| format!("\"{field}\": 0")).collect();
            format!("{{{}}}", fields.join(","))
        };
        let read = |fields: usize| {
            let text = object(fields);
            parse_json(text.as_bytes()).unwrap().object().unwrap().map(|fields| fields.len())
        };
        assert_eq!((read(FIELDS_MAX), read(1_000)), (Ok(FIELDS_MAX), Err(1_000)));
    }
}
