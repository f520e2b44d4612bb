//! `csm bench quality`: number formats on any device, compared with f32 on the CPU.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::measure::{self, Quality, QualityPlan};
use anyhow::{Context as _, Result};
use clap::Args;
use csm_engine::model::WeightFormat;
use csm_engine::random_model;
use csm_shared::{errln, out};
use serde_json::json;

use super::machine::Machine;
use csm_report::Table;
use csm_report::today;

use super::{SubjectArgs, command_line};

/// Explanation for every model.
const MEANING: &str = "\
The f32 model speaks greedily on the CPU, and its frames are forced on the other, so that both have read the same before each frame.
A code's logits are compared while the codes before it in its frame agree. Errors are in standard deviations of the row of
f32 logits; \"same codes\" is the share of compared codes that both choose, \"same frames\" that of frames whose 32 codes
agree; \"until they part\" counts the frames before the first difference, had nothing been forced.";
/// Further explanation for random weights.
const OF_NOISE: &str = "\
These weights are random. That tells what a format does to the products of this model's shapes, and it is a floor for the
choices: random logits lie close together, so that errors which a trained model would not notice change them. It tells
nothing about trained weights' outliers, which quantise worse, nor about how anything sounds.";
/// Further explanation for trained weights.
const OF_SPEECH: &str = "\
One utterance, greedy. It tells how far the numbers are apart, not how it sounds: for that, listen, or score many.";

#[derive(Args, Debug)]
pub(crate) struct QualityArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Number formats to compare with f32
    #[arg(long, default_value = "q8_0,q4_k", value_delimiter = ',', value_name = "FORMAT,FORMAT")]
    weights: Vec<WeightFormat>,
    /// Frames to speak
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    frames: u16,
    /// Write all numbers to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table to a file of this folder, named after day and processor
    #[arg(long, value_name = "DIR")]
    docs: Option<PathBuf>,
}

pub(crate) fn run(args: &QualityArgs) -> Result<ExitCode> {
    let plan = QualityPlan {
        subject: args.subject.subject(),
        formats: args.weights.clone(),
        frames: usize::from(args.frames),
    };
    let compared = measure::compare(&plan, &mut |format| errln!("{format}, {} frames", args.frames))?;
    let noise = random_model::is_noise(&args.subject.model);
    let text = format!("{}\n{MEANING}\n{}\n", table(&compared), if noise { OF_NOISE } else { OF_SPEECH });
    out!("{text}");
    if let Some(file) = &args.json {
        let numbers = json!({ "noise_only": noise, "formats": compared.iter().map(as_json).collect::<Vec<_>>() });
        fs::write(file, format!("{numbers:#}\n")).with_context(|| file.display().to_string())?;
    }
    if let Some(folder) = &args.docs {
        let machine = Machine::this(&args.subject.subject());
        let (date, command) = (today(), command_line());
        let heading = format!("# Weight formats beside f32, {date}, {}\n\n```sh\n{command}\n```\n\n", machine.name());
        machine.write_down(folder, &format!("{date}-quality"), &(heading + &text))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(compared: &[Quality]) -> Table {
    let mut table = Table::new([
        "weights",
        "mean error",
        "greatest",
        "mean KL, nats",
        "same codes",
        "same frames",
        "until they part",
        "frames",
        "codes compared",
    ]);
    for quality in compared {
        table.row([
            quality.format.to_string(),
            format!("{:.5}", quality.mean_error),
            format!("{:.4}", quality.max_error),
            format!("{:.2e}", quality.mean_kl),
            format!("{:.2} %", quality.same_code * 100.0),
            format!("{:.1} %", quality.same_frame * 100.0),
            quality.until_divergence.to_string(),
            quality.frames.to_string(),
            quality.compared.to_string(),
        ]);
    }
    table
}

fn as_json(quality: &Quality) -> serde_json::Value {
    json!({
        "weights": quality.format.name(),
        "frames": quality.frames,
        "codes_compared": quality.compared,
        "mean_error": quality.mean_error,
        "max_error": quality.max_error,
        "mean_kl": quality.mean_kl,
        "same_code": quality.same_code,
        "same_frame": quality.same_frame,
        "frames_until_divergence": quality.until_divergence,
    })
}
