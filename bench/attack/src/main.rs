//! `make attack`: what the builtin mark survives, its false positives, its audibility and its cost.
//!
//! All audio is made on the spot ([`corpus`], [`sounds`]) and marked as the worker marks it. The
//! audio is then attacked ([`attacks`], [`lossy_codec`]) and examined by the detector that ships
//! ([`attack_matrix`]). The threshold is compared with the scores of unmarked audio
//! ([`null_distribution`]). The exit code is 1 if a demand is not met; the last line then names all
//! such demands.

#![forbid(unsafe_code)]

mod attack_rng;
mod corpus;
mod sounds;

mod attack_matrix;
mod attacks;
mod lossy_codec;
mod null_distribution;

mod audibility;
mod loudness;

mod cpu_cost;
mod silentcipher_attacks;

mod attack_report;
mod parallel;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use csm_shared::errln;
use csm_shared::watermark::{Watermark, WatermarkKey};

use attack_report::AttackReport;

/// Arguments: the amount of audio, and the files of the results.
#[derive(Parser, Clone, Debug)]
#[command(about = "What the builtin watermark survives, what it is mistaken for, and what it costs")]
struct AttackArgs {
    /// Clips of each length and source
    #[arg(long, default_value_t = 100)]
    clips: usize,
    /// Least number of distinct unmarked clips
    #[arg(long, default_value_t = 3_000)]
    null: usize,
    /// Few clips, to try the program: 4 of each length, 40 unmarked, 1 by SilentCipher
    #[arg(long)]
    quick: bool,
    /// Folder of SilentCipher's weights, to attack its mark too
    #[arg(long)]
    silentcipher: Option<PathBuf>,
    /// Clips of each source that SilentCipher marks, 5 s each
    #[arg(long, default_value_t = 5)]
    silentcipher_clips: usize,
    /// Seconds of audio on which SilentCipher's cost is measured
    #[arg(long, default_value_t = 3.0)]
    silentcipher_seconds: f64,
    /// Folder of the report and the plot; without it, neither is written
    #[arg(long)]
    docs: Option<PathBuf>,
    /// A Python with the packages of bench/attack/requirements.txt, for the plot
    #[arg(long, default_value = ".venv/bin/python")]
    python: PathBuf,
    /// File for the scores of unmarked audio, for the plot
    #[arg(long, default_value = "target/attack/null.csv")]
    csv: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let mut args = AttackArgs::parse();
    if args.quick {
        (args.clips, args.null) = (4, 40);
        (args.silentcipher_clips, args.silentcipher_seconds) = (1, 1.0);
    }
    let (begun, mut report) = (Instant::now(), AttackReport::default());
    head(&mut report, &args);
    measure(&mut report, &args, begun)?;
    report.say(format!("\nAll of this took {:.0} s.", begun.elapsed().as_secs_f64()));
    verdict(&mut report);
    if let Some(folder) = &args.docs {
        let file = folder.join(format!("{}-watermark.md", csm_report::today()));
        report.write(&file)?;
        errln!("written: {}", file.display());
    }
    if report.failures().is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    errln!("FAILED: {}", report.failures().join("; "));
    Ok(ExitCode::FAILURE)
}

fn head(report: &mut AttackReport, args: &AttackArgs) {
    let (machine, load) = csm_report::machine();
    let command: Vec<_> = std::env::args().collect();
    report.say(format!("# The builtin watermark under attack, {}", csm_report::today()));
    report.say(format!(
        "- {machine}, load {load} at the start\n- {} clips of each length and source, made on the spot\n- found means z > {}",
        args.clips,
        csm_shared::watermark::DETECTED_ABOVE
    ));
    report.say(format!("```sh\n{}\n```", command.join(" ")));
}

fn measure(report: &mut AttackReport, args: &AttackArgs, begun: Instant) -> anyhow::Result<()> {
    let watermark = Watermark::new(&WatermarkKey::development());
    let detector = watermark.detector();
    let progress = |what: &str| errln!("[{:.0} s] {what}", begun.elapsed().as_secs_f64());
    progress("speaking");
    let espeak = corpus::Espeak::find()?;
    let mut toy = corpus::ToyVoice::load()?;
    let mut clips = espeak.speak(0, args.clips, false)?;
    clips.extend(toy.speak(args.clips)?);
    let pairs = attack_matrix::mark_all(&watermark, clips)?;
    progress("attacking");
    report.say(MATRIX);
    attack_matrix::run(report, &detector, &pairs)?;
    progress("the null");
    let scores = null_distribution::run(report, (&espeak, &mut toy), (&detector, &pairs), args.null)?;
    if let Some(folder) = &args.docs {
        let plot = format!("{}-watermark-null.png", csm_report::today());
        scores.draw(&args.python, &args.csv, &folder.join(&plot))?;
        report.say(format!("\n![Exceedance of z on unmarked audio, the bound, and the threshold]({plot})"));
    }
    progress("audibility and cost");
    audibility::run(report, &watermark, &pairs)?;
    cpu_cost::run(report, &watermark, &detector, &pairs);
    progress("SilentCipher");
    silentcipher_attacks::add_cost(report, args.silentcipher_seconds)?;
    silentcipher_attacks::run(report, args.silentcipher.as_deref(), &pairs, args.silentcipher_clips)
}

const MATRIX: &str = "
## Clips found, and the least z

Each clip is marked from its first sample, 1920 samples at a time, and attacked; its length is that before the attack. Rows in
bold are gated: 95 % at 2.5 s, 99 % at 5 s. A crop takes up to a tenth of the clip off at either end, never a whole number of
hops. MP3 is decoded with the encoder's delay left in. Dropout silences packets of 20 ms. Speed changes the pitch too;
\"looked for\" means that the detector tries other speeds.
espeak-ng speaks by formants, in eight English voices with eighteen timbres, and makes clean pauses; the toy voice is a CSM of a
few million weights, in two voices, with a band up to 8 kHz. Neither is a person.";

fn verdict(report: &mut AttackReport) {
    let line = match report.failures() {
        [] => "All demands are met.".to_owned(),
        failures => format!("Not met: {}.", failures.join("; ")),
    };
    report.say(format!("\n{line}"));
}
