//! `csm bench part`: one measurement in a process of its own, started by `csm bench engine`.

use std::process::ExitCode;
use std::time::Duration;

use crate::measure::{self, CandleDtype, CandlePlan, CodecPlan, EnginePlan, FrameTimes, StepsPlan, mean, median};
use anyhow::Result;
use clap::{Args, ValueEnum};
use csm_engine::engine::MAX_SLOTS;
use csm_engine::model::WeightChoice;
use csm_shared::outln;

use super::SubjectArgs;
use super::machine::peak_rss_bytes;
use super::measurements::{CodecMeasurement, EngineMeasurement, Stages, StepMeasurement};

/// Name of csm-fleet in tables.
pub(crate) const OURS: &str = "csm-fleet";
/// Name of candle's CSM in tables.
pub(crate) const CANDLE_CSM: &str = "candle-transformers csm";
/// Name of candle's Mimi in tables.
pub(crate) const CANDLE_MIMI: &str = "candle-transformers mimi";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// csm-fleet's model, codec and mark, one after another
    Steps,
    /// csm-fleet's engine with its threads
    Engine,
    /// csm-fleet's codec
    Codec,
    /// candle's CSM in f32
    CandleF32,
    /// candle's CSM in f16
    CandleF16,
    /// candle's CSM in bf16
    CandleBf16,
    /// candle's Mimi
    CandleMimi,
}

#[derive(Args, Debug)]
pub(crate) struct PartArgs {
    /// Measurement to take
    #[arg(value_enum)]
    part: BenchPart,
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
    /// Number format of csm-fleet's weights
    #[arg(long, default_value = "auto", value_name = "FORMAT")]
    weights: WeightChoice,
    /// Utterances at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_SLOTS as i64))]
    rows: u8,
    /// Frames that are timed
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    frames: u16,
    /// Frames that one call of a codec decodes
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=125))]
    frames_per_call: u16,
    /// Positions of the prompt that is admitted beside a running row
    #[arg(long, default_value_t = 900, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    admitted: u16,
}

pub(crate) async fn run(args: PartArgs) -> Result<ExitCode> {
    let line = match args.part {
        BenchPart::Steps => serde_json::to_string(&steps(&args)?)?,
        BenchPart::Engine => serde_json::to_string(&engine(&args).await?)?,
        BenchPart::Codec => serde_json::to_string(&codec(&args, OURS, measure::our_codec)?)?,
        BenchPart::CandleMimi => serde_json::to_string(&codec(&args, CANDLE_MIMI, measure::candle_mimi)?)?,
        BenchPart::CandleF32 => serde_json::to_string(&candle(&args, CandleDtype::F32, "f32")?)?,
        BenchPart::CandleF16 => serde_json::to_string(&candle(&args, CandleDtype::F16, "f16")?)?,
        BenchPart::CandleBf16 => serde_json::to_string(&candle(&args, CandleDtype::Bf16, "bf16")?)?,
    };
    outln!("{line}");
    Ok(ExitCode::SUCCESS)
}

fn steps(args: &PartArgs) -> Result<StepMeasurement> {
    let (rows, frames) = (usize::from(args.rows), usize::from(args.frames));
    let subject = args.subject.subject();
    let measured = measure::step(&StepsPlan { subject, weights: args.weights, rows, frames })?;
    let stage = |part: fn(&FrameTimes) -> Duration| measured.times.iter().map(part).collect::<Vec<_>>();
    let average = |part| Some(ms(mean(&stage(part))));
    let model = stage(|times| times.model);
    Ok(StepMeasurement {
        implementation: OURS.to_owned(),
        weights: measured.format.to_string(),
        rows,
        frames,
        prompt_positions: usize::from(args.subject.prompt),
        mean_ms: ms(mean(&model)),
        median_ms: ms(median(&model)),
        stages: Stages {
            backbone: average(|times| times.backbone),
            depth: average(|times| times.depth),
            sampling: average(|times| times.sampling),
            codec: average(|times| times.codec),
            watermark: average(|times| times.watermark),
        },
        bytes_per_step: Some(measured.bytes_per_step),
        memory: measured.memory.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect(),
        peak_rss_bytes: peak_rss_bytes(),
        note: (measured.ended > 0).then(|| format!("{} utterances ended and were begun anew", measured.ended)),
    })
}

async fn engine(args: &PartArgs) -> Result<EngineMeasurement> {
    let measured = measure::run_engine(&EnginePlan {
        subject: args.subject.subject(),
        weights: args.weights,
        slots: usize::from(args.rows).max(2),
        frames: u32::from(args.frames),
        admitted: usize::from(args.admitted),
    })
    .await?;
    let (alone, admitting, together) = (measured.alone, measured.admitting, measured.together);
    let per = |time: Duration, count: u64| ms(time) / count.max(1) as f64;
    Ok(EngineMeasurement {
        weights: measured.format,
        slots: usize::from(args.rows).max(2),
        first_sound_ms: ms(measured.first_sound),
        first_sound_frames: measured.first_sound_frames,
        step_alone_ms: per(alone.stepping, alone.steps),
        gap_alone_ms: ms(alone.longest_gap),
        admitted_positions: admitting.positions,
        pieces: admitting.prefill_blocks,
        longest_piece_ms: ms(admitting.longest_prefill_block),
        gap_admitting_ms: ms(admitting.longest_gap),
        frames_per_second: together.frames as f64 / measured.together_for.as_secs_f64(),
        step_together_ms: per(together.stepping, together.steps),
        codec_ms: per(together.decoding, together.decoded),
        peak_rss_bytes: peak_rss_bytes(),
    })
}

fn codec(
    args: &PartArgs,
    implementation: &str,
    decode: impl Fn(&CodecPlan) -> Result<measure::CodecFrames, measure::BenchError>,
) -> Result<CodecMeasurement> {
    let (rows, frames_per_call) = (usize::from(args.rows), usize::from(args.frames_per_call));
    let calls = usize::from(args.frames).div_ceil(frames_per_call);
    let measured = decode(&CodecPlan { subject: args.subject.subject(), rows, frames_per_call, calls })?;
    Ok(CodecMeasurement {
        implementation: implementation.to_owned(),
        rows,
        frames: calls * frames_per_call,
        frames_per_call,
        ms_per_frame_and_row: ms(mean(&measured.times)) / (frames_per_call * rows) as f64,
        note: None,
    })
}

fn candle(args: &PartArgs, dtype: CandleDtype, weights: &str) -> Result<StepMeasurement> {
    let frames = usize::from(args.frames);
    let times = measure::candle_csm(&CandlePlan { subject: args.subject.subject(), dtype, frames })?;
    Ok(StepMeasurement {
        implementation: CANDLE_CSM.to_owned(),
        weights: weights.to_owned(),
        rows: 1,
        frames,
        prompt_positions: usize::from(args.subject.prompt),
        mean_ms: ms(mean(&times)),
        median_ms: ms(median(&times)),
        peak_rss_bytes: peak_rss_bytes(),
        ..StepMeasurement::default()
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
