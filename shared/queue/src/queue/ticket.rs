//! Terms on which a job joins the queue: its tenant, how long it may wait, how safely it is kept.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use csm_shared::job::{JobId, Tenant};
use csm_shared::process::digest::sha256_hex;

/// Crash that an accepted job survives from the moment the caller is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Crash that Redis is configured for: of its machine with `appendfsync always`, else of its
    /// process.
    #[default]
    Default,
    /// Crash of the machine: the write is on the server's disk, by `WAITAOF` or `appendfsync
    /// always`.
    Fsync,
}

/// Request of a job to join the queue.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Id of the job. Two tickets of one id are one job.
    pub id: JobId,
    /// Tenant of the job.
    pub tenant: Tenant,
    /// Digest of the request; a second request of the same id must have the same. Empty if the
    /// request is never repeated.
    pub fingerprint: String,
    /// Longest wait in the queue.
    pub expires_in: Option<Duration>,
    /// Time after which the result is of no use.
    pub deadline: Option<Timestamp>,
    /// Crash that the job survives once it counts as accepted.
    pub durability: Durability,
}

impl Ticket {
    /// Creates a ticket without conditions.
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

/// Computes the digest of a request's JSON, whatever the order of its fields.
#[must_use]
pub fn fingerprint(request: &Value) -> String {
    let mut text = String::new();
    write_sorted(request, &mut text);
    sha256_hex(text.as_bytes())
}

/// Writes JSON with the fields of each object sorted by name. Parsed JSON keeps its order only if
/// other packages of the build ask `serde_json` for it.
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
