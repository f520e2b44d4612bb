//! What comes with a job when it joins the queue: whose it is, how long it may wait, how safely it is kept.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use csm_shared::job::{JobId, Tenant};
use csm_shared::process::digest::sha256_hex;

/// What an accepted job has survived when the caller hears of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Whatever Redis is set up for: with `appendfsync always`, a crash of its machine; else a crash of its process.
    #[default]
    Default,
    /// The write is on the server's disk (`WAITAOF`, or `appendfsync always`).
    Fsync,
}

/// A job's way into the queue.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The job. Two tickets of one id are one job.
    pub id: JobId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Digest of the request; a second request of the same id must have the same. Empty where nobody repeats.
    pub fingerprint: String,
    /// Longest wait in the queue.
    pub expires_in: Option<Duration>,
    /// When the result is of no more use.
    pub deadline: Option<Timestamp>,
    /// What the job has survived when it counts as accepted.
    pub durability: Durability,
}

impl Ticket {
    /// A ticket without conditions.
    #[must_use]
    pub fn new(id: JobId) -> Self {
        Self {
            id,
            tenant: Tenant::default(),
            fingerprint: String::new(),
            expires_in: None,
            deadline: None,
            durability: Durability::Default,
        }
    }
}

/// Digest of a request's JSON, whatever the order of its fields.
#[must_use]
pub fn fingerprint(request: &Value) -> String {
    let mut text = String::new();
    write_sorted(request, &mut text);
    sha256_hex(text.as_bytes())
}

/// Writes JSON with the fields of each object by name. Parsed JSON keeps the order it came in or not, by what other packages
/// of a build ask of `serde_json`.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (place, (name, value)) in fields.into_iter().enumerate() {
                let comma = if place > 0 { "," } else { "" };
                // Writing to a string does not fail.
                let _ = write!(text, "{comma}{}:", Value::from(name.as_str()));
                write_sorted(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (place, value) in values.iter().enumerate() {
                text.push_str(if place > 0 { "," } else { "" });
                write_sorted(value, text);
            }
            text.push(']');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fingerprint_is_that_of_the_compact_json_with_its_fields_in_order() {
        let one = json!({"text": "a \"b\"\n", "list": [{"z": 1.5, "a": null}, []], "empty": {}});
        let other = json!({"empty": {}, "list": [{"a": null, "z": 1.5}, []], "text": "a \"b\"\n"});
        let canonical = r#"{"empty":{},"list":[{"a":null,"z":1.5},[]],"text":"a \"b\"\n"}"#;
        assert_eq!(fingerprint(&one), sha256_hex(canonical.as_bytes()));
        assert_eq!(fingerprint(&other), fingerprint(&one));
        assert_ne!(fingerprint(&json!([1, 2])), fingerprint(&json!([2, 1])));
    }
}
