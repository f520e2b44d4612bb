//! `csm watermark detect`: looks for the fleet's marks in files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use csm_shared::audio::{self, Clip, MAX_SOURCE_BYTES, Recording};
use csm_shared::job::{AudioFormat, JobId};
use csm_shared::process::error_chain::in_one_line;
use csm_shared::watermark::{DISCLAIMER, Detector, Finding, Region, Scheme, Verdict, WatermarkKey, WatermarkReport};
use csm_shared::{errln, outln};
use csm_silentcipher::{BnMode, Bounds, ExpectedPayload, SilentCipher};
use secrecy::{ExposeSecret as _, SecretString};

/// Exit status if a file could not be examined.
const EXIT_UNREADABLE: u8 = 1;
/// Exit status if the mark was not found in every file.
const EXIT_NOT_DETECTED: u8 = 3;

#[derive(Debug, Subcommand)]
pub(crate) enum WatermarkCommand {
    /// Look for the mark in audio files. Exit status 0: found in every file; 3: not found, or
    /// inconclusive, in one or more; 1: one or more could not be examined
    Detect(DetectArgs),
}

#[derive(Args, Debug)]
pub(crate) struct DetectArgs {
    /// Recording that the API reads, recognised by content; or bare samples as the API
    /// delivers them, named `.pcm`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Secret of the watermark; set it in the environment, because other users see arguments
    /// [default: the published development key]
    #[arg(long, env = "CSM_WATERMARK_KEY", hide_env_values = true, value_name = "SECRET")]
    key: Option<SecretString>,
    /// Earlier secrets whose marks are still to be found: one a line, or separated by commas
    #[arg(long, env = "CSM_WATERMARK_OLD_KEYS", hide_env_values = true, value_name = "SECRETS")]
    old_keys: Option<SecretString>,
    /// Also look for the mark at speeds up to 2 % lower or higher; takes ten times as long
    #[arg(long)]
    any_speed: bool,
    /// Folder of SilentCipher's weights, to look for its mark too
    #[arg(long, value_name = "DIR")]
    silentcipher: Option<PathBuf>,
    /// Job that the files may come from. SilentCipher's mark must then name this job, which needs
    /// the secret to write. Without a job 16 bits of the key's id are looked for, which can be
    /// written without the secret
    #[arg(long, requires = "silentcipher", value_name = "ID")]
    job: Option<JobId>,
    /// Print one JSON object a file
    #[arg(long)]
    json: bool,
}

/// Marks to look for.
pub(crate) struct MarkSearch {
    builtin: Detector,
    any_speed: bool,
    /// SilentCipher's model, and the payloads that it is to find.
    silentcipher: Option<(SilentCipher, Vec<ExpectedPayload>)>,
}

pub(crate) fn run(command: &WatermarkCommand) -> anyhow::Result<ExitCode> {
    let WatermarkCommand::Detect(args) = command;
    let search = search(args)?;
    let (mut all_detected, mut unreadable, mut looked) = (true, false, false);
    for file in &args.files {
        let report = match detect(&search, file) {
            Ok(report) => report,
            Err(error) => {
                errln!("error: {}", in_one_line(&*error));
                unreadable = true;
                continue;
            }
        };
        looked = true;
        all_detected &= report.verdict == Verdict::Detected;
        if args.json {
            outln!("{}", as_json(file, &report)?);
        } else {
            outln!("{}", in_words(file, &report));
        }
    }
    if looked && !args.json {
        errln!("{DISCLAIMER}");
    }
    Ok(match (unreadable, all_detected) {
        (true, _) => ExitCode::from(EXIT_UNREADABLE),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(EXIT_NOT_DETECTED),
    })
}

fn search(args: &DetectArgs) -> anyhow::Result<MarkSearch> {
    let mut keys = vec![key(args.key.as_ref())?];
    if let Some(secrets) = &args.old_keys {
        keys.append(&mut WatermarkKey::parse_ring(secrets.expose_secret()).context("--old-keys")?);
    }
    let silentcipher = args.silentcipher.as_ref().map(|folder| {
        // The checkpoint's statistics, as the workers use them to mark.
        SilentCipher::load(folder, BnMode::Running)
            .map(|cipher| (cipher, ExpectedPayload::all(&keys, args.job.as_ref())))
    });
    let silentcipher = silentcipher.transpose().context("SilentCipher's weights")?;
    Ok(MarkSearch { builtin: Detector::with_keys(&keys)?, any_speed: args.any_speed, silentcipher })
}

/// Returns the key of `secret`; without one, or with an empty one, the development key.
fn key(secret: Option<&SecretString>) -> anyhow::Result<WatermarkKey> {
    Ok(match secret.map(SecretString::expose_secret).filter(|secret| !secret.is_empty()) {
        Some(secret) => WatermarkKey::parse(secret)?,
        None => WatermarkKey::development(),
    })
}

/// Returns the search for the builtin mark of `secret` alone. Without a secret, or with an empty
/// one, the development key is used.
pub(crate) fn detector(secret: Option<&SecretString>) -> anyhow::Result<MarkSearch> {
    Ok(MarkSearch { builtin: Detector::new(&key(secret)?), any_speed: false, silentcipher: None })
}

/// Looks for the marks in one file.
pub(crate) fn detect(search: &MarkSearch, file: &Path) -> anyhow::Result<WatermarkReport> {
    let opened = std::fs::metadata(file).and_then(|metadata| {
        let fits = metadata.len() <= MAX_SOURCE_BYTES as u64;
        if fits { std::fs::read(file).map(Some) } else { Ok(None) }
    });
    let bytes = opened.with_context(|| file.display().to_string())?;
    let bytes = bytes.with_context(|| format!("{}: more than {MAX_SOURCE_BYTES} bytes", file.display()))?;
    let bare = file.extension().is_some_and(|extension| extension == AudioFormat::Pcm.name());
    let read = match bare {
        true => Clip::from_pcm(&bytes).map(|clip| Recording { clip, warnings: Vec::new() }),
        false => audio::read(&bytes),
    };
    let Recording { clip, warnings } = read.with_context(|| file.display().to_string())?;
    for warning in warnings {
        errln!("warning: {}: {warning}", file.display());
    }
    let samples = clip.to_f32();
    let builtin =
        if search.any_speed { search.builtin.examine_thoroughly(&samples) } else { search.builtin.examine(&samples) };
    let mut findings = vec![builtin];
    if let Some((cipher, known)) = &search.silentcipher {
        findings.push(cipher.find(&samples, known, &Bounds::default()).with_context(|| file.display().to_string())?);
    }
    // The caller chose the marks to look for, because the fleet's policy is unknown here.
    WatermarkReport::of(findings, Vec::new()).context("nothing was looked for")
}

/// Formats one line: the file, and the verdict of each scheme's detector.
pub(crate) fn in_words(file: &Path, report: &WatermarkReport) -> String {
    let findings: Vec<_> = report.findings.iter().map(finding_in_words).collect();
    format!("{}: {} ({})", file.display(), verdict_in_words(report.verdict), findings.join("; "))
}

fn finding_in_words(finding: &Finding) -> String {
    let Finding { scheme, verdict, p_value, score, key_id, regions } = finding;
    let score_name = match scheme {
        Scheme::Builtin => "z",
        Scheme::Silentcipher => "score",
    };
    let regions: Vec<_> = regions.iter().map(region_in_words).collect();
    let place = if regions.is_empty() { String::new() } else { format!(", {}", regions.join(" and ")) };
    format!(
        "{} {}: {score_name} = {score:.1}, p = {p_value:.1e}, key {key_id}{place}",
        scheme.name(),
        verdict_in_words(*verdict)
    )
}

fn region_in_words(region: &Region) -> String {
    format!("{:.1} to {:.1} s", region.start_ms as f64 / 1e3, region.end_ms as f64 / 1e3)
}

fn verdict_in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Detected => "detected",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NotDetected => "not detected",
    }
}

/// Returns the report as JSON with the file's name first.
fn as_json(file: &Path, report: &WatermarkReport) -> anyhow::Result<serde_json::Value> {
    let mut json = serde_json::json!({ "file": file.display().to_string() });
    if let (Some(all), serde_json::Value::Object(report)) = (json.as_object_mut(), serde_json::to_value(report)?) {
        all.extend(report);
    }
    Ok(json)
}
