//! Names of objects. A name becomes a path and part of a URL, so it may hold safe characters only.

use std::fmt;

/// Longest key, in bytes. S3 allows 1024; the rest is left for a bucket prefix.
pub const OBJECT_KEY_MAX_BYTES: usize = 512;

/// Folder of the objects that [`super::Store::probe`] writes and deletes. It lies where the audio
/// goes, because rights and rules of a bucket may hold for `audio/` alone.
const PROBE_FOLDER: &str = "audio/probe";

/// Key of an object: segments of `[a-z0-9._-]` joined by `/`; no segment is empty or starts with a
/// dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

/// Error for a text that cannot be an [`ObjectKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object key {key:?} {reason}")]
pub struct InvalidObjectKey {
    key: String,
    reason: &'static str,
}

impl ObjectKey {
    /// Makes a key if the text is safe as a path below a folder and as part of a URL.
    ///
    /// # Errors
    /// [`InvalidObjectKey`] names the rule that `key` breaks.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidObjectKey> {
        let key = key.into();
        match broken_rule(&key) {
            None => Ok(Self(key)),
            Some(reason) => Err(InvalidObjectKey { key, reason }),
        }
    }

    /// Makes the key for the audio of one attempt of a job by one worker:
    /// `audio/<job>/a<attempt>-<writer>.<extension>`.
    ///
    /// `writer` separates two workers that were given the same attempt, as can happen if Redis lost
    /// a claim. Neither can then overwrite or delete the audio that the other committed.
    ///
    /// # Errors
    /// [`InvalidObjectKey`] if a part is not made of safe characters.
    pub fn audio(job_id: &str, attempt: u64, writer: &str, extension: &str) -> Result<Self, InvalidObjectKey> {
        let key = format!("audio/{job_id}/a{attempt}-{writer}.{extension}");
        if [job_id, writer, extension].iter().any(|part| part.contains('/')) {
            return Err(InvalidObjectKey { key, reason: "has a slash inside a part" });
        }
        Self::new(key)
    }

    /// Makes the key for the audio of one attempt of a job with a name of its own:
    /// `audio/<name>.a<attempt>-<writer>.<extension>`.
    ///
    /// # Errors
    /// [`InvalidObjectKey`] if a part is not made of safe characters.
    pub fn named_audio(name: &str, attempt: u64, writer: &str, extension: &str) -> Result<Self, InvalidObjectKey> {
        let key = format!("audio/{name}.a{attempt}-{writer}.{extension}");
        if [writer, extension].iter().any(|part| part.contains('/')) {
            return Err(InvalidObjectKey { key, reason: "has a slash inside a part" });
        }
        Self::new(key)
    }

    /// Makes the key of the object with which a writer checks that it can write:
    /// `audio/probe/<writer>`.
    ///
    /// # Errors
    /// [`InvalidObjectKey`] if `writer` is not made of safe characters.
    pub fn probe(writer: &str) -> Result<Self, InvalidObjectKey> {
        Self::new(format!("{PROBE_FOLDER}/{writer}"))
    }

    /// Returns the key as text, without a leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ObjectKey {
    type Err = InvalidObjectKey;

    fn from_str(key: &str) -> Result<Self, InvalidObjectKey> {
        Self::new(key)
    }
}

fn broken_rule(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("is empty");
    }
    if key.len() > OBJECT_KEY_MAX_BYTES {
        return Some("is over 512 bytes");
    }
    if !key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-')) {
        return Some("has a character outside [a-z0-9/._-]");
    }
    if key.split('/').any(str::is_empty) {
        return Some("has an empty segment");
    }
    // Segments with a leading dot are `..`, or the names of unfinished files in a folder store.
    if key.split('/').any(|segment| segment.starts_with('.')) {
        return Some("has a segment that starts with a dot");
    }
    if key.contains("..") {
        return Some("has two dots in a row");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_keys_carry_job_and_attempt() {
        let key = ObjectKey::audio("0199-ab", 3, "0c1d2e3f", "wav").map(|key| key.to_string());
        assert_eq!(key.as_deref(), Ok("audio/0199-ab/a3-0c1d2e3f.wav"));
    }

    #[test]
    fn unsafe_keys_are_refused() {
        let long = "a".repeat(OBJECT_KEY_MAX_BYTES + 1);
        let refused = [
            "", "/a", "a/", "a//b", "..", "a/../b", "a/..", "./a", ".hidden", "a/.tmp", "a..b", "A", "a b", "a\\b",
            "ä", "a\0b", "a%2e", &long,
        ];
        for key in refused {
            assert!(ObjectKey::new(key).is_err(), "{key:?} must be refused");
        }
        for job in ["../x", "a/b", "", "x/.."] {
            assert!(ObjectKey::audio(job, 1, "w", "wav").is_err(), "job {job:?} must be refused");
        }
        assert!(ObjectKey::audio("job", 1, "w", "../wav").is_err());
    }

    #[test]
    fn safe_keys_are_taken() {
        for key in ["a", "audio/0199-ab/a3.wav", "v1/x_y.json", &"a".repeat(OBJECT_KEY_MAX_BYTES)] {
            assert!(ObjectKey::new(key).is_ok(), "{key:?} must be taken");
        }
    }
}
