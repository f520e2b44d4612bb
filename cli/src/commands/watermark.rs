//! `csm watermark detect`: is our mark in these files?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use csm_shared::audio::{Clip, MAX_SOURCE_BYTES};
use csm_worker::watermark::{Detection, Detector, Verdict, WatermarkKey};
use secrecy::{ExposeSecret as _, SecretString};

/// Exit status when the mark was not found in every file.
const EXIT_NOT_DETECTED: u8 = 3;
/// Said with every "not detected".
const CAVEAT: &str = "\"not detected\" means that this key's mark was not found. It never means that a human made it.";

#[derive(Debug, Subcommand)]
pub(crate) enum WatermarkCommand {
    /// Look for the mark in WAV files. Exit status 0: found in every file; 3: not found, or inconclusive, in one or more
    Detect(DetectArgs),
}

#[derive(Args, Debug)]
pub(crate) struct DetectArgs {
    /// WAV files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Secret of the watermark [default: the published development key]
    #[arg(long, env = "CSM_WATERMARK_KEY", hide_env_values = true, value_name = "SECRET")]
    key: Option<SecretString>,
    /// One JSON object a file
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &WatermarkCommand) -> anyhow::Result<ExitCode> {
    let WatermarkCommand::Detect(args) = command;
    let detector = detector(args.key.as_ref())?;
    let mut all_detected = true;
    for file in &args.files {
        let detection = detect(&detector, file)?;
        all_detected &= detection.verdict == Verdict::Detected;
        if args.json {
            println!("{}", as_json(file, &detection));
        } else {
            println!("{}", in_words(file, &detection));
        }
    }
    if all_detected {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.json {
        eprintln!("{CAVEAT}");
    }
    Ok(ExitCode::from(EXIT_NOT_DETECTED))
}

/// A detector for the mark of `secret`; without one, or with an empty one, for the development key's.
pub(crate) fn detector(secret: Option<&SecretString>) -> anyhow::Result<Detector> {
    let key = match secret.map(SecretString::expose_secret).filter(|secret| !secret.is_empty()) {
        Some(secret) => WatermarkKey::parse(secret)?,
        None => WatermarkKey::development(),
    };
    Ok(Detector::new(&key))
}

/// Looks for the mark in one WAV file.
pub(crate) fn detect(detector: &Detector, file: &Path) -> anyhow::Result<Detection> {
    let opened = std::fs::metadata(file).and_then(|metadata| {
        let fits = metadata.len() <= MAX_SOURCE_BYTES as u64;
        if fits { std::fs::read(file).map(Some) } else { Ok(None) }
    });
    let wav = opened.with_context(|| file.display().to_string())?;
    let wav = wav.with_context(|| format!("{}: more than {MAX_SOURCE_BYTES} bytes", file.display()))?;
    let clip = Clip::from_wav(&wav).with_context(|| file.display().to_string())?;
    Ok(detector.detect(&clip.to_f32()))
}

/// One line: file, verdict, z, key.
pub(crate) fn in_words(file: &Path, detection: &Detection) -> String {
    let verdict = match detection.verdict {
        Verdict::Detected => "detected",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NotDetected => "not detected",
    };
    format!("{}: {verdict} (z = {:.1}, key {})", file.display(), detection.z, detection.key_id)
}

fn as_json(file: &Path, detection: &Detection) -> serde_json::Value {
    let verdict = match detection.verdict {
        Verdict::Detected => "detected",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NotDetected => "not_detected",
    };
    serde_json::json!({
        "file": file.display().to_string(),
        "verdict": verdict,
        "z": detection.z,
        "key_id": detection.key_id.to_string(),
    })
}
