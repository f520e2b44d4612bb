//! Findings about a recording: one for each scheme, and one report of all of them.

use serde::{Deserialize, Serialize};

/// Disclaimer that every report carries.
pub const DISCLAIMER: &str = "\"not_detected\" means that none of the marks that were looked for was found. It never means \
    that a human made the recording. \"detected\" means that a mark is there. It is no proof of origin: whoever has marked \
    recordings can copy the mark to other audio, and SilentCipher's mark, looked for without a job, is 16 bits that anybody \
    can write.";

/// Watermarking scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Keyed mark of this project.
    Builtin,
    /// SilentCipher, the mark of CSM's own release.
    Silentcipher,
}

impl Scheme {
    /// Returns the name in receipts, headers and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Silentcipher => "silentcipher",
        }
    }
}

/// Verdict of a detector about a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The key's mark is in the recording.
    Detected,
    /// The recording is too short, too quiet, not examined as a whole, or too near the threshold to
    /// tell.
    Inconclusive,
    /// The key's mark was not found. The verdict does NOT mean that a human made the recording.
    NotDetected,
}

impl Verdict {
    /// Returns the name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::Inconclusive => "inconclusive",
            Self::NotDetected => "not_detected",
        }
    }
}

/// Part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Beginning of the part, in milliseconds.
    pub start_ms: u64,
    /// End of the part, in milliseconds.
    pub end_ms: u64,
}

/// Finding of one scheme's detector about a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The scheme.
    pub scheme: Scheme,
    /// The verdict.
    pub verdict: Verdict,
    /// P-value of the evidence: the smaller, the surer.
    ///
    /// * Builtin mark: an upper bound on the chance of evidence this strong in audio that was made
    ///   without the key. All places, speeds and keys that were tried are counted. The bound always
    ///   holds.
    /// * SilentCipher: an ordering, not a rate. Half of it assumes that frames are independent,
    ///   which they are not, and it has not been compared with unmarked speech.
    pub p_value: f64,
    /// Score of the detector: `z` in standard deviations (builtin mark), or the share of symbols
    /// that agree (SilentCipher).
    pub score: f64,
    /// Key that was found; if none was found, the first key that was looked for.
    pub key_id: String,
    /// Parts in which the mark was found. Empty unless the mark was detected, and always empty in
    /// receipts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
}

/// Report on one recording: its strongest finding on top, and all findings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatermarkReport {
    /// Verdict of the strongest finding, except that "not detected" becomes "inconclusive" if a
    /// scheme could not be looked for.
    pub verdict: Verdict,
    /// P-value of the strongest finding, times the number of schemes that were looked for: each can
    /// find a mark by accident.
    pub p_value: f64,
    /// Scheme of the strongest finding.
    pub scheme: Scheme,
    /// Key of the strongest finding.
    pub key_id: String,
    /// Regions of the strongest finding.
    pub regions: Vec<Region>,
    /// Findings, one for each scheme that was looked for.
    pub findings: Vec<Finding>,
    /// Schemes that the recording may carry but that could not be looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_looked_for: Vec<Scheme>,
    /// Limits of what a verdict means: [`DISCLAIMER`].
    pub disclaimer: String,
}

impl WatermarkReport {
    /// Builds the report of `findings`, or `None` if there are none. A scheme in `not_looked_for`
    /// turns a "not detected" into "inconclusive".
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
