//! What is said about a recording: a finding by scheme, and one report of all of them.

use serde::{Deserialize, Serialize};

/// Said with every report.
pub const DISCLAIMER: &str = "\"not_detected\" means that none of the marks that were looked for was found. It never means \
    that a human made the recording. \"detected\" means that a mark is there. It is no proof of origin: whoever has marked \
    recordings can copy the mark to other audio, and SilentCipher's mark, looked for without a job, is 16 bits that anybody \
    can write.";

/// A way of marking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// This project's own keyed mark.
    Builtin,
    /// SilentCipher, the mark of CSM's own release.
    Silentcipher,
}

impl Scheme {
    /// The name in receipts, headers and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Silentcipher => "silentcipher",
        }
    }
}

/// What a detector says about a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The key's mark is in the recording.
    Detected,
    /// Too short, too quiet, not heard as a whole, or too near the threshold to tell.
    Inconclusive,
    /// The key's mark was not found. This does NOT mean that a human made the recording.
    NotDetected,
}

impl Verdict {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::Inconclusive => "inconclusive",
            Self::NotDetected => "not_detected",
        }
    }
}

/// A part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Where it begins, in milliseconds.
    pub start_ms: u64,
    /// Where it ends, in milliseconds.
    pub end_ms: u64,
}

/// What one scheme's detector found in a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The scheme.
    pub scheme: Scheme,
    /// The verdict.
    pub verdict: Verdict,
    /// Of the builtin mark the greatest chance of evidence this strong, over all places, speeds and keys looked at, in audio
    /// that was made without the key: a bound that always holds. Of SilentCipher an ordering, the smaller the surer: half of
    /// it rests on frames being independent, which they are not, and it has not been held against unmarked speech.
    pub p_value: f64,
    /// The detector's score: of the builtin mark `z`, in standard deviations; of SilentCipher the share of its symbols that
    /// agree.
    pub score: f64,
    /// The key that was found, or else looked for.
    pub key_id: String,
    /// Where the mark was found; empty unless detected, and in receipts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
}

/// What is said about one recording: its strongest finding on top, and all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatermarkReport {
    /// The strongest finding's verdict; but no "not detected" where a scheme could not be looked for.
    pub verdict: Verdict,
    /// And its p-value, times the schemes that were looked for: each had its chance to speak up by accident.
    pub p_value: f64,
    /// And its scheme.
    pub scheme: Scheme,
    /// And its key.
    pub key_id: String,
    /// And its regions.
    pub regions: Vec<Region>,
    /// One by scheme that was looked for.
    pub findings: Vec<Finding>,
    /// Schemes that the recording may carry and that nobody could look for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_looked_for: Vec<Scheme>,
    /// What a verdict does not mean: [`DISCLAIMER`].
    pub disclaimer: String,
}

impl WatermarkReport {
    /// The report of these findings; `None` where nothing was looked for. What is named as not looked for turns a "not
    /// detected" into "inconclusive".
    #[must_use]
    pub fn of(findings: Vec<Finding>, not_looked_for: Vec<Scheme>) -> Option<Self> {
        let strength = |finding: &Finding| (finding.verdict as u8, finding.p_value);
        let strongest = findings
            .iter()
            .min_by(|a, b| strength(a).partial_cmp(&strength(b)).unwrap_or(std::cmp::Ordering::Equal))?;
        let verdict = match strongest.verdict {
            Verdict::NotDetected if !not_looked_for.is_empty() => Verdict::Inconclusive,
            verdict => verdict,
        };
        Some(Self {
            verdict,
            p_value: (strongest.p_value * findings.len() as f64).min(1.0),
            scheme: strongest.scheme,
            key_id: strongest.key_id.clone(),
            regions: strongest.regions.clone(),
            disclaimer: DISCLAIMER.to_owned(),
            not_looked_for,
            findings,
        })
    }
}
