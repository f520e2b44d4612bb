//! The count of all lines at the end, without any code of the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use csm_shared::audio::Clip;
use csm_shared::process::digest::sha256_hex;
use csm_shared::watermark::{Detector, Verdict};
use serde_json::Value;

/// Account of a batch, from the files that it left.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Lines that were spoken.
    pub spoken: usize,
    /// Milliseconds of audio of all spoken lines.
    pub audio_ms: u64,
    /// Lines among the errors, by their code.
    pub failed: BTreeMap<String, usize>,
    /// Lines whose result is not of the first attempt.
    pub tried_again: usize,
    /// Files in which the mark was looked for.
    pub examined: usize,
    /// Every fault, in words.
    pub faults: Vec<String>,
    names: BTreeSet<String>,
    keys: BTreeSet<String>,
}

/// Most faults that are kept in words.
const FAULTS_MAX: usize = 50;

impl Ledger {
    /// Notes a line of the output or of the errors. Of every `stride`th file the mark is looked for.
    pub fn note(&mut self, line: &Value, store: &Path, detector: &Detector, stride: usize) {
        let name = line["custom_id"].as_str().unwrap_or_default().to_owned();
        if !self.names.insert(name.clone()) {
            self.fault(format!("{name} is there twice"));
        }
        if line["response"].is_null() {
            let code = line["error"]["code"].as_str().unwrap_or("(none)").to_owned();
            *self.failed.entry(code).or_default() += 1;
            return;
        }
        self.spoken += 1;
        let body = &line["response"]["body"];
        self.audio_ms += body["duration_ms"].as_u64().unwrap_or_default();
        self.tried_again += usize::from(body["attempts"].as_u64().is_none_or(|attempts| attempts > 1));
        let key = body["key"].as_str().unwrap_or_default().to_owned();
        match std::fs::read(store.join(&key)) {
            Err(error) => self.fault(format!("{name}: {key}: {error}")),
            Ok(file) => {
                if body["sha256"] != sha256_hex(&file) || body["bytes"] != file.len() {
                    self.fault(format!("{name}: {key} is another file"));
                }
                if self.spoken.is_multiple_of(stride.max(1)) {
                    self.examine(&name, &file, detector);
                }
            }
        }
        if !self.keys.insert(key.clone()) {
            self.fault(format!("{name}: {key} belongs to two lines"));
        }
    }

    /// Compares the names with those that were ordered.
    pub fn close(&mut self, ordered: impl Iterator<Item = String>) {
        let ordered: BTreeSet<_> = ordered.collect();
        let missing: Vec<_> = ordered.difference(&self.names).cloned().collect();
        let invented: Vec<_> = self.names.difference(&ordered).cloned().collect();
        for name in missing {
            self.fault(format!("{name} is missing"));
        }
        for name in invented {
            self.fault(format!("{name} was never ordered"));
        }
    }

    fn examine(&mut self, name: &str, file: &[u8], detector: &Detector) {
        self.examined += 1;
        let samples: Option<Vec<f32>> =
            Clip::from_wav(file).ok().map(|clip| clip.samples().iter().map(|&s| f32::from(s) / 32_768.0).collect());
        let verdict = samples.map(|samples| detector.detect(&samples).verdict);
        if verdict != Some(Verdict::Detected) {
            self.fault(format!("{name}: the mark is {verdict:?}"));
        }
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_shared::watermark::WatermarkKey;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_damage_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), b"a").unwrap();
        let line = |name: &str, key: &str, content: &[u8]| {
            json!({"custom_id": name, "response": {"body": {"key": key, "bytes": content.len(),
                "sha256": sha256_hex(content), "attempts": 1}}})
        };
        let detector = Detector::new(&WatermarkKey::development());
        let faults = |lines: &[Value], ordered: &[&str]| {
            let mut ledger = Ledger::default();
            lines.iter().for_each(|line| ledger.note(line, folder.path(), &detector, usize::MAX));
            ledger.close(ordered.iter().map(|&name| name.to_owned()));
            ledger.faults
        };
        assert_eq!(faults(&[line("x", "a", b"a")], &["x"]), Vec::<String>::new());
        assert_eq!(faults(&[line("x", "a", b"b")], &["x"]), ["x: a is another file"]);
        assert_eq!(faults(&[line("x", "a", b"a")], &["x", "y"]), ["y is missing"]);
        assert_eq!(faults(&[line("x", "a", b"a")], &[]), ["x was never ordered"]);
        assert!(faults(&[line("x", "b", b"a")], &["x"])[0].starts_with("x: b: "));
        let twice = faults(&[line("x", "a", b"a"), line("x", "a", b"a")], &["x"]);
        assert_eq!(twice, ["x is there twice", "x: a belongs to two lines"]);
    }
}
